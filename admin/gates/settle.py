"""Whether a slot's latency has settled. Pure.

A cold slot's latency falls as caches fill and connections open. It has settled once the medians of the
last batches lie close together and below a bound, and nothing failed in them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True, slots=True)
class Batch:
    """What one batch of requests to one endpoint came to. median_ms: of those answered; 0: none was.

    failures: requests without an answer, or with one that tells of a fault.
    """

    median_ms: float
    count: int
    failures: int = 0


@dataclass(frozen=True, slots=True)
class Wanted:
    """batches: how many of the last ones are looked at. within: how far their medians may lie apart,
    as a share of the least (0.2: 20 %), or near_ms, milliseconds, whichever is more. below_ms: what
    each lies below, milliseconds.
    """  # noqa: D205 - one sentence a field

    batches: int = 3
    within: float = 0.2
    below_ms: float = 500.0
    near_ms: float = 1.0


def batch_of(took_ms: Sequence[float], count: int, failures: int) -> Batch:
    """A batch from the times of the requests that were answered."""
    return Batch(median(took_ms) if took_ms else 0.0, count, failures)


def why_not(batches: Sequence[Batch], wanted: Wanted) -> str:
    """What keeps an endpoint from being warm; empty if nothing does."""
    last = batches[-wanted.batches :]
    if len(last) < wanted.batches:
        return f"{len(last)} of {wanted.batches} batches were sent"
    failures = sum(batch.failures for batch in last)
    if failures:
        count = sum(batch.count for batch in last)
        return f"{failures} of the last {count} requests failed"
    least, most = (pick(batch.median_ms for batch in last) for pick in (min, max))
    if most > wanted.below_ms:
        return f"a median of {most:.1f} ms lies above {wanted.below_ms:g} ms"
    if most - least > max(wanted.within * least, wanted.near_ms):
        return f"the last medians lie between {least:.1f} and {most:.1f} ms"
    return ""
