"""The life of an instance of the example ERP: ready, drained, hurried, orphaned, left by its clients."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from tests.support.print_erp import ROOT, Erp, Starter, starter
from tests.support.processes import Children, wait_gone


@pytest.fixture
async def start(spawn: Children, database_url: str, tmp_path: Path) -> AsyncIterator[Starter]:
    async with starter(spawn, database_url, tmp_path) as started:
        yield started


async def _arrived(erp: Erp, path: str) -> None:
    async def logged() -> bool:
        _, log, _ = await erp.ask("GET", "/_requests/log", tenant=None)
        return any(entry["path"] == path for entry in log["items"])

    await erp.child.until(logged, f"was asked for {path}")


async def test_sigterm_finishes_a_slow_request_and_exits_0(start: Starter) -> None:
    erp = await start("blue", "1.2.0")
    async with asyncio.TaskGroup() as group:
        slow = group.create_task(erp.ask("GET", "/api/slow?ms=800"))
        await _arrived(erp, "/api/slow?ms=800")
        erp.child.send(signal.SIGTERM)
    assert slow.result()[:1] == (200,)
    assert await erp.child.ended() == 0
    with pytest.raises(aiohttp.ClientConnectorError):
        await erp.ask("GET", "/health")


async def test_sigterm_closes_sockets_with_1012_and_ends_event_streams(start: Starter) -> None:
    erp = await start("blue", "1.2.0")
    url = f"{erp.url}/events"
    async with (
        erp.socket("/ws/dashboard") as board,
        erp.socket("/ws/equipment/press-1") as printer,
        erp.client.get(url, headers={"X-Tenant-ID": "acme"}) as stream,
    ):
        await board.receive_json()
        await printer.send_json({"counter": 1})
        await printer.receive_json()
        assert await stream.content.readuntil(b"\n\n")
        erp.child.send(signal.SIGTERM)
        assert (await stream.content.read()).endswith(b"\n\n")
        for socket in (board, printer):
            while (await socket.receive()).type is aiohttp.WSMsgType.TEXT:
                pass
            assert socket.close_code == 1012
    assert await erp.child.ended() == 0


@pytest.mark.parametrize(("drain", "state"), [("10", "done"), ("0.1", "interrupted")])
async def test_sigterm_waits_for_prints_within_its_bound(
    start: Starter, drain: str, state: str
) -> None:
    old = await start("blue", "1.2.0", "--drain-seconds", drain)
    job = await old.made("/api/jobs", title="Books")
    begun = await old.made(f"/api/jobs/{job['id']}/print", pages=4, seconds=1)
    old.child.send(signal.SIGTERM)
    assert await old.child.ended() == 0
    new = await start("green", "1.3.0")
    _, seen, _ = await new.ask("GET", f"/api/prints/{begun['id']}")
    assert (seen["state"], seen["slot"]) == (state, "blue")
    _, job, _ = await new.ask("GET", f"/api/jobs/{job['id']}")
    assert job["status"] == ("done" if state == "done" else "queued")


async def test_a_second_signal_cuts_the_drain_short(start: Starter) -> None:
    erp = await start("blue", "1.2.0", "--drain-seconds", "600")
    job = await erp.made("/api/jobs", title="Books")
    begun = await erp.made(f"/api/jobs/{job['id']}/print", pages=4, seconds=600)
    erp.child.send(signal.SIGTERM)

    async def refused() -> bool:
        try:
            return (await erp.ask("GET", "/health"))[0] == 0
        except aiohttp.ClientConnectionError:
            return True

    await erp.child.until(refused, "stopped accepting")
    erp.child.send(signal.SIGTERM)
    assert await erp.child.ended() == 0
    new = await start("green", "1.3.0")
    assert (await new.ask("GET", f"/api/prints/{begun['id']}"))[1]["state"] == "interrupted"


async def test_a_client_that_reads_nothing_does_not_hold_up_the_end(start: Starter) -> None:
    erp = await start("blue", "1.2.0", "--drain-seconds", "2")
    url = f"{erp.url}/api/bytes?n=268435456"
    async with erp.client.get(url, headers={"X-Tenant-ID": "acme"}):
        erp.child.send(signal.SIGTERM)
        assert await erp.child.ended(seconds=3.7) == 0  # aiohttp alone waits twice


async def test_clients_that_leave_are_not_an_error(start: Starter) -> None:
    erp = await start("blue", "1.2.0")
    mine = {"X-Tenant-ID": "acme"}
    for path in ("/events?interval_ms=10", "/api/bytes?n=268435456"):
        stream = await erp.client.get(erp.url + path, headers=mine)
        await stream.content.readexactly(10)
        stream.close()
    leaving = asyncio.ensure_future(erp.ask("GET", "/api/slow?ms=200"))
    await _arrived(erp, "/api/slow?ms=200")
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    for path in ("/ws/dashboard", "/ws/equipment/press-1"):
        socket = await erp.socket(path)
        socket._response.connection.transport.abort()

    async def gone() -> bool:
        health = (await erp.ask("GET", "/health"))[1]
        return bool(health["equipment"]["connected"] == 0)

    await erp.child.until(gone, "noticed that the printer left")
    erp.child.send(signal.SIGTERM)
    assert await erp.child.ended() == 0
    assert erp.child.output().count("\n") == 1, erp.child.report()


async def test_faults_are_injected_for_the_tenant_they_were_asked_for(start: Starter) -> None:
    erp = await start("green", "1.3.0", "--faults")
    faults = {"error_rate": 0.25, "delay_ms": 30, "tenant": "acme"}
    assert (await erp.ask("POST", "/_faults", tenant=None, json=faults))[0] == 200
    began = time.monotonic()
    seen = [(await erp.ask("GET", "/api/slow?ms=0"))[0] for _ in range(8)]
    assert seen == [200, 200, 200, 500] * 2
    assert time.monotonic() - began >= 8 * 0.03
    others = [(await erp.ask("GET", "/api/slow?ms=0", tenant="globex"))[0] for _ in range(8)]
    assert others == [200] * 8
    wrong = await erp.ask("POST", "/_faults", tenant=None, json={"error_rate": 2})
    assert wrong[0] == 400
    assert (await erp.ask("POST", "/_faults", tenant=None, json={}))[0] == 200
    assert [(await erp.ask("GET", "/api/slow?ms=0"))[0] for _ in range(4)] == [200] * 4


async def test_it_dies_with_its_parent(spawn: Children, database_url: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "examples.print_erp", "--slot", "blue", "--with-parent"]
    parent = spawn(
        *(sys.executable, "-c"),
        f"import subprocess; subprocess.Popen({command!r}).wait()",
        env={"ERP_DATABASE_URL": database_url},
        cwd=ROOT,
    )
    instance = (await parent.line(r'"instance": ?"blue-(\d+)-'))[1]
    os.kill(parent.pid, signal.SIGKILL)
    assert await asyncio.to_thread(wait_gone, int(instance))


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://erp:hunter2-secret@127.0.0.1:1/erp",
        "mysql://erp:hunter2-secret@127.0.0.1/erp",
        "postgresql://erp:hunter2-secret@127.0.0.1:port/erp",
    ],
)
def test_a_wrong_database_ends_it_without_telling_the_secret(url: str) -> None:
    command = [sys.executable, "-m", "examples.print_erp", "--slot", "blue"]
    ended = subprocess.run(
        command,
        env={**os.environ, "ERP_DATABASE_URL": url},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "could not start" in ended.stderr
    assert "hunter2" not in ended.stderr


def test_nothing_heavy_nor_of_turnout_is_imported_before_it_is_ready() -> None:
    program = "import sys, examples.print_erp.serve; print(*sys.modules)"
    run = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    loaded = {name.partition(".")[0] for name in run.stdout.split()}
    assert "aiohttp" in loaded
    assert not loaded & {"redis", "cryptography", "rich", "orjson", "proxy", "admin", "config"}
