"""The canary: its weight, its unit, its salt, its lists."""

from dataclasses import replace

from aiohttp import web

from admin.api.changing import Wish, change, one
from admin.api.messages import CanaryBody, CanaryState, ChangeResult, Chosen, Given
from admin.api.problems import Problem
from admin.api.route import Call, Route, reply
from admin.canary.weights import By, Choice, NoTrafficError, choose, drawn
from admin.tokens import Role
from proxy.routing.change import Change, SetCanary, apply
from proxy.routing.model import Canary, RoutingTable
from proxy.routing.traffic import Traffic
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
    asked = asked_of(given)
    if By(given.by) is By.COUNT:
        return await change(call, given, Wish(lambda _: (asked,)))
    traffic = await call.parts.last_hour.read()
    wish = Wish(
        lambda table: (weighed(table, asked, traffic),),
        chosen=lambda table: chosen(drawn(table.canary, table.pins, traffic, asked.basis_points)),
    )
    return await change(call, given, wish)


def asked_of(given: object) -> SetCanary:
    """The operation that a body asks for, whose weight may be one of traffic. ContractError."""
    fields = ("percent", "unit", "salt", "allow", "deny")
    operation = one("canary", **{name: getattr(given, name) for name in fields})
    assert isinstance(operation, SetCanary)  # noqa: S101 - it is that shape
    return operation


def merged(table: RoutingTable, asked: SetCanary) -> Canary:
    """The canary that the table would have."""
    return apply(table, Change(table.version + 1, (asked,))).canary


def weighed(table: RoutingTable, asked: SetCanary, traffic: Traffic) -> SetCanary:
    """The same with the weight that draws so much of the traffic. Problem 409 without any."""
    try:
        choice = choose(merged(table, asked), table.pins, traffic, asked.basis_points)
    except NoTrafficError as error:
        raise Problem("no-traffic", str(error)) from None
    return replace(asked, basis_points=choice.basis_points)


def chosen(choice: Choice) -> Chosen:
    """The choice as the API tells it."""
    return Chosen(
        percent(choice.asked),
        percent(choice.basis_points),
        round(choice.share * 100, 4),
        choice.tenants,
        round(choice.others * 100 / choice.total, 4) if choice.total else 0.0,
        _sentence(choice),
    )


def _sentence(choice: Choice) -> str:
    """The choice in words."""
    text = (
        f"asked for {percent(choice.asked):g} % of the last hour's traffic; the weight"
        f" {percent(choice.basis_points):g} % draws {_whom(choice)}{choice.share * 100:.4g} % of it."
    )
    following = choice.following
    if following is not None and choice.basis_points:
        also = following.requests * 100 / choice.total
        text += f" The next, {following.tenant}, made {also:.4g} %."
    elif following is not None and choice.asked:
        also = following.requests * 100 / choice.total
        text += f" The first, {following.tenant}, made {also:.4g} %; another salt draws anew."
    return text


def _whom(choice: Choice) -> str:
    if choice.tenants is None:
        return ""
    if not choice.requests:
        return "nobody: "
    return f"{choice.tenants} tenant{'' if choice.tenants == 1 else 's'}, which made "


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
