"""Continuous traffic through the proxy, and what each request met, for a checker to read.

Every client keeps its connections, so that all workers are asked all the time. A request is
recorded with the moment it began; the checker holds that moment against the moments at which
changes were sent and acknowledged. Clocks: `time.monotonic` of this process, nothing else.
"""

import asyncio
import json
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Self

import aiohttp

from proxy.routing.codec import decode_table
from proxy.routing.decision import Forward, Policy, decide
from proxy.routing.model import RoutingTable

PAUSE_S = 0.005


@dataclass(frozen=True, slots=True)
class Seen:
    """One request. kind: http, websocket or sse. slots: every slot that its answer named."""

    kind: str
    tenant: str
    began: float
    ended: float
    status: int
    slots: frozenset[str]
    error: str = ""

    @property
    def failed(self) -> bool:
        return bool(self.error) or not (self.status == 101 or 200 <= self.status < 300)


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """One change. sent, acked: when its request was sent, when its answer was here."""

    what: str
    sent: float
    acked: float
    table: RoutingTable


@dataclass
class Traffic:
    """Clients of many tenants. Use as `async with`; `seen` grows meanwhile."""

    url: str
    tenants: list[str]
    http_clients: int = 12
    socket_clients: int = 4
    stream_clients: int = 4
    seen: list[Seen] = field(default_factory=list)
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)
    _news: asyncio.Condition = field(default_factory=asyncio.Condition)
    _stopping: bool = False

    async def __aenter__(self) -> Self:
        plan = (
            (self._http, self.http_clients),
            (self._socket, self.socket_clients),
            (self._stream, self.stream_clients),
        )
        for client, count in plan:
            for number in range(count):
                self._tasks.append(asyncio.create_task(self._repeat(client, number)))
        return self

    async def __aexit__(self, *_: object) -> None:
        """Let what is under way end, then stop."""
        self._stopping = True
        results = await asyncio.gather(*self._tasks, return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result

    async def more(self, count: int, kinds: Iterable[str] = ("http", "websocket", "sse")) -> None:
        """Wait until each kind has seen so many more requests."""
        wanted = {kind: self._count(kind) + count for kind in kinds}
        async with asyncio.timeout(60), self._news:
            await self._news.wait_for(
                lambda: all(self._count(kind) >= number for kind, number in wanted.items())
            )

    def failures(self) -> list[Seen]:
        return [seen for seen in self.seen if seen.failed]

    def _count(self, kind: str) -> int:
        return sum(seen.kind == kind for seen in self.seen)

    async def _repeat(self, client, number: int) -> None:
        """One client: its own connection, the tenants in turn."""
        turn = number
        connector = aiohttp.TCPConnector(limit=1, keepalive_timeout=60)
        timeout = aiohttp.ClientTimeout(total=20)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
            while not self._stopping:
                tenant = self.tenants[turn % len(self.tenants)]
                turn += 1
                began = time.monotonic()
                try:
                    kind, status, slots = await client(session, tenant)
                    error = ""
                except (
                    aiohttp.ClientError,
                    TimeoutError,
                    OSError,
                    TypeError,
                    AssertionError,
                ) as cause:
                    kind, status, slots = client.__name__, 0, set()
                    error = f"{type(cause).__name__}: {cause}"
                ended = time.monotonic()
                self.seen.append(Seen(kind, tenant, began, ended, status, frozenset(slots), error))
                async with self._news:
                    self._news.notify_all()
                await asyncio.sleep(PAUSE_S)

    async def _http(self, session: aiohttp.ClientSession, tenant: str):
        async with session.get(f"{self.url}/api/jobs?limit=1", headers=_named(tenant)) as answer:
            body = await answer.json()
            slots = {answer.headers["X-Turnout-Slot"], answer.headers["X-ERP-Slot"]}
            return "http", answer.status, slots | {body["served_by"]["slot"]}

    async def _socket(self, session: aiohttp.ClientSession, tenant: str):
        url = f"{self.url}/ws/dashboard"
        async with session.ws_connect(url, headers=_named(tenant)) as socket:
            slots = {socket._response.headers["X-Turnout-Slot"]}
            slots.add((await socket.receive_json(timeout=10))["slot"])
            await socket.send_str("ping")
            while (message := await socket.receive_str(timeout=10)) != "pong":
                slots.add(json.loads(message)["slot"])
            return "websocket", 101, slots

    async def _stream(self, session: aiohttp.ClientSession, tenant: str):
        url = f"{self.url}/events?interval_ms=20&count=4"
        async with session.get(url, headers=_named(tenant)) as answer:
            slots = {answer.headers["X-Turnout-Slot"]}
            text = await answer.text()
            assert text.count("event: tick") == 4, f"the stream broke off: {text[-100:]!r}"
            return "sse", answer.status, slots


def _named(tenant: str) -> dict[str, str]:
    return {"X-Tenant-ID": tenant}


def expected_slot(table: RoutingTable, tenant: str) -> str:
    decision = decide(table, Policy(), tenant)
    assert isinstance(decision, Forward)
    return str(decision.slot)


def misrouted(seen: Iterable[Seen], changes: list[Acknowledged]) -> list[tuple[Seen, str]]:
    """Requests that met another slot than the last acknowledged change sends them to.

    Invariant 1: a request begun after ack(k) and before change k + 1 was sent goes where k's
    table says. If it was still under way when k + 1 was sent, the proxy may have seen it after.
    What began between a change and its ack may go either way, and is not looked at.
    """
    wrong = []
    for request in seen:
        began = request.began
        if request.failed or any(change.sent <= began < change.acked for change in changes):
            continue
        settled = [change for change in changes if change.acked <= began]
        if not settled:
            continue
        tables = [settled[-1].table]
        tables += [change.table for change in changes if began < change.sent < request.ended]
        allowed = {expected_slot(table, request.tenant) for table in tables}
        if len(request.slots) != 1 or not request.slots <= allowed:
            wrong.append((request, expected_slot(tables[0], request.tenant)))
    return wrong


def table_of(answer: dict[str, object]) -> RoutingTable:
    """The table that GET /v1/routing shows."""
    beside = {"published_version", "converged", "pending"}
    return decode_table(
        json.dumps({"schema": 1, **{n: answer[n] for n in answer if n not in beside}}).encode()
    )
