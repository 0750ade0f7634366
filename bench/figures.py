"""From rounds to figures and verdicts: what is printed, written and drawn. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from bench.rounds import Reading, Round
from bench.scenarios.scenario import Measure, Target
from bench.stats import Spread, paired_ratios, spread


@dataclass(frozen=True, slots=True)
class Name:
    """How a proxy is called in what is printed."""

    proxy: str
    title: str
    version: str


@dataclass(frozen=True, slots=True)
class Figure:
    """One proxy by one measure.

    ratios: against the baseline, round by round, of rounds where both readings are valid; the
    baseline's own are 1, and without a baseline there are none. The spreads are None when no
    round is valid. faults: each with how often.
    """

    name: Name
    readings: tuple[Reading, ...]
    value: Spread | None
    ratios: tuple[float, ...]
    ratio: Spread | None
    beside: Mapping[str, Spread]
    faults: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """A target, held against what was measured.

    name: whose. measured: the ratio, or the value where the target is against nobody; None when
    it could not be measured.
    """

    target: Target
    name: Name
    against: Name | None
    measured: Spread | None
    ratios: tuple[float, ...]

    @property
    def met(self) -> bool | None:
        """Whether the median keeps to the target; None when there is none."""
        return None if self.measured is None else self.measured.median <= self.target.at_most


def figure(rounds: Sequence[Round], name: Name, measure: Measure, baseline: str | None) -> Figure:
    """The proxy's figure, against the baseline's of the same rounds."""
    readings = tuple(each[name.proxy] for each in rounds)
    valid = [reading for reading in readings if reading.valid]
    ratios = _ratios(rounds, measure.name, name.proxy, baseline) if baseline else ()
    beside = {what for reading in valid for what in reading.beside}
    return Figure(
        name,
        readings,
        _over(reading.values[measure.name] for reading in valid),
        ratios,
        _over(ratios),
        {what: spread([reading.beside[what] for reading in valid]) for what in sorted(beside)},
        _counted(readings),
    )


def verdicts(rounds: Sequence[Round], names: Sequence[Name], measure: Measure) -> list[Verdict]:
    """Each target of the measure for each proxy here that it is set for."""
    here = {name.proxy: name for name in names}
    return [
        _verdict(rounds, measure, target, here[proxy], here)
        for target in measure.targets
        for proxy in target.of
        if proxy in here and (target.against is None or target.against in here)
    ]


def _verdict(
    rounds: Sequence[Round],
    measure: Measure,
    target: Target,
    name: Name,
    here: Mapping[str, Name],
) -> Verdict:
    if target.against is None:
        readings = (each[name.proxy] for each in rounds)
        value = _over(each.values[measure.name] for each in readings if each.valid)
        return Verdict(target, name, None, value, ())
    ratios = _ratios(rounds, measure.name, name.proxy, target.against)
    return Verdict(target, name, here[target.against], _over(ratios), ratios)


def _ratios(rounds: Sequence[Round], measure: str, proxy: str, against: str) -> tuple[float, ...]:
    return tuple(
        paired_ratios(
            (each[proxy].values[measure], each[against].values[measure])
            for each in rounds
            if each[proxy].valid and each[against].valid
        )
    )


def _over(values: Iterable[float]) -> Spread | None:
    listed = list(values)
    return spread(listed) if listed else None


def _counted(readings: Sequence[Reading]) -> tuple[str, ...]:
    """Each fault once, with the rounds that had it."""
    counted = Counter(fault for reading in readings for fault in reading.faults)
    total = len(readings)
    return tuple(f"in {count} of {total} rounds: {fault}" for fault, count in counted.items())
