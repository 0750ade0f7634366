"""GET /events: a stream of server-sent events whose ids go on where Last-Event-ID left off."""

import asyncio
import re
from datetime import UTC, datetime

import msgspec
from aiohttp import web

from examples.print_erp.answers import number
from examples.print_erp.context import Erp, erp_of, tenant_of
from examples.print_erp.problems import invalid

INTERVAL_MS = 500
COUNT_MAX = 1_000_000
RETRY_MS = 500


async def events(request: web.Request) -> web.StreamResponse:
    """Events each ?interval_ms=, ?count= of them (0: until the client or the instance goes)."""
    erp = erp_of(request)
    interval = number(request, "interval_ms", INTERVAL_MS, 10, 10_000) / 1000
    count = number(request, "count", 0, 0, COUNT_MAX)
    last = _last_event_id(request)
    stream = web.StreamResponse(
        headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"}
    )
    await stream.prepare(request)
    await stream.write(b"retry: %d\n\n" % RETRY_MS)
    sent = 0
    while not erp.stopping.is_set():
        sent += 1
        await stream.write(_event(erp, tenant_of(request), last + sent))
        if sent == count:
            break
        await _pause(erp, interval)
    await stream.write_eof()
    return stream


def _last_event_id(request: web.Request) -> int:
    text = request.headers.get("Last-Event-ID", "0")
    if not re.fullmatch(r"[0-9]{1,18}", text):
        raise invalid("Last-Event-ID is a number that this stream gave")
    return int(text)


def _event(erp: Erp, tenant: str, identity: int) -> bytes:
    settings = erp.settings
    data = {
        "id": identity,
        "tenant": tenant,
        "at": datetime.now(UTC),
        "slot": settings.slot,
        "version": settings.version,
        "prints_here": len(erp.press),
        "served_by": settings.served_by,
    }
    return b"id: %d\nevent: tick\ndata: %s\n\n" % (identity, msgspec.json.encode(data))


async def _pause(erp: Erp, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await erp.stopping.wait()
    except TimeoutError:
        return


ROUTES = [web.get("/events", events)]
