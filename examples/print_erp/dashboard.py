"""GET /ws/dashboard: a snapshot, then an update each second; "ping" is answered with "pong"."""

import asyncio
from itertools import count

import msgspec
from aiohttp import WSMsgType, web

from examples.print_erp.board import Boards
from examples.print_erp.context import erp_of, tenant_of
from examples.print_erp.problems import Problem
from examples.print_erp.sockets import opened

UPDATE_SECONDS = 1.0
BOARDS = web.AppKey("BOARDS", Boards)


async def dashboard(request: web.Request) -> web.WebSocketResponse:
    """One watcher, until it or the instance closes the socket."""
    socket = await opened(request)
    sender = asyncio.create_task(_send(request, socket), name="dashboard updates")
    try:
        async for message in socket:
            if message.type is WSMsgType.TEXT and message.data == "ping":
                await socket.send_str("pong")
    except ConnectionError:
        pass  # the watcher has left
    finally:
        sender.cancel()
        await asyncio.gather(sender, return_exceptions=True)
    return socket


async def _send(request: web.Request, socket: web.WebSocketResponse) -> None:
    settings = erp_of(request).settings
    who = {"slot": settings.slot, "version": settings.version, "served_by": settings.served_by}
    try:
        for seq in count():
            kind = "update" if seq else "snapshot"
            message = {"type": kind, "seq": seq, **who, **await _figures(request)}
            await socket.send_str(msgspec.json.encode(message).decode())
            await asyncio.sleep(UPDATE_SECONDS)
    except ConnectionError:
        await socket.close()  # ends the reading side too


async def _figures(request: web.Request) -> dict[str, object]:
    try:
        figures = await request.app[BOARDS].figures(tenant_of(request))
    except Problem as problem:
        return {"database": problem.detail}
    return {"database": "ok", **figures}


ROUTES = [web.get("/ws/dashboard", dashboard)]
