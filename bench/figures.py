"""From rounds to figures: what is printed, written and drawn. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.rounds import Round, Sample
from bench.stats import Spread, paired_ratios, spread

ENOUGH_ROUNDS = 8
"""Fewer valid rounds than this are a try, not a figure."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One proxy in one scenario.

    ratios: CPU per request against the baseline, round by round, of rounds where both samples
    are valid; the baseline's own are 1. ratio and the spreads below it: None when no round is
    valid. faults: "round n: what", also the baseline's own.
    """

    proxy: str
    title: str
    version: str
    samples: tuple[Sample, ...]
    ratios: tuple[float, ...]
    ratio: Spread | None
    cpu_us: Spread | None
    requests_per_s: Spread | None
    p50_us: Spread | None
    p99_us: Spread | None
    busy: Spread | None
    faults: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Name:
    """How a proxy is called in what is printed."""

    proxy: str
    title: str
    version: str


def figure(rounds: Sequence[Round], name: Name, baseline: str) -> Figure:
    """The proxy's figures against the baseline's of the same rounds."""
    samples = tuple(each[name.proxy] for each in rounds)
    valid = [sample for sample in samples if sample.valid]
    ratios = paired_ratios(
        (each[name.proxy].cpu_us_per_request, each[baseline].cpu_us_per_request)
        for each in rounds
        if each[name.proxy].valid and each[baseline].valid
    )
    return Figure(
        name.proxy,
        name.title,
        name.version,
        samples,
        tuple(ratios),
        spread(ratios) if ratios else None,
        _over(valid, lambda sample: sample.cpu_us_per_request),
        _over(valid, lambda sample: sample.requests_per_s),
        _over(valid, lambda sample: float(sample.load.p50_us)),
        _over(valid, lambda sample: float(sample.load.p99_us)),
        _over(valid, lambda sample: sample.busy),
        tuple(
            f"round {number}: {fault}"
            for number, sample in enumerate(samples, start=1)
            for fault in sample.faults
        ),
    )


def _over(samples: Sequence[Sample], of: Callable[[Sample], float]) -> Spread | None:
    return spread([of(sample) for sample in samples]) if samples else None
