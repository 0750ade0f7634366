"""Cutover and rollback: of everybody by the active pointer, or of some tenants by pins."""

from aiohttp import web

from admin.api.changing import Wish, change, one, tenants_of
from admin.api.messages import ChangeResult, CutoverBody, RollbackBody
from admin.api.route import Call, Route
from admin.api.switches import fenced
from admin.tokens import Role
from proxy.routing.change import Operation, Pin, Rollback
from proxy.routing.model import RoutingTable, Slot
from proxy.routing.values import decode_slot


async def cutover(call: Call, given: CutoverBody) -> web.StreamResponse:
    """Go over to a slot."""
    operation, tenants = one("cutover", to=given.to), tenants_of(given.tenants)
    to = decode_slot(given.to)
    if given.mode == "fenced":
        moves = (operation,) if tenants is None else tuple(Pin(tenant, to) for tenant in tenants)
        return await fenced(call, given, lambda _: moves, tenants)
    if tenants is None:
        wish = Wish(lambda _: (operation,), held_back=lambda table: pinned_to(table, to.other))
    else:
        wish = Wish(lambda _: tuple(Pin(tenant, to) for tenant in tenants))
    return await change(call, given, wish)


async def rollback(call: Call, given: RollbackBody) -> web.StreamResponse:
    """Return to the slot before."""
    tenants = tenants_of(given.tenants)
    if given.mode == "fenced":
        return await fenced(call, given, lambda table: _back(table, tenants), tenants)
    if tenants is None:
        wish = Wish(
            lambda _: (Rollback(),),
            held_back=lambda table: pinned_to(table, table.active.other),
        )
    else:
        wish = Wish(lambda table: _back(table, tenants))
    return await change(call, given, wish)


def _back(table: RoutingTable, tenants: list[str] | None) -> tuple[Operation, ...]:
    if tenants is None:
        return (Rollback(),)
    return tuple(Pin(tenant, table.fallback) for tenant in tenants)


def pinned_to(table: RoutingTable, slot: Slot) -> int:
    """How many tenants a pin keeps on the slot."""
    return sum(pinned is slot for pinned in table.pins.values())


ROUTES = (
    Route(
        "POST",
        "/v1/cutover",
        cutover,
        "Cut over to a slot",
        ChangeResult,
        CutoverBody,
        Role.OPERATOR,
        "cutover",
    ),
    Route(
        "POST",
        "/v1/rollback",
        rollback,
        "Roll back to the slot before",
        ChangeResult,
        RollbackBody,
        Role.OPERATOR,
        "rollback",
    ),
)
