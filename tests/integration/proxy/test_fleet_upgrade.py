"""SIGUSR2: a new supervisor with new code, on the same sockets, without a lost connection."""

import asyncio
import os
import secrets
import shutil
import signal
import socket
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from admin.embedded import EmbeddedRedis
from proxy.supervision.upgrade import MAX_DRAINING
from tests.support.clients import Load, connect, opened
from tests.support.endpoint import Endpoints
from tests.support.fleet import (
    ROOT,
    Fleet,
    FleetOf,
    Routing,
    routing_at,
    settings,
    slots,
    start_fleet,
)
from tests.support.processes import SECONDS, Child, Children, wait_gone

WORKERS = 2
LIMIT_S = 60.0  # a busy machine takes a while to come up
HANG_S = 1.0


async def upgraded(fleet: Fleet) -> int:
    """Ask for an upgrade and wait until the new supervisor serves; its process."""
    fleet.child.send(signal.SIGUSR2)
    return int((await fleet.child.line(r"upgraded: process (\d+) serves"))[1])


async def managed_by_new(fleet: Fleet, old: set[int]) -> set[int]:
    """Wait until the new supervisor's management answers; its workers."""

    async def renewed() -> bool:
        try:
            found = await fleet.pids()
        except (OSError, EOFError):
            return False  # the old management process has just ended
        return len(found) == WORKERS and not found & old

    await fleet.child.until(renewed, "the new workers serve")
    return await fleet.pids()


def end(pid: int) -> None:
    """End a supervisor that is no child of ours, and wait for it."""
    os.kill(pid, signal.SIGTERM)
    assert wait_gone(pid)


async def test_an_upgrade_under_load_loses_nothing(
    fleet_of: FleetOf, routing: Routing, endpoints: Endpoints, tmp_path: Path
) -> None:
    pid_file = tmp_path / "turnout.pid"
    fleet = await fleet_of(workers=WORKERS, supervision={"pid_file": str(pid_file)})
    assert pid_file.read_text() == f"{fleet.child.pid}\n"
    old = await fleet.pids()
    key = secrets.token_hex(4)
    connections = await fleet.connections(each=3)
    async with connect(fleet.port) as slow, Load(fleet.port, connections=connections) as load:
        slow.send("GET", f"/hold/{key}")
        await endpoints.blue.arrived(key)
        new = await upgraded(fleet)
        workers = await managed_by_new(fleet, old)
        await load.everyone()
        await load.everyone()
        assert fleet.child.exit_code is None, "it waits for the slow request"
        await endpoints.blue.release(key)
        answer = await slow.answer()
        assert (answer.status, answer.last) == (200, True)
        assert await fleet.child.ended() == 0
        await load.everyone()
    assert not load.failures
    assert all(wait_gone(pid) for pid in old)
    assert await fleet.pids() == workers
    assert pid_file.read_text() == f"{new}\n"
    await routing.acked(routing.table.version, WORKERS)
    end(new)
    assert all(wait_gone(pid) for pid in workers)
    assert not pid_file.exists()


async def test_upgrades_can_follow_each_other(fleet_of: FleetOf) -> None:
    fleet = await fleet_of(workers=WORKERS)
    old = await fleet.pids()
    async with Load(fleet.port) as load:
        first = await upgraded(fleet)
        workers = await managed_by_new(fleet, old)
        assert await fleet.child.ended() == 0
        os.kill(first, signal.SIGUSR2)
        await until_said(fleet, "upgraded: process", 2)
        second = int(fleet.child.output().rpartition("upgraded: process ")[2].split()[0])
        assert await asyncio.to_thread(wait_gone, first)
        await load.everyone()
    assert not load.failures
    assert second != first
    assert all(wait_gone(pid) for pid in workers)
    end(second)


async def until_said(fleet: Fleet, words: str, times: int) -> None:
    """Wait until the log has this so often, whoever writes it."""
    deadline = time.monotonic() + SECONDS
    while fleet.child.output().count(words) < times:
        assert time.monotonic() < deadline, fleet.child.report()
        await asyncio.sleep(0.01)


