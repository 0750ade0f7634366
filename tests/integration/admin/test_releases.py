"""Releases through the real stores: all the way, back, paused, overtaken, drilled, taken over."""

import asyncio
from collections.abc import Callable
from typing import Any

import asyncpg
import pytest

from admin.releases.config import Settings
from admin.releases.plan import PatchPlan
from config import Shared
from tests.integration.admin.conftest import Client, Start, is_problem, published
from tests.integration.admin.follower import Follower

RELEASES = "/v1/releases"
BARE = {
    "steps": [5, 50],
    "dwell_s": 0,
    "window_s": 0,
    "checklist": [],
    "gates": [],
    "cutover_gates": [],
    "signers": [],
    "cutover_signers": [],
    "drain_per_s": 0,
    "unmeasured": "go",
}
"""A plan that asks nothing and waits for nothing."""
ENDED = {"done", "aborted", "rolled-back"}
Report = dict[str, Any]


@pytest.fixture(autouse=True)
async def worker(call: Client, follow: Callable[..., Any]) -> Follower:
    """One worker, endpoints to go to, and what the slots run."""
    for slot in ("blue", "green"):
        await call("PUT", f"/v1/slots/{slot}/endpoints", {"endpoints": ["127.0.0.1:1"]})
    await call("PUT", "/v1/slots/blue/version", {"version": "1.2.0"})
    started: Follower = await follow()
    await started.until(await call.version())
    return started


@pytest.fixture
async def database(shared: Shared) -> Any:
    connection = await asyncpg.connect(shared.database_url)
    yield connection
    await connection.close()


async def begun(
    call: Client, version: str = "1.3.0", plan: Report | None = None, **more: Any
) -> str:
    document = {"version": version, "plan": {**BARE, **(plan or {})}, **more}
    status, release, headers = await call("POST", RELEASES, document)
    assert status == 202, release
    assert headers["Location"] == f"{RELEASES}/{release['name']}"
    return str(release["name"])


async def until(call: Client, name: str, *states: str) -> Report:
    """The release, once it is in one of these states."""
    while True:
        status, release, _ = await call("GET", f"{RELEASES}/{name}")
        if status == 503:
            continue
        assert status == 200, release
        if release["state"] in states:
            return dict(release)
        assert release["state"] not in ENDED, release
        await asyncio.sleep(0.05)


async def at(call: Client, percent: float) -> None:
    """Wait until the canary draws so many."""
    while (await table(call))["canary"]["percent"] != percent:
        await asyncio.sleep(0.02)


async def changed_beside(call: Client) -> str:
    """A release whose canary somebody has changed: it is paused, and says so."""
    name = await begun(call, plan={"dwell_s": 3600})
    await until(call, name, "canary")
    await at(call, 5)
    await call("PUT", "/v1/canary", {"percent": 30})
    assert (await paused(call, name))["reason"] == "somebody set the canary to 30 %"
    return name


async def paused(call: Client, name: str) -> Report:
    while True:
        release: Report = (await call("GET", f"{RELEASES}/{name}"))[1]
        if release["paused"]:
            return release
        assert release["state"] not in ENDED, release
        await asyncio.sleep(0.05)


async def say(call: Client, name: str, word: str, note: str = "") -> Report:
    status, release, _ = await call("POST", f"{RELEASES}/{name}/{word}", {"note": note})
    assert status == 200, release
    return dict(release)


async def table(call: Client) -> Report:
    return dict((await call("GET", "/v1/routing"))[1])


async def table_with(call: Client, active: str) -> Report:
    """The table, once this slot is active."""
    while (found := await table(call))["active"] != active:
        await asyncio.sleep(0.02)
    return found


async def trail(call: Client, name: str) -> list[Report]:
    return list((await call("GET", f"{RELEASES}/{name}/events?limit=1000"))[1]["events"])


async def committed(call: Client) -> list[Report]:
    """The changes of the routing that were made, oldest first."""
    rows = (await call("GET", "/v1/audit?limit=1000"))[1]["items"]
    return [row for row in reversed(rows) if row["version"]]


async def weights(call: Client) -> list[float]:
    """The canary's, as releases set it."""
    made = [row for row in await committed(call) if row["action"].startswith("release-")]
    return [row["to"]["canary"]["percent"] for row in made if "canary" in row["to"]]


