"""The deployment board: the figures of both slots side by side, each with its verdict.

The rows are those of the strategy's "Deployment Dashboard": error rate, response time, requests per
second, database connections, cache hit rate, equipment. What nobody measured is said to be so, and
never shown as nought.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from admin.dashboard.model.words import percent, thousands
from proxy.routing.model import Slot

NOT_MEASURED = "not measured"
UNMEASURED = "unmeasured"


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
class Trigger:
    """One thing that the monitor watches. detail: in words. active, standby: its figures."""

    name: str
    level: str
    detail: str
    active: float | None = None
    standby: float | None = None


@dataclass(frozen=True, slots=True)
class Judged:
    """The monitor's verdict. level: the worst. measured: names of what was looked at."""

    level: str
    triggers: Sequence[Trigger] = ()
    measured: Sequence[str] = ()


def judged(document: Mapping[str, Any] | None) -> Judged | None:
    """A verdict as plain JSON has it; None without one."""
    if not document:
        return None
    triggers = tuple(_trigger(each) for each in document.get("triggers") or ())
    measured = tuple(str(each) for each in document.get("measured") or ())
    return Judged(str(document.get("level", UNMEASURED)), triggers, measured)


def _trigger(document: Mapping[str, Any]) -> Trigger:
    name, level, detail = (str(document.get(each) or "") for each in ("name", "level", "detail"))
    return Trigger(name, level, detail, document.get("active"), document.get("standby"))


@dataclass(frozen=True, slots=True)
class Signal:
    """A figure from outside, of one or both slots. unit: as "%", or empty."""

    active: float | None = None
    standby: float | None = None
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Equipment:
    """Devices by slot. there, of: of a drain's roll, how many are connected of how many were;
    None without one.
    """  # noqa: D205 - one sentence a field

    active: int
    standby: int
    there: int | None = None
    of: int | None = None


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


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the board. level: normal, warning, critical, unmeasured, or watched: measured, and
    judged by nobody. detail: the monitor's words.
    """  # noqa: D205 - one sentence a field

    name: str
    active: str
    standby: str
    level: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Board:
    """The board. seconds: what its figures are of. level: the worst of all. details: what the monitor
    found beside its rows.
    """  # noqa: D205 - one sentence a field

    active: str
    standby: str
    seconds: int
    rows: Sequence[Row]
    level: str = "unmeasured"
    details: Sequence[str] = field(default_factory=tuple)


def totals(seconds: Iterable[Second]) -> dict[Slot, Totals]:
    """Each slot's requests, of all its cohorts. Empty: nothing was measured."""
    found: dict[Slot, Totals] = {}
    for second in seconds:
        for (slot, _), figures in second.groups.items():
            found[slot] = found.get(slot, Totals()).plus(figures)
    return found


def board(
    active: Slot,
    seconds: int,
    measured: Mapping[Slot, Totals],
    signals: Mapping[str, Signal],
    equipment: Equipment | None,
    verdict: Judged | None,
) -> Board:
    """The board of these figures. measured: each slot's requests in so many seconds."""
    one, other = measured.get(active), measured.get(active.other)
    said = signals_of(verdict) | dict(signals)
    rate, cache = said.get("database-connections"), said.get("cache-hit-rate")
    triggers = () if verdict is None else verdict.triggers
    drawn: list[tuple[str, str, str, str]] = [
        ("Error rate", "error-rate", _error_rate(one), _error_rate(other)),
        ("Avg response time", "response-time", _response_time(one), _response_time(other)),
        ("Requests/s", "requests", _per_second(one, seconds), _per_second(other, seconds)),
        ("Database connections", "signal:database-connections", *_signal(rate)),
        ("Cache hit rate", "signal:cache-hit-rate", *_signal(cache)),
        ("Equipment connected", "equipment", *_equipment(equipment)),
    ]
    known = {trigger for _, trigger, _, _ in drawn}
    return Board(
        str(active),
        str(active.other),
        seconds,
        [_row(*each, verdict) for each in drawn],
        "watched" if verdict is None and measured else _level_of(verdict),
        [
            f"{each.name}: {each.detail}"
            for each in triggers
            if each.name not in known and each.level in {"warning", "critical"}
        ],
    )


def signals_of(verdict: Judged | None) -> dict[str, Signal]:
    """Figures from outside that the monitor has looked at."""
    return {
        each.name.removeprefix("signal:"): Signal(each.active, each.standby)
        for each in (() if verdict is None else verdict.triggers)
        if each.name.startswith("signal:")
    }


def _level_of(verdict: Judged | None) -> str:
    return "unmeasured" if verdict is None else str(verdict.level)


def _row(name: str, trigger: str, active: str, standby: str, verdict: Judged | None) -> Row:
    if {active, standby} == {NOT_MEASURED}:
        return Row(name, active, standby, "unmeasured")
    found = {each.name: each for each in verdict.triggers} if verdict else {}
    if trigger in found:
        level, detail = found[trigger].level, found[trigger].detail
        return Row(name, active, standby, level, detail if level != "normal" else "")
    judged = verdict is not None and trigger in verdict.measured
    return Row(name, active, standby, "normal" if judged else "watched")


def _error_rate(of: Totals | None) -> str:
    if of is None or not of.requests:
        return NOT_MEASURED
    return percent(round(of.failures * 100 / of.requests, 2))


def _response_time(of: Totals | None) -> str:
    if of is None or not of.timed:
        return NOT_MEASURED
    ms = of.latency_us / of.timed / 1000
    return f"{ms:.1f} ms" if ms < 10 else f"{thousands(round(ms))} ms"


def _per_second(of: Totals | None, seconds: int) -> str:
    if of is None or seconds <= 0:
        return NOT_MEASURED
    rate = of.requests / seconds
    return f"{rate:.1f}" if rate < 10 else thousands(round(rate))


def _signal(signal: Signal | None) -> tuple[str, str]:
    if signal is None:
        return NOT_MEASURED, NOT_MEASURED

    def shown(value: float | None) -> str:
        return NOT_MEASURED if value is None else f"{value:.6g}{signal.unit and ' ' + signal.unit}"

    return shown(signal.active), shown(signal.standby)


def _equipment(equipment: Equipment | None) -> tuple[str, str]:
    if equipment is None:
        return NOT_MEASURED, NOT_MEASURED

    active = thousands(equipment.active)
    if equipment.there is not None and equipment.of is not None:
        active = f"{thousands(equipment.there)}/{thousands(equipment.of)}"
    return active, thousands(equipment.standby)


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
