"""Ramps through the real stores: walked, paused, turned, disturbed, refused, told."""

import asyncio
import itertools
import random
from collections.abc import Callable
from typing import Any

import asyncpg
import pytest
from redis.asyncio import Redis

from config import Shared
from proxy.routing.keys import Keys
from tests.integration.admin.conftest import Client, is_problem
from tests.integration.admin.follower import Follower

RAMP = "/v1/canary/ramp"
LONG = [3600.0]
Report = dict[str, Any]


@pytest.fixture(autouse=True)
async def worker(call: Client, follow: Callable[..., Any]) -> Follower:
    """One worker, and endpoints to go to."""
    for slot in ("blue", "green"):
        await call("PUT", f"/v1/slots/{slot}/endpoints", {"endpoints": ["127.0.0.1:1"]})
    started: Follower = await follow()
    await started.until(await call.version())
    return started


@pytest.fixture
async def database(shared: Shared) -> Any:
    connection = await asyncpg.connect(shared.database_url)
    yield connection
    await connection.close()


async def begun(call: Client, steps: list[float], dwell_s: list[float], **more: Any) -> Report:
    answer = await call("POST", RAMP, {"steps": steps, "dwell_s": dwell_s, **more})
    assert (answer[0], answer[2]["Location"]) == (202, RAMP), answer[1]
    return dict(answer[1])


async def until(call: Client, condition: Callable[[Report], bool]) -> Report:
    """The ramp, once it is so."""
    while True:
        status, ramp, _ = await call("GET", RAMP)
        assert status == 200, ramp
        if condition(ramp):
            return dict(ramp)
        await asyncio.sleep(0.02)


def at(step: int, state: str = "dwelling") -> Callable[[Report], bool]:
    return lambda ramp: (ramp["step"], ramp["state"]) == (step, state)


def done(ramp: Report) -> bool:
    return bool(ramp["state"] == "done")


async def weight(call: Client) -> float:
    return float((await call("GET", "/v1/canary"))[1]["percent"])


async def steps_made(call: Client) -> list[float]:
    """The weights that ramps have made, oldest first."""
    rows = (await call("GET", "/v1/audit?action=ramp-step"))[1]["items"]
    return [row["to"]["canary"]["percent"] for row in reversed(rows)]


async def command(call: Client, word: str) -> Report:
    status, ramp, _ = await call("POST", f"{RAMP}/{word}")
    assert status == 200, ramp
    return dict(ramp)


async def test_it_walks_to_its_end(call: Client, worker: Follower) -> None:
    is_problem(await call("GET", RAMP), 404, "not-found")
    await begun(call, [1, 5, 100], [0.2, 0.1])
    ramp = await until(call, done)
    assert (ramp["outcome"], ramp["step"], ramp["weight"]) == ("arrived", 3, 100)
    assert await steps_made(call) == [1, 5, 100]
    table = (await call("GET", "/v1/routing"))[1]
    assert (table["canary"]["percent"], table["active"]) == (100, "blue")
    assert worker.version == table["version"]
    assert ramp["ended_at"] > ramp["begun_at"]


async def test_a_step_s_time_begins_when_every_worker_serves_it(
    call: Client, follow: Callable[..., Any]
) -> None:
    deaf = await follow("deaf", deaf=True)
    await begun(call, [1, 100], [0.1])
    ramp = await until(call, lambda ramp: bool(ramp["version"]))
    assert (ramp["state"], ramp["pending"], ramp["dwelt_s"]) == ("stepping", ["deaf"], 0)
    waiting = asyncio.get_running_loop().create_task(until(call, at(2, "dwelling")))
    await asyncio.wait({waiting}, timeout=0.8)
    assert not waiting.done()
    waiting.cancel()
    deaf.listen()
    assert (await until(call, done))["outcome"] == "arrived"


async def test_paused_it_keeps_the_rest_of_its_time(call: Client) -> None:
    await begun(call, [1, 100], [3600.0])
    await until(call, lambda ramp: ramp["dwelt_s"] > 0.4)
    paused = await command(call, "pause")
    assert (paused["state"], await weight(call)) == ("paused", 1)
    is_problem(await call("POST", f"{RAMP}/pause"), 409, "ramp-state")
    resumed = await command(call, "resume")
    assert resumed["state"] == "stepping"
    ramp = await until(call, at(1))
    assert paused["dwelt_s"] <= ramp["dwelt_s"]
    assert await steps_made(call) == [1]  # nothing had to be made anew


