"""How a release's effects are done. Each may be done again by whoever goes on, and is done once.

Rule: a change of the routing is made under a key that the effect names; a switch, a drain and a hook
have a name that comes of it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from hashlib import blake2b
from time import monotonic
from typing import Any

import structlog

from admin.drains.controller import Drains, RunningError
from admin.drains.model import Drain
from admin.intents import LOOK_S, change_once
from admin.migrations.slots import set_version
from admin.migrations.version import Version, VersionError
from admin.releases.course import Effect, Kind
from admin.releases.model import Release
from admin.releases.ports import Hooks
from admin.releases.store import Record
from admin.routing.control import Control
from admin.routing.limits import LimitError
from admin.routing.store import Check, Plan
from admin.switches.controller import Switches, TooManyError
from admin.switches.model import State, Switch
from proxy.routing.change import (
    ContractError,
    Cutover,
    EndAffinities,
    Operation,
    Pin,
    SetCanary,
    Unpin,
)
from proxy.routing.model import Canary, RoutingTable
from proxy.routing.values import decode_percent

log = structlog.get_logger(__name__)
AGAIN_S = 2.0
"""How soon a way back that was not to be made is tried again."""


class EffectError(Exception):
    """It can't be done; the message says why, and holds no secret."""


class UnknownError(EffectError):
    """Nobody knows whether it was done."""


@dataclass(frozen=True, slots=True)
class Done:
    """What was done. told: for the trail. expected: the canary that it left behind.

    version: of the routing table that all workers have to serve before it counts as done; None: none.
    began: when that change was begun, by the loop's monotonic clock.
    """

    told: Mapping[str, Any] = field(default_factory=dict)
    expected: Canary | None = None
    version: int | None = None
    began: float = 0.0


@dataclass(frozen=True, slots=True)
class Limits:
    """What bounds them. check, refusal: as the switches have them.

    switch_s: of a fenced switch, from its beginning to its commit. drain_s: of a drain, until what is
    left is ended at once.
    """

    check: Check
    refusal: type[Exception]
    switch_s: float
    drain_s: float


class Effects:
    """Does them."""

    def __init__(
        self, control: Control, switches: Switches, drains: Drains, hooks: Hooks, limits: Limits
    ) -> None:
        self._control, self._switches, self._drains, self._hooks = control, switches, drains, hooks
        self._limits = limits
        self._refused = (ContractError, LimitError, limits.refusal)

    async def do(self, record: Record, effect: Effect, tries: int) -> Done:
        """Do it. tries: how often it was begun, after it had failed. EffectError; AWAY."""
        try:
            return await _ACTIONS[effect.kind](self, record, effect, tries)
        except (*self._refused, VersionError) as error:
            raise EffectError(str(getattr(error, "detail", error))) from None

    async def _hook(self, record: Record, effect: Effect, tries: int) -> Done:
        key = _name("h", record.release, effect, tries)
        result = await self._hooks.run(effect.what, about(record.release), key)
        if not result.ok:
            error = EffectError if result.known else UnknownError
            raise error(f"{effect.what}: {result.detail}")
        return Done({"said": result.detail})

    async def _declare(self, record: Record, _: Effect, __: int) -> Done:
        release = record.release
        version = Version.parse(release.version)
        await set_version(self._control.store, release.standby, version, record.author)
        return Done({"slot": str(release.standby), "version": release.version})

    async def _settle(self, record: Record, _: Effect, __: int) -> Done:
        release = record.release
        version = Version.parse(release.version)
        await set_version(self._control.store, release.active, version, record.author)
        return Done({"slot": str(release.active), "version": release.version})

    async def _weight(self, record: Record, effect: Effect, tries: int) -> Done:
        release = record.release
        wanted = weight_of(release)

        def plan(table: RoutingTable) -> tuple[Operation, ...]:
            if why := disturbed(release, table):
                raise ContractError(why)
            return (_set(wanted), *_pins(release, table))

        done = await self._change(record, effect, plan, tries)
        told = {**done.told, "percent": wanted.basis_points / 100}
        return replace(done, told=told, expected=wanted)

    async def _cutover(self, record: Record, effect: Effect, tries: int) -> Done:
        release = record.release

        def plan(table: RoutingTable) -> tuple[Operation, ...]:
            if why := disturbed(release, table):
                raise ContractError(why)
            return (Cutover(release.standby), *_unpins(release, table))

        after = replace(release.expected, basis_points=0)
        if release.plan.cutover == "fenced":
            table = await self._control.store.current()
            if table.active is release.standby:
                return _done(table.version, monotonic(), after)
            return replace(await self._fenced(record, effect, plan(table), tries), expected=after)
        return replace(await self._change(record, effect, plan, tries), expected=after)

    async def _return(self, record: Record, effect: Effect, begun: int) -> Done:
        """Back, from wherever the table stands; and if it is not to be, again and again.

        EffectError when it fails for the first time, so that this is told.
        """
        release, tries = record.release, begun - 1
        while operations := back(release, table := await self._control.store.current()):
            try:
                if release.plan.rollback == "fenced" and table.active is release.standby:
                    done = await self._fenced(record, effect, operations, tries)
                else:
                    done = await self._change(record, effect, partial(back, release), tries)
            except (EffectError, *self._refused) as error:
                log.warning("a release can't go back yet", release=release.name, why=str(error))
                if begun == 1:
                    raise
                tries += 1
                await asyncio.sleep(AGAIN_S)
            else:
                told = {**done.told, "tries": tries + 1}
                return replace(done, told=told, expected=release.base)
        return _done(table.version, monotonic(), release.base)

    async def _drain(self, record: Record, effect: Effect, _: int) -> Done:
        release = record.release
        slot = release.standby if release.is_back else release.active
        name = _name("d", release, effect)
        latest = await self._drains.latest(slot)
        if latest is not None and latest.drain.name == name:
            return Done({"drain": name})
        pace, limit_s = release.plan.drain_per_s, self._limits.drain_s
        try:
            await self._drains.begin(Drain(name, slot, None, pace, limit_s), record.author)
        except RunningError:
            return Done({"drain": "another drain of the slot runs"})
        return Done({"drain": name})

    # ── what they share ───────────────────────────────────────────────────────────────────────

    async def _change(
        self,
        record: Record,
        effect: Effect,
        plan: Plan,
        tries: int,
    ) -> Done:
        """Make a change of the routing."""
        began = monotonic()
        name, what = record.release.name, f"{effect.name}-{tries}"
        version = await change_once(
            self._control, "release", name, what, record.author, plan, self._limits.check
        )
        return _done(version, began)

    async def _fenced(
        self, record: Record, effect: Effect, operations: tuple[Operation, ...], tries: int
    ) -> Done:
        """The same with everybody held meanwhile. EffectError: it was undone."""
        name = _name("s", record.release, effect, tries)
        began = monotonic()
        found = await self._switches.record(name)
        if found is None:
            switch = Switch(name, operations, limit_s=self._limits.switch_s)
            try:
                await self._switches.begin(switch, "release-switch", record.author, None)
            except TooManyError as error:
                raise EffectError(str(error)) from None
        while found is None or not found.switch.ended:
            found = await self._switches.ended(name, LOOK_S)
        if found.switch.state is not State.DONE:
            raise EffectError(f"the fenced switch {name} was undone: {found.switch.reason}")
        done = _done(found.switch.committed or 0, began)
        return replace(done, told={**done.told, "switch": name})


