"""The instances of a slot."""

from aiohttp import web

from admin.api.changing import Wish, change, one, slot_of
from admin.api.messages import ChangeResult, EndpointsBody, Given, SlotEndpoints
from admin.api.route import Call, Route, reply
from admin.tokens import Role


async def read(call: Call, _: Given) -> web.StreamResponse:
    """The instances as they are."""
    slot = slot_of(call)
    table = await call.parts.store.current()
    endpoints = [str(endpoint) for endpoint in table.endpoints[slot]]
    return reply(SlotEndpoints(str(slot), endpoints, table.version))


async def write(call: Call, given: EndpointsBody) -> web.StreamResponse:
    """All instances of the slot, in place of those before."""
    operation = one("endpoints", slot=str(slot_of(call)), endpoints=given.endpoints)
    return await change(call, given, Wish(lambda _: (operation,), force=given.force))


ROUTES = (
    Route("GET", "/v1/slots/{slot}/endpoints", read, "The instances of a slot", SlotEndpoints),
    Route(
        "PUT",
        "/v1/slots/{slot}/endpoints",
        write,
        "Set the instances of a slot",
        ChangeResult,
        EndpointsBody,
        Role.ADMIN,
        "endpoints",
    ),
)
