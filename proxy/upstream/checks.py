"""Active health checks: a connection, or a GET, to one endpoint now and then. Off by default.

They are the one thing that reaches an endpoint without a client's having sent it, and say so in
their User-Agent. One check at a time; each bounded in time and in what is read.
"""

import asyncio
import re
import time
from collections.abc import Callable
from typing import Protocol, cast

from proxy.upstream.pool import Pool

USER_AGENT = "turnout-health-check"
_STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([1-5][0-9][0-9])[ \r]")
_READ_AT_MOST = 1024  # a status line is all that matters
_JITTER = 0.2


class Judge(Protocol):
    """Who hears of the outcomes."""

    def checked(self, pool: Pool, now: float, *, passed: bool) -> None:
        """A check has passed or failed. now: monotonic seconds."""


class CheckRules:
    """How endpoints are checked.

    interval_s: between the end of a check and the next; 0: never. timeout_s: for all of one.
    path: what is asked for; empty: a connection is enough. host: what the Host field says;
    empty: the endpoint's address.
    """

    __slots__ = ("host", "interval_s", "path", "timeout_s")

    def __init__(self, *, interval_s: float, timeout_s: float, path: str, host: str) -> None:
        self.interval_s = interval_s
        self.timeout_s = timeout_s
        self.path = path
        self.host = host


async def check_on(pool: Pool, rules: CheckRules, judge: Judge, draw: Callable[[], float]) -> None:
    """Check an endpoint until it is retired. draw: numbers from 0 to below 1, for the jitter.

    Workers and endpoints begin at different times, and never fall into step.
    """
    await asyncio.sleep(rules.interval_s * _JITTER * draw())
    while True:
        passed = await check(pool, rules)
        judge.checked(pool, time.monotonic(), passed=passed)
        await asyncio.sleep(rules.interval_s * (1 - _JITTER / 2 + _JITTER * draw()))


async def check(pool: Pool, rules: CheckRules) -> bool:
    """One check: whether the endpoint takes a connection and, with a path, answers 2xx or 3xx."""
    loop = asyncio.get_running_loop()
    probe = _Probe(_request(pool, rules) if rules.path else b"", loop.create_future())
    try:
        async with asyncio.timeout(rules.timeout_s):
            await pool.dial(lambda: probe)
            return await probe.outcome
    except (OSError, ValueError):  # TimeoutError is the one, a name that can't be the other
        return False
    finally:
        probe.close()


def _request(pool: Pool, rules: CheckRules) -> bytes:
    host = rules.host or str(pool.endpoint)
    return (
        f"GET {rules.path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {USER_AGENT}\r\n"
        "Accept: */*\r\nConnection: close\r\n\r\n"
    ).encode("ascii")


class _Probe(asyncio.Protocol):
    """One check's connection. request: empty where connecting is enough."""

    def __init__(self, request: bytes, outcome: "asyncio.Future[bool]") -> None:
        self._request = request
        self._read = b""
        self._transport: asyncio.Transport | None = None
        self.outcome = outcome

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        if self._request:
            self._transport.write(self._request)
        else:
            self._settle(passed=True)

    def data_received(self, data: bytes) -> None:
        self._read += data[: _READ_AT_MOST - len(self._read)]
        if b"\n" in self._read or len(self._read) >= _READ_AT_MOST:
            found = _STATUS_LINE.match(self._read)
            self._settle(passed=found is not None and found[1][:1] in {b"2", b"3"})

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002 - asyncio's
        self._settle(passed=False)

    def close(self) -> None:
        """It has served."""
        if self._transport is not None:
            self._transport.close()

    def _settle(self, *, passed: bool) -> None:
        if not self.outcome.done():
            self.outcome.set_result(passed)
