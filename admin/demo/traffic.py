"""Live traffic from many tenants, through the proxy: requests, WebSockets, SSE.

Rules: the rate is bounded by a schedule that doesn't catch up in bursts; jobs that are made are
deleted again, so that the database doesn't grow; a stream that ends is opened again. Nothing is
drawn by chance: the n-th request is the same in every run.
"""

import asyncio
import contextlib
import time
from collections import defaultdict, deque
from collections.abc import Sequence

import aiohttp

from admin.demo.figures import Figures

NAMES = tuple(
    """acme globex linotype quarto gutenberg letterpress offset folio octavo vellum serif garamond
    bodoni caslon baskerville futura helvetica courier paperworks inkwell pressroom bindery halftone
    bleed initech umbrella hooli wonka aperture monarch sterling prestige nakatomi weyland dunder
    vandelay soylent stark wayne tyrell""".split()  # noqa: SIM905 - forty quoted names read worse
)
CLIENTS_AT_MOST = 64
STREAMS = 4
JOBS_KEPT = 10
"""Jobs of each tenant that stay before the oldest is deleted."""
ANSWER_S = 15.0
STREAM_SILENCE_S = 30.0
PAUSE_S = 0.25
BEHIND_S = 0.1


def tenant_names(count: int) -> list[str]:
    """As many tenants as wanted: print shops by name, then by number."""
    return [*NAMES[:count], *(f"shop-{number}" for number in range(len(NAMES) + 1, count + 1))]


class Pace:
    """Lets so many through a second, evenly."""

    def __init__(self, rate: float) -> None:
        self._step = 1 / rate
        self._next = 0.0
        self.taken = 0

    def take(self, now: float) -> tuple[int, float]:
        """The next turn: its number, and how many seconds it is away."""
        self._next = max(self._next + self._step, now - BEHIND_S)
        self.taken += 1
        return self.taken - 1, max(0.0, self._next - now)

    async def turn(self) -> int:
        """Wait for one's turn; its number."""
        number, wait_s = self.take(time.monotonic())
        await asyncio.sleep(wait_s)
        return number


class Traffic:
    """All clients. Ended by cancelling `run`."""

    def __init__(self, proxy: str, tenants: Sequence[str], rate: int, figures: Figures) -> None:
        self._proxy, self._tenants, self._figures = proxy, tenants, figures
        self._pace = Pace(rate)
        self._clients = min(CLIENTS_AT_MOST, max(4, rate // 8))
        self._jobs: defaultdict[str, deque[str]] = defaultdict(deque)

    async def run(self) -> None:
        """Until cancelled."""
        connector = aiohttp.TCPConnector(limit=CLIENTS_AT_MOST + 2 * STREAMS)
        timeout = aiohttp.ClientTimeout(total=ANSWER_S)
        async with (
            aiohttp.ClientSession(self._proxy, connector=connector, timeout=timeout) as session,
            asyncio.TaskGroup() as group,
        ):
            for _ in range(self._clients):
                group.create_task(self._client(session), name="load client")
            for tenant in self._tenants[:STREAMS]:
                group.create_task(self._stream(session, tenant, "ws"), name=f"ws {tenant}")
                group.create_task(self._stream(session, tenant, "sse"), name=f"sse {tenant}")

    async def _client(self, session: aiohttp.ClientSession) -> None:
        while True:
            number = await self._pace.turn()
            tenant = self._tenants[number % len(self._tenants)]
            # One round of all tenants reads nine times, then writes once.
            is_write = number // len(self._tenants) % 10 == 9
            try:
                await (self._write if is_write else self._read)(session, tenant)
            except (aiohttp.ClientError, OSError) as error:
                self._figures.error(f"no answer: {type(error).__name__}")
                await asyncio.sleep(PAUSE_S)
            except TimeoutError:
                self._figures.error(f"no answer within {ANSWER_S:.0f} s")

    async def _read(self, session: aiohttp.ClientSession, tenant: str) -> None:
        await self._exchange(session, tenant, "GET", "/api/jobs?limit=5", 200)

    async def _write(self, session: aiohttp.ClientSession, tenant: str) -> None:
        jobs = self._jobs[tenant]
        if len(jobs) >= JOBS_KEPT:
            await self._exchange(session, tenant, "DELETE", f"/api/jobs/{jobs.popleft()}", 204)
            return
        body = {"title": "500 business cards", "quantity": 500}
        location = await self._exchange(session, tenant, "POST", "/api/jobs", 201, body)
        if location:
            jobs.append(location.rpartition("/")[2])

    async def _exchange(
        self,
        session: aiohttp.ClientSession,
        tenant: str,
        method: str,
        path: str,
        wanted: int,
        body: object = None,
    ) -> str:
        """One request, counted. The answer's Location; empty without one."""
        began = time.monotonic()
        async with session.request(
            method, path, json=body, headers={"X-Tenant-ID": tenant}
        ) as response:
            await response.read()
            now = time.monotonic()
            if response.status != wanted:
                self._figures.error(f"{response.status} to {method}")
                return ""
            slot = response.headers.get("X-Turnout-Slot", "")
            self._figures.answer(now, tenant, slot, now - began)
            return response.headers.get("Location", "")

    async def _stream(self, session: aiohttp.ClientSession, tenant: str, kind: str) -> None:
        """A stream, opened again whenever it ends: that is no error, it is how a client lives."""
        follow = self._follow_ws if kind == "ws" else self._follow_sse
        while True:
            with contextlib.suppress(aiohttp.ClientError, OSError, TimeoutError):
                await follow(session, tenant)
            self._figures.reconnects += 1
            await asyncio.sleep(PAUSE_S)

    async def _follow_ws(self, session: aiohttp.ClientSession, tenant: str) -> None:
        timeout = aiohttp.ClientWSTimeout(ws_receive=STREAM_SILENCE_S)
        async with session.ws_connect(
            "/ws/dashboard", headers={"X-Tenant-ID": tenant}, timeout=timeout
        ) as socket:
            slot = ""
            try:
                async for message in socket:
                    if message.type is aiohttp.WSMsgType.TEXT and not slot:
                        slot = message.json().get("slot", "")
                        self._figures.streams[slot] += 1
            finally:
                self._figures.streams[slot] -= bool(slot)

    async def _follow_sse(self, session: aiohttp.ClientSession, tenant: str) -> None:
        timeout = aiohttp.ClientTimeout(total=None, sock_read=STREAM_SILENCE_S)
        headers = {"X-Tenant-ID": tenant, "Accept": "text/event-stream"}
        async with session.get(
            "/events?interval_ms=1000", headers=headers, timeout=timeout
        ) as response:
            response.raise_for_status()
            slot = response.headers.get("X-Turnout-Slot", "")
            self._figures.streams[slot] += 1
            try:
                async for _ in response.content:
                    pass
            finally:
                self._figures.streams[slot] -= 1
