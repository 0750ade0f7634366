"""A worker that hangs is found by its heart, shown, killed and replaced."""

import asyncio
import os
import secrets
import signal
import time

from tests.support.clients import Load, connect
from tests.support.endpoint import Endpoints
from tests.support.fleet import Fleet, FleetOf
from tests.support.processes import wait_gone

WORKERS = 2
STALL_S = 2.0
PAUSE_S = 4.0


async def test_a_worker_that_stands_still_is_killed_and_replaced(fleet_of: FleetOf) -> None:
    fleet = await fleet_of(workers=WORKERS, supervision={"stall_s": STALL_S})
    victim, other = await fleet.pids()
    stopped = time.monotonic()
    os.kill(victim, signal.SIGSTOP)
    await fleet.child.line(
        rf"serving process {victim} stands still, for 1 s now; it is killed at 2 s"
    )
    await fleet.child.line(rf"serving process {victim} has stood still for 2 s: killing it")
    await fleet.child.line(rf"serving process {victim} died \(signal SIGKILL\): replacing it")
    assert time.monotonic() - stopped > STALL_S - 0.25
    assert wait_gone(victim)
    assert other in await fleet.serving(unlike={victim})
    metrics = await fleet.metrics()
    assert metrics.value("turnout_worker_deaths_total") == 1
    assert metrics.value("turnout_worker_stalls_total") == 1


async def test_the_log_shows_what_a_loop_hangs_in(fleet_of: FleetOf, endpoints: Endpoints) -> None:
    fleet = await fleet_of(workers=WORKERS, supervision={"stall_s": 600.0})
    pids = await fleet.pids()
    key = secrets.token_hex(4)
    async with connect(fleet.port) as client:
        client.send("GET", f"/hold/{key}")
        await endpoints.blue.arrived(key)
        # One of them: two stacks at once would mix their lines.
        os.kill(next(iter(pids)), signal.SIGUSR1)
        await fleet.child.line(r'File ".*asyncio/runners.py", line \d+ in run')
        await endpoints.blue.release(key)
        assert (await client.answer()).status == 200
    assert await fleet.serving() == pids, "it is only looked at"


async def test_a_machine_that_was_paused_has_nobody_killed(fleet_of: FleetOf) -> None:
    fleet = await fleet_of(workers=WORKERS, supervision={"stall_s": PAUSE_S - 1.0})
    pids = await fleet.pids()
    everyone = [fleet.child.pid, *fleet.processes()]
    for pid in everyone:
        os.kill(pid, signal.SIGSTOP)
    await asyncio.sleep(PAUSE_S)  # the pause itself is what is tested
    for pid in everyone:
        os.kill(pid, signal.SIGCONT)
    async with Load(fleet.port) as load:
        await load.everyone()
    assert not load.failures
    assert await fleet.serving() == pids
    assert "killing it" not in fleet.child.output()


async def test_a_worker_that_dies_during_a_reload_is_replaced_meanwhile(fleet_of: FleetOf) -> None:
    fleet = await fleet_of(
        workers=WORKERS, supervision={"start_s": 600.0}, follow={"start_without_table_s": 0.1}
    )
    old = await fleet.pids()
    reload_that_hangs(fleet)
    fleet.child.send(signal.SIGHUP)
    await fleet.until(lambda w: len(w) == 2 * WORKERS, "the new workers wait for their first table")
    victim = old.pop()
    os.kill(victim, signal.SIGKILL)
    await fleet.until(
        lambda w: sum(x["state"] == "serving" and x["pid"] != victim for x in w) == WORKERS,
        "it was replaced, though the reload is under way",
    )
    assert "reloaded" not in fleet.child.output()
    fleet.child.send(signal.SIGTERM)
    assert await fleet.child.ended() == 0


def reload_that_hangs(fleet: Fleet) -> None:
    """Settings with which no worker finds a table, and none serves while the old ones do."""
    text = fleet.settings.path.read_text()
    fleet.settings.path.write_text('redis_prefix = "elsewhere"\n' + text)
