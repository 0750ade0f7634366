"""Cutover and rollback: of everybody by the active pointer, or of some tenants by pins."""

from aiohttp import web

from admin.api.changing import Wish, change, instant, one, tenants_of
from admin.api.messages import ChangeResult, CutoverBody, RollbackBody
from admin.api.route import Call, Route
from admin.tokens import Role
from proxy.routing.change import Pin, Rollback
from proxy.routing.model import RoutingTable, Slot
from proxy.routing.values import decode_slot


async def cutover(call: Call, given: CutoverBody) -> web.StreamResponse:
    """Go over to a slot."""
    instant(given.mode)
    operation, tenants = one("cutover", to=given.to), tenants_of(given.tenants)
    to = decode_slot(given.to)
    if tenants is None:
        wish = Wish(lambda _: (operation,), held_back=lambda table: pinned_to(table, to.other))
    else:
        wish = Wish(lambda _: tuple(Pin(tenant, to) for tenant in tenants))
    return await change(call, given, wish)


async def rollback(call: Call, given: RollbackBody) -> web.StreamResponse:
    """Return to the slot before."""
    instant(given.mode)
    tenants = tenants_of(given.tenants)
    if tenants is None:
        wish = Wish(
            lambda _: (Rollback(),),
            held_back=lambda table: pinned_to(table, table.active.other),
        )
    else:
        wish = Wish(lambda table: tuple(Pin(tenant, table.fallback) for tenant in tenants))
    return await change(call, given, wish)


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
