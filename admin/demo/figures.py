"""What the load measures, and what it amounts to over the last seconds.

Pure: times are passed in (seconds, monotonic). Rules: answers are kept for WINDOW_S and then
dropped, so memory is bounded by the rate; errors are counted for ever, by kind, and kinds are
bounded too. An error is what a client would call one: no answer, or one that wasn't asked for.
"""

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field

WINDOW_S = 5.0
MAX_KINDS = 20
SLOTS = ("blue", "green")


@dataclass(frozen=True, slots=True)
class SlotFigures:
    """One slot over the window. p50, p99: milliseconds, None without an answer."""

    per_second: float
    p50: float | None
    p99: float | None
    tenants: int
    streams: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The load as it is. elapsed: seconds since the start. errors: since the start, by kind."""

    elapsed: float
    answered: int
    per_second: float
    errors: Mapping[str, int]
    slots: Mapping[str, SlotFigures]
    reconnects: int

    @property
    def failed(self) -> int:
        """Errors since the start."""
        return sum(self.errors.values())


@dataclass(slots=True)
class Figures:
    """Counts. began: when the load began."""

    began: float
    answered: int = 0
    reconnects: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    streams: Counter[str] = field(default_factory=Counter)
    _recent: deque[tuple[float, str, str, float]] = field(default_factory=deque)

    def answer(self, now: float, tenant: str, slot: str, seconds: float) -> None:
        """A request was answered as it should be."""
        self.answered += 1
        self._recent.append((now, tenant, slot, seconds))
        self._forget(now)

    def error(self, kind: str) -> None:
        """A request failed. kind: a few words."""
        known = kind in self.errors or len(self.errors) < MAX_KINDS
        self.errors[kind if known else "other"] += 1

    def snapshot(self, now: float) -> Snapshot:
        """What it amounts to now."""
        self._forget(now)
        # The first seconds are no window yet.
        seconds = max(0.001, min(WINDOW_S, now - self.began))
        last_slot = {tenant: slot for _, tenant, slot, _ in self._recent}
        return Snapshot(
            now - self.began,
            self.answered,
            len(self._recent) / seconds,
            dict(self.errors),
            {slot: self._slot(slot, seconds, last_slot) for slot in SLOTS},
            self.reconnects,
        )

    def _slot(self, slot: str, seconds: float, last_slot: Mapping[str, str]) -> SlotFigures:
        times = sorted(took for _, _, served_by, took in self._recent if served_by == slot)
        return SlotFigures(
            len(times) / seconds,
            percentile(times, 0.50),
            percentile(times, 0.99),
            sum(served_by == slot for served_by in last_slot.values()),
            self.streams[slot],
        )

    def _forget(self, now: float) -> None:
        while self._recent and self._recent[0][0] < now - WINDOW_S:
            self._recent.popleft()


def percentile(ordered: list[float], share: float) -> float | None:
    """The nearest-rank percentile of sorted seconds, in milliseconds; None of nothing."""
    if not ordered:
        return None
    rank = max(1, -(-len(ordered) * round(share * 100) // 100))
    return ordered[rank - 1] * 1000