async def test_all_the_way_and_the_next_one_the_other_way(call: Client, worker: Follower):
    name = await begun(call)
    release = await until(call, name, "done")
    assert (release["active"], release["standby"], release["phase"]) == ("blue", "green", 6)
    after = await table(call)
    assert (after["active"], after["canary"]["percent"]) == ("green", 0)
    assert worker.version == after["version"]
    assert await weights(call) == [5, 50, 0]
    kinds = [row["kind"] for row in await trail(call, name)]
    assert [kind for kind in kinds if not kind.startswith("effect")] == [
        *("begun", "start", "deployed", "validated", "expects", "stepped", "expects", "arrived"),
        *("expects", "cut-over", "stable", "finalised"),
    ]
    following = await until(call, await begun(call, "1.4.0"), "done")
    assert (following["active"], following["standby"]) == ("green", "blue")
    assert (following["from_version"], (await table(call))["active"]) == ("1.3.0", "blue")
    assert (await call("GET", "/v1/audit/verify"))[1]["holds"]


async def test_nobody_waits_for_a_worker_to_come_back(
    call: Client, worker: Follower, follow: Callable[..., Any]
):
    deaf = await follow("w2", deaf=True)
    name = await begun(call, plan={"steps": []})
    await worker.until((await table_with(call, "green"))["version"])
    await say(call, name, "rollback", "one worker does not follow")
    await table_with(call, "blue")
    assert (await call("GET", f"{RELEASES}/{name}"))[1]["state"] == "rolling-back"
    deaf.listen()
    await until(call, name, "rolled-back")
    assert [row["action"] for row in await committed(call)][-2:] == [
        *("release-4-cutover-1", "release-5-return-0"),
    ]


async def test_a_step_that_not_every_worker_serves_is_promoted(
    call: Client, worker: Follower, follow: Callable[..., Any]
):
    deaf = await follow("w2", deaf=True)
    name = await begun(call, plan={"steps": [5, 50], "dwell_s": 3600})
    await at(call, 5)
    await say(call, name, "promote")
    while (await table(call))["canary"]["percent"] != 50:
        release = (await call("GET", f"{RELEASES}/{name}"))[1]
        assert not release["paused"], release["reason"]
        await asyncio.sleep(0.02)
    deaf.listen()


async def test_who_resumes_sets_the_step_s_weight_again(call: Client):
    name = await changed_beside(call)
    await say(call, name, "resume")
    await at(call, 5)
    await say(call, name, "promote")
    await until(call, name, "canary", "cutting-over", "stabilising", "done")
    assert not (await call("GET", f"{RELEASES}/{name}"))[1]["paused"]
    assert (await call("GET", "/v1/audit/verify"))[1]["holds"]


async def test_back_from_the_canary(call: Client):
    name = await begun(call, plan={"dwell_s": 3600, "pilots": ["acme"]})
    await until(call, name, "canary")
    await at(call, 5)
    assert (await call("GET", "/v1/tenants/acme/route"))[1]["slot"] == "green"
    await say(call, name, "rollback", "invoices are wrong")
    release = await until(call, name, "rolled-back")
    assert release["fault"] == "tester: invoices are wrong"
    after = await table(call)
    assert (after["active"], after["canary"]["percent"]) == ("blue", 0)
    assert (await call("GET", "/v1/tenants/acme/route"))[1]["slot"] == "blue"
    assert release["may"] == []


@pytest.mark.parametrize("mode", ["instant", "fenced"])
async def test_back_from_the_stabilisation(call: Client, mode: str):
    name = await begun(call, plan={"window_s": 3600, "cutover": mode, "rollback": mode})
    release = await until(call, name, "stabilising")
    assert (await table(call))["active"] == "green"
    assert 0 < release["window_left_s"] <= 3600
    await say(call, name, "rollback")
    await until(call, name, "rolled-back")
    assert (await table(call))["active"] == "blue"
    switches = (await call("GET", "/v1/switches"))[1]["switches"]
    assert [switch["state"] for switch in switches] == ["done"] * (2 if mode == "fenced" else 0)


async def test_it_waits_for_signatures_and_for_what_was_measured(call: Client):
    name = await begun(call, plan={"signers": ["qa"], "cutover_signers": ["boss"]})
    release = await until(call, name, "validating")
    assert release["missing"] == ["qa has not signed"]
    sign = f"{RELEASES}/{name}/sign"
    is_problem(await call("POST", sign, {"signer": "someone"}), 400, "invalid-change")
    await call("POST", sign, {"signer": "qa", "approve": False, "note": "wait"})
    assert (await until(call, name, "validating"))["missing"] == ["qa refuses (wait)"]
    viewer = call.with_token("viewer")
    is_problem(await viewer("POST", sign, {"signer": "qa"}), 403, "forbidden-role")
    await call("POST", sign, {"signer": "qa"})
    release = await until(call, name, "cutting-over")
    assert [gate["outcome"] for gate in release["gates"]] == ["signed", "awaited"]
    await call("POST", sign, {"signer": "boss"})
    await until(call, name, "done")


