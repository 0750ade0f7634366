"""What a release waits for, through the real stores: items, signatures, what is stale, what is given up."""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from admin.gates.config import Census, Checks, Drill, Gates
from admin.gates.config import Schema as SchemaSettings
from admin.hooks.model import Hook
from admin.releases.config import Settings
from config import Shared
from tests.integration.admin.conftest import Client, Start, is_problem, published
from tests.integration.admin.test_releases import (
    BARE,
    RELEASES,
    begun,
    paused,
    say,
    table,
    trail,
    until,
)

Admin = Callable[..., Awaitable[Client]]
WAITS = """
import os, pathlib, time
folder = pathlib.Path({folder!r})
with (folder / "begun").open("a") as file:
    print(os.environ.get("TURNOUT_EFFECT"), file=file)
while not (folder / "go").exists():
    time.sleep(0.02)
    with (folder / "turns").open("a") as file:
        file.write(".")
with (folder / "ran").open("a") as file:
    print("once", file=file)
"""
NOTHING = Gates(schema=SchemaSettings(applies=False), census=Census(applies=False))


@pytest.fixture
def admin(start: Start, follow: Callable[..., Any]) -> Admin:
    """Starts the one admin, a worker, endpoints to go to, and what blue runs."""

    async def started(releasing: Settings | None = None) -> Client:
        call: Client = await start(releasing=releasing)
        await published(call)
        for slot in ("blue", "green"):
            await call("PUT", f"/v1/slots/{slot}/endpoints", {"endpoints": ["127.0.0.1:1"]})
        await call("PUT", "/v1/slots/blue/version", {"version": "1.2.0"})
        await (await follow()).until(await call.version())
        return call

    return started


@pytest.fixture
async def call(admin: Admin) -> Client:
    return await admin()


@pytest.fixture
async def database(shared: Shared) -> Any:
    connection = await asyncpg.connect(shared.database_url)
    yield connection
    await connection.close()


def releasing(folder: Path, **more: Any) -> Settings:
    """A hook that waits for a file `go`, as one deploys."""
    command = (sys.executable, "-c", WAITS.format(folder=str(folder)))
    hook = Hook("deploy", command=command, **{"before": "deploying", **more})
    return Settings(gates_s=0.2, gates=NOTHING, hooks=(hook,))


def ran(folder: Path) -> list[str]:
    log = folder / "ran"
    return log.read_text().split() if log.exists() else []


def keys(folder: Path) -> list[str]:
    """The effect's key, each time that it was begun."""
    begun = folder / "begun"
    return begun.read_text().split() if begun.exists() else []


async def appears(path: Path) -> None:
    while not path.exists():  # noqa: ASYNC240 - of a child that this test started
        await asyncio.sleep(0.02)


async def lacks(call: Client, name: str, what: str) -> dict[str, Any]:
    """The release, once it lacks something that begins like this."""
    while True:
        release: dict[str, Any] = (await call("GET", f"{RELEASES}/{name}"))[1]
        if any(each.startswith(what) for each in release["missing"]):
            return release
        assert not release["ended_at"], release
        await asyncio.sleep(0.05)


async def test_each_phase_waits_for_its_own(admin: Admin) -> None:
    """The whole go/no-go is shown from the beginning, and each item is signed when it is due."""
    call = await admin(Settings(gates_s=0.2, gates=NOTHING))
    plan = {"checklist": ["code-review", "instant-switch", "qa", "switched", "customers", "issues"]}
    name = await begun(call, plan={**plan, "steps": []})
    release = await lacks(call, name, "code-review")
    assert [(each["item"], each["gate"], each["phase"]) for each in release["gates"]] == [
        *(("instant-switch", "workers", 1), ("code-review", "developer", 1), ("qa", "qa", 3)),
        *(("switched", "switched", 5), ("customers", "support", 5)),
        ("issues", "release-manager", 6),
    ]
    sign = f"{RELEASES}/{name}/sign"
    early = await call("POST", sign, {"item": "customers"})
    is_problem(early, 409, "release-state")
    for body in ({}, {"item": "qa", "signer": "qa"}, {"item": "switched"}, {"signer": "boss"}):
        is_problem(await call("POST", sign, body), 400, "invalid-change")
    refused = {"item": "code-review", "approve": False}
    is_problem(await call("POST", sign, refused), 400, "invalid-change")
    for item, role, state in (
        ("code-review", "developer", "planned"),
        ("qa", "qa", "validating"),
        ("customers", "support", "stabilising"),
        ("issues", "release-manager", "finalising"),
    ):
        release = await lacks(call, name, f"{item}: {role}" if item != role else role)
        assert (release["state"], release["go"]) == (state, False)
        assert "promote" not in release["may"]
        word = "finalise" if state == "stabilising" else "promote"
        is_problem(await call("POST", f"{RELEASES}/{name}/{word}", {}), 409, "release-state")
        answer = await call("POST", sign, {"signer": role, "note": "seen"})
        assert answer[0] == 200, answer
    release = await until(call, name, "done")
    assert {each["outcome"] for each in release["gates"]} == {"passed", "signed"}
    assert release["reason"].startswith("left to do by hand: blue still has 1.2.0")
    rows = await trail(call, name)
    assert rows[-1]["body"]["roles"]["versions"] == {"blue": "1.2.0", "green": "1.3.0"}