async def test_turned_around_it_walks_back_to_where_it_began(call: Client) -> None:
    await call("PUT", "/v1/canary", {"percent": 0.5})
    await begun(call, [1, 5, 25], [0.05, 0.05, 3600.0])
    await until(call, at(3))
    assert (await command(call, "reverse"))["direction"] == "down"
    ramp = await until(call, done)
    assert (ramp["outcome"], ramp["step"]) == ("arrived", 0)
    assert await steps_made(call) == [1, 5, 25, 5, 1, 0.5]
    assert await weight(call) == 0.5


async def test_stopped_it_leaves_the_canary_as_it_is(call: Client) -> None:
    await begun(call, [7, 100], LONG)
    await until(call, at(1))
    assert (await command(call, "stop"))["outcome"] == "stop"
    assert await weight(call) == 7
    is_problem(await call("POST", f"{RAMP}/resume"), 409, "ramp-state")
    await begun(call, [8, 100], LONG)
    assert (await until(call, at(1)))["weight"] == 8


async def test_somebody_else_s_change_pauses_it_and_is_not_overridden(call: Client) -> None:
    await begun(call, [1, 50, 100], LONG)
    await until(call, at(1))
    carol = call.with_token("operator")
    await carol("PUT", "/v1/canary", {"percent": 40, "unit": "request"})
    version = await call.version()
    ramp = await until(call, at(1, "paused"))
    assert ramp["reason"] == f"a-operator set the canary to 40 % by request (version {version})"
    assert await weight(call) == 40
    # Whoever resumes it has seen that: the step's own canary is put back.
    await command(call, "resume")
    await until(call, at(1))
    canary = (await call("GET", "/v1/canary"))[1]
    assert (canary["percent"], canary["unit"]) == (1, "tenant")


async def waiting(database: Any, wanted: int) -> None:
    """Until so many wait for a lock."""
    query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    while True:
        if await database.fetchval(query) >= wanted:
            return
        await asyncio.sleep(0.01)


async def test_a_change_that_comes_in_just_before_a_step_is_not_overridden(
    start: Callable[..., Any], database: Any
) -> None:
    """Both wait for the head's row, somebody else's first."""
    patient = {"database_lock_timeout_s": 60.0, "database_statement_timeout_s": 60.0}
    one, other = await start(**patient), await start(**patient)
    await begun(one, [1, 50], [1.0])
    await until(one, at(1))
    held = database.transaction()
    await held.start()
    await database.execute("SELECT * FROM turnout.routing_head FOR UPDATE")
    change = asyncio.get_running_loop().create_task(other("PUT", "/v1/canary", {"percent": 40}))
    await waiting(database, 1)
    await waiting(database, 2)
    await held.commit()
    assert (await change)[0] == 200
    ramp = await until(one, lambda r: r["step"] == 2 and (r["version"] or r["state"] == "paused"))
    assert "tester set the canary to 40 %" in ramp["reason"]
    assert (await weight(one), await steps_made(one)) == (40, [1])


async def test_a_change_that_was_taken_back_counts_too(call: Client) -> None:
    """Between two looks: the canary is as it was, and yet it was not for a while."""
    await begun(call, [1, 50], LONG)
    await until(call, at(1))
    operations = [[{"op": "canary", "percent": percent}] for percent in (90, 1)]
    await asyncio.gather(
        *(call("POST", "/v1/routing/changes", {"operations": each}) for each in operations)
    )
    assert "set the canary to" in (await until(call, at(1, "paused")))["reason"]


async def test_a_step_that_the_database_has_lost_pauses_it(call: Client, database: Any) -> None:
    """As a failover that lost the last commits leaves it: the head, and no word of why."""
    await begun(call, [1, 50], LONG)
    await until(call, at(1))
    await database.execute(
        "UPDATE turnout.routing_head SET canary_basis_points = 0, commit_id = 'another'"
    )
    assert "no change says why" in (await until(call, at(1, "paused")))["reason"]
    await command(call, "resume")
    await until(call, at(1))
    assert await weight(call) == 1


