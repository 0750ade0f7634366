"""Performance: the same safe requests to standby and to active, in turns, compared.

Rules:
1. A pair is two requests, one right after the other; who is first changes from round to round, so
   that what one leaves in a shared database's cache helps both alike.
2. Rounds until there are enough, or the time is nearly over; a first round is sent and not counted.
3. An answer that tells of a fault at standby, and not at active, fails. If active fails too, there is
   nothing to compare with.
"""

from time import monotonic

from admin.gates.asking import Ask, Asker, NoAnswerError, Table, asking, endpoints_of
from admin.gates.bounded import bounded
from admin.gates.compare import Bounds, Pair, judge
from admin.gates.config import Http, Performance
from admin.gates.model import NAMED, About, Finding, Measured, Outcome, UnmeasuredError
from admin.gates.requests import listed
from proxy.routing.model import Endpoint

_LEFT = 0.9
"""The share of its time-out that is used for rounds."""


class PerformanceGate:
    """Compares both slots. file: the list of requests, if the settings name none of their own."""

    name = "performance"

    def __init__(self, settings: Performance, http: Http, table: Table, file: str = "") -> None:
        self._settings, self._http, self._table = settings, http, table
        self._file = settings.file or file

    async def measure(self, about: About) -> Finding:
        """See `Gate`."""
        return await bounded(self.name, self._settings.limit_s, self._measure(about))

    async def _measure(self, about: About) -> Measured:
        if not self._file:
            raise UnmeasuredError("no requests to compare: set releases.gates.performance.file")
        asks = await listed(self._file, about, self._http.tenants)
        standby = await endpoints_of(self._table, about.standby)
        active = await endpoints_of(self._table, about.active)
        async with asking(self._http) as asker:
            rounds = _Rounds(self._settings, asker, standby, active)
            await rounds.run(asks)
        return rounds.found()


class _Rounds:
    def __init__(
        self,
        settings: Performance,
        asker: Asker,
        standby: tuple[Endpoint, ...],
        active: tuple[Endpoint, ...],
    ) -> None:
        self._settings, self._asker = settings, asker
        self._standby, self._active = standby, active
        self._pairs: dict[str, list[Pair]] = {}
        self._failed: dict[str, int] = {}
        self._active_failed: dict[str, int] = {}
        self._ends = monotonic() + settings.limit_s * _LEFT

    async def run(self, asks: list[Ask]) -> None:
        """All rounds, of all requests."""
        for number in range(self._settings.rounds + 1):
            for ask in asks:
                if monotonic() > self._ends:
                    return
                await self._pair(ask, number)

    async def _pair(self, ask: Ask, number: int) -> None:
        standby = self._standby[number % len(self._standby)]
        active = self._active[number % len(self._active)]
        took: dict[bool, float | None] = {}
        for of_standby in (True, False) if number % 2 else (False, True):
            took[of_standby] = await self._one(ask, standby if of_standby else active)
        if monotonic() > self._ends:
            return  # one that was cut off says nothing
        new, old = took[True], took[False]
        if old is None:
            self._active_failed[ask.name] = self._active_failed.get(ask.name, 0) + 1
        elif new is None:
            self._failed[ask.name] = self._failed.get(ask.name, 0) + 1
        elif number:
            self._pairs.setdefault(ask.name, []).append((new, old))

    async def _one(self, ask: Ask, endpoint: Endpoint) -> float | None:
        """Milliseconds; None: no good answer."""
        limit_s = min(self._settings.timeout_s, max(self._ends - monotonic(), 0.01))
        try:
            reply = await self._asker.ask(endpoint, ask, limit_s)
        except NoAnswerError:
            return None
        return reply.took_ms if reply.status < 400 else None

    def found(self) -> Measured:
        """What the rounds came to."""
        evidence: dict[str, object] = {
            "failed_on_standby": dict(list(self._failed.items())[:NAMED]),
            "failed_on_active": dict(list(self._active_failed.items())[:NAMED]),
        }
        if self._failed:
            name, count = next(iter(self._failed.items()))
            detail = f"standby failed {count} times where active did not: {name}"
            return Measured(Outcome.FAILED, detail, evidence)
        if self._active_failed:
            name, count = next(iter(self._active_failed.items()))
            detail = f"active failed {count} times, so there is nothing to compare with: {name}"
            return Measured(Outcome.UNMEASURED, detail, evidence)
        own = self._settings
        judged = judge(
            self._pairs,
            Bounds(own.fail_above, own.warn_above, own.slower_ms, own.least_rounds, own.confidence),
        )
        return Measured(judged.outcome, judged.detail, {**judged.evidence, **evidence})