_ACTIONS: Mapping[Kind, Callable[[Effects, Record, Effect, int], Awaitable[Done]]] = {
    Kind.HOOK: Effects._hook,  # noqa: SLF001 - the class's own table
    Kind.DECLARE: Effects._declare,  # noqa: SLF001
    Kind.WEIGHT: Effects._weight,  # noqa: SLF001
    Kind.CUTOVER: Effects._cutover,  # noqa: SLF001
    Kind.DRAIN: Effects._drain,  # noqa: SLF001
    Kind.RETURN: Effects._return,  # noqa: SLF001
    Kind.SETTLE: Effects._settle,  # noqa: SLF001
}


def _done(version: int, began: float, expected: Canary | None = None) -> Done:
    return Done({"version": version}, expected, version, began)


def about(release: Release) -> dict[str, Any]:
    """What hooks and notifications are told of a release."""
    return {
        "release": release.name,
        "state": str(release.state),
        "version": release.version,
        "from_version": release.from_version,
        "active": str(release.active),
        "standby": str(release.standby),
        "fault": release.fault,
    }


def weight_of(release: Release) -> Canary:
    """The canary of the release's step; without steps the one that is there."""
    plan = release.plan
    if not plan.steps:
        return release.expected
    points = decode_percent(plan.steps[release.step])
    return replace(release.base, basis_points=points, unit=plan.of_unit)


def its_turn(release: Release, before: Release | None, table: RoutingTable) -> Release:
    """A release that waited, once the one before has ended: roles may have changed hands."""
    after = replace(release, waits_for="")
    if before is None:
        return after
    stays = table.active is before.active
    return replace(
        after,
        from_version=before.from_version if stays else before.version,
        active=table.active,
        base=table.canary,
        expected=table.canary,
    )


def disturbed(release: Release, table: RoutingTable) -> str:
    """Why the table is not as the release left it before its cutover; empty if it is."""
    if table.active is not release.active:
        return f"somebody made {table.active} active"
    if table.canary != release.expected:
        return f"somebody set the canary to {table.canary.basis_points / 100:g} %"
    return ""


def back(release: Release, table: RoutingTable) -> tuple[Operation, ...]:
    """What brings everybody back to the slot before; empty if all are there."""
    found: list[Operation] = []
    if table.active is release.standby:
        found.append(Cutover(release.active))
    if table.canary != release.base:
        found.append(_set(release.base))
    found += _unpins(release, table)
    # Who is bound to the slot that is left would stay there until it is drained, or for ever if it isn't.
    return (*found, EndAffinities(release.standby)) if found else ()


def _set(canary: Canary) -> SetCanary:
    return SetCanary(canary.basis_points, canary.unit, canary.salt, canary.allow, canary.deny)


def _pins(release: Release, table: RoutingTable) -> tuple[Operation, ...]:
    pilots = release.plan.pilots if release.step == 0 else ()
    return tuple(
        Pin(each, release.standby) for each in pilots if table.pins.get(each) is not release.standby
    )


def _unpins(release: Release, table: RoutingTable) -> tuple[Operation, ...]:
    """Pilots follow everybody again."""
    pilots = release.plan.pilots
    return tuple(Unpin(each) for each in pilots if table.pins.get(each) is release.standby)


def _name(kind: str, release: Release, effect: Effect, tries: int = 0) -> str:
    """A name that is this effect's alone, whoever asks for it."""
    told = f"{release.name}\0{effect.name}\0{tries}"
    return f"{kind}-{blake2b(told.encode(), digest_size=8).hexdigest()}"
