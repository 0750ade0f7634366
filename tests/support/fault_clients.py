"""What a failing client does, by the names of `fault_rows.CLIENT_ROWS`; each gives what it got."""

import asyncio
from collections.abc import Awaitable, Callable

from tests.support.clients import Connection
from tests.support.faults import (
    BODY,
    FaultyEndpoint,
    chunk,
    chunked,
    got,
    post,
    request,
    reset,
)

LIMITS = {"request_line_bytes": 1024, "head_bytes": 4096, "body_bytes": 100_000}
"""Of the proxy, so that too much is soon sent."""
PIECES = 5
PAUSE_S = 0.05
AFTER_LINGER_S = 0.7
"""Longer than `linger_s` and a sweep, shorter than that and `write_idle_s`."""
Act = Callable[[Connection, str, FaultyEndpoint], Awaitable[str]]


def _stalls(first: Callable[[str], bytes]) -> Act:
    """Send a part, and wait for what comes."""

    async def act(connection: Connection, name: str, endpoint: FaultyEndpoint) -> str:
        connection.writer.write(first(name))
        return await got(connection)

    return act


def _vanishes(first: Callable[[str], bytes], *, seen: bool) -> Act:
    """Send a part; once the endpoint has seen it, if it will, reset the connection."""

    async def act(connection: Connection, name: str, endpoint: FaultyEndpoint) -> str:
        connection.writer.write(first(name))
        await connection.writer.drain()
        if seen:
            await endpoint.arrived(name)
        reset(connection.writer)
        return ""

    return act


def _slowly(whole: Callable[[str], bytes], quick: int) -> Act:
    """Send all but the first `quick` bytes in pieces, with pauses."""

    async def act(connection: Connection, name: str, endpoint: FaultyEndpoint) -> str:
        data = whole(name)
        connection.writer.write(data[:quick])
        rest = data[quick:]
        step = len(rest) // PIECES + 1
        for start in range(0, len(rest), step):
            await asyncio.sleep(PAUSE_S)
            connection.writer.write(rest[start : start + step])
        return await got(connection)

    return act


async def _stall_answer(connection: Connection, name: str, endpoint: FaultyEndpoint) -> str:
    """Take nothing of a large answer until the proxy has given it up."""
    connection.reader._transport.pause_reading()  # type: ignore[attr-defined]
    connection.writer.write(request(name, "larger"))
    await endpoint.rested_of(name)
    connection.reader._transport.resume_reading()  # type: ignore[attr-defined]
    return await got(connection)


async def _stall_between(connection: Connection, name: str, endpoint: FaultyEndpoint) -> str:
    connection.writer.write(request(name, "ok"))
    return f"{await got(connection)}; {await got(connection)}"


async def _vanish_answer(connection: Connection, name: str, endpoint: FaultyEndpoint) -> str:
    connection.writer.write(request(name, "large"))
    await connection.reader.readexactly(1000)
    reset(connection.writer)
    return ""


async def _vanish_between(connection: Connection, name: str, endpoint: FaultyEndpoint) -> str:
    connection.writer.write(request(name, "ok"))
    word = await got(connection)
    reset(connection.writer)
    return word


async def _slow_answer(connection: Connection, name: str, endpoint: FaultyEndpoint) -> str:
    """Take a large answer in sips."""
    connection.writer.write(request(name, "large"))
    for _ in range(PIECES):
        connection.reader._transport.pause_reading()  # type: ignore[attr-defined]
        await asyncio.sleep(PAUSE_S)
        connection.reader._transport.resume_reading()  # type: ignore[attr-defined]
    return await got(connection)


async def _slow_last_answer(connection: Connection, name: str, endpoint: FaultyEndpoint) -> str:
    """Begin to take the connection's last answer when the proxy's time to linger is over."""
    connection.reader._transport.pause_reading()  # type: ignore[attr-defined]
    connection.writer.write(request(name, "large", fields="Connection: close\r\n"))
    await asyncio.sleep(AFTER_LINGER_S)
    connection.reader._transport.resume_reading()  # type: ignore[attr-defined]
    return f"{await got(connection)}; {await got(connection)}"


async def _long_chunks(connection: Connection, name: str, endpoint: FaultyEndpoint) -> str:
    connection.writer.write(chunked(name, "ok"))
    await endpoint.arrived(name)
    connection.writer.write(chunk(bytes(LIMITS["body_bytes"] + 1)))
    return await got(connection)


async def _after_body(connection: Connection, name: str, endpoint: FaultyEndpoint) -> str:
    connection.writer.write(post(name, "ok") + BODY + b"more than was said\r\n\r\n")
    return f"{await got(connection)}; {await got(connection)}"


ACTS: dict[str, Act] = {
    "stall-before": _stalls(lambda name: b""),
    "stall-head": _stalls(lambda name: request(name, "ok")[:-2]),
    "stall-body": _stalls(lambda name: post(name, "ok") + BODY[:10]),
    "stall-chunks": _stalls(lambda name: chunked(name, "ok") + chunk(BODY)),
    "stall-answer": _stall_answer,
    "stall-between": _stall_between,
    "vanish-before": _vanishes(lambda name: b"", seen=False),
    "vanish-head": _vanishes(lambda name: request(name, "ok")[:-2], seen=False),
    "vanish-body": _vanishes(lambda name: post(name, "ok") + BODY[:10], seen=True),
    "vanish-chunks": _vanishes(lambda name: chunked(name, "ok") + chunk(BODY), seen=True),
    "vanish-wait": _vanishes(lambda name: request(name, "wait"), seen=True),
    "vanish-answer": _vanish_answer,
    "vanish-between": _vanish_between,
    "slow-head": _slowly(lambda name: request(name, "ok"), 10),
    "slow-body": _slowly(lambda name: post(name, "ok") + BODY, len(post("x" * 20, "ok"))),
    "slow-answer": _slow_answer,
    "slow-last-answer": _slow_last_answer,
    "long-target": _stalls(lambda name: request(name, "ok/" + "x" * 2000)),
    "long-head": _stalls(lambda name: request(name, "ok", fields="X-Filler: " + "x" * 5000)),
    "long-body": _stalls(lambda name: post(name, "ok", length=LIMITS["body_bytes"] + 1)),
    "long-chunks": _long_chunks,
    "after-body": _after_body,
}