async def test_other_changes_are_nothing_to_it(call: Client) -> None:
    await begun(call, [1, 50], LONG)
    await until(call, at(1))
    await call("PUT", "/v1/tenants/acme/pin", {"slot": "green"})
    await call("POST", "/v1/cutover", {"to": "green", "tenants": ["bravo"]})
    before = await until(call, at(1))
    ramp = await until(call, lambda ramp: ramp["dwelt_s"] > before["dwelt_s"] + 0.6)
    assert ramp["state"] == "dwelling"


@pytest.mark.parametrize("paused", [False, True])
@pytest.mark.parametrize(("path", "body"), [("/v1/cutover", {"to": "green"}), ("/v1/rollback", {})])
async def test_a_cutover_or_rollback_ends_it(
    call: Client, path: str, body: dict[str, str], paused: bool
) -> None:
    await begun(call, [1, 50], LONG)
    await until(call, at(1))
    if paused:
        await command(call, "pause")
    await call("POST", path, body)
    ramp = await until(call, done)
    assert (ramp["outcome"], await weight(call)) == ("switched", 0)
    assert "tester" in ramp["reason"]


async def test_a_step_that_can_t_be_made_pauses_it(call: Client) -> None:
    await begun(call, [1, 50], [0.5])
    await until(call, at(1))
    await call("PUT", "/v1/slots/green/endpoints", {"endpoints": [], "force": True})
    ramp = await until(call, at(2, "paused"))
    assert "no endpoint" in ramp["reason"]
    await call("PUT", "/v1/slots/green/endpoints", {"endpoints": ["127.0.0.1:1"]})
    await command(call, "resume")
    assert (await until(call, done))["outcome"] == "arrived"


async def test_what_it_refuses(call: Client) -> None:
    viewer, scoped = call.with_token("viewer"), call.with_token("operator", ["acme"])
    good = {"steps": [1, 50], "dwell_s": [60]}
    is_problem(await viewer("POST", RAMP, good), 403, "forbidden-role")
    is_problem(await scoped("POST", RAMP, good), 403, "forbidden-scope")
    for steps in ([], [0, 1], [5, 5], [5, 1], [101], ["x"], 5):
        is_problem(await call("POST", RAMP, {**good, "steps": steps}), 400, "invalid-change")
    for dwell in ([], [1, 2, 3], [-1], ["x"]):
        is_problem(await call("POST", RAMP, {**good, "dwell_s": dwell}), 400, "invalid-change")
    is_problem(await call("POST", RAMP, {**good, "by": "luck"}), 400, "invalid-change")
    is_problem(await call("POST", RAMP, {**good, "expected_version": 0}), 409, "version-conflict")
    await call("PUT", "/v1/canary", {"percent": 20})
    is_problem(await call("POST", RAMP, good), 409, "canary-above")
    await call("PUT", "/v1/canary", {"percent": 0})
    await call("PUT", "/v1/slots/green/endpoints", {"endpoints": []})
    is_problem(await call("POST", RAMP, good), 409, "slot-empty")
    await call("PUT", "/v1/slots/green/endpoints", {"endpoints": ["127.0.0.1:1"]})
    await begun(call, [1, 50], LONG)
    is_problem(await call("POST", RAMP, good), 409, "ramp-running")
    is_problem(await scoped("POST", f"{RAMP}/stop"), 403, "forbidden-scope")


async def test_the_audit_and_the_feed_tell_of_it(call: Client) -> None:
    headers = {"Authorization": f"Bearer {call.token}"}
    url = f"http://{call.address}/v1/events?types=ramp"
    async with call.session.get(url, headers=headers) as feed:
        await begun(call, [3, 50], LONG)
        await until(call, at(1))
        carol = call.with_token("operator")
        assert (await carol("POST", f"{RAMP}/reverse"))[0] == 200
        await until(call, done)
        told: list[str] = []
        while "arrived" not in told:
            line = (await feed.content.readline()).decode()
            told += [word.split('"')[3] for word in [line] if line.startswith("data:")]
    assert told == ["begun", "served", "reverse", "served", "arrived"]
    rows = (await call("GET", "/v1/audit"))[1]["items"]
    done_by = [(row["action"], row["actor"]) for row in reversed(rows) if "ramp" in row["action"]]
    assert done_by == [
        ("ramp-begin", "tester"),
        ("ramp-step", "tester"),
        ("ramp-reverse", "a-operator"),
        ("ramp-step", "a-operator"),
    ]


