"""Under systemd: sockets that it hands over, what it is told, and the watchdog."""

import os
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.clients import Load, connect
from tests.support.endpoint import Endpoints
from tests.support.fleet import Fleet, Routing, launch, settings, slots, start_fleet
from tests.support.processes import Children, wait_gone
from tests.support.systemd import Ear, activated

WORKERS = 2
SERVING = ("READY=1", f"STATUS=serving with {WORKERS} workers")


@pytest.fixture
def ear(tmp_path: Path) -> Iterator[Ear]:
    ear = Ear(tmp_path / "notify")
    yield ear
    ear.close()


@pytest.fixture
async def fleet(
    spawn: Children,
    tmp_path: Path,
    redis_url: str,
    routing: Routing,
    endpoints: Endpoints,
    ear: Ear,
) -> Fleet:
    """A fleet that notifies, watched, all of whose workers serve."""
    own = settings(tmp_path, redis_url, workers=WORKERS)
    started = await start_fleet(spawn, own, env=ear.environ(watchdog_s=4.0))
    await routing.acked(await routing.change(*slots(*endpoints)), WORKERS)
    await started.serving()
    return started


# ── what it is told ───────────────────────────────────────────────────────────────────────────


async def test_each_step_is_told_in_order(fleet: Fleet, ear: Ear) -> None:
    await ear.said(fleet.child, *SERVING)
    fleet.child.send(signal.SIGHUP)
    said = [*SERVING, "RELOADING=1", "STATUS=reloading", *SERVING]
    await ear.said(fleet.child, *said)
    (reloading,) = (message for message in ear.messages if "RELOADING=1" in message)
    assert reloading[1].startswith("MONOTONIC_USEC=")
    assert int(reloading[1].partition("=")[2]) > 0
    fleet.settings.path.write_text("[proxy]\nworkers = -1\n")
    fleet.child.send(signal.SIGHUP)
    await fleet.child.line("settings are not reloaded")
    fleet.child.send(signal.SIGTERM)
    assert await fleet.child.ended() == 0
    assert ear.listen() == [*said, "STOPPING=1", "STATUS=draining"]


async def test_ready_waits_for_a_worker_that_serves(
    spawn: Children, tmp_path: Path, redis_url: str, routing: Routing, ear: Ear
) -> None:
    fleet = await start_fleet(
        spawn, settings(tmp_path, redis_url, workers=WORKERS), env=ear.environ()
    )
    await fleet.until(
        lambda workers: [each["state"] for each in workers] == ["starting"] * WORKERS,
        "both wait for a table",
    )
    assert ear.listen() == []
    await routing.change()
    await ear.said(fleet.child, *SERVING)


async def test_an_upgrade_names_the_new_main_process(fleet: Fleet, ear: Ear) -> None:
    old = await fleet.pids()
    fleet.child.send(signal.SIGUSR2)
    new = int((await fleet.child.line(r"upgraded: process (\d+) serves"))[1])
    assert await fleet.child.ended() == 0
    assert len(await fleet.serving(unlike=old)) == WORKERS
    said = [*SERVING, "STATUS=upgrading", f"MAINPID={new}", *SERVING]
    assert ear.listen() == said, "nothing of the old one after the new one's name"
    before = ear.beats()
    async with Load(fleet.port) as load:
        await load.until(lambda: ear.beats() > before + 1)
    os.kill(new, signal.SIGTERM)
    assert wait_gone(new)
    assert ear.listen() == [*said, "STOPPING=1", "STATUS=draining"]


async def test_an_ear_that_is_gone_changes_nothing(fleet: Fleet, ear: Ear) -> None:
    ear.close()
    ear.path.unlink()
    old = await fleet.pids()
    fleet.child.send(signal.SIGHUP)
    await fleet.serving(unlike=old)
    assert fleet.child.output().count("can't notify systemd") == 1


# ── the watchdog ──────────────────────────────────────────────────────────────────────────────


async def test_the_watchdog_is_told_until_no_loop_turns(fleet: Fleet, ear: Ear) -> None:
    one, other = await fleet.pids()
    before = ear.beats()
    await fleet.child.until(lambda: ear.beats() >= before + 2, "it beats")
    os.kill(one, signal.SIGSTOP)
    before = ear.beats()
    await fleet.child.until(lambda: ear.beats() >= before + 5, "it beats on for the other")
    os.kill(other, signal.SIGSTOP)
    try:
        await fleet.child.until(Quiet(ear), "it beats no more")
        os.kill(other, signal.SIGCONT)
        before = ear.beats()
        await fleet.child.until(lambda: ear.beats() > before, "it beats again")
    finally:
        os.kill(one, signal.SIGCONT)
        os.kill(other, signal.SIGCONT)


