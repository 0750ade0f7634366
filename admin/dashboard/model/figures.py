"""What was served, second by second: added up by slot, and as lines over time. Pure."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from proxy.routing.model import Slot


class Counted(Protocol):
    """Finished requests of one slot and cohort. See `proxy.routing.windows.Figures`."""

    @property
    def requests(self) -> int:
        """How many."""
        ...

    @property
    def statuses(self) -> Sequence[int]:
        """How many of 1xx … 5xx."""
        ...

    @property
    def broken(self) -> int:
        """How many broke off at the endpoint, without an answer."""
        ...

    @property
    def latency_us(self) -> int:
        """Their times added up, microseconds."""
        ...


class Second(Protocol):
    """One second of one node. See `proxy.routing.windows.Window`."""

    @property
    def second(self) -> int:
        """POSIX seconds."""
        ...

    @property
    def groups(self) -> Mapping[tuple[Slot, str], Counted]:
        """Figures by slot and cohort."""
        ...


@dataclass(frozen=True, slots=True)
class Totals:
    """A slot's requests over some seconds. timed: those that were answered. failures: answers of 500
    and above, and what broke off at the endpoint; as the monitor counts them.
    """  # noqa: D205 - one sentence a field

    requests: int = 0
    failures: int = 0
    timed: int = 0
    latency_us: int = 0

    def plus(self, figures: Counted) -> "Totals":
        """With these too."""
        return Totals(
            self.requests + figures.requests + figures.broken,
            self.failures + figures.statuses[4] + figures.broken,
            self.timed + figures.requests,
            self.latency_us + figures.latency_us,
        )


def totals(seconds: Iterable[Second]) -> dict[Slot, Totals]:
    """Each slot's requests, of all its cohorts. Empty: nothing was measured."""
    found: dict[Slot, Totals] = {}
    for second in seconds:
        for (slot, _), figures in second.groups.items():
            found[slot] = found.get(slot, Totals()).plus(figures)
    return found


@dataclass(frozen=True, slots=True)
class Plot:
    """Lines over time, as uPlot takes them. times: POSIX seconds. lines: slot → a value a second."""

    times: Sequence[int]
    lines: Mapping[str, Sequence[float | None]]
    unit: str


def plots(seconds: Iterable[Second]) -> dict[str, Plot]:
    """Error rate, response time and requests per second, by slot. A second without is None."""
    by_second: dict[int, dict[Slot, Totals]] = {}
    for each in seconds:
        here = by_second.setdefault(each.second, {})
        for (slot, _), figures in each.groups.items():
            here[slot] = here.get(slot, Totals()).plus(figures)
    times = list(range(min(by_second), max(by_second) + 1)) if by_second else []

    def lines(value: Callable[[Totals | None], float | None]) -> dict[str, list[float | None]]:
        return {
            str(slot): [value(by_second.get(at, {}).get(slot)) for at in times] for slot in Slot
        }

    return {
        "errors": Plot(times, lines(_error_percent), "%"),
        "latency": Plot(times, lines(_milliseconds), "ms"),
        "requests": Plot(times, lines(_requests), "/s"),
    }


def _error_percent(of: Totals | None) -> float | None:
    return round(of.failures * 100 / of.requests, 3) if of and of.requests else None


def _milliseconds(of: Totals | None) -> float | None:
    return round(of.latency_us / of.timed / 1000, 2) if of and of.timed else None


def _requests(of: Totals | None) -> float | None:
    return None if of is None else float(of.requests)
