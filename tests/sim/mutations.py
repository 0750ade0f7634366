"""Faults put into the real code, each of which breaks a rule of `books`: the simulation must see it.

A mutation replaces one function. rules: those that it may break first; 0: the code's own checks (an
exception that nobody catches).
"""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from admin.intents import Carrier
from admin.routing import fleet, reconcile
from admin.routing import store as routing
from admin.switches import controller
from admin.switches.model import Event, State, Waiting, waiting_for
from proxy.exchange.fence import Fence
from proxy.exchange.parking import Parking
from proxy.follow import Follower
from proxy.lease import Lease
from proxy.observability import telemetry
from proxy.router import Router
from proxy.routing.ack import Convergence
from proxy.routing.stored import restored
from proxy.store import stored

Patch = tuple[Any, str, Any]
"""Where, what, and what is there instead."""


@dataclass(frozen=True)
class Mutation:
    """See the module."""

    name: str
    rules: tuple[int, ...]
    patches: Callable[[], list[Patch]]

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """The code has this fault for as long as the block runs."""
        undo: list[Patch] = []
        for where, name, value in self.patches():
            undo.append((where, name, vars(where)[name]))
            setattr(where, name, value)
        try:
            yield
        finally:
            for where, name, value in undo:
                setattr(where, name, value)


MUTATIONS: list[Mutation] = []


def mutation(*rules: int) -> Callable[[Callable[[], list[Patch]]], Callable[[], list[Patch]]]:
    def keep(patches: Callable[[], list[Patch]]) -> Callable[[], list[Patch]]:
        MUTATIONS.append(Mutation(patches.__name__, rules, patches))
        return patches

    return keep


# ── 1: versions only grow ─────────────────────────────────────────────────────────────────────


@mutation(1)
def whatever_redis_has_is_taken() -> list[Patch]:
    async def load(self: Any, client: Any) -> None:
        found = await stored(client, self._store.keys)
        if found.version not in {-1, self.version}:
            self._block.cells[telemetry.RELOADS] += 1
            self._swap(restored(found, self._store.key))

    return [(Follower, "_load", load)]


# ── 2: converged means served ─────────────────────────────────────────────────────────────────


@mutation(2, 3)
def a_version_is_said_before_it_is_served() -> list[Patch]:
    swap = Follower._swap

    def early(self: Any, table: Any) -> None:
        serve, self._on_table = self._on_table, lambda _: None
        swap(self, table)
        self._on_table = serve
        self._lease_timer._loop.call_later(0.02, serve, table) if self._lease_timer else serve(
            table
        )

    return [(Follower, "_swap", early)]


@mutation(2)
def converged_waits_for_nobody() -> list[Patch]:
    def converge(version: int, live: Any) -> Convergence:
        return Convergence(version, tuple(status.worker for status in live), (), {})

    return [(fleet, "converge", converge)]


@mutation(2)
def a_lease_is_counted_from_its_answer() -> list[Patch]:
    def renewed(self: Any, asked: float, published: int, now: float) -> None:
        if now >= self.ends:
            self._held = False
        self.ends = now + self._lasts_s
        self._needed = published

    return [(Lease, "renewed", renewed)]


@mutation(2)
def a_lease_that_was_over_counts_again_at_once() -> list[Patch]:
    def holds(self: Any, version: int, now: float) -> bool:
        self._held = held = bool(now < self.ends)
        return held

    return [(Lease, "holds", holds)]


@mutation(2)
def the_end_of_a_lease_is_not_heeded() -> list[Patch]:
    return [(Router, "_is_parked", lambda self, tenant: False)]


# ── 3: the fence holds ────────────────────────────────────────────────────────────────────────


@mutation(3)
def the_fence_says_that_nothing_is_left() -> list[Patch]:
    return [(Fence, "left", lambda self: dict.fromkeys(self._busy, 0))]


@mutation(3)
def a_switch_waits_for_nobody() -> list[Patch]:
    return [(controller.Switches, "_waiting", lambda self, switch: Waiting((), {}, ()))]


@mutation(3)
def who_fell_silent_is_forgotten() -> list[Patch]:
    def forget(switch: Any, live: Any, silent: Any) -> Waiting:
        return waiting_for(switch, live, ())

    return [(controller, "waiting_for", forget)]