async def test_who_takes_a_signature_back_holds_the_next_step(call: Client) -> None:
    name = await begun(call, plan={"signers": ["qa"], "dwell_s": 3600})
    sign = f"{RELEASES}/{name}/sign"
    await call("POST", sign, {"signer": "qa"})
    await until(call, name, "canary")
    await call("POST", sign, {"signer": "qa", "approve": False, "note": "totals are wrong"})
    answer = await call("POST", f"{RELEASES}/{name}/promote", {})
    is_problem(answer, 409, "release-state")
    assert answer[1]["detail"] == "the release lacks qa refuses (totals are wrong)"
    await call("POST", sign, {"signer": "qa"})
    await say(call, name, "promote")
    await until(call, name, "canary")


async def test_only_who_may_sign_signs(admin: Admin) -> None:
    call = await admin(Settings(signers={"qa": ("alice",)}))
    name = await begun(call, plan={"checklist": ["qa"]})
    answer = await call("POST", f"{RELEASES}/{name}/sign", {"item": "qa"})
    is_problem(answer, 403, "forbidden-scope")


async def test_what_has_passed_is_measured_anew_once_it_is_stale(
    admin: Admin, database: Any
) -> None:
    call = await admin(Settings(gates_s=0.1, gates=NOTHING))
    gate = {"gates": ["environments"], "signers": ["qa"]}
    name = await begun(call, plan=gate)
    while (found := await lacks(call, name, "qa has"))["missing"] != ["qa has not signed"]:
        await asyncio.sleep(0.05)
    # It passed an hour ago; since then one of two endpoints is gone.
    more = {"endpoints": ["127.0.0.1:1", "127.0.0.1:2"]}
    await call("PUT", "/v1/slots/blue/endpoints", more)
    await database.execute(
        "UPDATE turnout.release_gates SET measured_at = now() - interval '1 hour'"
    )
    await call("POST", f"{RELEASES}/{name}/sign", {"signer": "qa"})
    await lacks(call, name, "environments: failed")
    await call("PUT", "/v1/slots/green/endpoints", more)
    await until(call, name, "done")
    assert found["state"] == "validating"


async def test_a_pause_lets_a_hook_come_to_its_end(admin: Admin, tmp_path: Path) -> None:
    call = await admin(releasing(tmp_path))
    name = await begun(call)
    await appears(tmp_path / "turns")
    await say(call, name, "pause", "lunch")
    turns = tmp_path / "turns"
    while len(turns.read_text()) < 100:  # two looks, by which it would have been given up
        await asyncio.sleep(0.02)
    (tmp_path / "go").touch()
    await appears(tmp_path / "ran")
    release = await paused(call, name)
    assert release["reason"] == "tester: lunch"
    await say(call, name, "resume")
    await until(call, name, "done")
    assert ran(tmp_path) == ["once"]


async def test_an_abort_ends_a_hook(admin: Admin, tmp_path: Path) -> None:
    call = await admin(releasing(tmp_path))
    name = await begun(call)
    await appears(tmp_path / "begun")
    await say(call, name, "abort")
    await until(call, name, "aborted")
    assert ran(tmp_path) == []


