"""The life of a WebSocket here: opened within a bound, closed with 1012 when the instance stops."""

import asyncio

from aiohttp import WSCloseCode, web

from examples.print_erp.context import Erp, erp_of
from examples.print_erp.problems import Problem

MAX_SOCKETS = 10_000
MESSAGE_BYTES = 1 << 16
HEARTBEAT_SECONDS = 30.0
CLOSE_SECONDS = 2.0


async def opened(request: web.Request) -> web.WebSocketResponse:
    """The accepted socket. Problem 400 without an upgrade, 503 over MAX_SOCKETS."""
    erp = erp_of(request)
    socket = web.WebSocketResponse(
        timeout=CLOSE_SECONDS, heartbeat=HEARTBEAT_SECONDS, max_msg_size=MESSAGE_BYTES
    )
    if not socket.can_prepare(request):
        raise Problem(400, "no-upgrade", "this is a WebSocket: ask with Upgrade: websocket")
    if len(erp.sockets) >= MAX_SOCKETS:
        raise Problem(503, "busy", f"{MAX_SOCKETS} sockets are open", {"Retry-After": "5"})
    await socket.prepare(request)
    erp.sockets.add(socket)
    return socket


async def close_all(erp: Erp) -> None:
    """Close every socket with 1012: this instance goes, come back to another."""
    closings = [
        socket.close(code=WSCloseCode.SERVICE_RESTART, message=b"restarting")
        for socket in set(erp.sockets)
    ]
    await asyncio.gather(*closings, return_exceptions=True)