async def test_programs_that_drain_are_bounded_and_all_end_with_the_last(
    fleet_of: FleetOf, endpoints: Endpoints
) -> None:
    fleet = await fleet_of(workers=WORKERS, timeouts={"drain_s": 0.5})
    programs, clients = [fleet.child.pid], []
    for generation in range(MAX_DRAINING + 1):
        key = secrets.token_hex(4)
        client = await opened(fleet.port)
        clients.append(client)
        client.send("GET", f"/hold/{key}")
        await endpoints.blue.arrived(key)
        old = await fleet.pids()
        os.kill(programs[-1], signal.SIGUSR2)
        if generation < MAX_DRAINING:
            await until_said(fleet, "upgraded: process", generation + 1)
            programs.append(
                int(fleet.child.output().rpartition("upgraded: process ")[2].split()[0])
            )
            await managed_by_new(fleet, old)
    await fleet.child.line("not upgraded: 3 earlier programs still drain")
    assert (await fleet.get()).status == 200
    os.kill(programs[-1], signal.SIGTERM)
    for client in clients:
        assert await client.ended(), "cut at the shorter limit"
        await client.close()
    assert all([await asyncio.to_thread(wait_gone, pid) for pid in programs])


async def test_a_sigterm_during_an_upgrade_ends_everything(fleet_of: FleetOf) -> None:
    fleet = await fleet_of(workers=WORKERS)
    fleet.child.send(signal.SIGUSR2)
    started = int((await fleet.child.line(r"upgrading: process (\d+) starts"))[1])
    fleet.child.send(signal.SIGTERM)
    assert await fleet.child.ended() == 0
    assert wait_gone(started)
    with pytest.raises(ConnectionRefusedError):
        await fleet.get()


async def test_the_end_of_the_new_one_ends_what_still_drains(
    fleet_of: FleetOf, endpoints: Endpoints
) -> None:
    fleet = await fleet_of(workers=WORKERS, timeouts={"drain_s": 0.5})
    old = await fleet.pids()
    key = secrets.token_hex(4)
    async with connect(fleet.port) as slow:
        slow.send("GET", f"/hold/{key}")
        await endpoints.blue.arrived(key)
        new = await upgraded(fleet)
        await managed_by_new(fleet, old)
        end(new)
        assert await slow.ended(), "cut at the drain limit"
        assert await fleet.child.ended() == 0
    assert all(wait_gone(pid) for pid in old)


# ── what does not come up ─────────────────────────────────────────────────────────────────────


@pytest.fixture
async def copied(
    request: pytest.FixtureRequest,
    spawn: Children,
    tmp_path: Path,
    redis_url: str,
    routing: Routing,
    endpoints: Endpoints,
) -> Fleet:
    """A fleet that runs a copy of the program, at `tmp_path / "program"`, for a test to break.

    The parameter is how long an upgrade may take.
    """
    for package in ("proxy", "config"):
        shutil.copytree(ROOT / package, tmp_path / "program" / package)
    own = settings(tmp_path, redis_url, workers=WORKERS, supervision={"upgrade_s": request.param})
    own.write()
    child = spawn(
        *(sys.executable, "-P", "-m", "proxy", "--config", own.path),
        env={"PYTHONPATH": str(tmp_path / "program")},
        cwd=tmp_path,
        name="proxy",
    )
    port = int((await child.line(r"listening on \S+:(\d+)$"))[1])
    management = int((await child.line(r"management on \S+:(\d+)$"))[1])
    fleet = Fleet(child, own, (port, management))
    await routing.acked(await routing.change(*slots(*endpoints)), WORKERS)
    await fleet.serving()
    return fleet


BROKEN = (
    ("proxy/__main__.py", "this is not Python", 1),
    ("proxy/worker.py", "raise RuntimeError", 1),
    ("config/load.py", "import os; os._exit(7)", 7),
)
"""What is put at the start of which file, and how the new program ends."""


@pytest.mark.parametrize("copied", [LIMIT_S], indirect=True)
@pytest.mark.parametrize(("path", "line", "code"), BROKEN)
async def test_a_program_that_does_not_come_up_changes_nothing(
    copied: Fleet, tmp_path: Path, path: str, line: str, code: int
) -> None:
    old = await copied.pids()
    file = tmp_path / "program" / path
    whole = file.read_text()
    file.write_text(f"{line}\n{whole}")
    async with Load(copied.port) as load:
        copied.child.send(signal.SIGUSR2)
        await copied.child.line(rf"not upgraded: process \d+ ended \(exit code {code}\)")
        await load.everyone()
        assert await copied.serving() == old
        file.write_text(whole)
        new = await upgraded(copied)
        await load.everyone()
    assert not load.failures
    assert await copied.child.ended() == 0
    end(new)