@pytest.mark.parametrize("jump", ["1 hour", "-1 hour"])
async def test_a_clock_that_jumps_skips_no_step(call: Client, database: Any, jump: str) -> None:
    """Moving the last look is the same as moving the database's clock the other way."""
    await begun(call, [1, 50], LONG)
    await until(call, lambda ramp: ramp["dwelt_s"] > 0.3)
    before = await database.fetchval("SELECT dwelt_s FROM turnout.ramps")
    await database.execute(f"UPDATE turnout.ramps SET looked_at = looked_at - interval '{jump}'")
    ramp = await until(call, lambda r: r["dwelt_s"] > before + 1.0 or r["state"] != "dwelling")
    assert ramp["state"] == "dwelling"
    assert ramp["dwelt_s"] < 60


async def test_by_traffic_a_step_draws_no_more_than_its_share(call: Client, shared: Shared) -> None:
    is_problem(await call("PUT", "/v1/canary", {"percent": 5, "by": "traffic"}), 409, "no-traffic")
    figures = {f"t-{number}": 1 + number % 7 for number in range(300)}
    await told(shared, figures)
    await begun(call, [5, 25, 100], [0.05], by="traffic")
    assert (await until(call, done))["outcome"] == "arrived"
    made = await steps_made(call)
    assert made == sorted(made)
    assert made[-1] == 100
    status, found, _ = await call("GET", "/v1/traffic?limit=1000")
    assert (status, found["requests"], found["tenants"]) == (200, sum(figures.values()), 300)
    for asked, weighed in zip((5, 25), made[:2], strict=True):
        body = {"canary": {"percent": weighed}, "limit": 1}
        await call("PUT", "/v1/canary", {"percent": 0})
        tried = (await call("POST", "/v1/routing/whatif", body))[1]
        assert asked - 1 < tried["moving_percent"] <= asked


async def told(shared: Shared, figures: dict[str, int]) -> None:
    """As the nodes tell Redis."""
    async with Redis.from_url(shared.redis_url) as redis:
        seconds, _ = await redis.time()
        mapping: Any = figures
        await redis.hset(Keys(shared.redis_prefix).traffic(seconds // 60), mapping=mapping)


async def test_without_traffic_a_ramp_by_it_waits(call: Client, shared: Shared) -> None:
    await begun(call, [50, 100], [0.05], by="traffic")
    assert "no figures" in (await until(call, at(1, "paused")))["reason"]
    await told(shared, {"acme": 1})
    await command(call, "resume")
    assert (await until(call, done))["outcome"] == "arrived"


async def test_any_admin_may_speak_to_it(call: Client, start: Callable[..., Any]) -> None:
    other = await start()
    await begun(call, [1, 50], LONG)
    await until(other, at(1))
    await command(other, "pause")
    assert (await call("GET", RAMP))[1]["state"] == "paused"
    await command(other, "resume")
    await until(call, at(1))


@pytest.mark.timeout(240)
async def test_whatever_operators_say_it_walks_from_step_to_step(
    call: Client, start: Callable[..., Any], seeded_random: random.Random
) -> None:
    """Two of them, through two admins, in any order, while its steps are being made."""
    shares = [1.0, 5.0, 25.0, 100.0]
    other = await start()
    await begun(call, shares, [0.02, 0.02, 0.02, 3600.0])
    words = ["pause", "resume", "reverse"]

    async def speak(admin: Client) -> None:
        for _ in range(40):
            answer = await admin("POST", f"{RAMP}/{seeded_random.choice(words)}")
            assert answer[0] in {200, 409}, answer[1]

    await asyncio.gather(speak(call), speak(other))
    ramp = (await call("GET", RAMP))[1]
    if ramp["state"] == "paused":
        assert "canary" not in ramp["reason"], ramp
        await command(call, "resume")
    if ramp["state"] != "done":
        ramp = await until(call, lambda ramp: done(ramp) or at(4)(ramp))
    made = [0.0, *await steps_made(call)]
    walk = [0.0, *shares]
    # One that was being made when it was turned may be left out, but none is made out of its turn.
    assert all(share in walk for share in made)
    assert all(one != following for one, following in itertools.pairwise(made))
    rows = (await call("GET", "/v1/audit?action=ramp-step"))[1]["items"]
    assert len({row["version"] for row in rows}) == len(made) - 1
    assert await weight(call) == made[-1] == ramp["weight"]
