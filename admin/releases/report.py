"""A release's report: what happened, as a document, and as one page that needs nothing else. Pure.

Plots are drawn as SVG from the same figures that the document has.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined

from admin.releases.kept import LENGTH_S, Interval
from admin.releases.plots import LEFT, RIGHT, WIDTH, Series, plot
from proxy.routing.model import Slot
from proxy.routing.windows import BOUNDS_US, COHORTS, added, quantile

POINTS: Final = 480
"""So many moments about at most that a plot shows; more are added up."""
PLOTS: Final = (
    ("requests_per_s", "Requests", "a second"),
    ("errors_percent", "Errors: answers of 500 and above, and answers that broke off", "%"),
    ("average_ms", "Response time, average", "ms"),
    ("p50_ms", "Response time, 50th percentile: half took no longer", "ms"),
    ("p95_ms", "Response time, 95th percentile", "ms"),
    ("p99_ms", "Response time, 99th percentile", "ms"),
    ("connect_failures_per_s", "Connections that could not be made", "a second"),
    ("connections", "Connections to endpoints", ""),
)
_SWITCHES: Final = {"cutover": "cutover", "return": "back"}
_EVENTS: Final = {
    "begun": "begun",
    "fault": "fault",
    "rollback": "rollback",
    "abort": "abort",
    "pause": "paused",
    "resume": "resumed",
    "overtake": "overtaken",
}


@dataclass(frozen=True, slots=True)
class Moment:
    """Some seconds of one slot. second: the first of them; length_s: how many.

    Shares and times are None where there were no requests; a percentile is estimated within its
    bucket of the histogram, and None also above its last bound, 10 s. connections: at its end. cohorts: requests by cohort.
    """

    second: int
    requests_per_s: float
    errors_percent: float | None
    average_ms: float | None
    p95_ms: float | None
    p50_ms: float | None = None
    p99_ms: float | None = None
    connect_failures_per_s: float = 0.0
    connections: int = 0
    length_s: float = 1.0
    statuses: Sequence[int] = ()
    broken: int = 0
    cohorts: Mapping[str, int] = field(default_factory=dict)


PICTURE: Final = {"width": WIDTH, "left": LEFT, "right": RIGHT}
"""What the template of a plot has to know of its measures."""


def traffic(intervals: Sequence[Interval], points: int = POINTS) -> dict[str, list[Moment]]:
    """By slot, over time: as many moments as there is room for. intervals: the oldest first."""
    found: dict[str, list[Moment]] = {str(slot): [] for slot in Slot}
    if not intervals:
        return found
    whole = intervals[-1].begins + intervals[-1].length_s - intervals[0].begins
    length = max(LENGTH_S, -(-whole // points))
    together: defaultdict[int, list[Interval]] = defaultdict(list)
    for each in intervals:
        together[each.begins // length].append(each)
    for some in together.values():
        covered = sum(each.told_ms / 1000 / max(1, each.nodes) for each in some)
        for slot in Slot:
            found[str(slot)].append(_moment(slot, some, covered or float(LENGTH_S)))
    return found


def _moment(slot: Slot, some: Sequence[Interval], covered: float) -> Moment:
    cohorts = {
        cohort: added(each.groups[slot, cohort] for each in some if (slot, cohort) in each.groups)
        for cohort in COHORTS
    }
    figures = added(cohorts.values())
    at_end = sum(
        of.endpoint_connections for (each, _), of in some[-1].groups.items() if each is slot
    )
    asked = figures.requests + figures.broken
    return Moment(
        some[0].begins,
        round(figures.requests / covered, 2),
        round(100 * (figures.failures + figures.broken) / asked, 3) if asked else None,
        round(figures.latency_us / figures.requests / 1000, 3) if figures.requests else None,
        *(
            percentile_ms(figures.buckets, 0.95),
            percentile_ms(figures.buckets, 0.5),
            percentile_ms(figures.buckets, 0.99),
        ),
        *(round(figures.connect_failures / covered, 2), at_end, round(covered, 1)),
        *(list(figures.statuses), figures.broken),
        {name: of.requests for name, of in cohorts.items() if of.requests},
    )


def percentile_ms(buckets: Sequence[int], share: float) -> float | None:
    """Where a quantile lies, with the requests of its bucket spread evenly over it: an estimate.

    None without requests, and above the last bound.
    """
    bounds = quantile(buckets, share)
    if bounds is None:
        return None
    low, high = bounds
    if high is None:
        return None
    place = BOUNDS_US.index(high)
    within = (sum(buckets) * share - sum(buckets[:place])) / buckets[place]
    return round((low + (high - low) * within) / 1000, 3)


def signals(intervals: Sequence[Interval], units: Mapping[str, str]) -> dict[str, Any]:
    """By name: the unit, and (second, reading) over time."""
    found: dict[str, Any] = {}
    for each in intervals:
        for name, value in each.signals.items():
            told = found.setdefault(name, {"unit": units.get(name, ""), "readings": []})
            told["readings"].append((each.begins, value))
    return found


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


def evidence(events: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What the monitor had measured when it brought the release back: its triggers that were raised."""
    faults = [each for each in events if each["kind"] == "fault"]
    return [
        {"at": fault["at"], **trigger}
        for fault in faults
        for trigger in (fault["body"].get("verdict") or {}).get("triggers", ())
        if trigger["level"] in {"warning", "critical"}
    ]


def marks(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What plots show of the course: steps, the cutover, the fault, the way back. By PostgreSQL's clock."""
    found = [
        {
            "at": _posix(each["at"]),
            "kind": each["kind"],
            "label": _SWITCHES.get(each["kind"]) or f"{each['percent'] or 0:g} %",
        }
        for each in document["switches"]
    ]
    found += [
        {"at": _posix(each["at"]), "kind": each["kind"], "label": _EVENTS[each["kind"]]}
        for each in document["events"]
        if each["kind"] in _EVENTS
    ]
    return sorted(found, key=lambda mark: mark["at"])


def _posix(at: str) -> float:
    return datetime.fromisoformat(at).timestamp()


def plots(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """All that is to be drawn of a report's document; nothing where nothing was kept."""
    by_slot = {
        slot: [Moment(**each) for each in of_slot] for slot, of_slot in document["traffic"].items()
    }
    if not any(by_slot.values()):
        return []
    shown = marks(document)
    made = [
        plot(
            title,
            unit,
            [
                Series(
                    slot,
                    [(each.second, each.length_s, getattr(each, name)) for each in of_slot],
                )
                for slot, of_slot in by_slot.items()
            ],
            shown,
        )
        for name, title, unit in PLOTS
    ]
    for name, told in sorted(document.get("signals", {}).items()):
        readings = [(second, 60.0, value) for second, value in told["readings"]]
        made.append(plot(f"Signal {name}", told["unit"], [Series("signal", readings)], shown))
    return made


def _clock(at: str | None) -> str:
    """A moment as people read it: UTC, to the millisecond."""
    if not at:
        return ""
    text = datetime.fromisoformat(at).strftime("%Y-%m-%d %H:%M:%S.%f")
    return text[:-3]


_ENVIRONMENT: Final = Environment(
    loader=PackageLoader("admin.releases"), autoescape=True, undefined=StrictUndefined
)
_ENVIRONMENT.filters["clock"] = _clock


def page_of(document: Mapping[str, Any]) -> str:
    """The page of a report that came as JSON: one file, without scripts, that can be sent by mail."""
    return _ENVIRONMENT.get_template("report.html").render(
        report=document,
        plots=plots(document),
        evidence=evidence(document["events"]),
        verdicts=document.get("verdicts", ()),
        picture=PICTURE,
    )