@pytest.mark.parametrize("copied", [HANG_S], indirect=True)
async def test_a_program_that_hangs_is_ended_and_changes_nothing(
    copied: Fleet, tmp_path: Path
) -> None:
    old = await copied.pids()
    file = tmp_path / "program" / "proxy" / "supervision" / "supervisor.py"
    file.write_text(f"import time; time.sleep(600)\n{file.read_text()}")
    async with Load(copied.port) as load:
        copied.child.send(signal.SIGUSR2)
        said = await copied.child.line(r"not upgraded: process (\d+) took over 1 s")
        assert await asyncio.to_thread(wait_gone, int(said[1]))
        await load.everyone()
    assert not load.failures
    assert await copied.serving() == old


async def test_bad_settings_change_nothing(fleet_of: FleetOf) -> None:
    fleet = await fleet_of(workers=WORKERS)
    old = await fleet.pids()
    fleet.settings.path.write_text("[proxy]\nwork = 1\n")
    fleet.child.send(signal.SIGUSR2)
    await fleet.child.line(r"turnout proxy: \S+:2: \[proxy\] work: unknown setting")
    await fleet.child.line(r"not upgraded: process \d+ ended \(exit code 2\)")
    assert await fleet.serving() == old


async def test_workers_without_a_table_do_not_replace_those_that_have_one(
    spawn: Children, tmp_path: Path, fresh_redis: EmbeddedRedis, endpoints: Endpoints
) -> None:
    own = settings(
        tmp_path,
        fresh_redis.url,
        workers=WORKERS,
        follow={"start_without_table_s": 0.1},
        supervision={"upgrade_s": 2.0},
    )
    fleet = await start_fleet(spawn, own)
    async with routing_at(fresh_redis.url) as routing:
        await routing.acked(await routing.change(*slots(*endpoints)), WORKERS)
    old = await fleet.serving()
    await asyncio.to_thread(fresh_redis.stop)
    async with Load(fleet.port) as load:
        fleet.child.send(signal.SIGUSR2)
        await fleet.child.line("not upgraded: .* took over 2 s")
        await load.everyone()
    assert not load.failures
    assert await fleet.serving() == old


# ── what is handed over ───────────────────────────────────────────────────────────────────────


async def test_an_upgrade_takes_new_addresses(fleet_of: FleetOf, tmp_path: Path) -> None:
    fleet = await fleet_of(workers=WORKERS)
    old = await fleet.pids()
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    text = fleet.settings.path.read_text()
    before = '"management_listen" = "127.0.0.1:0"'
    assert before in text
    fleet.settings.path.write_text(text.replace(before, f'"management_listen" = "{address}"'))
    new = await upgraded(fleet)
    before, after = _lines(fleet.child, "management on")
    assert before.endswith(f" 127.0.0.1:{fleet.management}")
    assert after.endswith(f" {address}")
    fleet.management = int(after.rpartition(":")[2])
    assert await fleet.child.ended() == 0
    assert len(await fleet.serving(unlike=old)) == WORKERS
    end(new)


def _lines(child: Child, words: str) -> list[str]:
    return [line for line in child.output().splitlines() if words in line]


async def test_nothing_of_the_old_process_is_left_in_the_new_one(fleet_of: FleetOf) -> None:
    fleet = await fleet_of(workers=WORKERS)
    before = files_of(fleet.child.pid), [files_of(pid) for pid in await fleet.pids()]
    old = await fleet.pids()
    new = await upgraded(fleet)
    assert await fleet.child.ended() == 0
    workers = await fleet.serving(unlike=old)
    assert (files_of(new), [files_of(pid) for pid in workers]) == before
    end(new)


def files_of(pid: int) -> dict[str, int]:
    """How many files of each kind a process has open."""
    links = (str(each.readlink()) for each in Path(f"/proc/{pid}/fd").iterdir())
    return dict(Counter(link.partition(":[")[0] for link in links))
