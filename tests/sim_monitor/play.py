"""Plays releases, and says what the monitor made of them."""

import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from admin.monitor.judge import begin, judge, stepped
from admin.monitor.model import Equipment, External, Level, Trigger
from admin.monitor.settings import Settings
from tests.sim_monitor.world import HEALTHY, NEW, STEPS, Fault, Load, World, course

BEGAN = 1_000_000
BEFORE_S = 600
"""Seconds before the release that the monitor is told of."""


@dataclass
class Outcome:
    """Of one release. alarm: the first critical trigger, and its second; seconds by level."""

    seed: int
    load: Load
    seconds: int = 0
    alarm: Trigger | None = None
    alarm_second: int = 0
    percent: float = 0.0
    levels: Counter[str] = field(default_factory=Counter)
    warned: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        told = f"seed {self.seed}: {self.load.rate:.0f}/s, {self.load.median_us / 1000:.0f} ms"
        if self.alarm is None:
            return f"{told}: no alarm"
        after = self.alarm_second - BEGAN
        return (
            f"{told}: {self.alarm.name} after {after} s at {self.percent:g} %: {self.alarm.detail}"
        )


def healthy(
    seed: int, settings: Settings | None = None, steps: tuple[tuple[float, int], ...] = STEPS
) -> Outcome:
    """One healthy release, to its first alarm."""
    rng = random.Random(seed)
    load = Load.any(rng)
    told = settings or Settings()
    world, outcome = World(rng, load), Outcome(seed, load)
    before = [world.second(second) for second in range(BEGAN - BEFORE_S, BEGAN)]
    state = begin(NEW, BEGAN, told, baseline=before)
    for second, percent in course(BEGAN, steps):
        if percent != world.percent:
            world.percent = percent
            state = stepped(state, second)
        state, verdict = judge(state, [world.second(second)], External(second))
        outcome.seconds += 1
        outcome.levels[verdict.level] += 1
        if verdict.level in {Level.CRITICAL, Level.WARNING}:
            outcome.warned.update({each.name for each in verdict.raised})
        if verdict.level is Level.CRITICAL:
            outcome.alarm, outcome.alarm_second = verdict.raised[0], second
            outcome.percent = percent
            break
    return outcome


@dataclass(frozen=True)
class Sabotage:
    """A fault, and how it is played. name: what the trigger is called. percent: at which step it begins."""

    name: str
    fault: Fault
    percent: float = 25.0
    rate: float = 400.0
    sigma: float = 0.5
    after_s: int = 60
    limit_s: int = 60


SABOTAGE = {
    "5 % errors": Sabotage("error-rate", Fault(errors=0.05)),
    "5 % errors at 100 %": Sabotage("error-rate", Fault(errors=0.05), 100.0, 100.0),
    "5 % errors from the step on": Sabotage("error-rate", Fault(errors=0.05), after_s=0),
    "60 % slower": Sabotage("response-time", Fault(slower=1.6)),
    "60 % slower at 100 %": Sabotage("response-time", Fault(slower=1.6), 100.0, 100.0),
    "60 % slower from the step on": Sabotage("response-time", Fault(slower=1.6), after_s=0),
    "connections leak": Sabotage("connection-leak", Fault(leak_per_s=20.0)),
    "connections refused": Sabotage("connection-failures", Fault(refused=0.05)),
    "equipment lost": Sabotage("equipment", Fault(equipment=5)),
    "one tenant only": Sabotage("tenant-errors", Fault(tenant=0.5)),
    "errors only above 25 %": Sabotage(
        "error-rate", Fault(errors=0.05, above=25.0), 50.0, after_s=0
    ),
}


def sabotaged(name: str, seed: int, settings: Settings | None = None) -> tuple[int | None, str]:
    """How many seconds after its first faulty second the trigger was critical; None: not in time.

    And what it said, or what the verdict was.
    """
    how, rng, told = SABOTAGE[name], random.Random(seed), settings or Settings()
    load = Load(how.rate, 60_000.0, how.sigma, 0.002, noisy=False)
    world = World(rng, load)
    before = [world.second(second) for second in range(BEGAN - BEFORE_S, BEGAN)]
    state = begin(NEW, BEGAN, told, baseline=before)
    steps = ((1.0, 60), (5.0, 60), (25.0, 60)) if how.percent > 25.0 else ((1.0, 60), (5.0, 60))
    lasts = how.after_s + how.limit_s
    first = BEGAN + sum(step[1] for step in steps) + how.after_s
    detail = ""
    for second, percent in course(BEGAN, (*steps, (how.percent, lasts))):
        if percent != world.percent:
            world.percent = percent
            state = stepped(state, second)
        is_faulty = second >= first
        always = how.fault.above > 0.0
        world.fault = how.fault if is_faulty or always else HEALTHY
        lost = world.fault.equipment if is_faulty else 0
        external = External(second, equipment=Equipment(23, 23 - lost))
        state, verdict = judge(state, [world.second(second)], external)
        if verdict.level is Level.CRITICAL:
            raised = [each for each in verdict.raised if each.level is Level.CRITICAL]
            named = [each for each in raised if each.name == how.name]
            if second < first or not named:
                return None, f"{raised[0].name} in second {second - first}: {raised[0].detail}"
            return second - first + 1, named[0].detail
        detail = f"{verdict.level}: {[each.detail for each in verdict.raised]}"
    return None, detail


@dataclass
class Summary:
    """Of many healthy releases."""

    outcomes: list[Outcome] = field(default_factory=list)

    @property
    def alarms(self) -> list[Outcome]:
        """Those that were blamed."""
        return [each for each in self.outcomes if each.alarm]

    @property
    def hours(self) -> float:
        """How long they lasted together."""
        return sum(each.seconds for each in self.outcomes) / 3600.0

    def at_most(self, confidence: float = 0.95) -> float:
        """The share of releases that are blamed, at most (Clopper & Pearson 1934)."""
        count, alarms = len(self.outcomes), len(self.alarms)
        low, high = alarms / count, 1.0
        for _ in range(60):
            middle = (low + high) / 2.0
            if _at_most(alarms, count, middle) > 1.0 - confidence:
                low = middle
            else:
                high = middle
        return high

    def lines(self) -> Iterable[str]:
        """For a reader."""
        count, alarms = len(self.outcomes), len(self.alarms)
        yield from (str(each) for each in self.alarms)
        yield f"{count} healthy releases, {self.hours:.0f} hours: {alarms} false alarms"
        yield (
            f"so at most {self.at_most():.1%} of releases are blamed, and"
            f" {self.at_most() * count / self.hours:.2%} in an hour (95 % confidence)"
        )
        levels: Counter[str] = Counter()
        for each in self.outcomes:
            levels.update(each.levels)
        whole = sum(levels.values())
        yield ", ".join(f"{name} {share / whole:.1%}" for name, share in sorted(levels.items()))


def _at_most(most: int, count: int, share: float) -> float:
    """The chance of at most so many."""
    chance = (1.0 - share) ** count
    total = chance
    for hits in range(1, most + 1):
        chance *= (count - hits + 1) / hits * share / (1.0 - share)
        total += chance
    return total
