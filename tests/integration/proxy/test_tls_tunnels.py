"""WebSockets and uploads over TLS, on either side: bytes both ways, and how tunnels end."""

import asyncio
import contextlib
import gc
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from proxy.downstream.connection import ClientConnection
from proxy.exchange.tunnel import Tunnel
from proxy.observability import telemetry
from proxy.tls.transport import TlsTransport
from proxy.upstream.connection import EndpointConnection
from tests.support.certificates import Authority
from tests.support.clients import SECONDS, Connection, reset
from tests.support.front import Front, client, front
from tests.support.messages import Message

SIDES = ["client", "endpoint", "both"]
SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"


@asynccontextmanager
async def joined(
    authority: Authority, sides: str, script: Any, **proxy: Any
) -> AsyncIterator[tuple[Front, Connection]]:
    """A client of an endpoint that does as the script says; TLS on these sides."""
    certificate, key = authority.issue("erp", "erp.test", "127.0.0.1")
    pair = {"certificate": str(certificate), "key": str(key)}
    behind = authority.server((certificate, key)) if sides != "client" else None
    endpoint_tls = {"slots": ["blue"] if behind else [], "ca": str(authority.ca)}
    context: ssl.SSLContext | None = authority.trusted() if sides != "endpoint" else None
    async with front(
        behind_tls=behind,
        tls_listen="127.0.0.1:0",
        tls={"certificates": [pair]},
        endpoint_tls=endpoint_tls,
        **proxy,
    ) as found:
        found.behind.script = script
        port = found.tls_port if context else found.port
        async with client(port, context, "erp.test") as connection:
            yield found, connection


async def switch(connection: Connection) -> None:
    connection.send("GET", "/", host="erp.test", connection="Upgrade", upgrade="websocket")
    assert (await connection.head()).status == 101


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _: Message) -> None:
    writer.write(SWITCHED)
    while data := await reader.read(65_536):
        writer.write(data)
        await writer.drain()
    writer.close()


@pytest.mark.parametrize("sides", SIDES)
async def test_a_tunnel_carries_bytes_both_ways(authority: Authority, sides: str) -> None:
    sent = bytes(range(256)) * 8_192  # 2 MiB: more than any buffer on the way
    async with joined(authority, sides, echo) as (_, connection), asyncio.timeout(SECONDS):
        await switch(connection)

        async def write() -> None:
            for start in range(0, len(sent), 65_536):
                connection.writer.write(sent[start : start + 65_536])
                await connection.writer.drain()

        writing = asyncio.get_running_loop().create_task(write())
        assert await connection.reader.readexactly(len(sent)) == sent
        await writing


@pytest.mark.parametrize("sides", SIDES)
async def test_the_endpoint_s_end_ends_the_client_s_side_after_its_last_bytes(
    authority: Authority, sides: str
) -> None:
    async def script(_: Any, writer: asyncio.StreamWriter, __: Message) -> None:
        writer.write(SWITCHED + b"bye")
        writer.close()

    async with joined(authority, sides, script) as (found, connection):
        await switch(connection)
        assert await connection.reader.readexactly(3) == b"bye"
        assert await connection.ended()
        connection.writer.close()
        await found.until(lambda: found.sum(telemetry.TUNNELS) == 0, "the tunnel is gone")


@pytest.mark.parametrize("sides", SIDES)
async def test_the_client_s_end_reaches_the_endpoint(authority: Authority, sides: str) -> None:
    ended = asyncio.Event()

    async def script(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _: Message
    ) -> None:
        writer.write(SWITCHED)
        assert await reader.read() == b"bye"
        ended.set()
        writer.close()

    async with joined(authority, sides, script) as (_, connection), asyncio.timeout(SECONDS):
        await switch(connection)
        connection.writer.write(b"bye")
        connection.writer.close()
        await ended.wait()


@pytest.mark.parametrize("sides", SIDES)
async def test_an_idle_tunnel_ends(authority: Authority, sides: str) -> None:
    async with joined(authority, sides, echo, timeouts={"tunnel_idle_s": 0.2, "linger_s": 0.2}) as (
        _,
        connection,
    ):
        await switch(connection)
        assert await connection.ended()


@pytest.mark.parametrize("sides", SIDES)
async def test_a_large_upload_arrives_whole(authority: Authority, sides: str) -> None:
    body = bytes(range(256)) * 20_000
    async with joined(authority, sides, None) as (found, connection):
        connection.send("POST", "/", body, host="erp.test")
        assert (await connection.answer()).status == 200
        assert found.behind.requests[0].body == body


@pytest.mark.parametrize("who", ["the client", "the endpoint"])
@pytest.mark.parametrize("sides", SIDES)
async def test_a_reset_ends_both_sides(authority: Authority, sides: str, who: str) -> None:
    ends: list[asyncio.StreamWriter] = []
    left = asyncio.Event()

    async def script(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _: Message
    ) -> None:
        ends.append(writer)
        writer.write(SWITCHED)
        with contextlib.suppress(OSError):
            await reader.read()
        left.set()

    async with joined(authority, sides, script) as (found, connection), asyncio.timeout(SECONDS):
        await switch(connection)
        reset(connection.writer if who == "the client" else ends[0])
        await left.wait()
        await found.empty()
        assert found.sum(telemetry.TUNNELS) == 0


@pytest.mark.parametrize("sides", SIDES)
async def test_nothing_of_a_tunnel_waits_for_the_collector(
    authority: Authority, sides: str
) -> None:
    """It comes by seldom in a worker, and OpenSSL's memory of a connection is 30 KiB and more."""
    kinds = (Tunnel, ClientConnection, EndpointConnection, TlsTransport)
    gc.collect()
    gc.disable()
    try:
        for _ in range(3):
            async with joined(authority, sides, echo) as (found, connection):
                await switch(connection)
                reset(connection.writer)
                await found.empty()
        assert not [each for each in gc.get_objects() if type(each) in kinds]
    finally:
        gc.enable()
