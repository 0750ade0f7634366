"""Open files: the limit is raised, advice is given, and who doesn't fit waits instead of failing."""

import os
import resource
import secrets
import signal
from collections import Counter
from pathlib import Path

import pytest

from tests.support.clients import connect, opened
from tests.support.endpoint import Endpoints
from tests.support.fleet import Fleet, FleetOf, Routing, settings, slots, start_fleet
from tests.support.processes import Children

HARD = 300
ROOM = (HARD - 256) // 2
LIMITED = ("bash", "-c", f'ulimit -Sn 128; ulimit -Hn {HARD}; exec "$@"', "-")


@pytest.fixture
async def fleet(
    spawn: Children, tmp_path: Path, redis_url: str, routing: Routing, endpoints: Endpoints
) -> Fleet:
    """One worker that may open few files."""
    own = settings(tmp_path, redis_url, workers=1)
    started = await start_fleet(spawn, own, before=LIMITED)
    await routing.acked(await routing.change(*slots(*endpoints)), 1)
    await started.serving()
    return started


async def test_a_worker_takes_no_more_clients_than_it_has_files_for(
    fleet: Fleet, endpoints: Endpoints
) -> None:
    await fleet.child.line(
        rf"WARNING open files: a worker may need 20256 \(10000 connections x 2 \+ 256\), the hard "
        rf"limit is {HARD}: it takes {ROOM} connections. Raise the limit to 20256 "
        r"\(LimitNOFILE= in the unit, ulimit -Hn in a shell\), or lower proxy.limits.connections"
    )
    (worker,) = await fleet.pids()
    assert resource.prlimit(worker, resource.RLIMIT_NOFILE) == (HARD, HARD), "raised from 128"
    key = secrets.token_hex(4)
    clients = [await opened(fleet.port) for _ in range(2 * ROOM)]
    for client in clients:
        client.send("GET", f"/hold/{key}", connection="close")
    metrics = await fleet.metrics_until(
        lambda metrics: metrics.value("turnout_in_flight") == ROOM, "as many as fit are under way"
    )
    assert metrics.value("turnout_connections") == ROOM
    assert metrics.value("turnout_connections_limit") == ROOM
    assert metrics.value("turnout_open_files_limit") == HARD
    assert 2 * ROOM < metrics.value("turnout_open_files", pid=str(worker)) <= HARD
    await endpoints.blue.release(key)
    answers = [await client.answer() for client in clients]
    assert Counter(answer.status for answer in answers) == {200: 2 * ROOM}
    assert "can't accept" not in fleet.child.output()
    for client in clients:
        await client.close()


async def test_a_reload_looks_again(fleet: Fleet) -> None:
    await fleet.child.line("it takes 22 connections")
    text = fleet.settings.path.read_text()
    fleet.settings.path.write_text(f"{text}\n[proxy.limits]\nconnections = {ROOM}\n")
    old = await fleet.pids()
    fleet.child.send(signal.SIGHUP)
    await fleet.serving(unlike=old)
    assert fleet.child.output().count("open files:") == 1


# ── shares ────────────────────────────────────────────────────────────────────────────────────


async def test_a_burst_is_spread_over_the_workers(fleet_of: FleetOf) -> None:
    fleet = await fleet_of(workers=4)
    clients = [await opened(fleet.port) for _ in range(40)]
    shares = Counter([(await client.get()).worker for client in clients])
    print("shares of 40:", sorted(shares.values()))
    assert len(shares) == 4
    assert max(shares.values()) <= 20
    for client in clients:
        await client.close()


async def test_nobody_waits_for_a_worker_that_takes_nothing(fleet_of: FleetOf) -> None:
    fleet = await fleet_of(workers=2)
    stopped, _ = await fleet.pids()
    os.kill(stopped, signal.SIGSTOP)
    clients = [await opened(fleet.port) for _ in range(10)]
    shares = Counter([(await client.get()).worker for client in clients])
    assert sorted(shares.values()) == [10]
    async with connect(fleet.port) as client:
        assert (await client.get()).status == 200
    for client in clients:
        await client.close()
