"""What probes and Prometheus ask, open to all."""

import asyncio

from aiohttp import web

from admin.api.messages import Given, Health, PartState, Readiness
from admin.api.route import Call, Route, reply
from admin.routing.publish import StoreUnavailableError


async def alive(_: Call, __: Given) -> web.StreamResponse:
    """The process answers."""
    return reply(Health("ok"))


async def ready(call: Call, _: Given) -> web.StreamResponse:
    """Changes can be made: PostgreSQL and Redis answer."""
    postgresql, redis = await asyncio.gather(
        call.parts.store.database.reachable(), _redis_answers(call)
    )
    is_ready = postgresql and redis
    parts = {"postgresql": PartState(postgresql), "redis": PartState(redis)}
    document = Readiness("ready" if is_ready else "unready", parts)
    return reply(document, 200 if is_ready else 503, {} if is_ready else {"Retry-After": "1"})


async def metrics(call: Call, _: Given) -> web.StreamResponse:
    """Prometheus' text format."""
    headers = {"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}
    return web.Response(body=call.parts.metrics.exposition(), headers=headers)


async def _redis_answers(call: Call) -> bool:
    try:
        await call.parts.control.fleet.refresh()
    except StoreUnavailableError:
        return False
    return True


ROUTES = (
    Route("GET", "/healthz", alive, "Whether the process runs", Health, role=None),
    Route("GET", "/readyz", ready, "Whether changes can be made", Readiness, role=None),
    Route("GET", "/metrics", metrics, "Metrics", None, role=None, media="text/plain"),
)
