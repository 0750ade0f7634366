"""From turns to what is printed: quantiles over all switches, ratios round by round, verdicts. Pure."""

import math
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bench.stats import Spread, paired_ratios, spread
from bench.switch.checker import Timing, Verdict
from bench.switch.survival import Survival

P50_MS, P99_MS = 5.0, 25.0
"""Targets for request → last ack."""
OF_RELOAD = 0.1
"""Target: ten times faster than a reload of nginx."""
FAST_ENOUGH = 0.9
"""A load that made less than this of its set rate is remarked on."""


@dataclass(frozen=True, slots=True)
class Name:
    """How a contender is called. ack: what its ack is, in words."""

    name: str
    title: str
    version: str
    ack: str


@dataclass(frozen=True, slots=True)
class Turn:
    """One contender's turn in one round. faults: why it can't be used; empty when it can.

    rate: requests per second that the load made. said: of a switch without an ack, what was said.
    """

    verdict: Verdict | None
    survival: Survival | None
    rate: float = 0.0
    faults: tuple[str, ...] = ()
    said: tuple[str, ...] = ()

    @property
    def timings(self) -> Sequence[Timing]:
        """Of its switches."""
        return self.verdict.timings if self.verdict else ()


@dataclass(frozen=True, slots=True)
class Quantiles:
    """Of figures in ms; infinite where what is measured did not happen."""

    p50: float
    p90: float
    p99: float
    high: float
    count: int


@dataclass(frozen=True, slots=True)
class Sockets:
    """What became of the WebSockets, over all turns. closes: code → how often."""

    opened: int
    survived: int
    closes: Mapping[int, int]
    reconnect: Quantiles | None
    drained: int | None
    left: int | None
    astray: int
    away: int


@dataclass(frozen=True, slots=True)
class Figures:
    """One contender over all turns. ratio: of its `true` to the other's, named in `report`."""

    name: Name
    turns: tuple[Turn, ...]
    switches: int
    acked: Quantiles | None
    told: Quantiles | None
    first: Quantiles | None
    after_ack: Quantiles | None
    true: Quantiles | None
    requests: int
    judged: int
    failed: Mapping[str, int]
    misrouted: int
    went_back: int
    unacked: int
    rate: float
    sockets: Sockets
    faults: tuple[str, ...] = field(default=())

    @property
    def is_clean(self) -> bool:
        """Whether nothing failed, nothing went astray, and every switch and turn counts."""
        bad = (self.failed_count, self.misrouted, self.unacked, self.sockets.astray)
        return not any(bad) and not self.faults and self.switches > 0

    @property
    def failed_count(self) -> int:
        """How many requests failed, for whatever reason."""
        return sum(self.failed.values())


@dataclass(frozen=True, slots=True)
class Target:
    """A target for Turnout. measured: None when it could not be measured. unit: for print."""

    what: str
    measured: float | None
    at_most: float
    unit: str

    @property
    def met(self) -> bool | None:
        """Whether it is kept."""
        return None if self.measured is None else self.measured <= self.at_most


def quantiles(values: Sequence[float]) -> Quantiles | None:
    """Nearest rank: each is one that was measured. None without values."""
    if not values:
        return None
    ranked = sorted(values)

    def at(share: float) -> float:
        return ranked[max(math.ceil(share * len(ranked)) - 1, 0)]

    return Quantiles(at(0.5), at(0.9), at(0.99), ranked[-1], len(ranked))


def figures(name: Name, turns: Sequence[Turn]) -> Figures:
    """One contender's figures over its turns. A turn with a fault counts for its faults alone."""
    valid = [turn for turn in turns if not turn.faults]
    verdicts = [turn.verdict for turn in valid if turn.verdict]
    timings = [timing for turn in valid for timing in turn.timings]
    return Figures(
        name,
        tuple(turns),
        switches=len(timings) + sum(each.unacked for each in verdicts),
        acked=quantiles([each.acked for each in timings]),
        told=quantiles([each.told for each in timings if each.told is not None]),
        first=quantiles([each.first for each in timings]),
        after_ack=quantiles([each.after_ack for each in timings]),
        true=quantiles([each.true for each in timings]),
        requests=sum(each.requests for each in verdicts),
        judged=sum(each.judged for each in verdicts),
        failed=sum((Counter(each.failed) for each in verdicts), Counter()),
        misrouted=sum(each.misrouted for each in verdicts),
        went_back=sum(each.went_back for each in verdicts),
        unacked=sum(each.unacked for each in verdicts),
        rate=statistics.median([turn.rate for turn in valid]) if valid else 0.0,
        sockets=sockets([turn.survival for turn in valid if turn.survival]),
        faults=tuple(
            dict.fromkeys(fault for turn in turns for fault in (*turn.said, *turn.faults))
        ),
    )


def sockets(found: Sequence[Survival]) -> Sockets:
    """The sum over turns."""
    drains = [each for each in found if each.drained is not None]
    return Sockets(
        sum(each.opened for each in found),
        sum(each.survived for each in found),
        sum((Counter(each.closes) for each in found), Counter()),
        quantiles([ms for each in found for ms in each.reconnect_ms]),
        sum(each.drained or 0 for each in drains) if drains else None,
        sum(each.left or 0 for each in drains) if drains else None,
        sum(each.astray for each in found),
        sum(each.away for each in found),
    )


def ratio(one: Figures, other: Figures) -> Spread | None:
    """How long until a switch was true, one to the other, median of each round; None without any."""
    pairs = [
        (_median(mine), _median(its)) for mine, its in zip(one.turns, other.turns, strict=False)
    ]
    usable = [(a, b) for a, b in pairs if math.isfinite(a) and math.isfinite(b) and b > 0]
    return spread(paired_ratios(usable)) if usable else None


def _median(turn: Turn) -> float:
    if turn.faults or not turn.timings:
        return math.inf
    return statistics.median(timing.true for timing in turn.timings)


def targets(own: Figures, reload: Figures | None) -> list[Target]:
    """What Turnout has to keep to."""
    found = [
        Target("request → last ack, p50", own.acked.p50 if own.acked else None, P50_MS, " ms"),
        Target("request → last ack, p99", own.acked.p99 if own.acked else None, P99_MS, " ms"),
        Target("requests failed", own.failed_count, 0, ""),
        Target("requests misrouted after the ack", own.misrouted, 0, ""),
    ]
    if reload is not None:
        against = ratio(own, reload)
        what = f"until it is true, as a share of {reload.name.title}"
        found.append(Target(what, against.median if against else None, OF_RELOAD, ""))
    return found
