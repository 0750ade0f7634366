"""Evidence that stays valid while one keeps looking: charts of e-values. Pure.

**A bet.** Before a second's outcome is known, a factor is laid down whose expectation is at most 1 if
the new version is no worse than is tolerated (an e-value: Shafer 2021; Waudby-Smith & Ramdas 2024). For a
rate of n requests, e of which fail, against a rate q that is not to be exceeded:

    (1 + k(1 - q))^e · (1 - kq)^(n - e)           its expectation is at most exp(n·k·(θ - q)) ≤ 1 for θ ≤ q

For two streams in the same second, with a margin δ and any q, q' = q + δ, λ ≥ 0 (after Turner & Grünwald 2023):

    (1 + λ/n'·(1 - q'))^e' (1 - λ/n'·q')^(n'-e') · (1 - λ/n·(1 - q))^e (1 + λ/n·q)^(n-e)

whose expectation is at most exp(λ·((θ' - θ) - δ)), for log(1 + x) ≤ x. So it is valid whatever the rates
are and however they move from second to second, together or not: a burst of errors that hits both slots is
none of the new version's. q is only a guess: a bad one costs power.

**A chart** multiplies the factors from the second on at which the evidence was last at its floor:

    level = max(level, w(t)) · factor,     an alarm at level ≥ 1/alpha

It is the CUSUM form of an e-detector (Shin, Ramdas & Rinaldo 2024), with each starting second given its
part w of alpha, all parts adding up to 1. The level is at most the sum over starts j of w(j) times the product since
j, which is at most 1 in expectation; so by Ville's inequality the chance that it is ever an alarm is at most
alpha, over a release however long, however often one looks. Several bets share alpha evenly.

**Bunches.** Requests of one second are not independent. If those that fail together come in bunches of up to
φ, then the factor to the power of 1/φ is valid (its logarithm is concave in each bunch's share of failures, and
Jensen does the rest). φ is measured (`Dispersion`), never taken as less than 1. No single second gives more than its part of an
alarm (`seconds_least`): to give less than one has is valid too.
"""

from collections.abc import Sequence
from math import exp, inf, log, log1p, sqrt
from typing import Final

_HORIZON_S: Final = 1_800.0
"""Half of alpha is spent on evidence that begins within this time, the rest on all the time after it."""
_HEADROOM: Final = 6.0
"""How far above an alarm a level may rise, in nats: so that it comes down again."""
_MOST: Final = 0.98
"""The highest rate that is bet against."""
_LEAST: Final = 0.0005
"""The lowest rate that is taken for the old version's: no failures were seen yet."""


def spent(second: float) -> float:
    """Ln of the part of alpha for evidence that begins at this second of the release. All add up to 1."""
    since = max(0.0, second) + _HORIZON_S
    return log(_HORIZON_S) - log(since) - log(since + 1.0)


class Chart:
    """What one question's evidence adds up to, by bets. Levels are logarithms.

    floor of a second: what `spent` says. since: when the evidence of each bet began to rise.
    """

    __slots__ = ("bar", "bar_warning", "least", "levels", "since")

    def __init__(self, bets: int, alpha: float, alpha_warning: float, seconds_least: int) -> None:
        self.bar = log(bets / alpha)
        self.bar_warning = log(bets / alpha_warning)
        self.least = seconds_least
        self.levels = [-inf] * bets
        self.since = [0] * bets

    def add(self, second: int, floor: float, gains: Sequence[float]) -> None:
        """One second's logarithms of factors."""
        most, levels = (self.bar - floor) / self.least, self.levels
        top = self.bar + _HEADROOM
        for place, gain in enumerate(gains):
            level = levels[place]
            if level <= floor:
                level = floor
                self.since[place] = second
            level += min(gain, most)
            levels[place] = min(level, top)

    def rests(self, floor: float) -> bool:
        """Whether it is at its floor; then it stays there until something speaks against it."""
        if max(self.levels) > floor:
            return False
        self.levels = [-inf] * len(self.levels)
        return True

    @property
    def is_critical(self) -> bool:
        """Whether it is an alarm."""
        return max(self.levels) >= self.bar

    @property
    def is_warning(self) -> bool:
        """Whether it is one by the larger alpha."""
        return max(self.levels) >= self.bar_warning

    @property
    def began(self) -> int:
        """Since when the evidence of the best bet rises."""
        return self.since[self.levels.index(max(self.levels))]

    def alarms(self) -> set[int]:
        """Since when the evidence of each bet rises that is an alarm by itself."""
        pairs = zip(self.levels, self.since, strict=True)
        return {since for level, since in pairs if level >= self.bar}

    def evidence(self, floor: float) -> float:
        """How far it is: 0 at the floor, 1 at an alarm."""
        return max(0.0, (max(self.levels) - floor) / (self.bar - floor))


