"""What a release begins from: what is wished, what stands in its way, and what it lacks."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from secrets import token_hex
from typing import Any

from admin.gates.checklist import PARTS, NoItemError
from admin.migrations.guard import SchemaGuard
from admin.migrations.version import Version
from admin.releases.controller import Releases
from admin.releases.model import Release, State
from admin.releases.needs import Need, needs_of, of_drill
from admin.releases.plan import Kind, Plan, PlanError, kind_of, with_wishes
from admin.routing.control import Control
from proxy.routing.model import RoutingTable, Slot


class RefusedError(Exception):
    """It can't be begun as things stand; the message says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody asks for.

    version: None for a drill. plan: what is to be otherwise. key: of the request, if it may be
    repeated.
    """

    version: Version | None
    kind: Kind | None = None
    plan: Mapping[str, Any] = field(default_factory=dict)
    note: str = ""
    hotfix: bool = False
    key: str = ""

    @property
    def ending(self) -> str:
        """What the release's name ends in: the same for a request that is repeated."""
        return sha256(self.key.encode()).hexdigest()[:12] if self.key else token_hex(3)


def drill(mode: str, window_s: float, note: str, key: str = "") -> Wish:
    """What is wished of a drill."""
    plan = {"cutover": mode, "rollback": mode, "window_s": window_s, "steps": [], "pilots": []}
    asks = {**plan, "signers": [], "cutover_signers": [], "unmeasured": "go"}
    return Wish(None, Kind.PATCH, asks, note, key=key)


async def prepare(
    releases: Releases, control: Control, guard: SchemaGuard, wish: Wish
) -> tuple[Release, Kind]:
    """The release that is wished. PlanError, RefusedError, DatabaseUnavailableError."""
    versions = (await guard.limits(fresh=True)).schemas.versions
    table = await control.store.current()
    active, standby = table.active, table.active.other
    before, is_drill = versions.get(active), wish.version is None
    version = wish.version or versions.get(standby)
    if version is None:
        raise RefusedError(
            f"nobody said what {standby} runs: PUT /v1/slots/{standby}/version, then drill"
        )
    kind = wish.kind or kind_of(before, version)
    if not isinstance(wish.plan, Mapping):
        raise PlanError("body.plan: an object")
    plan = with_wishes(releases.settings.plan_of(kind), dict(wish.plan))
    name = _name(str(version), wish)
    if wish.key and (repeated := await releases.find(name)):
        return repeated.release, kind
    before_it = await _in_the_way(releases, wish)
    needs = _needs(plan, releases)
    deploys = any(hook.before == State.DEPLOYING for hook in releases.settings.hooks)
    # A drill brings no version: whoever is pinned there is served as before.
    deploys_to = None if is_drill else _standby_of(table, before_it)
    _check(plan, table, before_it, deploys_to, deploys=deploys)
    release = Release(
        name=name,
        version=str(version),
        from_version="" if before is None else str(before),
        plan=plan,
        active=active,
        base=table.canary,
        expected=table.canary,
        waits_for=before_it.name if before_it else "",
        is_drill=is_drill,
        needs=of_drill(needs) if is_drill else needs,
    )
    return release, kind


def _needs(plan: Plan, releases: Releases) -> tuple[Need, ...]:
    """What the plan asks for. PlanError: there is no such item, or gate."""
    try:
        needs = needs_of(plan, releases.checklist)
    except NoItemError as error:
        names = ", ".join(["*", *PARTS, *(item.name for item in releases.checklist.items)])
        raise PlanError(f"body.plan.checklist: {error}; there are {names}") from None
    for need in needs:
        if need.gate and need.gate not in releases.gates:
            names = ", ".join(sorted(releases.gates)) or "none"
            raise PlanError(f"body.plan.gates: no gate is called {need.gate}; there are {names}")
    return needs


def _check(
    plan: Plan,
    table: RoutingTable,
    waits_for: Release | None,
    deploys_to: Slot | None,
    *,
    deploys: bool,
) -> None:
    """Nobody else is at work, and there is somewhere to go. RefusedError."""
    # The pilots of the one before are unpinned when it ends.
    pins = _pins_that_stay(table, waits_for)
    pinned = [tenant for tenant in plan.pilots if tenant in pins]
    if pinned:
        raise RefusedError(f"pilot {pinned[0]} is pinned already: unpin it first")
    if deploys_to is not None and (serves := sum(to is deploys_to for to in pins.values())):
        tenants = "1 tenant is" if serves == 1 else f"{serves} tenants are"
        raise RefusedError(f"{tenants} pinned to {deploys_to}, where it is deployed: unpin first")
    # What waits begins from what the one before leaves behind.
    if table.canary.basis_points and waits_for is None:
        percent = table.canary.basis_points / 100
        raise RefusedError(f"the canary is at {percent:g} %: set it to 0 first")
    # Where a hook deploys, it may register them; the gates see whether it has.
    if not table.endpoints[table.active.other] and not deploys:
        raise RefusedError(f"{table.active.other} has no endpoint: set them first")


def _standby_of(table: RoutingTable, waits_for: Release | None) -> Slot:
    """Where the version is brought, once the one before has ended."""
    if waits_for is None:
        return table.active.other
    stays = waits_for.state in {State.STABILISING, State.FINALISING} and not waits_for.is_drill
    return waits_for.active if stays else waits_for.standby


def _pins_that_stay(table: RoutingTable, waits_for: Release | None) -> dict[str, Slot]:
    """The pins, but for those that the release before makes and takes off."""
    if waits_for is None:
        return dict(table.pins)
    pilots, slot = frozenset(waits_for.plan.pilots), waits_for.standby
    return {
        tenant: to for tenant, to in table.pins.items() if tenant not in pilots or to is not slot
    }


async def _in_the_way(releases: Releases, wish: Wish) -> Release | None:
    """The release that has to end first, which only a hotfix waits for. RefusedError."""
    current = await releases.find("current")
    if current is None or current.release.ended:
        return None
    name = current.release.name
    if wish.hotfix:
        return current.release
    raise RefusedError(f"{name} has not ended: wait, end it, or begin this as a hotfix")


def _name(version: str, wish: Wish) -> str:
    """A name that no other has, and that says what it is."""
    word = "drill" if wish.version is None else "release"
    return f"{word}-{version.lower()}-{wish.ending}"
