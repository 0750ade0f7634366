"""Plain TCP at one worker's own sockets: the PROXY header, and how many are let in."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from proxy.observability import telemetry
from tests.support.clients import connect as connect_http
from tests.support.devices import Device, client, device, ended, name_of
from tests.support.front import Front, front

V1 = b"PROXY TCP4 192.0.2.7 192.0.2.1 50000 443\r\n"
V2 = b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\xc0\x00\x02\x07\xc0\x00\x02\x01\xc3\x50\x01\xbb"
LOCAL = b"\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00"
LOOPBACK = {"networks": ["127.0.0.0/8"]}


@asynccontextmanager
async def told(port: dict[str, Any], **proxy: Any) -> AsyncIterator[tuple[Front, int, Device]]:
    """A worker with one plain TCP port, that port, and the device behind it."""
    async with device("blue") as behind:
        tcp = {
            "listen": "127.0.0.1:0",
            "tenant": "acme",
            "blue": [f"127.0.0.1:{behind.port}"],
            **port,
        }
        async with front(tcp=[tcp], **proxy) as found:
            yield found, found.ports["tcp-0"], behind


@asynccontextmanager
async def required(**proxy: Any) -> AsyncIterator[tuple[Front, int]]:
    """As `told`, and each connection must begin with a PROXY header."""
    given = {"proxy_protocol": LOOPBACK, **proxy}
    async with told({"proxy_protocol": "required"}, **given) as (found, port, _):
        yield found, port


# ── the PROXY header ──────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("header", "address"), [(V1, "192.0.2.7"), (V2, "192.0.2.7"), (LOCAL, "127.0.0.1")]
)
async def test_the_log_shows_whom_the_header_names(header: bytes, address: str) -> None:
    async with required(access_log={"format": "json"}) as (found, port):
        async with client(port) as (reader, writer):
            writer.write(header + b"job")
            assert await name_of(reader) == "blue"
            assert await reader.readexactly(3) == b"job"
        await found.empty()
        log = found.services.observing.log
        assert log is not None
        (line,) = log.sink._lines
        told = json.loads(line)
        assert (told["client"], told["received"]) == (address, 3)


async def test_a_header_may_come_byte_by_byte() -> None:
    async with required() as (_, port), client(port) as (reader, writer):
        for byte in V1 + b"job":
            writer.write(bytes([byte]))
            await asyncio.sleep(0)
        assert await name_of(reader) == "blue"
        assert await reader.readexactly(3) == b"job"


@pytest.mark.parametrize("said", [b"job", V1[:-1], V2[:13], b"PROXY UNKNOWN " + b"x" * 600, b""])
@pytest.mark.parametrize("ends", [True, False], ids=["ends", "stalls"])
async def test_who_brings_no_header_is_closed(said: bytes, ends: bool) -> None:
    async with required(timeouts={"proxy_header_s": 0.2}) as (found, port):
        async with client(port) as (reader, writer):
            writer.write(said)
            if ends:
                writer.write_eof()
            assert await ended(reader.read)
        await found.empty()
        assert found.count(telemetry.PROXY_HEADER_REFUSALS) == 1
        assert found.sum(telemetry.ENDPOINT_CONNECTIONS) == 0
        assert found.sum(telemetry.TUNNELS_OPENED) == 0


async def test_a_header_over_the_limit_is_closed() -> None:
    long = b"\r\n\r\n\x00\r\nQUIT\n\x20\x00" + (521).to_bytes(2, "big") + b"x" * 521
    async with required() as (found, port):
        async with client(port) as (reader, writer):
            writer.write(long)
            assert await ended(reader.read)
        assert found.count(telemetry.PROXY_HEADER_REFUSALS) == 1


async def test_a_header_from_another_network_is_not_even_read() -> None:
    async with required(proxy_protocol={"networks": ["192.0.2.0/24"]}) as (found, port):
        async with client(port) as (reader, writer):
            with contextlib.suppress(ConnectionError):
                writer.write(V1)
            assert await ended(reader.read)
        assert found.count(telemetry.PROXY_HEADER_REFUSALS) == 1


async def test_off_a_header_is_bytes_as_others_whatever_http_does() -> None:
    http = {"mode": "required", **LOOPBACK}
    async with told({}, proxy_protocol=http) as (_, port, _), client(port) as (reader, writer):
        writer.write(V1)
        assert await name_of(reader) == "blue"
        assert await reader.readexactly(len(V1)) == V1


async def test_one_that_waits_for_its_header_is_bounded_and_ended_as_others() -> None:
    async with required() as (found, port), client(port) as (reader, _):
        await found.until(lambda: len(found.listener.connections) == 1, "it is in")
        (preparing,) = found.listener.connections
        assert found.count(telemetry.CONNECTIONS) == 1
        preparing.drain(found.services.now)
        assert found.listener.connections
        preparing.close()
        assert await ended(reader.read)


# ── how many ──────────────────────────────────────────────────────────────────────────────────


async def full(found: Front) -> None:
    """Wait until a door has been looked at that has no room."""
    await found.until(lambda: bool(found.listener._full), "a door is full")


async def test_a_port_takes_as_many_as_it_may_and_leaves_the_others_alone() -> None:
    async with told({"connections": 1}) as (found, port, _), client(port) as (first, to_first):
        assert await name_of(first) == "blue"
        async with client(port) as (second, _):
            await full(found)
            async with connect_http(found.port) as http:
                assert (await http.get()).status == 200
            assert found.sum(telemetry.TUNNELS) == 1
            to_first.transport.abort()
            assert await name_of(second) == "blue"


async def test_all_ports_together_take_as_many_as_the_worker_may() -> None:
    limits = {"connections": 1}
    async with told({}, limits=limits) as (found, port, _), client(port) as (first, to_first):
        assert await name_of(first) == "blue"
        async with connect_http(found.port) as http:
            http.send("GET", "/")
            await full(found)
            assert found.count(telemetry.CONNECTIONS) == 1
            to_first.transport.abort()
            assert (await http.answer()).status == 200
            async with client(port) as (second, _):
                await full(found)
                assert found.count(telemetry.CONNECTIONS) == 1
                await http.close()
                assert await name_of(second) == "blue"
