"""The canary: its weight, its unit, its salt, its lists."""

from aiohttp import web

from admin.api.changing import Wish, change, one
from admin.api.messages import CanaryBody, CanaryState, ChangeResult, Given
from admin.api.route import Call, Route, reply
from admin.tokens import Role
from proxy.routing.values import percent


async def read(call: Call, _: Given) -> web.StreamResponse:
    """The canary as it is."""
    table = await call.parts.store.current()
    canary = table.canary
    state = CanaryState(
        percent(canary.basis_points),
        str(canary.unit),
        canary.salt,
        sorted(canary.allow),
        sorted(canary.deny),
        str(table.standby),
        table.version,
    )
    return reply(state)


async def write(call: Call, given: CanaryBody) -> web.StreamResponse:
    """Set the weight."""
    fields = ("percent", "unit", "salt", "allow", "deny")
    operation = one("canary", **{name: getattr(given, name) for name in fields})
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
