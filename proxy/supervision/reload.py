"""A reload: workers with new settings serve before the old ones drain, or all stays as it is.

Rules: it is a step of the supervisor's loop, so dead workers are replaced meanwhile. One that is
asked for during another begins after it. What can't be had (settings that are wrong, other
addresses, no room beside workers that still drain) changes nothing, and the log says why.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass

from config import ConfigError
from proxy.supervision.children import Child, Children, Role
from proxy.supervision.notify import Notifier
from proxy.supervision.plan import Load, Plan

log = logging.getLogger("turnout.supervisor")


@dataclass(frozen=True, slots=True)
class _Attempt:
    """Its workers serve before the deadline (monotonic seconds), or it has failed."""

    plan: Plan
    candidates: list[Child]
    deadline: float


class Reload:
    """See the module. start: forks a worker by a plan. asked: by a signal, and not begun."""

    def __init__(
        self,
        load: Load,
        files_limit: int,
        children: Children,
        notify: Notifier,
        start: Callable[[Plan], Child | None],
    ) -> None:
        self.asked = False
        self._load = load
        self._files_limit = files_limit
        self._children = children
        self._notify = notify
        self._start = start
        self._attempt: _Attempt | None = None

    @property
    def under_way(self) -> bool:
        """Whether new workers are on their way."""
        return self._attempt is not None

    def step(self, now: float, current: Plan, *, may_begin: bool) -> Plan | None:
        """Begin, succeed or fail, where it is time to. The plan in use from now on, if it is new.

        now: monotonic seconds.
        """
        attempt = self._attempt
        if attempt is None:
            if self.asked and may_begin:
                self.asked = False
                self._begin(now, current)
        elif all(map(self._children.serves, attempt.candidates)):
            self._take_over(attempt)
            return attempt.plan
        elif now >= attempt.deadline or not all(map(self._children.lives, attempt.candidates)):
            self._give_up(attempt, current)
        return None

    def _begin(self, now: float, current: Plan) -> None:
        try:
            plan = Plan.of(self._load, self._files_limit)
        except ConfigError as error:
            log.error("settings are not reloaded: %s", error)  # noqa: TRY400 - said to people
            return
        why_not = self._why_not(plan, current)
        if why_not:
            log.error("settings are not reloaded: %s", why_not)
            return
        self._notify.reloading("reloading")
        started = [self._start(plan) for _ in range(plan.workers)]
        candidates = [child for child in started if child is not None]
        self._attempt = _Attempt(plan, candidates, now + plan.settings.supervision.start_s)

    def _why_not(self, plan: Plan, current: Plan) -> str:
        if plan.addresses() != current.addresses():
            return "listening addresses change only at a restart or an upgrade"
        room = self._children.room()
        if plan.workers <= room:
            return ""
        draining = len(self._children.of(Role.RETIRING))
        return (
            f"{plan.workers} new workers need room and there is some for {room}, "
            f"{draining} workers of earlier reloads still drain (until "
            "proxy.timeouts.drain_reload_s; SIGTERM ends one sooner)"
        )

    def _take_over(self, attempt: _Attempt) -> None:
        self._attempt = None
        for child in self._children.of(Role.SERVING):
            self._children.retire(child)
        for child in attempt.candidates:
            child.role = Role.SERVING
        self._notify.ready(attempt.plan.status())
        log.info("settings reloaded: %d new workers serve", len(attempt.candidates))

    def _give_up(self, attempt: _Attempt, current: Plan) -> None:
        self._attempt = None
        log.error(
            "settings are not reloaded: the new workers did not come up (see above; is Redis there?)"
        )
        for child in attempt.candidates:
            self._children.retire(child)
        self._notify.ready(f"{current.status()}; the last reload failed")
