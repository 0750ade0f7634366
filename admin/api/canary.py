"""The canary: its weight, its unit, its salt."""

from aiohttp import web

from admin.api.changing import Wish, change, one
from admin.api.messages import CanaryBody, CanaryState, ChangeResult, Given
from admin.api.route import Call, Route, reply
from admin.tokens import Role
from proxy.routing.codec import percent


async def read(call: Call, _: Given) -> web.StreamResponse:
    """The canary as it is."""
    table = await call.parts.store.current()
    canary = table.canary
    weight = percent(canary.basis_points)
    unit, standby = str(canary.unit), str(table.standby)
    return reply(CanaryState(weight, unit, canary.salt, standby, table.version))


async def write(call: Call, given: CanaryBody) -> web.StreamResponse:
    """Set the weight."""
    operation = one("canary", percent=given.percent, unit=given.unit, salt=given.salt)
    return await change(call, given, Wish(lambda _: (operation,)))


ROUTES = (
    Route("GET", "/v1/canary", read, "The canary", CanaryState),
    Route(
        "PUT",
        "/v1/canary",
        write,
        "Set the canary's weight",
        ChangeResult,
        CanaryBody,
        Role.OPERATOR,
        "canary",
    ),
)