def bets_on_one(
    most: float, ups: Sequence[float], requests: int, failures: int, bunch: float
) -> list[float]:
    """Ln of the factors for a rate that is not to exceed `most`; each bet is on it being so much higher."""
    limit = min(max(most, _LEAST), _MOST)
    passed, gains = requests - failures, []
    for up in ups:
        stake = (min(limit + up, 0.99) - limit) / (limit * (1.0 - limit))
        won = failures * log1p(stake * (1.0 - limit)) if failures else 0.0
        gains.append((won + passed * log1p(-stake * limit)) / bunch)
    return gains


def bets_on_two(
    margin: float,
    ups: Sequence[float],
    new: tuple[int, int],
    old: tuple[int, int],
    guess: float,
    bunch: float,
) -> list[float]:
    """Ln of the factors for a rate that is not to exceed another of the same time by more than `margin`.

    new, old: requests (above 0) and failures. guess: the old one's rate, from before.
    """
    (n_new, e_new), (n_old, e_old) = new, old
    gains = []
    for up in ups:
        low, ours = _stake(margin, up, n_new, n_old, guess)
        high, theirs = low + margin, ours * n_new / n_old
        gain = (n_new - e_new) * log1p(-ours * high) + (n_old - e_old) * log1p(theirs * low)
        if e_new:
            gain += e_new * log1p(ours * (1.0 - high))
        if e_old:
            gain += e_old * log1p(-theirs * (1.0 - low))
        gains.append(gain / bunch)
    return gains


def _stake(margin: float, up: float, n_new: int, n_old: int, guess: float) -> tuple[float, float]:
    """q, and λ/n', of a bet that the new rate is `up` more than is allowed.

    The best are where the null hypothesis comes closest to that: for margin 0 the rate of both together, and nearly so
    for others. There both sides ask for the same λ; the lesser is taken.
    """
    most = _MOST - margin
    usual = min(max(guess, _LEAST), most - 0.01)
    wanted = min(usual + up, most)
    low = (n_old * usual + n_new * wanted) / (n_old + n_new)
    high = low + margin
    ours = (wanted - low) / (high * (1.0 - high))
    theirs = (low - usual) / (low * (1.0 - low))
    return low, min(ours, theirs * n_old / n_new)


def upper_rate(requests: float, failures: float, bunch: float, nats: float) -> float:
    """What a rate is at most, from a sample, but for a chance of exp(-nats) (Bernstein)."""
    if requests <= 0.0:
        return 1.0
    rate, width = failures / requests, nats * bunch / requests
    return min(1.0, rate + sqrt(2.0 * rate * width) + width)


