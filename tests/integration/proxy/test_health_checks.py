"""One health check, over real sockets, against servers that answer all kinds of things."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import pytest

from proxy.config import Settings
from proxy.observability.telemetry import Telemetry
from proxy.routing.model import Endpoint, Slot
from proxy.upstream.checks import CheckRules, check
from proxy.upstream.pool import Pool
from proxy.worker import _services

FOR_EVER = None


@asynccontextmanager
async def server(answer: bytes | None) -> AsyncIterator[tuple[int, asyncio.Queue[bytes]]]:
    """Reads a request's head and sends this, then ends; FOR_EVER: says nothing until left."""
    heads: asyncio.Queue[bytes] = asyncio.Queue()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            heads.put_nowait(await reader.readuntil(b"\r\n\r\n"))
            if answer is FOR_EVER:
                await reader.read()
            else:
                writer.write(answer)
        except (asyncio.IncompleteReadError, ConnectionError):
            heads.put_nowait(b"")
        finally:
            writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with listening:
        yield listening.sockets[0].getsockname()[1], heads


def pool_of(host: str, port: int) -> Pool:
    slots = _services(msgspec.convert({}, Settings), Telemetry(1).blocks[0]).slots
    slots.update({Slot.BLUE: (Endpoint(host, port),), Slot.GREEN: ()})
    return slots.groups[0].pools[0]


def rules(path: str = "/up", host: str = "", timeout_s: float = 5.0) -> CheckRules:
    return CheckRules(interval_s=1.0, timeout_s=timeout_s, path=path, host=host)


@pytest.mark.parametrize(
    ("answer", "passes"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", True),
        (b"HTTP/1.0 204 No Content\r\n\r\n", True),
        (b"HTTP/1.1 302 Found\r\nLocation: /login\r\n\r\n", True),
        (b"HTTP/1.1 200\r\n\r\n", True),
        (b"HTTP/1.1 404 Not Found\r\n\r\n", False),
        (b"HTTP/1.1 503 Busy\r\n\r\n", False),
        (b"HTTP/1.1 2000 OK\r\n\r\n", False),
        (b"HTTP/2.0 200 OK\r\n\r\n", False),
        (b"SSH-2.0-OpenSSH_9.2\r\n", False),
        (b"HTTP/1.1 200 OK", False),
        (b"", False),
        (b"x" * 100_000, False),
    ],
)
async def test_what_passes(answer: bytes, passes: bool) -> None:
    async with server(answer) as (port, _):
        assert await check(pool_of("127.0.0.1", port), rules()) is passes


@pytest.mark.parametrize("host", ["", "erp.example"])
async def test_a_check_says_what_it_is(host: str) -> None:
    async with server(b"HTTP/1.1 200 OK\r\n\r\n") as (port, heads):
        await check(pool_of("127.0.0.1", port), rules("/up?deep=1", host))
    lines = (await heads.get()).split(b"\r\n")
    assert lines[0] == b"GET /up?deep=1 HTTP/1.1"
    assert b"Host: " + (host or f"127.0.0.1:{port}").encode() in lines
    assert b"User-Agent: turnout-health-check" in lines
    assert b"Connection: close" in lines


async def test_without_a_path_a_connection_is_enough_and_nothing_is_sent() -> None:
    async with server(FOR_EVER) as (port, heads):
        assert await check(pool_of("127.0.0.1", port), rules(""))
        assert await heads.get() == b""


async def test_silence_fails_in_its_time() -> None:
    async with server(FOR_EVER) as (port, _):
        assert not await check(pool_of("127.0.0.1", port), rules(timeout_s=0.05))


@pytest.mark.parametrize("path", ["", "/up"])
async def test_what_refuses_fails(path: str) -> None:
    async with server(b"") as (port, _):
        pass
    assert not await check(pool_of("127.0.0.1", port), rules(path))


async def test_a_name_that_nobody_knows_fails() -> None:
    assert not await check(pool_of("nobody.invalid", 80), rules())
