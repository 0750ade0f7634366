"""Logs and metrics of a real fleet: whole lines of several workers, rotation, no secrets."""

import asyncio
import json
import os
import signal
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from proxy.routing.change import Pin, SetEndpoints
from proxy.routing.model import Endpoint, Slot
from tests.support.clients import Load, connect, fetch
from tests.support.fleet import Fleet, FleetOf, Metrics, Routing

WORKERS = 3
SECRETS = ("s3cret-token", "s3cret-cookie", "s3cret-query", "s3cret-body", "s3cret-proxy")


def told(path: Path) -> list[dict[str, Any]]:
    """Every line, read; each must be whole."""
    text = path.read_text("ascii")
    assert text == "" or text.endswith("\n")
    return [json.loads(line) for line in text.splitlines()]


async def written(fleet: Fleet, path: Path, lines: int) -> None:
    """Wait until so many lines are in the file."""
    await fleet.child.until(
        lambda: path.exists() and path.read_bytes().count(b"\n") >= lines, f"{lines} lines"
    )


async def test_three_workers_write_whole_lines_through_rotations(
    fleet_of: FleetOf, tmp_path: Path
) -> None:
    path = tmp_path / "access.log"
    log = {"format": "json", "path": str(path), "flush_s": 0.001}
    fleet = await fleet_of(workers=WORKERS, access_log=log)
    connections = await fleet.connections(each=3)
    async with Load(fleet.port, connections=connections, pause_s=0.0) as load:
        for number in range(3):
            await load.answered(1500)
            path.rename(tmp_path / f"access.log.{number}")
            fleet.child.send(signal.SIGUSR1)
            await fleet.child.until(path.exists, "opened the file anew")
        await load.answered(1500)
    assert load.failures == []
    expected = len(load.asked)
    files = [path, *(tmp_path / f"access.log.{number}" for number in range(3))]

    def lines() -> int:
        return sum(file.read_bytes().count(b"\n") for file in files)

    await fleet.child.until(lambda: lines() >= expected, f"{expected} lines")
    found = [line for file in files for line in told(file)]
    # One line for each request, and one for each that found the workers' connections.
    ids = Counter(line["id"] for line in found)
    assert set(ids.values()) == {1}
    assert {one.answer.fields["x-request-id"] for one in load.asked} <= ids.keys()
    assert len({line["id"][:16] for line in told(path)}) == WORKERS
    metrics = await fleet.metrics()
    assert metrics.value("turnout_log_lines_total") == len(found)
    assert metrics.value("turnout_log_dropped_total") == 0


async def test_a_reload_goes_on_with_the_log_of_the_new_settings(
    fleet_of: FleetOf, tmp_path: Path
) -> None:
    fleet = await fleet_of(access_log={"format": "json", "path": str(tmp_path / "one.log")})
    assert (await fleet.get("/first")).status == 200
    await written(fleet, tmp_path / "one.log", 1)
    before = await fleet.pids()
    log = {"format": "combined", "path": str(tmp_path / "two.log"), "flush_s": 0.001}
    replace(fleet.settings, proxy={**fleet.settings.proxy, "access_log": log}).write()
    fleet.child.send(signal.SIGHUP)
    await fleet.serving(unlike=before)
    assert (await fleet.get("/second")).status == 200
    await written(fleet, tmp_path / "two.log", 1)
    assert '"GET /second HTTP/1.1" 200 ' in (tmp_path / "two.log").read_text("ascii")
    assert [line["path"] for line in told(tmp_path / "one.log")] == ["/first"]


async def test_a_signal_before_a_worker_is_ready_ends_nothing(
    fleet_of: FleetOf, tmp_path: Path
) -> None:
    log = {"format": "json", "path": str(tmp_path / "access.log")}
    fleet = await fleet_of(access_log=log)
    before = await fleet.pids()
    fleet.child.send(signal.SIGHUP)
    for _ in range(50):
        fleet.child.send(signal.SIGUSR1)
        await asyncio.sleep(0)
    after = await fleet.serving(unlike=before)
    assert fleet.child.find("died") is None
    assert len(after) == fleet.workers_wanted


async def test_a_full_disk_keeps_no_request_waiting(fleet_of: FleetOf) -> None:
    log = {"format": "json", "path": "/dev/full", "buffer_bytes": 16 * 1024, "flush_s": 0.01}
    fleet = await fleet_of(access_log=log)
    async with Load(fleet.port, clients=4, pause_s=0.0) as load:
        await load.answered(1500)
    assert load.failures == []
    metrics = await fleet.metrics_until(
        lambda found: found.value("turnout_log_dropped_total") > 0, "lines are dropped"
    )
    assert metrics.value("turnout_log_lines_total") == 0


