"""PURE: whether a worker's lease runs, by its own clock.

Rules:
1. It is counted from before the renewal was sent, so it is over here before it is over in Redis,
   whose clock begins when the renewal has arrived.
2. One that was over counts again only once the worker serves what was published when it was taken
   anew: meanwhile others could move its tenants without it.
"""


class Lease:
    """See the module. lasts_s: how long a renewal holds. ends: when it is over, monotonic seconds."""

    def __init__(self, lasts_s: float) -> None:
        self._lasts_s = lasts_s
        self.ends = 0.0
        self._needed = 0
        self._held = False

    def __repr__(self) -> str:
        return f"<Lease held={self._held} ends={self.ends:.3f} needed={self._needed}>"

    def renewed(self, asked: float, published: int, now: float) -> None:
        """Redis has taken a renewal. asked: when it was sent. published: the version there was."""
        if now >= self.ends:
            self._held = False
        self.ends = asked + self._lasts_s
        self._needed = published

    def holds(self, version: int, now: float) -> bool:
        """Whether it runs now. version: that the worker serves by."""
        if now >= self.ends:
            self._held = False
        elif not self._held:
            self._held = 0 < self._needed <= version
        return self._held