class Quiet:
    """Met when 200 looks in a row, 10 ms apart, heard no beat."""

    def __init__(self, ear: Ear) -> None:
        self._ear, self._beats, self._looks = ear, -1, 0

    def __call__(self) -> bool:
        before, self._beats = self._beats, self._ear.beats()
        self._looks = self._looks + 1 if before == self._beats else 0
        return self._looks >= 200


async def test_who_watches_another_process_is_not_told(
    spawn: Children, tmp_path: Path, redis_url: str, routing: Routing, ear: Ear
) -> None:
    environ = {**ear.environ(watchdog_s=1.0), "WATCHDOG_PID": "1"}
    fleet = await start_fleet(spawn, settings(tmp_path, redis_url, workers=WORKERS), env=environ)
    await routing.change()
    await ear.said(fleet.child, *SERVING)
    await fleet.serving()
    fleet.child.send(signal.SIGTERM)
    assert await fleet.child.ended() == 0
    assert ear.beats() == 0


# ── sockets ───────────────────────────────────────────────────────────────────────────────────


async def test_sockets_are_taken_by_name(
    spawn: Children, tmp_path: Path, redis_url: str, routing: Routing, endpoints: Endpoints
) -> None:
    own = settings(
        tmp_path, redis_url, workers=WORKERS, listen="127.0.0.1:1", management_listen="127.0.0.1:2"
    )
    own.write()
    sockets = {"management": "127.0.0.1:0", "stray": "127.0.0.1:0", "http": "127.0.0.1:0"}
    child = launch(spawn, own.path, before=activated(sockets))
    ports = {name: int((await child.line(rf"played: {name} (\d+)"))[1]) for name in sockets}
    async with connect(ports["http"]) as early:
        # It waits in the queue until there is a worker to take it.
        early.send("GET", "/")
        await child.line(f"listening on 127.0.0.1:{ports['http']}$")
        await child.line(f"management on 127.0.0.1:{ports['management']}$")
        await child.line(f"nothing is set to use: stray at 127.0.0.1:{ports['stray']}$")
        await routing.acked(await routing.change(*slots(*endpoints)), WORKERS)
        answer = await early.answer()
        assert answer.status == 200
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", ports["stray"])).close()
    fleet = Fleet(child, own, (ports["http"], ports["management"]))
    old = await fleet.serving()
    fleet.child.send(signal.SIGUSR2)
    new = int((await child.line(r"upgraded: process (\d+) serves"))[1])
    assert await child.ended() == 0
    assert len(await fleet.serving(unlike=old)) == WORKERS, "the upgrade has them too"
    os.kill(new, signal.SIGTERM)
    assert wait_gone(new)


async def test_a_socket_without_a_name_of_ours_is_taken_by_its_address(
    spawn: Children, tmp_path: Path, redis_url: str, ear: Ear
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    own = settings(tmp_path, redis_url, listen=address)
    fleet = await start_fleet(spawn, own, before=activated({"turnout.socket": address}))
    assert f"127.0.0.1:{fleet.port}" == address
    assert "nothing is set to use" not in fleet.child.output()


async def test_sockets_meant_for_another_process_are_left_alone(
    spawn: Children, tmp_path: Path, redis_url: str
) -> None:
    environ = {"LISTEN_PID": "1", "LISTEN_FDS": "2", "LISTEN_FDNAMES": "http:management"}
    fleet = await start_fleet(spawn, settings(tmp_path, redis_url), env=environ)
    assert fleet.port


async def test_what_does_not_listen_is_refused(
    spawn: Children, tmp_path: Path, redis_url: str
) -> None:
    own = settings(tmp_path, redis_url)
    own.write()
    script = (
        "import os, sys; os.dup2(1, 3); "
        "os.environ |= {'LISTEN_PID': str(os.getpid()), 'LISTEN_FDS': '1', 'LISTEN_FDNAMES': 'http'}; "
        "os.execv(sys.argv[1], sys.argv[1:])"
    )
    child = launch(spawn, own.path, before=[sys.executable, "-c", script])
    assert await child.ended() == 2
    assert child.output() == (
        "turnout proxy: descriptor 3 (http): Socket operation on non-socket\n"
    )
