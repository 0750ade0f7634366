"""The live feed: server-sent events (HTML Living Standard, section 9.2).

Rules: a listener that reads too slowly is cut off, as is one whose token
expires, or whose session ends, within a heartbeat; a comment goes
out while nothing happens, so that dead connections are found.
"""

import asyncio

import orjson
from aiohttp import ClientConnectionResetError, web

from admin.api.messages import EventsQuery
from admin.api.problems import Problem
from admin.api.route import Call, Route
from admin.routing.events import KINDS, Subscription, TooManyListenersError


async def read(call: Call, given: EventsQuery) -> web.StreamResponse:
    """The feed, until one side ends it."""
    kinds = _kinds(given.types)
    try:
        subscription = call.parts.hub.subscribe(kinds)
    except TooManyListenersError:
        raise Problem("too-many-listeners", "try again when one has left") from None
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    try:
        await response.prepare(call.request)
        await _feed(call, subscription, response)
    except (ClientConnectionResetError, ConnectionResetError):
        subscription.overrun = True
    finally:
        # What it did not take is not flushed: closing would wait for that, without end.
        if subscription.overrun and call.request.transport is not None:
            call.request.transport.abort()
        call.parts.hub.leave(subscription)
    return response


async def _feed(call: Call, subscription: Subscription, response: web.StreamResponse) -> None:
    heartbeat_s = call.parts.settings.events_heartbeat_s
    # The first comment tells the listener that it is subscribed: nothing is missed from here.
    await response.write(b": listening\n\n")
    assert call.principal is not None  # noqa: S101 - the route has a role
    holds = call.parts.logins.watch(call.request, call.principal, heartbeat_s)
    while await holds():
        try:
            event = await subscription.next(heartbeat_s)
        except TimeoutError:
            await _write(response, b": heartbeat\n\n", heartbeat_s)
            continue
        if event is None:
            return
        kind, document = event
        data = b"event: %b\ndata: %b\n\n" % (kind.encode(), orjson.dumps(document))
        await _write(response, data, heartbeat_s)


async def _write(response: web.StreamResponse, data: bytes, timeout_s: float) -> None:
    """A reader that takes nothing for a whole heartbeat is cut off."""
    try:
        async with asyncio.timeout(timeout_s):
            await response.write(data)
    except TimeoutError:
        raise ConnectionResetError from None


def _kinds(types: str) -> frozenset[str]:
    if not types:
        return frozenset(KINDS)
    kinds = frozenset(types.split(","))
    if not kinds <= frozenset(KINDS):
        raise Problem("invalid-query", f"types are {', '.join(KINDS)}")
    return kinds


ROUTES = (
    Route(
        "GET",
        "/v1/events",
        read,
        "The live feed, as server-sent events",
        None,
        EventsQuery,
        media="text/event-stream",
    ),
)
