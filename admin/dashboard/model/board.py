"""The deployment board: the figures of both slots side by side, each with its threshold and verdict.

The rows are those of the strategy's "Deployment Dashboard" (error rate, response time, requests per
second, database connections, cache hit rate, equipment) and of its alert table (database CPU, failed
log-ins), and whatever else the settings name. What nobody measured is said to be so, with what to do
about it, and never shown as nought.

Rule: while a release is watched, the verdict is the monitor's. Otherwise figures are only held against
the thresholds, and the board says that this is all.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from admin.dashboard.model.figures import Totals
from admin.dashboard.model.row import NOT_MEASURED, RANK, Row, Threshold
from admin.dashboard.model.signals import SignalKnown, signal_rows
from admin.dashboard.model.verdict import Judged
from admin.dashboard.model.words import percent, thousands
from proxy.routing.model import Slot


@dataclass(frozen=True, slots=True)
class Limits:
    """The monitor's thresholds, as its settings have them. least: requests that a figure has to rest on.

    equipment: of devices that are missing.
    """

    error_rate: Threshold
    response_time: Threshold
    equipment: Threshold
    least: int


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
class Board:
    """The board. seconds: what its figures are of. level: the worst of all. details: what the monitor
    found beside its rows. is_judged: whether a release is watched.
    """  # noqa: D205 - one sentence a field

    active: str
    standby: str
    seconds: int
    rows: Sequence[Row]
    level: str = "unmeasured"
    details: Sequence[str] = field(default_factory=tuple)
    is_judged: bool = False


def board(
    active: Slot,
    seconds: int,
    measured: Mapping[Slot, Totals],
    signals: Mapping[str, SignalKnown],
    equipment: Equipment | None,
    verdict: Judged | None,
    limits: Limits,
) -> Board:
    """The board of these figures. measured: each slot's requests in so many seconds."""
    one, other = measured.get(active, Totals()), measured.get(active.other, Totals())
    known = bool(measured)
    drawn = [
        _rate("Error rate", "error-rate", (one, other), limits.error_rate, limits.least),
        _rate("Avg response time", "response-time", (one, other), limits.response_time, 1),
        _requests(one, other, seconds if known else 0),
        *signal_rows(signals, verdict, _WANTED),
        _equipment(equipment, verdict, limits.equipment),
        *signal_rows(signals, verdict, [name for name in signals if name not in _WANTED]),
    ]
    rows = [_judged(each, trigger, verdict) for trigger, each in drawn]
    triggers = () if verdict is None else verdict.triggers
    shown = {trigger for trigger, _ in drawn}
    return Board(
        str(active),
        str(active.other),
        seconds,
        rows,
        _worst(rows) if verdict is None else str(verdict.level),
        [
            f"{each.name}: {each.detail}"
            for each in triggers
            if each.name not in shown and each.level in {"warning", "critical"}
        ],
        verdict is not None,
    )


_WANTED = ("database-connections", "cache-hit-rate")
"""Signals that the strategy's board has, whether or not the settings name them."""


def _worst(rows: Iterable[Row]) -> str:
    return max((row.level for row in rows), key=RANK.index, default="unmeasured")


def _judged(row: Row, trigger: str, verdict: Judged | None) -> Row:
    """The row as the monitor judges it; without a verdict as it is."""
    if verdict is None or row.level == "unmeasured":
        return row
    found = {each.name: each for each in verdict.triggers}.get(trigger)
    if found is not None:
        detail = found.detail if found.level != "normal" else ""
        return replace(row, level=found.level, detail=detail)
    level = "normal" if trigger in verdict.measured else "watched"
    return replace(row, level=level, detail="")


# ── what was served ───────────────────────────────────────────────────────────────────────────


def _rate(
    name: str, trigger: str, of: tuple[Totals, Totals], threshold: Threshold, least: int
) -> tuple[str, Row]:
    """A figure of the requests of each slot, with its threshold."""
    figure, shown, change = _FIGURES[trigger]
    here, there = figure(of[0]), figure(of[1])
    active, standby = (NOT_MEASURED if each is None else shown(each) for each in (here, there))
    warning, critical = threshold.words
    row = Row(name, active, standby, "unmeasured", warning=warning, critical=critical)
    if here is None and there is None:
        return trigger, row
    enough = [
        value
        for value, each in zip((here, there), of, strict=True)
        if value is not None and each.requests >= least
    ]
    return trigger, replace(
        row,
        level=_level(threshold, enough),
        detail="" if enough else f"fewer than {least} requests",
        change="" if here is None or there is None else change(here, there),
    )


def _level(threshold: Threshold, values: Iterable[float]) -> str:
    levels = [threshold.level(value) for value in values]
    return max(levels, key=RANK.index, default="watched")


def _error_rate(of: Totals) -> float | None:
    return of.failures * 100 / of.requests if of.requests else None


def _response_ms(of: Totals) -> float | None:
    return of.latency_us / of.timed / 1000 if of.timed else None


def _percent(value: float) -> str:
    return percent(round(value, 2))


def _ms(value: float) -> str:
    return f"{value:.1f}\u202fms" if value < 10 else f"{thousands(round(value))}\u202fms"


def _points(one: float, other: float) -> str:
    points = round(other - one, 2)
    return _signed(f"{points:+.4g} points") if points else ""


def _part(one: float, other: float) -> str:
    part = round((other - one) * 100 / one) if one else 0
    return _signed(f"{part:+d}\u202f%") if part else ""


def _signed(text: str) -> str:
    """With the minus that is as wide as a plus."""
    return text.replace("-", "\u2212")


_FIGURES = {
    "error-rate": (_error_rate, _percent, _points),
    "response-time": (_response_ms, _ms, _part),
}


def _requests(one: Totals, other: Totals, seconds: int) -> tuple[str, Row]:
    """It has no threshold: a slot may have as few as the canary gives it."""

    def shown(of: Totals) -> str:
        if seconds <= 0:
            return NOT_MEASURED
        rate = of.requests / seconds
        return f"{rate:.1f}" if rate < 10 else thousands(round(rate))

    level = "watched" if seconds > 0 else "unmeasured"
    return "requests", Row("Requests/s", shown(one), shown(other), level)


# ── equipment ─────────────────────────────────────────────────────────────────────────────────

_CENSUS = "[[proxy.census]]"


def _equipment(
    equipment: Equipment | None, verdict: Judged | None, threshold: Threshold
) -> tuple[str, Row]:
    name, bounds = "Equipment connected", (f"{threshold.warning:g}", f"{threshold.critical:g}")
    warning, critical = (f"{bound} missing" for bound in bounds)
    found = {each.name: each for each in (verdict.triggers if verdict else ())}.get("equipment")
    if found is not None and found.standby is not None and found.active is not None:
        there, of = round(found.standby), round(found.active)
    elif equipment is not None and equipment.of is not None and equipment.there is not None:
        there, of = equipment.there, equipment.of
    elif equipment is not None:
        here, other = thousands(equipment.active), thousands(equipment.standby)
        return "equipment", Row(name, here, other, "watched", warning=warning, critical=critical)
    else:
        detail = "no worker names devices"
        told = (name, "", "", "unmeasured", detail, NOT_MEASURED, "", warning, critical, _CENSUS)
        return "equipment", Row(*told)
    # "at least so many missing" is what the monitor's settings mean.
    missing = of - there
    level = "normal" if missing < threshold.warning else "warning"
    level = "critical" if missing >= threshold.critical else level
    both = f"{thousands(there)}/{thousands(of)}"
    return "equipment", Row(name, "", "", level, both=both, warning=warning, critical=critical)
