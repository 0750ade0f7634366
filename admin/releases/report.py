"""A release's report: what happened, as a document, and as one page that needs nothing else. Pure.

Plots are drawn as SVG from the same figures that the document has.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined

from proxy.routing.model import Slot
from proxy.routing.windows import COHORTS, Figures, Window, added, by_second, quantile

POINTS: Final = 240
"""So many moments at most that a plot shows; more are added up."""
_WIDTH: Final = 640.0
_HEIGHT: Final = 120.0
PLOTS: Final = (
    ("requests_per_s", "Requests a second"),
    ("errors_percent", "Errors, % of requests"),
    ("average_ms", "Response time, average, ms"),
    ("p95_ms", "Response time, 95th percentile, ms at most"),
)


@dataclass(frozen=True, slots=True)
class Moment:
    """Some seconds of one slot. second: the first of them. Shares are None where there were no requests."""

    second: int
    requests_per_s: float
    errors_percent: float | None
    average_ms: float | None
    p95_ms: float | None


def traffic(windows: Iterable[Window], points: int = POINTS) -> dict[str, list[Moment]]:
    """By slot, over time: as many moments as there is room for, evenly long."""
    seconds = by_second(windows)
    if not seconds:
        return {str(slot): [] for slot in Slot}
    first, last = min(seconds), max(seconds)
    length = -(-(last - first + 1) // points)
    found: dict[str, list[Moment]] = {str(slot): [] for slot in Slot}
    for begin in range(first, last + 1, length):
        some = [window for at in range(begin, begin + length) for window in seconds.get(at, ())]
        if not some:
            continue
        for slot in Slot:
            figures = added(
                window.groups[slot, cohort]
                for window in some
                for cohort in COHORTS
                if (slot, cohort) in window.groups
            )
            found[str(slot)].append(_moment(begin, length, figures))
    return found


def _moment(second: int, length: int, figures: Figures) -> Moment:
    if not figures.requests:
        return Moment(second, 0.0, None, None, None)
    bounds = quantile(figures.buckets, 0.95)
    p95 = None if bounds is None or bounds[1] is None else bounds[1] / 1000
    wrong = figures.failures + figures.broken
    return Moment(
        second,
        round(figures.requests / length, 2),
        round(100 * wrong / (figures.requests + figures.broken), 3),
        round(figures.latency_us / figures.requests / 1000, 3),
        p95,
    )


def switches(effects: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What was done to the routing, and how long it took. effects: name, kind, begun_at, detail."""
    return [
        {
            "effect": each["name"],
            "kind": each["kind"],
            "at": each["begun_at"],
            "version": each["detail"].get("version"),
            "ack_ms": each["detail"].get("ack_ms", each["detail"].get("took_ms")),
            "percent": each["detail"].get("percent"),
        }
        for each in effects
        if each["kind"] in {"weight", "cutover", "return"}
    ]


def hooks(effects: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What was run of the user's platform, and what it said last. effects: as for `switches`."""
    return [
        {
            "effect": each["name"],
            "at": each["begun_at"],
            "ended_at": each["ended_at"],
            "outcome": each["outcome"] or "unknown",
            "tries": each["tries"],
            "said": each["detail"].get("said") or each["detail"].get("why") or "",
        }
        for each in effects
        if each["kind"] == "hook"
    ]


def roles(events: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Who was active when it ended, and what each slot ran; None: it has not ended."""
    found = [each["body"]["roles"] for each in events if "roles" in each["body"]]
    return found[-1] if found else None


def people(events: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Who did what: rows of the trail that are somebody's."""
    return [
        {"at": each["at"], "who": each["actor"], "what": each["kind"], "body": each["body"]}
        for each in events
        if each["actor"] != "turnout"
    ]


def line(moments: Sequence[Moment], name: str, top: float, span: tuple[int, int]) -> list[str]:
    """A plot's line, as the points of SVG polylines: broken where nothing was measured."""
    first, last = span
    lines: list[list[str]] = [[]]
    for moment in moments:
        value = getattr(moment, name)
        if value is None:
            lines.append([])
            continue
        x = _WIDTH * (moment.second - first) / max(1, last - first)
        y = _HEIGHT * (1 - min(1.0, value / top)) if top else _HEIGHT
        lines[-1].append(f"{x:.1f},{y:.1f}")
    return [" ".join(points) for points in lines if points]


def plots(found: Mapping[str, Sequence[Moment]]) -> list[dict[str, Any]]:
    """All plots: title, the highest value, and each slot's lines."""
    moments = [moment for of_slot in found.values() for moment in of_slot]
    if not moments:
        return []
    span = min(each.second for each in moments), max(each.second for each in moments)
    made = []
    for name, title in PLOTS:
        values = [getattr(each, name) for each in moments]
        top = max((value for value in values if value is not None), default=0.0)
        lines = {slot: line(of_slot, name, top, span) for slot, of_slot in found.items()}
        made.append({"title": title, "top": top, "lines": lines})
    return made


_ENVIRONMENT: Final = Environment(
    loader=PackageLoader("admin.releases", ""), autoescape=True, undefined=StrictUndefined
)


def page(document: Mapping[str, Any], drawn: Sequence[Mapping[str, Any]]) -> str:
    """The page: one file, without scripts, that can be sent by mail."""
    template = _ENVIRONMENT.get_template("report.html")
    return template.render(report=document, plots=drawn, width=_WIDTH, height=_HEIGHT)


def page_of(document: Mapping[str, Any]) -> str:
    """The page of a report that came as JSON."""
    moments = {
        slot: [Moment(**each) for each in of_slot] for slot, of_slot in document["traffic"].items()
    }
    return page(document, plots(moments))