async def test_a_step_lasts_unless_somebody_promotes_it(call: Client):
    name = await begun(call, plan={"dwell_s": 3600})
    release = await until(call, name, "canary")
    assert (release["step"], release["may"][:2]) == (1, ["promote", "pause"])
    await say(call, name, "promote")
    assert (await until(call, name, "canary"))["step"] == 2
    await say(call, name, "promote")
    await until(call, name, "done")


async def test_pilots_are_watched_before_all_go_over(call: Client):
    name = await begun(call, plan={"steps": [], "pilots": ["t-1"], "dwell_s": 3600})
    while "t-1" not in (await table(call))["pins"]:
        await asyncio.sleep(0.02)
    release = await until(call, name, "canary")
    assert (release["step"], release["steps"]) == (0, [])
    assert 3590 < release["dwell_left_s"] <= 3600
    assert (await table(call))["active"] == "blue"
    await say(call, name, "promote")
    release = await until(call, name, "done")
    assert release["dwell_left_s"] is None
    assert "t-1" not in (await table(call))["pins"]


async def test_nothing_passes_that_was_not_measured(call: Client):
    name = await begun(call, plan={"unmeasured": "wait", "steps": [5], "dwell_s": 0.1})
    while True:
        release = await until(call, name, "canary")
        if release["dwell_left_s"] == 0:
            break
        await asyncio.sleep(0.05)
    await say(call, name, "promote")
    await until(call, name, "done")


async def test_pause_and_resume(call: Client):
    name = await begun(call, plan={"dwell_s": 3600})
    await until(call, name, "canary")
    release = await say(call, name, "pause", "lunch")
    assert (release["paused"], release["reason"]) == (True, "tester: lunch")
    is_problem(await call("POST", f"{RELEASES}/{name}/promote", {}), 409, "release-state")
    await say(call, name, "resume")
    await say(call, name, "promote")
    await say(call, name, "promote")
    await until(call, name, "done")


async def test_the_report_has_all_of_it(call: Client):
    name = await begun(call, plan={"signers": ["qa"]}, note="<b>new</b> invoices")
    await call("POST", f"{RELEASES}/{name}/sign", {"signer": "qa", "note": "looks good"})
    await until(call, name, "done")
    report = (await call("GET", f"{RELEASES}/{name}/report"))[1]
    assert [each["percent"] for each in report["switches"]] == [5, 50, None]
    assert all(each["ack_ms"] > 0 for each in report["switches"])
    assert [(each["who"], each["what"]) for each in report["people"]] == [
        *(("tester", "begun"), ("tester", "signed")),
    ]
    assert report["events"] == await trail(call, name)
    status, page, headers = await call("GET", f"{RELEASES}/{name}/report.html")
    assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert "&lt;b&gt;new&lt;/b&gt; invoices" in page
    assert "looks good" in page
    assert "script" not in page
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    is_problem(await call("GET", f"{RELEASES}/nobody/report"), 404, "not-found")


async def test_who_changes_the_canary_beside_it_pauses_it(call: Client):
    name = await changed_beside(call)
    await say(call, name, "abort")
    await until(call, name, "rolled-back")
    assert (await table(call))["canary"]["percent"] == 0


async def test_one_at_a_time_but_for_a_hotfix(call: Client):
    name = await begun(call, plan={"dwell_s": 3600})
    await until(call, name, "canary")
    is_problem(
        await call("POST", RELEASES, {"version": "1.2.1", "plan": BARE}), 409, "release-refused"
    )
    hotfix = await begun(call, "1.2.1", hotfix=True)
    release = await until(call, name, "rolled-back")
    assert release["fault"] == f"overtaken by {hotfix}"
    release = await until(call, hotfix, "done")
    assert (release["kind"], release["active"]) == ("patch", "blue")
    assert (await table(call))["active"] == "green"


