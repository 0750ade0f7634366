"""The supervisor: a worker that dies is replaced; nothing is left when the supervisor dies."""

import os
import re
import secrets
import signal
from datetime import datetime
from pathlib import Path

import pytest

from proxy.supervision.children import MAX_BACKOFF_S, back_off
from tests.support.clients import Load, connect
from tests.support.endpoint import Endpoints
from tests.support.fleet import FleetOf, Metrics, Routing, launch, settings, start_fleet
from tests.support.processes import Children, wait_gone

WORKERS = 4
GAUGES = ("turnout_in_flight", "turnout_connections")


async def test_a_killed_worker_costs_its_own_connections_only(
    fleet_of: FleetOf, routing: Routing
) -> None:
    fleet = await fleet_of(workers=WORKERS)
    pids = await fleet.pids()
    connections = await fleet.connections(each=3)
    async with Load(fleet.port, connections=connections) as load:
        workers = dict(load.workers)
        before = await fleet.metrics()
        victim = pids.pop()
        os.kill(victim, signal.SIGKILL)
        await fleet.serving(unlike={victim})
        await load.everyone()
        after = await fleet.metrics()
    failed = [failure.client for failure in load.failures]
    assert len(failed) == len(set(failed)), "nobody failed twice"
    assert len({workers[client] for client in failed}) == 1, "one worker's clients failed"
    assert len(failed) == 3, "each of its kept connections broke once"
    assert pids < await fleet.pids(), "the others serve on"
    assert_totals_grew(before, after)
    await routing.acked(routing.table.version, WORKERS)
    await fleet.metrics_until(
        lambda metrics: all(metrics.value(gauge) == 0 for gauge in GAUGES), "the gauges are at zero"
    )


def assert_totals_grew(before: Metrics, after: Metrics) -> None:
    totals = {
        sample: value
        for sample, value in before.samples.items()
        if sample[0].endswith(("_total", "_bucket", "_count", "_sum"))
    }
    assert totals
    lower = {
        sample: (value, after.samples[sample])
        for sample, value in totals.items()
        if after.samples[sample] < value
    }
    assert not lower


async def test_gauges_of_a_killed_worker_return_to_zero(
    fleet_of: FleetOf, endpoints: Endpoints
) -> None:
    fleet = await fleet_of(workers=1)
    key = secrets.token_hex(4)
    (victim,) = await fleet.pids()
    async with connect(fleet.port) as client:
        client.send("GET", f"/hold/{key}")
        await endpoints.blue.arrived(key)
        before = await fleet.metrics()
        assert before.value("turnout_in_flight", slot="blue") == 1
        assert before.value("turnout_endpoint_connections", slot="blue") == 1
        os.kill(victim, signal.SIGKILL)
        assert await client.ended()
    await fleet.serving(unlike={victim})
    after = await fleet.metrics()
    for gauge in (*GAUGES, "turnout_endpoint_connections"):
        assert after.value(gauge) == 0


async def test_a_killed_management_process_is_replaced(fleet_of: FleetOf) -> None:
    fleet = await fleet_of()
    workers = await fleet.pids()
    (management,) = fleet.processes() - workers
    os.kill(management, signal.SIGKILL)
    await fleet.child.until(
        lambda: len(fleet.processes() - workers - {management}) == 1, "it was replaced"
    )
    assert await fleet.pids() == workers


async def test_nothing_is_left_of_a_killed_supervisor(
    fleet_of: FleetOf, routing: Routing, endpoints: Endpoints
) -> None:
    fleet = await fleet_of()
    key = secrets.token_hex(4)
    processes = fleet.processes()
    assert len(processes) == fleet.workers_wanted + 1
    async with connect(fleet.port) as client:
        client.send("GET", f"/hold/{key}")
        await endpoints.blue.arrived(key)
        fleet.child.send(signal.SIGKILL)
        await routing.until(
            lambda fleet: [lease.status.state for lease in fleet] == ["draining"],
            "the worker with a request drains, the other has ended",
        )
        await endpoints.blue.release(key)
        answer = await client.answer()
        assert (answer.status, answer.last) == (200, True)
    assert all(wait_gone(pid) for pid in processes)
    with pytest.raises(ConnectionRefusedError):
        await fleet.get()
    with pytest.raises(ConnectionRefusedError):
        await fleet.readiness()


# ── crash loops ───────────────────────────────────────────────────────────────────────────────


async def test_a_crash_loop_backs_off_and_ends_when_its_cause_does(
    fleet_of: FleetOf, tmp_path: Path
) -> None:
    key_file = tmp_path / "key"
    key_file.write_text("a secret of tests, long enough for HS256")
    fleet = await fleet_of(
        identity={
            "jwt": {
                "algorithms": ["HS256"],
                "key_file": str(key_file),
                "issuer": "tests",
                "audiences": ["tests"],
            }
        }
    )
    pids = await fleet.pids()
    away = key_file.rename(tmp_path / "away")
    victim = pids.pop()
    os.kill(victim, signal.SIGKILL)
    await fleet.child.until(lambda: len(_deaths(fleet.child.output())) >= 4, "died four times")
    assert (await fleet.get()).status == 200, "the other worker serves"
    killed, *crashed = _deaths(fleet.child.output())
    pauses = [
        (after - before).total_seconds()
        for before, after in zip([killed, *crashed], crashed, strict=False)
    ]
    # The first is replaced at once; then the pauses double from 0.4 s.
    assert pauses[1] >= 0.4
    assert pauses[2] >= 0.8
    assert "a secret of tests" not in fleet.child.output()
    away.rename(key_file)
    assert pids < await fleet.serving(unlike={victim})


def _deaths(output: str) -> list[datetime]:
    """When serving processes died, by the log."""
    found = re.findall(r"^(\S+ \S+) .* serving process \d+ died", output, re.MULTILINE)
    return [datetime.strptime(at, "%Y-%m-%d %H:%M:%S,%f") for at in found]  # noqa: DTZ007 - only subtracted


def test_the_back_off_is_bounded() -> None:
    assert [back_off(failures) for failures in (0, 1, 2, 3)] == [0.0, 0.0, 0.4, 0.8]
    assert back_off(100_000) == MAX_BACKOFF_S


# ── settings ──────────────────────────────────────────────────────────────────────────────────


async def test_a_port_that_is_taken(
    fleet_of: FleetOf, spawn: Children, tmp_path: Path, redis_url: str
) -> None:
    fleet = await fleet_of(workers=1)
    ports = {"listen": fleet.port, "management_listen": fleet.management}
    for name, port in ports.items():
        address = f"127.0.0.1:{port}"
        second = settings(tmp_path, redis_url, **{name: address})
        second.write()
        child = launch(spawn, second.path)
        assert await child.ended() == 2
        said = f"turnout proxy: can't listen on {address}: Address already in use\n"
        assert child.output() == said
    assert (await fleet.get()).status == 200


async def test_a_fleet_whose_every_worker_crashes_says_so_and_can_be_ended(
    spawn: Children, tmp_path: Path, redis_url: str
) -> None:
    jwt = {"algorithms": ["HS256"], "key_file": "/missing", "issuer": "i", "audiences": ["a"]}
    fleet = await start_fleet(spawn, settings(tmp_path, redis_url, identity={"jwt": jwt}))
    await fleet.child.line(r"died \(exit code 1\): replacing it")
    assert (await fleet.readiness()).status == 503
    fleet.child.send(signal.SIGTERM)
    assert await fleet.child.ended() == 0
