"""Tenants: list them, explain where they go, pin, unpin, register, forget."""

import bisect
from dataclasses import replace

from aiohttp import web
from msgspec import UNSET

from admin.api.changing import Wish, change, one, slot_or_none, tenant_of
from admin.api.compatibility import state_of
from admin.api.messages import (
    ChangeResult,
    ExplainQuery,
    Explanation,
    PinBody,
    Proposed,
    TenantItem,
    TenantsPage,
    TenantsQuery,
    Write,
)
from admin.api.problems import Problem
from admin.api.route import Call, Route, reply
from admin.tokens import Role
from proxy.routing.canary import bucket
from proxy.routing.change import Change, ContractError, Cutover, Operation, Pin, SetCanary, Unpin
from proxy.routing.change import apply as apply_change
from proxy.routing.decision import Forward, Reason, routed
from proxy.routing.model import RoutingTable, Slot, Unit
from proxy.routing.values import decode_percent, percent


async def list_tenants(call: Call, given: TenantsQuery) -> web.StreamResponse:
    """Tenants by name, page by page."""
    slot = slot_or_none(given.slot)
    table = await call.parts.store.current()
    names = sorted(table.pins.keys() | table.tenants)
    start = bisect.bisect_right(names, given.cursor)
    items: list[TenantItem] = []
    for name in names[max(start, bisect.bisect_left(names, given.prefix)) :]:
        if not name.startswith(given.prefix):
            break
        item = _item(table, name)
        if slot is not None and item.slot != slot:
            continue
        if len(items) == given.limit:
            return reply(TenantsPage(items, items[-1].tenant))
        items.append(item)
    return reply(TenantsPage(items, None))


async def explain(call: Call, given: ExplainQuery) -> web.StreamResponse:
    """Where a tenant goes, why, and what a change would do."""
    tenant = tenant_of(call)
    table = await call.parts.store.current()
    forward = routed(table, tenant)
    canary, pinned = table.canary, table.pins.get(tenant)
    explanation = Explanation(
        tenant,
        str(forward.slot),
        str(forward.reason),
        table.version,
        bucket(canary.salt, tenant),
        percent(canary.basis_points),
        str(canary.unit),
        None if pinned is None else str(pinned),
        [str(endpoint) for endpoint in table.endpoints[forward.slot]],
        sentence(table, tenant, forward) + _waiting(table, tenant),
    )
    explanation.schema = state_of(await call.parts.guard.of(tenant), tenant) or UNSET
    tried = _tried(given, tenant, table)
    if tried:
        after = apply_change(table, Change(table.version + 1, tried))
        then = routed(after, tenant)
        explanation.proposed = Proposed(
            str(then.slot),
            str(then.reason),
            percent(after.canary.basis_points),
            str(after.active),
            then.slot is not forward.slot,
        )
    return reply(explanation)


async def pin(call: Call, given: PinBody) -> web.StreamResponse:
    """The tenant goes to this slot."""
    operation = one("pin", tenant=tenant_of(call), slot=given.slot)
    return await change(call, given, Wish(lambda _: (operation,)))


async def unpin(call: Call, given: Write) -> web.StreamResponse:
    """The tenant follows canary and active."""
    operation = one("unpin", tenant=tenant_of(call))
    return await change(call, given, Wish(lambda _: (operation,)))


async def register(call: Call, given: Write) -> web.StreamResponse:
    """The tenant is known by name."""
    operation = one("register", tenant=tenant_of(call))
    return await change(call, given, Wish(lambda _: (operation,)))


async def forget(call: Call, given: Write) -> web.StreamResponse:
    """The tenant is no longer known by name."""
    operation = one("forget", tenant=tenant_of(call))
    return await change(call, given, Wish(lambda _: (operation,)))


def sentence(table: RoutingTable, tenant: str, forward: Forward) -> str:
    """Why the tenant goes where it goes, in plain words."""
    weight = f"{percent(table.canary.basis_points):g} %"
    if forward.reason is Reason.PIN:
        return f"{tenant} is pinned to {forward.slot}."
    if table.canary.basis_points == 0:
        return f"{tenant} follows the active slot, {table.active}; there is no canary."
    if table.canary.unit is not Unit.TENANT:
        return (
            f"{weight} of {tenant}'s traffic, drawn by {table.canary.unit}, goes to "
            f"{table.standby}, the rest to {table.active}."
        )
    place = f"its bucket {percent(bucket(table.canary.salt, tenant)):g} %"
    if forward.reason is Reason.CANARY:
        return f"{tenant} is in the canary: {place} lies below the weight {weight}."
    return f"{tenant} follows the active slot, {table.active}: {place} is not below {weight}."


def _waiting(table: RoutingTable, tenant: str) -> str:
    """That its requests are parked, if they are: where it goes, it goes once they are let go."""
    switch = table.held_by(tenant)
    return f" Its requests wait for the switch {switch}." if switch else ""


def _item(table: RoutingTable, tenant: str) -> TenantItem:
    forward, pinned = routed(table, tenant), table.pins.get(tenant)
    return TenantItem(
        tenant,
        None if pinned is None else str(pinned),
        tenant in table.tenants,
        str(forward.slot),
        str(forward.reason),
    )


def _tried(given: ExplainQuery, tenant: str, table: RoutingTable) -> tuple[Operation, ...]:
    operations: list[Operation] = []
    try:
        active = slot_or_none(given.active)
        if active is not None and active is not table.active:
            operations.append(Cutover(active))
        if given.weight is not None:
            operations.append(SetCanary(decode_percent(given.weight)))
    except ContractError as error:
        raise Problem("invalid-query", str(error)) from None
    if given.pin is not None:
        tried = Unpin(tenant) if given.pin == "none" else Pin(tenant, Slot(given.pin))
        operations.append(tried)
    return tuple(operations)


_REGISTER = Route(
    "PUT",
    "/v1/tenants/{tenant}",
    register,
    "Register a tenant by name",
    ChangeResult,
    Write,
    Role.OPERATOR,
    "register",
)
_PIN = Route(
    "PUT",
    "/v1/tenants/{tenant}/pin",
    pin,
    "Pin a tenant to a slot",
    ChangeResult,
    PinBody,
    Role.OPERATOR,
    "pin",
)
ROUTES = (
    Route("GET", "/v1/tenants", list_tenants, "Tenants by name", TenantsPage, TenantsQuery),
    _REGISTER,
    replace(
        _REGISTER,
        method="DELETE",
        handler=forget,
        summary="Forget a tenant; its pin stays",
        action="forget",
    ),
    Route(
        "GET",
        "/v1/tenants/{tenant}/route",
        explain,
        "Explain where a tenant goes, and try a change",
        Explanation,
        ExplainQuery,
    ),
    _PIN,
    replace(
        _PIN, method="DELETE", handler=unpin, summary="Unpin a tenant", given=Write, action="unpin"
    ),
)
