"""Is standby slower than active on the same requests? Pure.

Each pair is one request to standby and the same to active, one right after the other. What is compared
is the logarithm of their ratio, so that slow and fast requests count alike. The ratio is that of the
median pair; its bounds are the order statistics of the sign test, which hold for any distribution:
with n pairs, the median lies between the k-th least and the k-th greatest with a probability of
1 - 2 P(B(n, 1/2) < k). (Conover, Practical Nonparametric Statistics, section 3.2.)
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import comb, exp, inf, log
from statistics import median

from admin.gates.model import Measured, Outcome

Pair = tuple[float, float]
"""Milliseconds at standby, milliseconds at active."""
_TINY_MS = 0.001
ALL = "all"
"""The name of all requests together."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """standby_ms, active_ms: medians. ratio: of the median pair; lower, upper: its bounds."""

    pairs: int
    standby_ms: float
    active_ms: float
    ratio: float
    lower: float
    upper: float

    @property
    def slower_ms(self) -> float:
        """By how much standby's median lies above active's, milliseconds."""
        return self.standby_ms - self.active_ms

    def __str__(self) -> str:
        return (
            f"{self.standby_ms:.1f} ms against {self.active_ms:.1f} ms, a ratio of {self.ratio:.2f}"
            f" ({self.lower:.2f} to {self.upper:.2f})"
        )

    def document(self) -> dict[str, object]:
        """As evidence. Bounds that there are too few pairs for are null."""
        bounds = [
            None if each in {0.0, inf} else round(each, 3) for each in (self.lower, self.upper)
        ]
        return {
            "pairs": self.pairs,
            "standby_ms": round(self.standby_ms, 3),
            "active_ms": round(self.active_ms, 3),
            "ratio": round(self.ratio, 3),
            "lower": bounds[0],
            "upper": bounds[1],
        }


@dataclass(frozen=True, slots=True)
class Bounds:
    """fail_above, warn_above: ratios. slower_ms: what lies nearer, in milliseconds, never fails.

    least: pairs of each request. confidence: of all bounds together.
    """

    fail_above: float = 1.5
    warn_above: float = 1.2
    slower_ms: float = 1.0
    least: int = 20
    confidence: float = 0.99


def compare(pairs: Sequence[Pair], confidence: float) -> Comparison:
    """Both slots on these pairs. ValueError without any."""
    if not pairs:
        raise ValueError("there are no pairs to compare")
    ratios = sorted(log(max(new, _TINY_MS) / max(old, _TINY_MS)) for new, old in pairs)
    rank = sign_rank(len(ratios), confidence)
    lower, upper = (exp(ratios[rank - 1]), exp(ratios[-rank])) if rank else (0.0, inf)
    return Comparison(
        len(pairs),
        median(new for new, _ in pairs),
        median(old for _, old in pairs),
        exp(median(ratios)),
        lower,
        upper,
    )


def sign_rank(count: int, confidence: float) -> int:
    """k, so that the k-th least and the k-th greatest bound the median; 0: too few for any bounds."""
    left, rank = (1.0 - confidence) / 2, 0
    below = 0.0
    while rank < count // 2:
        below += comb(count, rank) / 2**count
        if below > left:
            return rank
        rank += 1
    return rank


def judge(of: Mapping[str, Sequence[Pair]], bounds: Bounds) -> Measured:
    """All requests together, and each of them: what is slow in one place alone is slow.

    of: request → its pairs. The confidence is shared by all comparisons (Bonferroni).
    """
    few = sorted(name for name, pairs in of.items() if len(pairs) < bounds.least)
    if not of or few:
        return Measured(
            Outcome.UNMEASURED,
            f"fewer than {bounds.least} pairs of {few[0]}" if few else "no requests were compared",
        )
    each_confidence = 1.0 - (1.0 - bounds.confidence) / (len(of) + 1)
    everything = [pair for pairs in of.values() for pair in pairs]
    found = {ALL: compare(everything, each_confidence)}
    if len(of) > 1:
        found |= {name: compare(pairs, each_confidence) for name, pairs in of.items()}
    evidence = {
        "ratio": round(found[ALL].ratio, 3),
        "requests": {name: each.document() for name, each in _worst(found)},
    }
    outcome, name = _outcome(found, bounds)
    where = "" if name == ALL else f"{name}: "
    words = {
        Outcome.FAILED: f"above {bounds.fail_above:g}",
        Outcome.WARNED: f"above {bounds.warn_above:g}",
        Outcome.UNMEASURED: "too noisy to tell",
        Outcome.PASSED: f"at most {bounds.warn_above:g}",
    }
    return Measured(outcome, f"{where}{found[name]}: {words[outcome]}", evidence)


def _worst(found: Mapping[str, Comparison], most: int = 20) -> list[tuple[str, Comparison]]:
    """All together first, then the slowest."""
    rest = sorted(
        (item for item in found.items() if item[0] != ALL), key=lambda item: -item[1].ratio
    )
    return [(ALL, found[ALL]), *rest[:most]]


def _outcome(found: Mapping[str, Comparison], bounds: Bounds) -> tuple[Outcome, str]:
    """What it comes to, and because of which requests."""
    ordered = _worst(found, len(found))
    for name, each in ordered:
        if each.ratio > bounds.fail_above and each.lower > 1 and each.slower_ms > bounds.slower_ms:
            return Outcome.FAILED, name
    whole = found[ALL]
    if whole.ratio > bounds.fail_above and whole.lower <= 1:
        return Outcome.UNMEASURED, ALL
    for name, each in ordered:
        if each.ratio > bounds.warn_above and (each.lower > 1 or name == ALL):
            return Outcome.WARNED, name
    return Outcome.PASSED, ALL