class Dispersion:
    """How much more rates differ from second to second than independent requests would: a bunch's size.

    Of the difference of the two slots, from one second to the next: so that neither a burst that hits
    both, nor a fault that stays, is taken for noise. A failure that is alone says nothing of bunches; many
    in two seconds say most. Forgets within minutes; begins at 1.
    """

    __slots__ = ("_before", "_count", "_sum", "bunch")

    _PRIOR: Final = 30.0
    _KEPT: Final = exp(-1.0 / 600.0)
    _MOST: Final = 25.0
    _MANY: Final = 4.0
    _MOST_OF_ONE: Final = 400.0

    def __init__(self) -> None:
        self._before: tuple[float, float, int] | None = None
        self._sum = self._count = 0.0
        self.bunch = 1.0

    def add(self, new: tuple[int, int], old: tuple[int, int] | None) -> None:
        """One second: requests (above 0) and failures of both; old: None, if only one serves."""
        (n_new, e_new), (n_old, e_old) = new, old or (0, 0)
        rate = (e_new + e_old) / (n_new + n_old)
        spread = rate * (1.0 - rate) * (1.0 / n_new + (1.0 / n_old if n_old else 0.0))
        differs = e_new / n_new - (e_old / n_old if n_old else 0.0)
        before, self._before = self._before, (differs, spread, e_new + e_old)
        self._sum *= self._KEPT
        self._count *= self._KEPT
        if before is None or spread + before[1] <= 0.0:
            return
        weight = min(1.0, (e_new + e_old + before[2] - 1) / self._MANY)
        square = (differs - before[0]) ** 2 / (spread + before[1])
        self._sum += weight * min(square, self._MOST_OF_ONE)
        self._count += weight
        measured = (self._PRIOR + self._sum) / (self._PRIOR + self._count)
        self.bunch = min(max(1.0, measured), self._MOST)


class Ratio:
    """A chart's input for means: ln of how much slower, in blocks of enough requests, and how it varies.

    The variance of a block is that of single requests over their number, measured from block to block
    (of the difference of both slots), widened by half, and never taken as less than `_LEAST_SD` squared.
    So this part is valid as far as means of blocks are nearly normal: it is asymptotic (as in
    Waudby-Smith, Arbour, Sinha, Kennedy & Ramdas 2024), while the parts for rates are exact.
    """

    __slots__ = ("_before", "_count", "_new", "_old", "_sum")

    BETS: Final = (0.15, 0.3, 0.7)
    _BLOCK: Final = 20.0
    _PRIOR: Final = 10.0
    _KEPT: Final = exp(-1.0 / 600.0)
    _WIDER: Final = 1.5
    _LEAST_SD: Final = 0.03
    _MOST: Final = 1.5

    def __init__(self) -> None:
        self._before: tuple[float, float] | None = None
        self._sum = self._count = 0.0
        self._new = self._old = (0.0, 0.0)

    def forget_block(self) -> None:
        """What is not yet a block was of other circumstances."""
        self._new = self._old = (0.0, 0.0)
        self._before = None

    def add(
        self,
        new: tuple[float, float],
        old: tuple[float, float],
        tolerated: float,
        spread: float,
    ) -> list[float] | None:
        """Ln of the factors, once a block is full. new, old: requests, and what they took together.

        tolerated: ln of how much slower is none of our business. spread: a guess of the variance of
        one request over its mean squared, for as long as little was measured.
        """
        self._new = (self._new[0] + new[0], self._new[1] + new[1])
        self._old = (self._old[0] + old[0], self._old[1] + old[1])
        (n_new, sum_new), (n_old, sum_old) = self._new, self._old
        if n_new < self._BLOCK or n_old < self._BLOCK:
            return None
        self._new = self._old = (0.0, 0.0)
        share = 1.0 / n_new + 1.0 / n_old
        slower = log(max(sum_new, 1.0) / n_new) - log(max(sum_old, 1.0) / n_old)
        variance = self._variance(spread) * share
        gains = self._gains(slower - tolerated, variance)
        self._learn(slower, share)
        return gains

    def _variance(self, spread: float) -> float:
        return (self._PRIOR * spread + self._sum) / (self._PRIOR + self._count)

    def _gains(self, excess: float, variance: float) -> list[float]:
        wide = max(variance * self._WIDER, self._LEAST_SD**2)
        bounded = min(max(excess, -self._MOST), self._MOST)
        return [(bet * bounded - bet * bet / 2.0) / wide for bet in self.BETS]

    def _learn(self, slower: float, share: float) -> None:
        before, self._before = self._before, (slower, share)
        self._sum *= self._KEPT
        self._count *= self._KEPT
        if before is not None:
            self._sum += (slower - before[0]) ** 2 / (share + before[1])
            self._count += 1.0