@mutation(3)
def those_under_way_at_the_hold_are_not_counted() -> list[Patch]:
    def waits(switch: Any, live: Any, silent: Any) -> Waiting:
        found = waiting_for(switch, live, silent)
        return replace(found, busy={})

    return [(controller, "waiting_for", waits)]


# ── 4: each request is answered once ──────────────────────────────────────────────────────────


@mutation(4)
def nobody_is_let_go() -> list[Patch]:
    return [(Parking, "look", lambda self: None)]


@mutation(4, 0)
def who_waits_is_forgotten() -> list[Patch]:
    def let_go(self: Any) -> None:
        for tenant in [each for each in self._lines if not self._router.holds(each)]:
            for parked in list(self._lines[tenant]):
                self.leave(parked, tenant)

    return [(Parking, "_let_go", let_go)]


@mutation(4, 0)
def who_waits_is_let_go_twice() -> list[Patch]:
    def let_go(self: Any) -> None:
        for tenant in [each for each in self._lines if not self._router.holds(each)]:
            for parked in list(self._lines.get(tenant, ())):
                parked.unpark()
                parked.unpark()

    return [(Parking, "_let_go", let_go)]


# ── 5: every switch ends ──────────────────────────────────────────────────────────────────────


@mutation(5)
def nobody_goes_on_with_what_another_began() -> list[Patch]:
    async def run(self: Any) -> None:
        return

    return [(Carrier, "run", run)]


@mutation(5)
def what_is_undone_is_not_released() -> list[Patch]:
    async def undo(self: Any, record: Any) -> Any:
        return Event.RELEASED

    actions = dict(controller._ACTIONS) | {State.UNDOING: undo}
    return [(controller, "_ACTIONS", actions)]


# ── 6: one of two wins ────────────────────────────────────────────────────────────────────────


@mutation(6)
def the_expected_version_is_not_compared() -> list[Patch]:
    made = routing._made

    def anyway(known: Any, proposal: Any, limits: Any) -> Any:
        return made(known, replace(proposal, expected_version=None), limits)

    return [(routing, "_made", anyway)]


# ── 7: what is decided is what is served ──────────────────────────────────────────────────────


@mutation(7)
def published_anew_without_a_higher_version() -> list[Patch]:
    async def same(self: Any, expected: int, floor: int, reason: str) -> Any:
        return await self.standing()

    return [(routing.Store, "bump", same)]


@mutation(7)
def what_redis_lacks_is_not_published() -> list[Patch]:
    plan = reconcile.plan

    def nothing(*given: Any, **more: Any) -> Any:
        found = plan(*given, **more)
        is_behind = found.step is reconcile.Step.CATCH_UP
        return reconcile.Plan(reconcile.Step.NOTHING) if is_behind else found

    return [(reconcile, "plan", nothing)]


@mutation(7)
def a_promoted_server_counts_on() -> list[Patch]:
    return [(routing.Standing, "is_of_another_timeline", False)]


@mutation(7)
def lost_commits_are_not_looked_for() -> list[Patch]:
    plan = reconcile.plan

    def blind(desired: int, snapshot: Any, seen: int, _: str = "", **__: Any) -> Any:
        return plan(desired, snapshot, seen)

    return [(reconcile, "plan", blind), *a_promoted_server_counts_on()]


# ── 8: at most once ───────────────────────────────────────────────────────────────────────────


@mutation(8)
def keys_are_not_looked_up() -> list[Patch]:
    async def repeated(connection: Any, proposal: Any) -> None:
        return None

    return [(routing, "_repeated", repeated)]


@mutation(8)
def an_unknown_outcome_is_told_as_nothing() -> list[Patch]:
    def lose(self: Any, error: Exception, may_be_made: bool) -> None:
        self._last = None

    return [(routing.Store, "_lose", lose)]


@mutation(8)
def a_command_is_run_again() -> list[Patch]:
    step = controller.Switches._step

    async def again(self: Any, record: Any) -> Any:
        record.switch = replace(record.switch, step_begun=False)
        return await step(self, record)

    actions = dict(controller._ACTIONS) | {State.STEPPING: again}
    return [(controller, "_ACTIONS", actions)]
