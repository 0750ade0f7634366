"""GET /ws/equipment/{printer_id}: a printer tells its counter; GET /api/equipment: who is connected.

Rules. A counter is acknowledged once it is in the database; without an ack the printer sends again.
A counter only grows: a late message over an old socket lowers nothing. The row belongs to the
socket that opened last, so that the end of an old one does not hide the new. An instance renews
its rows; those of one that was killed are gone from the list after SEEN_SECONDS.
"""

import asyncio
import re
from typing import Annotated
from uuid import UUID

import msgspec
from aiohttp import WSMsgType, web

from examples.print_erp.answers import answer
from examples.print_erp.context import Erp, erp_of, tenant_of
from examples.print_erp.problems import Problem, invalid
from examples.print_erp.sockets import opened
from examples.print_erp.store import new_id

SEEN_SECONDS = 10.0
RENEW_SECONDS = 3.0
LIST_MAX = 1_000

_CONNECT = """
INSERT INTO equipment (tenant_id, printer_id, slot, instance, connection) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (tenant_id, printer_id) DO UPDATE
SET slot = $3, instance = $4, connection = $5, seen_at = now()
"""
_COUNT = """
UPDATE equipment SET counter = GREATEST(counter, $3), state = $4, seen_at = now()
WHERE tenant_id = $1 AND printer_id = $2
"""
_LEAVE = """
UPDATE equipment SET connection = NULL WHERE tenant_id = $1 AND printer_id = $2 AND connection = $3
"""
_RENEW = """
UPDATE equipment SET seen_at = now() WHERE tenant_id = ANY ($1) AND connection = ANY ($2)
"""
_LIST = """
SELECT printer_id, counter, state, slot, instance, seen_at FROM equipment
WHERE tenant_id = $1 AND connection IS NOT NULL AND seen_at > now() - make_interval(secs => $2)
ORDER BY printer_id LIMIT $3
"""
_PRINTER = re.compile(r"[A-Za-z0-9._-]{1,64}")


class Reading(msgspec.Struct):
    """What a printer sends."""

    counter: Annotated[int, msgspec.Meta(ge=0, le=1 << 62)]
    state: Annotated[str, msgspec.Meta(max_length=64)] = "printing"


async def printer(request: web.Request) -> web.WebSocketResponse:
    """One printer, until it or the instance closes the socket."""
    erp, name, connection = erp_of(request), request.match_info["printer_id"], new_id()
    if not _PRINTER.fullmatch(name):
        raise invalid("a printer's id is letters, digits, '.', '_' and '-', at most 64")
    owner = (tenant_of(request), name)
    socket = await opened(request)
    erp.printers[str(connection)] = owner
    try:
        await _attend(erp, owner, connection, socket)
    except ConnectionError:
        pass  # the printer has left
    finally:
        del erp.printers[str(connection)]
        await _leave(erp, owner, connection)
    return socket


async def _attend(
    erp: Erp, owner: tuple[str, str], connection: UUID, socket: web.WebSocketResponse
) -> None:
    settings = erp.settings
    try:
        await erp.store.run(_CONNECT, *owner, settings.slot, settings.instance, connection)
    except Problem as problem:
        await socket.close(code=1013, message=problem.detail.encode())
        return
    async for message in socket:
        if message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
            told = await _told(erp, owner, message.data)
            told |= {"slot": settings.slot, "version": settings.version}
            await socket.send_str(msgspec.json.encode(told).decode())


async def _told(erp: Erp, owner: tuple[str, str], data: str | bytes) -> dict[str, object]:
    try:
        reading = msgspec.json.decode(data, type=Reading)
        await erp.store.run(_COUNT, *owner, reading.counter, reading.state)
    except msgspec.DecodeError as error:
        return {"error": str(error)[:200]}
    except Problem as problem:
        return {"error": problem.detail}
    return {"ack": reading.counter}


async def _leave(erp: Erp, owner: tuple[str, str], connection: UUID) -> None:
    try:
        await erp.store.run(_LEAVE, *owner, connection)
    except Problem:
        return  # nobody renews the row: it fades from the list by itself


async def listed(request: web.Request) -> web.Response:
    """The printers of this tenant that are connected, in whichever slot."""
    rows = await erp_of(request).store.rows(_LIST, tenant_of(request), SEEN_SECONDS, LIST_MAX)
    return answer(request, {"items": [dict(row) for row in rows], "connected": len(rows)})


async def renew_forever(erp: Erp) -> None:
    """Say each RENEW_SECONDS that this instance's printers are still there."""
    while True:
        await asyncio.sleep(RENEW_SECONDS)
        if not erp.printers:
            continue
        tenants = sorted({tenant for tenant, _ in erp.printers.values()})
        try:
            await erp.store.run(_RENEW, tenants, [UUID(text) for text in erp.printers])
        except Problem:
            continue  # the next round tells


ROUTES = [
    web.get("/ws/equipment/{printer_id}", printer),
    web.get("/api/equipment", listed),
]
