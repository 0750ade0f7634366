"""Who made what share of the last hour's traffic."""

from aiohttp import web

from admin.api.canary_messages import TrafficItem, TrafficPage, TrafficQuery
from admin.api.route import Call, Route, reply
from proxy.routing.decision import routed
from proxy.routing.model import RoutingTable
from proxy.routing.traffic import Traffic


async def read(call: Call, given: TrafficQuery) -> web.StreamResponse:
    """The tenants, the busiest first."""
    table, traffic = await call.parts.store.current(), await call.parts.last_hour.read()
    ranked = sorted(traffic.requests.items(), key=lambda each: (-each[1], each[0]))
    end = given.cursor + given.limit
    items = [_item(table, traffic, *each) for each in ranked[given.cursor : end]]
    page = TrafficPage(
        items,
        len(ranked),
        traffic.total,
        traffic.others,
        share(traffic.others, traffic),
        traffic.minutes,
        end if end < len(ranked) else None,
    )
    return reply(page)


def share(requests: float, traffic: Traffic) -> float:
    """Their share of all, in percent."""
    return round(requests * 100 / traffic.total, 4) if traffic.total else 0.0


def _item(table: RoutingTable, traffic: Traffic, tenant: str, requests: int) -> TrafficItem:
    forward = routed(table, tenant)
    return TrafficItem(
        tenant, requests, share(requests, traffic), str(forward.slot), str(forward.reason)
    )


ROUTES = (
    Route(
        "GET",
        "/v1/traffic",
        read,
        "Who made what share of the last hour's traffic",
        TrafficPage,
        TrafficQuery,
    ),
)
