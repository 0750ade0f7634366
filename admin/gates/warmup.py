"""Warm-up: safe requests to every endpoint of standby, until the latency of each has settled.

Rules:
1. Batches of one endpoint are of the same requests, so that their medians can be compared.
2. Bounded in number, in rate and in time; an endpoint that has settled gets no more.
"""

import asyncio
from itertools import cycle, islice
from time import monotonic

from admin.gates.asking import Ask, Asker, NoAnswerError, Table, asking, endpoints_of
from admin.gates.bounded import bounded
from admin.gates.config import Http, WarmUp
from admin.gates.model import NAMED, About, Finding, Measured, Outcome, UnmeasuredError
from admin.gates.requests import listed, sampled
from admin.gates.settle import Batch, batch_of, why_not
from proxy.routing.model import Endpoint

_LEFT_S = 1.0
"""So long before the gate's own time-out it stops, to say how far it came."""


class WarmUpGate:
    """Warms standby up. It says how warm each endpoint became."""

    name = "warm-up"

    def __init__(self, settings: WarmUp, http: Http, table: Table) -> None:
        self._settings, self._http, self._table = settings, http, table

    async def measure(self, about: About) -> Finding:
        """See `Gate`."""
        return await bounded(self.name, self._settings.limit_s, self._measure(about))

    async def _measure(self, about: About) -> Measured:
        asks = await self._asks(about)
        endpoints = await endpoints_of(self._table, about.standby)
        async with asking(self._http) as asker:
            warming = _Warming(self._settings, asker, asks)
            await warming.run(endpoints)
        return warming.found(about)

    async def _asks(self, about: About) -> list[Ask]:
        own = self._settings
        asks = await listed(own.file, about, self._http.tenants) if own.file else []
        if own.sample_file:
            asks += await sampled(own.sample_file, about, own.sample_requests)
        if not asks:
            raise UnmeasuredError("no requests to warm up with: set releases.gates.warm_up.file")
        return asks


class _Warming:
    """One warm-up: how many requests were sent, and the batches of each endpoint."""

    def __init__(self, settings: WarmUp, asker: Asker, asks: list[Ask]) -> None:
        self._settings, self._asker = settings, asker
        repeats = -(-settings.batch // len(asks))
        self._batch = list(islice(cycle(asks), repeats * len(asks)))
        self._next = monotonic()
        self._ends = self._next + max(settings.limit_s - _LEFT_S, settings.limit_s / 2)
        self._sent = 0
        self._batches: dict[Endpoint, list[Batch]] = {}
        self._why: dict[Endpoint, str] = {}

    async def run(self, endpoints: tuple[Endpoint, ...]) -> None:
        """Batch by batch, all endpoints in turn."""
        left = list(endpoints)
        self._batches = {endpoint: [] for endpoint in endpoints}
        self._why = dict.fromkeys(endpoints, "nothing was sent")
        while left and self._has_room():
            for endpoint in left:
                if self._has_room():
                    await self._send(endpoint)
            for endpoint in left:
                self._why[endpoint] = why_not(self._batches[endpoint], self._settings.wanted)
            left = [endpoint for endpoint in left if self._why[endpoint]]

    def _has_room(self) -> bool:
        whole = self._sent + len(self._batch) <= self._settings.requests
        return whole and monotonic() < self._ends

    async def _send(self, endpoint: Endpoint) -> None:
        """One batch; one that there was no time for counts for nothing."""
        took: list[float] = []
        count = 0
        async with asyncio.TaskGroup() as group:
            for ask in self._batch:
                await self._turn()
                if monotonic() > self._ends:
                    break
                group.create_task(self._one(endpoint, ask, took), name="warm-up")
                count += 1
        self._sent += count
        if count == len(self._batch):
            self._batches[endpoint].append(batch_of(took, count, count - len(took)))

    async def _one(self, endpoint: Endpoint, ask: Ask, took: list[float]) -> None:
        limit_s = min(self._settings.timeout_s, max(self._ends - monotonic(), 0.1))
        try:
            reply = await self._asker.ask(endpoint, ask, limit_s)
        except NoAnswerError:
            return
        if reply.status < 400:
            took.append(reply.took_ms)

    async def _turn(self) -> None:
        """Keep the rate."""
        now = monotonic()
        self._next = max(self._next, now) + 1 / self._settings.per_s
        await asyncio.sleep(max(0.0, self._next - 1 / self._settings.per_s - now))

    def found(self, about: About) -> Measured:
        """How warm it became."""
        shown = list(self._batches.items())[:NAMED]
        evidence = {
            "sent": self._sent,
            "endpoints": {
                str(endpoint): {
                    "batches": len(batches),
                    "first_ms": round(batches[0].median_ms, 2) if batches else None,
                    "last_ms": round(batches[-1].median_ms, 2) if batches else None,
                    "failures": sum(batch.failures for batch in batches),
                }
                for endpoint, batches in shown
            },
        }
        cold = [(endpoint, why) for endpoint, why in self._why.items() if why]
        count = len(self._batches)
        if cold:
            endpoint, why = cold[0]
            detail = (
                f"{len(cold)} of {count} endpoints of {about.standby} have not settled after"
                f" {self._sent} requests: {endpoint}: {why}"
            )
            return Measured(Outcome.FAILED, detail, evidence)
        slowest = max(batches[-1].median_ms for batches in self._batches.values())
        detail = f"settled at {slowest:.1f} ms after {self._sent} requests to {count} endpoints"
        return Measured(Outcome.PASSED, detail, evidence)