async def test_a_hotfix_over_a_release_that_everybody_has(call: Client):
    name = await begun(call, plan={"window_s": 3600})
    await until(call, name, "stabilising")
    hotfix = await begun(call, "1.3.1", hotfix=True)
    assert (await until(call, name, "done"))["reason"] == f"overtaken by {hotfix}"
    release = await until(call, hotfix, "done")
    assert (release["active"], release["standby"]) == ("green", "blue")


async def test_a_drill_goes_and_comes_back(start: Start, call: Client):
    bare = PatchPlan(checklist=(), gates=(), cutover_gates=(), drain_per_s=0)
    drilling: Client = await start(releasing=Settings(patch=bare))
    await published(drilling)
    is_problem(await call("POST", "/v1/drills", {"window_s": 0}), 409, "release-refused")
    await call("PUT", "/v1/slots/green/version", {"version": "1.2.0"})
    asked = {"window_s": 0.5, "mode": "fenced"}
    headers = {"Idempotency-Key": "once"}
    names = set()
    for _ in range(2):
        status, release, _ = await drilling("POST", "/v1/drills", asked, headers=headers)
        assert status == 202, release
        names.add(release["name"])
    (name,) = names
    release = await until(call, name, "rolled-back")
    assert (release["is_drill"], release["reason"]) == (True, "the drill is over")
    moved = [row["to"]["active"] for row in await committed(call) if "active" in row["to"]]
    assert moved == ["green", "blue"]


@pytest.mark.parametrize("word", ["promote", "finalise", "hotfix"])
async def test_a_drill_that_somebody_ends_comes_back(start: Start, call: Client, word: str):
    bare = PatchPlan(checklist=(), gates=(), cutover_gates=(), drain_per_s=0)
    drilling: Client = await start(releasing=Settings(patch=bare))
    await published(drilling)
    await call("PUT", "/v1/slots/green/version", {"version": "1.2.0"})
    status, drill, _ = await drilling("POST", "/v1/drills", {"window_s": 3600})
    assert status == 202, drill
    await until(call, drill["name"], "stabilising")
    hotfix = await begun(call, "1.2.1", hotfix=True) if word == "hotfix" else ""
    if not hotfix:
        await say(call, drill["name"], word)
    await until(call, drill["name"], "rolled-back")
    if hotfix:
        release = await until(call, hotfix, "done")
        assert (release["active"], release["from_version"]) == ("blue", "1.2.0")
    moved = [row["to"]["active"] for row in await committed(call) if "active" in row["to"]]
    assert moved[:2] == ["green", "blue"]


async def test_what_a_plan_can_not_be(call: Client):
    for plan, code in (
        ({"steps": [5, 1]}, 400),
        ({"gates": ["nonsense"]}, 400),
        ({"checklist": ["nonsense"]}, 400),
        ({"checklist": ["No item"]}, 400),
        ({"pilots": ["NOT A TENANT"]}, 400),
        ({"nonsense": 1}, 400),
    ):
        status, problem, _ = await call("POST", RELEASES, {"version": "1.3.0", "plan": plan})
        assert status == code, problem
    is_problem(await call("POST", RELEASES, {"version": "three"}), 400, "invalid-change")
    is_problem(await call("GET", f"{RELEASES}/nobody"), 404, "not-found")
    is_problem(await call("GET", f"{RELEASES}/current"), 404, "not-found")


async def test_another_admin_goes_on(start: Start, call: Client, database: Any):
    """The one that began it loses its lock, as if it were dead; who has the lock goes on."""
    name = await begun(call, plan={"dwell_s": 1, "steps": [5, 50]})
    other: Client = await start()
    await published(other)
    await until(other, name, "canary")
    await database.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    await until(other, name, "done")
    assert await weights(other) == [5, 50, 0]


async def test_a_changed_trail_is_seen(call: Client, database: Any):
    name = await begun(call)
    await until(call, name, "done")
    found = (await call("GET", "/v1/audit/verify"))[1]
    assert (found["holds"], found["broken_at"]) == (True, None)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await database.execute("UPDATE turnout.release_events SET actor = 'mallory' WHERE seq = 3")
    await database.execute("SET session_replication_role = replica")
    await database.execute("UPDATE turnout.release_events SET actor = 'mallory' WHERE seq = 3")
    found = (await call("GET", "/v1/audit/verify"))[1]
    assert (found["holds"], found["broken_at"]) == (False, 3)
    await database.execute("DELETE FROM turnout.release_events WHERE seq >= 3")
    found = (await call("GET", "/v1/audit/verify"))[1]
    assert (found["holds"], found["why"]) == (False, "the last rows are missing")
