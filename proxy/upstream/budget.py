"""How many requests of a slot may be sent a second time: a share of those it had of late.

A retry costs an ailing endpoint what a request costs; without a bound, retries keep it down.
After Finagle's RetryBudget (finagle.github.io/blog/2016/02/08/retry-budgets), with two windows
in place of a bucket: what is counted is this window and the one before.
"""

from typing import Final

WINDOW_S: Final = 10.0


class RetryBudget:
    """One slot's, in one worker.

    percent: of its requests. per_s: retries a second that are allowed in any case, counted over
    a window, so that a slot with few requests has its retries too.
    """

    __slots__ = (
        "_ends",
        "_floor",
        "_percent",
        "_requests_before",
        "_retries",
        "_retries_before",
        "requests",
    )

    def __init__(self, percent: int, per_s: float) -> None:
        self._percent = percent
        self._floor = int(per_s * WINDOW_S)
        self._retries = 0
        self._requests_before = 0
        self._retries_before = 0
        self._ends = 0.0
        self.requests = 0

    def withdraw(self) -> bool:
        """Whether one more request may be sent again; it is counted."""
        requests = self.requests + self._requests_before
        allowed = self._floor + requests * self._percent // 100
        if self._retries + self._retries_before >= allowed:
            return False
        self._retries += 1
        return True

    def sweep(self, now: float) -> None:
        """Begin a new window when it is time. now: monotonic seconds."""
        if now < self._ends:
            return
        # After a pause of more than a window the one before is of long ago.
        recent = now < self._ends + WINDOW_S
        self._requests_before = self.requests if recent else 0
        self._retries_before = self._retries if recent else 0
        self.requests = self._retries = 0
        self._ends = now + WINDOW_S
