"""What is thought of one endpoint: by its answers to requests, and by checks if there are any.

Rules:
1. `TRANSITIONS` is its whole life; an event that a state has no row for changes nothing.
2. Checks and requests judge apart: who failed its checks comes back by checks alone, who was
   ejected for failed requests comes back by time, and then on trial.
3. No clock lies in here: `now` is monotonic seconds, all of one clock.
Each worker judges for itself, from what it sees.
"""

from enum import IntEnum
from typing import Final

LEAST_SHARE: Final = 0.1
"""Of its later share, what an endpoint takes at the begin of its slow start."""


class State(IntEnum):
    """What is thought of it."""

    UNKNOWN = 0  # nothing yet: used as if it were healthy
    HEALTHY = 1
    UNHEALTHY = 2  # its checks fail
    EJECTED = 3  # too many requests in a row failed there; until a time
    TRIAL = 4  # that is over: one request at a time, until one is answered
    WARMING = 5  # new or back: it takes a growing share


class Event(IntEnum):
    """What changes that."""

    ANSWERED = 0  # a request got its answer
    FAULTS = 1  # so many failed in a row that it is to be ejected
    CHECKS_PASS = 2  # as many checks in a row as make it healthy
    CHECKS_FAIL = 3  # as many as make it unhealthy
    TIME = 4  # the ejection, or the slow start, is over


TRANSITIONS: Final = {
    (State.UNKNOWN, Event.ANSWERED): State.HEALTHY,
    (State.UNKNOWN, Event.FAULTS): State.EJECTED,
    (State.UNKNOWN, Event.CHECKS_PASS): State.HEALTHY,
    (State.UNKNOWN, Event.CHECKS_FAIL): State.UNHEALTHY,
    (State.HEALTHY, Event.FAULTS): State.EJECTED,
    (State.HEALTHY, Event.CHECKS_FAIL): State.UNHEALTHY,
    (State.UNHEALTHY, Event.CHECKS_PASS): State.WARMING,
    (State.EJECTED, Event.CHECKS_FAIL): State.UNHEALTHY,
    (State.EJECTED, Event.TIME): State.TRIAL,
    (State.TRIAL, Event.ANSWERED): State.WARMING,
    (State.TRIAL, Event.FAULTS): State.EJECTED,
    (State.TRIAL, Event.CHECKS_FAIL): State.UNHEALTHY,
    (State.WARMING, Event.FAULTS): State.EJECTED,
    (State.WARMING, Event.CHECKS_FAIL): State.UNHEALTHY,
    (State.WARMING, Event.TIME): State.HEALTHY,
}

_NEXT: Final = tuple(
    tuple(int(TRANSITIONS.get((state, event), state)) for event in Event) for state in State
)

UNKNOWN: Final = int(State.UNKNOWN)
HEALTHY: Final = int(State.HEALTHY)
UNHEALTHY: Final = int(State.UNHEALTHY)
EJECTED: Final = int(State.EJECTED)
TRIAL: Final = int(State.TRIAL)
WARMING: Final = int(State.WARMING)

_ANSWERED: Final = int(Event.ANSWERED)
_FAULTS: Final = int(Event.FAULTS)
_CHECKS_PASS: Final = int(Event.CHECKS_PASS)
_CHECKS_FAIL: Final = int(Event.CHECKS_FAIL)
_TIME: Final = int(Event.TIME)


class HealthRules:
    """When an endpoint is thought ill, and how it comes back.

    failures: in a row, then it is ejected; 0: never. on_5xx: whether an answer of 5xx counts as
    one. eject_s: seconds of its first ejection; the n-th lasts n times that, but no longer than
    eject_max_s. slow_start_s: until it takes its whole share; 0: at once. rise, fall: checks in
    a row.
    """

    __slots__ = ("eject_max_s", "eject_s", "failures", "fall", "on_5xx", "rise", "slow_start_s")

    def __init__(
        self,
        *,
        failures: int,
        on_5xx: bool,
        eject_s: float,
        eject_max_s: float,
        slow_start_s: float,
        rise: int,
        fall: int,
    ) -> None:
        self.failures = failures
        self.on_5xx = on_5xx
        self.eject_s = eject_s
        self.eject_max_s = eject_max_s
        self.slow_start_s = slow_start_s
        self.rise = rise
        self.fall = fall


