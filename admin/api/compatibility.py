"""Which application versions slots run, and which of them tenants' schemas serve."""

from bisect import bisect_right
from collections.abc import Iterable

from aiohttp import web

from admin.api.changing import for_all, slot_of
from admin.api.compatibility_messages import (
    Compatibility,
    CompatibilityItem,
    CompatibilityQuery,
    MoveState,
    SlotVersion,
    SlotVersionBody,
)
from admin.api.messages import Given, SchemaState, ServedBySlot
from admin.api.problems import Problem
from admin.api.route import Call, Route, reply
from admin.migrations.compatibility import Schemas, Serves, unserved
from admin.migrations.guard import NAMED, SchemaLimits, slot_versions
from admin.migrations.slots import ACTION, set_version
from admin.migrations.version import Version, VersionError
from admin.tokens import Role
from proxy.routing.change import Change, Cutover, Operation, Rollback, apply
from proxy.routing.model import RoutingTable, Slot


async def read_version(call: Call, _: Given) -> web.StreamResponse:
    """What the slot runs."""
    slot = slot_of(call)
    async with call.parts.store.database.connection() as connection:
        versions = await slot_versions(connection)
    return reply(_slot(slot, versions.get(slot)))


async def write_version(call: Call, given: SlotVersionBody) -> web.StreamResponse:
    """Say what the slot runs, before it is deployed there."""
    for_all(call.principal)
    slot = slot_of(call)
    try:
        version = Version.parse(given.version)
    except VersionError as error:
        raise Problem("invalid-change", f"body.version: {error}") from None
    await set_version(call.parts.store, slot, version, call.author)
    return reply(_slot(slot, version))


async def forget_version(call: Call, _: Given) -> web.StreamResponse:
    """It isn't known any more what the slot runs: nothing is refused because of it."""
    for_all(call.principal)
    slot = slot_of(call)
    await set_version(call.parts.store, slot, None, call.author)
    return reply(_slot(slot, None))


async def read(call: Call, given: CompatibilityQuery) -> web.StreamResponse:
    """The matrix, and whether one can go to standby, and back."""
    limits, table = await call.parts.guard.limits(fresh=True), await call.parts.store.current()
    schemas = limits.schemas
    columns = sorted({*schemas.versions.values(), *limits.known})
    names = sorted(_wanted(schemas, given))
    start = bisect_right(names, given.cursor) if given.cursor else 0
    page = names[start : start + given.limit]
    returns = table.fallback is not table.active
    return reply(
        Compatibility(
            slots={str(slot): _text(schemas.versions.get(slot)) for slot in Slot},
            versions=[str(each) for each in columns],
            cutover=_move(limits, table, Cutover(table.standby), table.standby),
            rollback=_move(limits, table, Rollback(), table.fallback) if returns else None,
            items=[_item(name, schemas.serving(name), columns) for name in page],
            next=page[-1] if start + given.limit < len(names) else None,
        )
    )


def state_of(schemas: Schemas, tenant: str) -> SchemaState | None:
    """What the tenant's schema serves; None: it has none that is known."""
    schema = schemas.serving(tenant)
    if schema is None:
        return None
    slots = {}
    for slot in Slot:
        why = schemas.why_not(tenant, slot)
        slots[str(slot)] = ServedBySlot(_text(schemas.versions.get(slot)), not why, why)
    return SchemaState(_text(schema.oldest), _text(schema.lacking), slots)


def _wanted(schemas: Schemas, given: CompatibilityQuery) -> Iterable[str]:
    """The tenants that are asked for; empty: those without a schema of their own."""
    names = [*schemas.of, *([""] if schemas.of_all is not None else [])]
    return (
        name
        for name in names
        if given.tenant in {None, name}
        if not given.unserved or any(schemas.why_not(name, slot) for slot in Slot)
    )


def _move(limits: SchemaLimits, table: RoutingTable, move: Operation, to: Slot) -> MoveState:
    """Whether all may go there."""
    after = apply(table, Change(table.version + 1, (move,)))
    found = unserved(table, after, limits.schemas)
    version = limits.schemas.versions.get(to)
    names = [each.tenant or "*" for each in found[:NAMED]]
    why = found[0].why if found else ""
    return MoveState(str(to), _text(version), not found, len(found), names, why)


def _item(name: str, schema: Serves | None, columns: list[Version]) -> CompatibilityItem:
    schema = schema or Serves()
    serves = {str(version): version in schema for version in columns}
    return CompatibilityItem(name or None, _text(schema.oldest), _text(schema.lacking), serves)


def _slot(slot: Slot, version: Version | None) -> SlotVersion:
    return SlotVersion(str(slot), _text(version))


def _text(version: Version | None) -> str | None:
    return None if version is None else str(version)


ROUTES = (
    Route(
        "GET", "/v1/slots/{slot}/version", read_version, "Which version a slot runs", SlotVersion
    ),
    Route(
        *("PUT", "/v1/slots/{slot}/version", write_version, "Say which version a slot runs"),
        *(SlotVersion, SlotVersionBody, Role.OPERATOR, ACTION),
    ),
    Route(
        *("DELETE", "/v1/slots/{slot}/version", forget_version, "Forget which version a slot runs"),
        *(SlotVersion, Given, Role.OPERATOR, ACTION),
    ),
    Route(
        *("GET", "/v1/migrations/compatibility", read),
        "Which versions tenants' schemas serve, and whether one can go on, and back",
        *(Compatibility, CompatibilityQuery),
    ),
)
