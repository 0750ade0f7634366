"""Which application versions a schema serves, and which tenants a change would leave unserved. Pure.

Rules:
1. A version is served if every expansion up to it is applied, and nothing is applied that requires a
   newer one. Backfills and contracts that are not applied yet take nothing away.
2. A contract counts as applied from when it is claimed, an undo too: what may be gone is not relied on.
3. A change is refused for a tenant only if it opens a way to a slot whose version its schema doesn't
   serve. Where it may go already stays as it is, so that an unrelated change is never refused.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from admin.canary.whatif import way
from admin.migrations.catalogue.model import Phase
from admin.migrations.version import Version
from proxy.routing.model import BASIS_POINTS, RoutingTable, Slot

_UNPINNED = ""
"""Stands for whoever has no pin, where all share a schema."""


@dataclass(frozen=True, slots=True)
class Step:
    """A migration, as far as it matters here. requires: the oldest version that lives with it."""

    version: Version
    phase: Phase
    requires: Version | None = None


@dataclass(frozen=True, slots=True)
class Serves:
    """From `oldest` (None: any) up to below `lacking` (None: any), the first expansion that lacks."""

    oldest: Version | None = None
    lacking: Version | None = None

    def __contains__(self, version: Version) -> bool:
        return not self.why_not(version)

    def why_not(self, version: Version) -> str:
        """What keeps the version from being served; empty if nothing does."""
        if self.lacking is not None and version >= self.lacking:
            return f"migration {self.lacking} is not applied"
        if self.oldest is not None and version < self.oldest:
            return f"what is applied requires {self.oldest}"
        return ""

    def both(self, other: "Serves") -> "Serves":
        """What two schemas serve, of a tenant that lives in both."""
        oldest = [each.oldest for each in (self, other) if each.oldest is not None]
        lacking = [each.lacking for each in (self, other) if each.lacking is not None]
        return Serves(max(oldest, default=None), min(lacking, default=None))


def serves(steps: Iterable[Step], applied: Collection[Version]) -> Serves:
    """What a schema with these migrations serves, of all that there are."""
    oldest: Version | None = None
    lacking: Version | None = None
    for step in steps:
        if step.version in applied:
            if step.requires is not None and (oldest is None or step.requires > oldest):
                oldest = step.requires
        elif step.phase is Phase.EXPAND and (lacking is None or step.version < lacking):
            lacking = step.version
    return Serves(oldest, lacking)


@dataclass(frozen=True, slots=True)
class Schemas:
    """What is known of what runs where. versions: of the slots that said theirs. of: tenant → what
    its schema serves. of_all: what the schema that all share serves; None: there is none.
    """  # noqa: D205 - one sentence a field

    versions: Mapping[Slot, Version]
    of: Mapping[str, Serves]
    of_all: Serves | None = None

    def serving(self, tenant: str) -> Serves | None:
        """What the tenant's schemas serve; None: it has none that is known."""
        own = self.of.get(tenant)
        if own is None or self.of_all is None:
            return own or self.of_all
        return own.both(self.of_all)

    def why_not(self, tenant: str, slot: Slot) -> str:
        """What keeps the tenant's schema from serving the slot's version; empty if nothing does."""
        version, schema = self.versions.get(slot), self.serving(tenant)
        return "" if version is None or schema is None else schema.why_not(version)


def still_needed(versions: Mapping[Slot, Version], requires: Version | None) -> str:
    """Why what requires a version must not be applied yet: a slot runs an older one; empty if none does."""
    if requires is None:
        return ""
    older = [
        f"{slot} runs {version}" for slot, version in sorted(versions.items()) if version < requires
    ]
    return f"{requires} is required, and {' and '.join(older)}" if older else ""


@dataclass(frozen=True, slots=True)
class Unserved:
    """A tenant that a change would send where its schema is of no use.

    tenant: empty, whoever has no pin.
    """

    tenant: str
    slot: Slot
    version: Version
    why: str


def unserved(before: RoutingTable, after: RoutingTable, schemas: Schemas) -> list[Unserved]:
    """The tenants that could go to a slot by `after`, that can't by `before`, and must not. By name."""
    found = []
    for tenant in sorted(_looked_at(before, after, schemas)):
        for slot in sorted(ways(after, tenant) - ways(before, tenant)):
            why = schemas.why_not(tenant, slot)
            if why:
                found.append(Unserved(tenant, slot, schemas.versions[slot], why))
    return found


def misplaced(table: RoutingTable, schemas: Schemas) -> list[Unserved]:
    """The tenants that may go, by this table, to a slot whose version their schema doesn't serve."""
    names = {*schemas.of, *_named(table), _UNPINNED} if schemas.of_all else schemas.of.keys()
    return [
        Unserved(tenant, slot, schemas.versions[slot], why)
        for tenant in sorted(names)
        for slot in sorted(ways(table, tenant))
        if (why := schemas.why_not(tenant, slot))
    ]


def ways(table: RoutingTable, tenant: str) -> frozenset[Slot]:
    """The slots that a tenant's requests may go to. Affinities and holds are not looked at."""
    if tenant == _UNPINNED:
        return frozenset({table.active, *((table.standby,) if table.canary.basis_points else ())})
    green = way(table, tenant).green
    if not green:
        return frozenset({Slot.BLUE})
    return frozenset({Slot.GREEN}) if green == BASIS_POINTS else frozenset(Slot)


def _looked_at(before: RoutingTable, after: RoutingTable, schemas: Schemas) -> Collection[str]:
    """The tenants whose way may be another: those whose pin has changed, or all that are known."""
    if not schemas.versions or not (schemas.of or schemas.of_all):
        return ()
    if (before.active, before.canary) != (after.active, after.canary):
        names = {*schemas.of, *_named(after), *_named(before), _UNPINNED}
        return names if schemas.of_all else schemas.of.keys()
    if before.pins is after.pins:
        return ()
    changed = {each for each in after.pins if before.pins.get(each) is not after.pins[each]}
    return changed | (before.pins.keys() - after.pins.keys())


def _named(table: RoutingTable) -> frozenset[str]:
    return frozenset({*table.pins, *table.tenants})