class Health:
    """See the module.

    share: of an equal share, what it takes now; 0 to 1. suspect: whether an answer is news.
    until: when the ejection or the slow start is over.
    """

    __slots__ = (
        "_ejections",
        "_failures",
        "_in_a_row",
        "_last_check",
        "_rules",
        "_since",
        "share",
        "state",
        "suspect",
        "until",
    )

    def __init__(self, rules: HealthRules) -> None:
        self._rules = rules
        self._failures = 0
        self._ejections = 0
        self._in_a_row = 0
        self._last_check = True
        self._since = 0.0
        self.state = UNKNOWN
        self.share = 1.0
        self.suspect = True
        self.until = 0.0

    def __repr__(self) -> str:
        return f"<Health {State(self.state).name} failures={self._failures} share={self.share:g}>"

    @property
    def eligible(self) -> bool:
        """Whether requests may be sent there."""
        return self.state not in {UNHEALTHY, EJECTED}

    @property
    def settled(self) -> bool:
        """Whether it takes its whole share."""
        return self.state in {HEALTHY, UNKNOWN}

    def warm(self, now: float) -> None:
        """It is new beside others that are warm: begin with a small share."""
        if self._rules.slow_start_s > 0:
            self._begin(WARMING, now)

    def answered(self, status: int, now: float, *, may_eject: bool) -> bool:
        """A final answer began. Whether the state changed.

        What failed before is forgotten only with `completed`: it may yet break off.
        """
        if status >= 500 and self._rules.on_5xx:
            return self.failed(now, may_eject=may_eject)
        return self._take(_ANSWERED, now)

    def completed(self, status: int) -> None:
        """An answer is whole."""
        if status < 500 or not self._rules.on_5xx:
            self._failures = 0
            self.suspect = self.state != HEALTHY

    def failed(self, now: float, *, may_eject: bool) -> bool:
        """A request failed there. may_eject: not too many others are. Whether the state changed."""
        rules = self._rules
        if not rules.failures:
            return False
        self._failures += 1
        self.suspect = True
        enough = 1 if self.state == TRIAL else rules.failures
        return self._failures >= enough and may_eject and self._take(_FAULTS, now)

    def checked(self, now: float, *, passed: bool) -> bool:
        """A check has passed or failed. Whether the state changed."""
        self._in_a_row = self._in_a_row + 1 if passed == self._last_check else 1
        self._last_check = passed
        # Of an endpoint that nobody knows, the first check is believed.
        needed = 1 if self.state == UNKNOWN else self._rules.rise if passed else self._rules.fall
        event = _CHECKS_PASS if passed else _CHECKS_FAIL
        return self._in_a_row >= needed and self._take(event, now)

    def sweep(self, now: float) -> bool:
        """Time has passed. Whether the state changed."""
        if self.state == WARMING and now < self.until:
            elapsed = now - self._since
            self.share = max(elapsed / self._rules.slow_start_s, LEAST_SHARE)
            return False
        over = self.state in {WARMING, EJECTED} and now >= self.until
        return over and self._take(_TIME, now)

    def _take(self, event: int, now: float) -> bool:
        following = _NEXT[self.state][event]
        if following == self.state:
            return False
        self._begin(following, now)
        return True

    def _begin(self, state: int, now: float) -> None:
        rules = self._rules
        if state == EJECTED:
            # After a long good time an ejection is the first again.
            forgotten = self.state == HEALTHY and now - self._since >= rules.eject_max_s
            self._ejections = 1 if forgotten else self._ejections + 1
            self.until = now + min(rules.eject_s * self._ejections, rules.eject_max_s)
        elif state == WARMING:
            self.until = now + rules.slow_start_s
        self.state = state
        self.share = LEAST_SHARE if state == WARMING and rules.slow_start_s > 0 else 1.0
        self._since = now
        self._failures = 0
        self.suspect = state != HEALTHY