async def test_a_hook_that_nobody_knows_of_does_not_go_back_where_there_is_no_way(
    admin: Admin, tmp_path: Path
) -> None:
    """The slot before is being updated: its plan says go back, and that is over."""
    call = await admin(releasing(tmp_path, before="finalising", timeout_s=3.0))
    name = await begun(call, plan={"on_unknown": "back"})
    release = await paused(call, name)
    assert "did not end within 3" in release["reason"]
    assert len(keys(tmp_path)) == 1
    (tmp_path / "go").touch()
    await say(call, name, "resume")
    await until(call, name, "done")
    assert ran(tmp_path) == ["once"]


async def test_a_hook_that_may_be_repeated_is_under_the_same_key(
    admin: Admin, tmp_path: Path
) -> None:
    call = await admin(releasing(tmp_path, timeout_s=3.0, on_unknown="repeat"))
    name = await begun(call)
    while len(keys(tmp_path)) < 2:
        await asyncio.sleep(0.05)
    (tmp_path / "go").touch()
    await until(call, name, "done")
    assert len(set(keys(tmp_path))) == 1
    assert ran(tmp_path) == ["once"]


async def test_gates_that_take_long_are_given_up_for_who_aborts(
    admin: Admin, tmp_path: Path
) -> None:
    smoke = tmp_path / "smoke.toml"
    script = WAITS.format(folder=str(tmp_path))
    command = json.dumps([sys.executable, "-c", script])
    smoke.write_text(f'[[check]]\nname = "slow"\ncommand = {command}\ntimeout_s = 600.0\n')
    gates = Gates(smoke=Checks(str(smoke)))
    call = await admin(Settings(gates_s=0.2, gates=gates))
    name = await begun(call, plan={"gates": ["smoke"]})
    await appears(tmp_path / "begun")
    await say(call, name, "abort")
    await until(call, name, "aborted")
    assert ran(tmp_path) == []


async def test_a_hotfix_overtakes_though_who_began_it_died(call: Client, database: Any) -> None:
    """The wish is written down, and nobody has said so to the release in its way."""
    name = await begun(call, plan={"dwell_s": 3600})
    await until(call, name, "canary")
    await database.execute(
        "INSERT INTO turnout.releases (name, version, from_version, kind, plan, active, base,"
        " expected, waits_for, begun_by, actor, role)"
        " SELECT 'hotfix', '1.2.1', '1.2.0', 'patch', plan, active, base, base, name, 'ada', 'ada',"
        " 'operator' FROM turnout.releases WHERE name = $1",
        name,
    )
    assert (await until(call, name, "rolled-back"))["fault"] == "overtaken by hotfix"
    await until(call, "hotfix", "canary")
    for _ in range(2):
        await say(call, "hotfix", "promote")
    assert (await until(call, "hotfix", "done"))["version"] == "1.2.1"


async def test_releases_of_before_there_were_items_go_on(call: Client, database: Any) -> None:
    """As the version before has written them: a plan without a checklist, a signature without an item."""
    plan = {**BARE, "gates": [], "signers": ["qa"], "cutover_signers": ["boss"], "steps": []}
    plan.pop("checklist")
    table_ = await table(call)
    canary = json.dumps(table_["canary"]) if "salt" in table_["canary"] else None
    await database.execute(
        "INSERT INTO turnout.releases (name, version, from_version, kind, plan, active, base,"
        " expected, begun_by, actor, role)"
        " SELECT 'old', '1.3.0', '1.2.0', 'minor', $1::jsonb, 'blue', c, c, 'ada', 'ada', 'operator'"
        " FROM (SELECT $2::jsonb AS c) AS made",
        json.dumps(plan),
        canary,
    )
    await database.execute(
        "INSERT INTO turnout.release_signatures (release, signer, approved, actor)"
        " VALUES ('old', 'qa', true, 'grace')"
    )
    release = await lacks(call, "old", "boss has not signed")
    assert [(each["item"], each["outcome"]) for each in release["gates"]] == [
        *(("qa", "signed"), ("boss", "awaited")),
    ]
    await call("POST", f"{RELEASES}/old/sign", {"signer": "boss"})
    await until(call, "old", "done")


async def test_a_drill_asks_for_no_signature_and_no_drill(admin: Admin) -> None:
    call = await admin(Settings(gates=Gates(drill=Drill(days=1))))
    await call("PUT", "/v1/slots/green/version", {"version": "1.2.0"})
    status, release, _ = await call("POST", "/v1/drills", {"window_s": 0})
    assert status == 202, release
    assert {each["item"] for each in release["gates"]} == {
        *("instant-switch", "deployed", "migrated", "health", "schema", "health-4", "schema-4"),
    }
