"""What a verdict is, and what it is made from beside the windows. Pure.

Rules: what was not measured is UNMEASURED, and never NORMAL. A verdict carries a trigger for everything that
is watched, whatever its level, so that a board can show it; `raised` are those that say something is wrong.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from proxy.routing.windows import Figures

Plain = Mapping[str, object]


class Level(StrEnum):
    """How bad it is; critical rolls a release back."""

    NORMAL = "normal"
    WARNING = "warning"
    CRITICAL = "critical"
    UNMEASURED = "unmeasured"


_ORDER: Final = (Level.NORMAL, Level.UNMEASURED, Level.WARNING, Level.CRITICAL)
RANK: Final[Mapping[Level, int]] = {level: rank for rank, level in enumerate(_ORDER)}
"""How much a level counts: something wrong is more than something unknown."""

ERROR_RATE: Final = "error-rate"
RESPONSE_TIME: Final = "response-time"
CONNECTION_FAILURES: Final = "connection-failures"
ENDPOINTS: Final = "endpoints"
CONNECTION_LEAK: Final = "connection-leak"
EQUIPMENT: Final = "equipment"
TENANT_ERRORS: Final = "tenant-errors"
SIGNAL: Final = "signal:"


@dataclass(frozen=True, slots=True)
class Trigger:
    """One thing that is watched. detail: words with numbers. sample: how much it rests on.

    standby, active: the figure on the new version's slot, and on the old one's or what it was before;
    errors as shares of 1, times in milliseconds. since: the second in which it began.
    """

    name: str
    level: Level
    detail: str
    standby: float | None = None
    active: float | None = None
    sample: int = 0
    since: int = 0
    evidence: Plain = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is to be thought of the release. second: the last that was judged; 0: none was.

    measured: names of what was measured.
    """

    level: Level
    triggers: tuple[Trigger, ...] = ()
    measured: tuple[str, ...] = ()
    second: int = 0

    @property
    def raised(self) -> tuple[Trigger, ...]:
        """What is wrong, the worst first."""
        wrong = [each for each in self.triggers if each.level in {Level.WARNING, Level.CRITICAL}]
        return tuple(sorted(wrong, key=lambda each: -RANK[each.level]))

    def plain(self) -> dict[str, object]:
        """As JSON has it."""
        return {
            "level": str(self.level),
            "second": self.second,
            "measured": list(self.measured),
            "triggers": [_plain(each) for each in self.triggers],
        }


def _plain(trigger: Trigger) -> dict[str, object]:
    return {
        "name": trigger.name,
        "level": str(trigger.level),
        "detail": trigger.detail,
        "standby": trigger.standby,
        "active": trigger.active,
        "sample": trigger.sample,
        "since": trigger.since,
        "evidence": dict(trigger.evidence),
    }


def verdict_of(triggers: Iterable[Trigger], second: int) -> Verdict:
    """All of them together: as bad as the worst."""
    found = tuple(triggers)
    level = max((each.level for each in found), key=RANK.__getitem__, default=Level.UNMEASURED)
    measured = tuple(each.name for each in found if each.level is not Level.UNMEASURED)
    return Verdict(level, found, measured, second)


UNKNOWN: Final = Verdict(Level.UNMEASURED)
"""Before anything was judged."""


@dataclass(frozen=True, slots=True)
class Equipment:
    """What the census says: devices that should be on the new slot, and those that are."""

    expected: int
    present: int

    @property
    def missing(self) -> int:
        """How many are not there."""
        return max(0, self.expected - self.present)


@dataclass(frozen=True, slots=True)
class Reading:
    """A figure from elsewhere. at: when it was so, POSIX seconds."""

    value: float
    at: float


@dataclass(frozen=True, slots=True)
class External:
    """What is known beside the windows. second: now, by the windows' clock.

    equipment: None, if no census is asked for.
    """

    second: int
    signals: Mapping[str, Reading] = field(default_factory=dict)
    equipment: Equipment | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """One second of a part of the traffic, as it is judged.

    requests: answers, and exchanges that broke off through the endpoint. failures: answers of 500 and above,
    and the latter. timed: the answers, whose latencies are in micros (their sum) and buckets.
    """

    requests: int = 0
    failures: int = 0
    timed: int = 0
    micros: int = 0
    buckets: tuple[int, ...] = ()


NONE: Final = Part()


def part_of(figures: Figures) -> Part:
    """What is judged of a group's figures."""
    return Part(
        figures.requests + figures.broken,
        figures.statuses[4] + figures.broken,
        figures.requests,
        figures.latency_us,
        figures.buckets,
    )
