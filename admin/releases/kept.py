"""A release's traffic as it is kept: intervals that grow coarser with age. Pure.

Of a release of 30 days there are at most some 7 500 intervals, of about half a kilobyte each: 4 MB.

Rules:
1. An interval is computed from all windows of its time; computed again from the same windows it is the same.
2. Counts add up; gauges are those of the interval's end.
3. Only what is older than windows are kept is made coarser, so what was joined is not computed anew.
"""

import json
import zlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from proxy.routing.change import ContractError
from proxy.routing.windows import (
    GAUGES,
    NOTHING,
    Figures,
    Group,
    Window,
    add_up,
    added,
    decode,
    encode,
)

LENGTH_S: Final = 10
"""Of an interval, in seconds, until it is joined to others."""
COARSER: Final = ((60, 7_200), (600, 172_800))
"""So long (s) intervals become, once they are that old (s)."""
BASELINE_WINDOWS: Final = 20_000
"""So many windows of before at most: of 20 minutes and 16 nodes. The newest are kept."""
_NODE: Final = "all"


@dataclass(frozen=True, slots=True)
class Interval:
    """What all nodes served in some seconds. begins: the first, POSIX, by Redis' clock.

    told_ms: the time that the nodes' windows cover together. nodes: how many told of it. signals: the last
    readings in it, by name.
    """

    begins: int
    length_s: int
    told_ms: int
    nodes: int
    groups: Mapping[Group, Figures]
    signals: Mapping[str, float] = field(default_factory=dict)


def gathered(windows: Iterable[Window], length_s: int = LENGTH_S) -> list[Interval]:
    """The intervals of which there are windows, the oldest first."""
    found: defaultdict[int, list[Window]] = defaultdict(list)
    for window in windows:
        found[window.second // length_s * length_s].append(window)
    made = []
    for begins, some in sorted(found.items()):
        total = add_up(some, of_tenants=False)
        made.append(Interval(begins, length_s, total.told_ms, len(total.nodes), total.groups))
    return made


def joined(intervals: Iterable[Interval], length_s: int) -> list[Interval]:
    """The same, coarser."""
    found: defaultdict[int, list[Interval]] = defaultdict(list)
    for each in sorted(intervals, key=lambda each: each.begins):
        found[each.begins // length_s * length_s].append(each)
    return [_joined(begins, length_s, some) for begins, some in found.items()]


def _joined(begins: int, length_s: int, some: Sequence[Interval]) -> Interval:
    groups = {
        group: _over_time(group, some)
        for group in dict.fromkeys(group for each in some for group in each.groups)
    }
    signals = {name: value for each in some for name, value in each.signals.items()}
    told_ms, nodes = sum(each.told_ms for each in some), max(each.nodes for each in some)
    return Interval(begins, length_s, told_ms, nodes, groups, signals)


def _over_time(group: Group, some: Sequence[Interval]) -> Figures:
    counts = added(each.groups[group] for each in some if group in each.groups)
    at_end = some[-1].groups.get(group, NOTHING)
    gauges: dict[str, Any] = {name: getattr(at_end, name) for name in GAUGES}
    return replace(counts, **gauges)


def ripe(intervals: Iterable[Interval], now: int) -> list[tuple[list[Interval], Interval]]:
    """What is to be joined by now: the intervals, and what takes their place. now: by Redis' clock."""
    found: defaultdict[tuple[int, int], list[Interval]] = defaultdict(list)
    for each in intervals:
        for length_s, age_s in reversed(COARSER):
            begins = each.begins // length_s * length_s
            if begins + length_s <= now - age_s:
                if each.length_s < length_s:
                    found[begins, length_s].append(each)
                break
    return [(some, joined(some, length_s)[0]) for (_, length_s), some in found.items()]


def body_of(interval: Interval) -> str:
    """Its figures, written."""
    groups = {group: figures for group, figures in interval.groups.items() if figures}
    window = Window(interval.begins, _NODE, groups, lasted_ms=interval.length_s * 1_000)
    return encode(window).decode()


def groups_in(body: str) -> Mapping[Group, Figures]:
    """The figures that were written. ContractError: another program's."""
    return decode(body.encode()).groups


def packed(windows: Sequence[Window]) -> bytes:
    """Windows of before, compressed: some 100 kB for a node that has few tenants."""
    newest = sorted(windows, key=lambda each: each.second)[-BASELINE_WINDOWS:]
    return zlib.compress(b"\n".join(encode(each) for each in newest))


def unpacked(body: bytes) -> list[Window]:
    """The windows again; none if another program wrote them."""
    try:
        return [decode(line) for line in zlib.decompress(body).splitlines()]
    except (zlib.error, ContractError):
        return []


def gist(document: Mapping[str, object]) -> str:
    """What makes a verdict another than the one before: its level, and who raises it how much."""
    triggers = document.get("triggers") or ()
    assert isinstance(triggers, Sequence)  # noqa: S101 - `Verdict.plain` makes it so
    raised = sorted(
        (each["name"], each["level"])
        for each in triggers
        if each["level"] in {"warning", "critical"}
    )
    return json.dumps([document.get("level"), raised])