@pytest.mark.parametrize("stuck", ["opening", "writing", "standard output"])
async def test_a_log_that_hangs_keeps_neither_requests_nor_the_end_waiting(
    stuck: str, fleet_of: FleetOf, tmp_path: Path
) -> None:
    """A FIFO stands for the disk: what is opened, or written, waits until somebody reads."""
    fifo = tmp_path / "pipe"
    os.mkfifo(fifo)
    log = {"format": "json", "path": str(fifo), "buffer_bytes": 16 * 1024, "flush_s": 0.01}
    before: tuple[str, ...] = ()
    reading = -1 if stuck == "opening" else os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    if stuck == "standard output":
        log["path"] = ""
        before = ("/bin/sh", "-c", f'exec "$@" >{fifo}', "sh")
    fleet = await fleet_of(before, access_log=log)

    async def go_on(more: int) -> None:
        """Requests are answered while lines are dropped."""
        dropped = (await fleet.metrics()).value("turnout_log_dropped_total")
        async with Load(fleet.port, clients=4, pause_s=0.0) as load:
            await load.answered(more)
        assert load.failures == []
        await fleet.metrics_until(
            lambda found: found.value("turnout_log_dropped_total") > dropped, "lines are dropped"
        )

    await go_on(1500)
    if reading < 0:
        reading = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    read = b""

    async def flowing() -> bool:
        nonlocal read
        assert (await fleet.get("/now")).status == 200  # while there is no room it is dropped
        while piece := _read(reading):
            read += piece
        return b"/now" in read and read.endswith(b"\n")

    await fleet.child.until(flowing, "its line has come")
    assert [line for line in map(json.loads, read.splitlines()) if line["path"] == "/now"]
    await fleet.child.line("the access log is written again")
    await go_on(3000)
    fleet.child.send(signal.SIGTERM)
    assert await fleet.child.ended() == 0
    os.close(reading)


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 1 << 16)
    except BlockingIOError:
        return b""


async def test_no_secret_is_written_anywhere(
    fleet_of: FleetOf, tmp_path: Path, routing: Routing
) -> None:
    path = tmp_path / "access.log"
    identity = {
        "jwt": {
            "issuer": "i",
            "audiences": ["a"],
            "algorithms": ["HS256"],
            "key": "s3cret-key" * 4,
        }
    }
    fleet = await fleet_of(
        access_log={"format": "json", "path": str(path), "flush_s": 0.001}, identity=identity
    )
    for path_asked in ("/a?s3cret-query", "/status/500?s3cret-query"):
        for token in ("Bearer s3cret-token", "Basic s3cret-token"):
            async with connect(fleet.port) as connection:
                connection.send(
                    "POST",
                    path_asked,
                    b"s3cret-body",
                    authorization=token,
                    cookie="session=s3cret-cookie",
                    proxy_authorization="s3cret-proxy",
                    referer="https://x/?s3cret-query",
                    tenant="acme",
                )
                await connection.answer()
    async with connect(fleet.port) as connection:
        connection.writer.write(b"GET /?s3cret-query HTTP/1.1\r\nHost: s3cret cookie\r\n\r\n")
        await connection.answer()
    await written(fleet, path, 5)
    said = path.read_text("ascii") + fleet.child.output()
    said += (await fetch(fleet.management, "/metrics")).body.decode()
    assert not [secret for secret in (*SECRETS, "s3cret-key") if secret in said]


async def test_the_busiest_tenants_are_counted_over_all_workers(
    fleet_of: FleetOf, routing: Routing
) -> None:
    fleet = await fleet_of(workers=WORKERS, metrics={"tenants": 2})
    connections = await fleet.connections(each=2)
    for times, tenant in ((5, "acme"), (3, "umbra"), (1, "small")):
        for connection in connections:
            for _ in range(times):
                await connection.get(tenant=tenant)
            await connection.get("/status/503", tenant=tenant)
        # The table changes under way: no count is lost by it.
        version = await routing.change(Pin(tenant, Slot.GREEN))
        await routing.acked(version, WORKERS)
    both = {"acme": 6 * len(connections), "umbra": 4 * len(connections)}

    def tenants(metrics: Metrics) -> dict[str, float]:
        return {
            dict(labels)["tenant"]: value
            for (name, labels), value in metrics.samples.items()
            if name == "turnout_tenant_requests_total"
        }

    metrics = await fleet.metrics_until(lambda found: tenants(found) == both, "all are counted")
    for tenant in both:
        assert metrics.value("turnout_tenant_failures_total", tenant=tenant) == len(connections)
        assert 0 < metrics.value("turnout_tenant_seconds_total", tenant=tenant) < 60
    for connection in connections:
        await connection.close()


async def test_faults_of_an_endpoint_are_logged_but_not_one_by_one(
    fleet_of: FleetOf, routing: Routing
) -> None:
    fleet = await fleet_of(workers=1)
    await routing.acked(
        await routing.change(SetEndpoints(Slot.BLUE, (Endpoint("127.0.0.1", 9),))), 1
    )
    async with connect(fleet.port) as connection:
        for _ in range(200):
            answer = await connection.get("/?s3cret-query", tenant="acme")
            assert answer.status == 502
    await fleet.child.line(r"turnout\.upstream WARNING endpoint \S+ of blue: [1-9]\d* more faults")
    output = fleet.child.output()
    assert output.count("of blue: connect-failed") < 20
    assert "s3cret" not in output
