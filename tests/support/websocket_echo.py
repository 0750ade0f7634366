"""A strict WebSocket server that echoes, for the suite: `python -m tests.support.websocket_echo`.

aiohttp's own protocol with permessage-deflate on. It writes "listening on PORT".
"""

import asyncio

import uvloop
from aiohttp import WSMsgType, web

MAX_MESSAGE = 64 * 1024 * 1024


async def echo(request: web.Request) -> web.WebSocketResponse:
    """Send back what comes, of its type; pings and closes are the library's business."""
    socket = web.WebSocketResponse(max_msg_size=MAX_MESSAGE)
    await socket.prepare(request)
    async for message in socket:
        if message.type is WSMsgType.TEXT:
            await socket.send_str(message.data)
        elif message.type is WSMsgType.BINARY:
            await socket.send_bytes(message.data)
    return socket


async def serve() -> None:
    """Serve on a free port for ever."""
    app = web.Application()
    app.add_routes([web.get("/{path:.*}", echo)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print("listening on", runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve())
