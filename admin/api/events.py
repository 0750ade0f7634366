"""The live feed: server-sent events (HTML Living Standard, section 9.2).

Rules: a listener that reads too slowly is cut off, as is one whose token
expires, or whose session ends, within a heartbeat; a comment goes
out while nothing happens, so that dead connections are found.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import orjson
from aiohttp import ClientConnectionResetError, web

from admin.api.messages import EventsQuery
from admin.api.problems import Problem
from admin.api.route import Call, Route
from admin.config import Settings
from admin.routing.events import KINDS, Hub, Subscription, TooManyListenersError


async def read(call: Call, given: EventsQuery) -> web.StreamResponse:
    """The feed, until one side ends it."""
    assert call.principal is not None  # noqa: S101 - the route has a role
    heartbeat_s = call.parts.settings.events_heartbeat_s
    holds = call.parts.logins.watch(call.request, call.principal, heartbeat_s)

    async def tell(listener: Listener) -> None:
        while await holds():
            try:
                event = await listener.next(heartbeat_s)
            except TimeoutError:
                await listener.comment("heartbeat")
                continue
            if event is None:
                return
            await listener.write(*event)

    kinds = _kinds(given.types)
    return await stream(call.request, call.parts.hub, kinds, call.parts.settings, tell)


class Listener:
    """One who listens: what there is to tell, and the way to tell it."""

    def __init__(
        self, subscription: Subscription, response: web.StreamResponse, timeout_s: float
    ) -> None:
        """timeout_s: who takes nothing for so long is cut off."""
        self._subscription, self._response = subscription, response
        self._timeout_s = timeout_s

    async def next(self, timeout_s: float) -> tuple[str, dict[str, Any]] | None:
        """The next event, None at the end. TimeoutError after timeout_s without one."""
        return await self._subscription.next(timeout_s)

    async def write(self, kind: str, document: Mapping[str, Any]) -> None:
        """Tell this. ConnectionResetError."""
        await self._write(b"event: %b\ndata: %b\n\n" % (kind.encode(), orjson.dumps(document)))

    async def comment(self, text: str) -> None:
        """Say something that is no event. ConnectionResetError."""
        await self._write(f": {text}\n\n".encode())

    async def _write(self, data: bytes) -> None:
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._response.write(data)
        except TimeoutError:
            raise ConnectionResetError from None


async def stream(
    request: web.Request,
    hub: Hub,
    kinds: frozenset[str],
    settings: Settings,
    tell: Callable[[Listener], Awaitable[None]],
) -> web.StreamResponse:
    """A feed of these kinds, for as long as `tell` lasts. Problem: too many listen."""
    try:
        subscription = hub.subscribe(kinds)
    except TooManyListenersError:
        raise Problem("too-many-listeners", "try again when one has left") from None
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    listener = Listener(subscription, response, settings.events_heartbeat_s)
    try:
        await response.prepare(request)
        # The first comment tells the listener that it is subscribed: nothing is missed from here.
        await listener.comment("listening")
        await tell(listener)
    except (ClientConnectionResetError, ConnectionResetError):
        subscription.overrun = True
    finally:
        # What it did not take is not flushed: closing would wait for that, without end.
        if subscription.overrun and request.transport is not None:
            request.transport.abort()
        hub.leave(subscription)
    return response


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
