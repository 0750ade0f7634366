"""An endpoint for tests: a real HTTP server in a process of its own, and its handle.

    python -m tests.support.endpoint NAME      writes "listening on PORT"

It answers every path with its name, counts requests by their X-Id, and does what a path says:
hold an answer until it is released, send SSE events on order, echo WebSocket messages, take
uploads, send downloads. Rules: nothing here takes a fixed time; a test orders what happens, and
waits for what has happened, under /control, which it asks past the proxy.
"""

import argparse
import asyncio
import json
import sys
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from aiohttp import WSMsgType, web

from tests.support.clients import Answer, fetch
from tests.support.processes import Child, Children

ROOT = Path(__file__).parents[2]
MAX_MESSAGE = 8 * 1024 * 1024
_PIECE = bytes(range(256)) * 256


# ── the test's side ───────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A running endpoint. name: what it answers with."""

    name: str
    port: int
    child: Child

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def arrived(self, key: str) -> None:
        """Wait until a request for this key (hold, events, download) has come in."""
        await self.control(f"arrived/{key}")

    async def left(self, key: str) -> None:
        """Wait until a request for this key is over, whole or not."""
        await self.control(f"left/{key}")

    async def release(self, key: str) -> None:
        """Let what holds for this key be answered, now and later."""
        await self.control(f"release/{key}")

    async def emit(self, key: str, text: str) -> None:
        """Send an event to the SSE stream of this key; text "end" ends it."""
        await self.control(f"emit/{key}/{text}")

    async def seen(self, prefix: str = "") -> Counter[str]:
        """How often each X-Id that begins so was asked for."""
        answer = await self.control(f"seen?prefix={prefix}")
        return Counter(json.loads(answer.body))

    async def written(self, key: str) -> int:
        """Bytes of the download of this key that were handed to the kernel or its buffer."""
        return int((await self.control(f"written/{key}")).body)

    async def close_code(self, key: str) -> int | None:
        """With what the WebSocket of this key was closed; None if without a close."""
        code = (await self.control(f"close-code/{key}")).json
        assert code is None or isinstance(code, int)
        return code

    async def answer_checks(self, status: int) -> None:
        """Answer health checks (GET /health) with this status from now on; 200 at first."""
        await self.control(f"health/{status}")

    async def checked_by(self) -> Counter[str]:
        """Who has asked for /health, by User-Agent and Host, and how often."""
        return Counter((await self.control("checked-by")).json)

    async def connections(self) -> int:
        """How many connections are open to it, this one not counted."""
        return int((await self.control("connections")).body)

    async def control(self, path: str) -> Answer:
        """Ask under /control, past the proxy."""
        answer = await fetch(self.port, f"/control/{path}")
        assert answer.status == 200, answer
        return answer


class Endpoints(NamedTuple):
    """One endpoint a slot."""

    blue: Endpoint
    green: Endpoint


async def start_endpoint(spawn: Children, name: str) -> Endpoint:
    """Start one on a free port and wait until it listens."""
    child = spawn(
        sys.executable, "-m", "tests.support.endpoint", name, cwd=ROOT, name=f"endpoint-{name}"
    )
    found = await child.line(r"^listening on (\d+)$")
    return Endpoint(name, int(found[1]), child)


def content(size: int) -> Iterator[bytes]:
    """What a download of this size holds, in pieces: no piece repeats at another place."""
    sent = 0
    while sent < size:
        piece = sent.to_bytes(8) + _PIECE[8:]
        yield piece[: size - sent]
        sent += len(piece)


def digest_of(size: int) -> str:
    """The SHA-256 of `content(size)`, in hexadecimal."""
    digest = sha256()
    for piece in content(size):
        digest.update(piece)
    return digest.hexdigest()


# ── the server's side ─────────────────────────────────────────────────────────────────────────


@dataclass(slots=True)
class State:
    """What has happened and what was ordered, by key."""

    name: str
    seen: Counter[str] = field(default_factory=Counter)
    arrived: defaultdict[str, asyncio.Event] = field(
        default_factory=lambda: defaultdict(asyncio.Event)
    )
    left: defaultdict[str, asyncio.Event] = field(
        default_factory=lambda: defaultdict(asyncio.Event)
    )
    released: defaultdict[str, asyncio.Event] = field(
        default_factory=lambda: defaultdict(asyncio.Event)
    )
    events: defaultdict[str, asyncio.Queue[str]] = field(
        default_factory=lambda: defaultdict(asyncio.Queue)
    )
    written: Counter[str] = field(default_factory=Counter)
    close_codes: dict[str, int | None] = field(default_factory=dict)
    health: int = 200
    checked_by: Counter[str] = field(default_factory=Counter)


_STATE = web.AppKey("state", State)


def application(name: str) -> web.Application:
    """The endpoint's routes."""
    app = web.Application(client_max_size=0)
    app[_STATE] = State(name)
    app.add_routes(
        [
            web.get("/control/arrived/{key}", wait_arrived),
            web.get("/control/left/{key}", wait_left),
            web.get("/control/release/{key}", order_release),
            web.get("/control/emit/{key}/{text}", order_event),
            web.get("/control/seen", tell_seen),
            web.get("/control/written/{key}", tell_written),
            web.get("/control/connections", tell_connections),
            web.get("/control/health/{status}", order_health),
            web.get("/control/checked-by", tell_checked_by),
            web.get("/health", health),
            web.get("/hold/{key}", hold),
            web.get("/events/{key}", events),
            web.get("/ws/{key}", websocket),
            web.get("/control/close-code/{key}", tell_close_code),
            web.post("/upload", upload),
            web.get("/download/{size}/{key}", download),
            web.get("/status/{status}", status),
            web.get("/echo", echo),
            web.route("*", "/{path:.*}", tell_name),
        ]
    )
    return app


async def tell_name(request: web.Request) -> web.Response:
    state = request.app[_STATE]
    _count(request)
    return web.Response(text=state.name)


async def echo(request: web.Request) -> web.Response:
    """The request as it came here."""
    fields = [(name.lower(), value) for name, value in request.headers.items()]
    return web.json_response({"name": request.app[_STATE].name, "fields": fields})


async def status(request: web.Request) -> web.Response:
    _count(request)
    return web.Response(status=int(request.match_info["status"]), text=request.app[_STATE].name)


async def hold(request: web.Request) -> web.Response:
    state, key = request.app[_STATE], request.match_info["key"]
    _count(request)
    async with _here(state, key):
        await state.released[key].wait()
    return web.Response(text=state.name)


async def events(request: web.Request) -> web.StreamResponse:
    state, key = request.app[_STATE], request.match_info["key"]
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    async with _here(state, key):
        while (text := await state.events[key].get()) != "end":
            await response.write(f"data: {text}\n\n".encode())
    return response


async def websocket(request: web.Request) -> web.WebSocketResponse:
    """Echo; the text "close 4001" closes with that code, "name" is answered with the name."""
    state, key = request.app[_STATE], request.match_info["key"]
    socket = web.WebSocketResponse(max_msg_size=MAX_MESSAGE, compress=False)
    await socket.prepare(request)
    async with _here(state, key):
        async for message in socket:
            if message.type is WSMsgType.BINARY:
                await socket.send_bytes(message.data)
            elif message.data == "name":
                await socket.send_str(state.name)
            elif message.data.startswith("close "):
                await socket.close(code=int(message.data[6:]), message=b"as ordered")
            else:
                await socket.send_str(message.data)
        state.close_codes[key] = socket.close_code
    return socket


async def upload(request: web.Request) -> web.Response:
    digest, size = sha256(), 0
    async for piece in request.content.iter_any():
        digest.update(piece)
        size += len(piece)
    return web.json_response({"size": size, "sha256": digest.hexdigest()})


async def download(request: web.Request) -> web.StreamResponse:
    """`?chunked` sends it without a length."""
    state, key = request.app[_STATE], request.match_info["key"]
    size = int(request.match_info["size"])
    response = web.StreamResponse()
    if "chunked" not in request.query:
        response.content_length = size
    await response.prepare(request)
    async with _here(state, key):
        for piece in content(size):
            await response.write(piece)
            state.written[key] += len(piece)
    return response


async def wait_arrived(request: web.Request) -> web.Response:
    await request.app[_STATE].arrived[request.match_info["key"]].wait()
    return web.Response()


async def wait_left(request: web.Request) -> web.Response:
    await request.app[_STATE].left[request.match_info["key"]].wait()
    return web.Response()


async def order_release(request: web.Request) -> web.Response:
    request.app[_STATE].released[request.match_info["key"]].set()
    return web.Response()


async def order_event(request: web.Request) -> web.Response:
    request.app[_STATE].events[request.match_info["key"]].put_nowait(request.match_info["text"])
    return web.Response()


async def tell_seen(request: web.Request) -> web.Response:
    prefix, seen = request.query.get("prefix", ""), request.app[_STATE].seen
    return web.json_response({name: n for name, n in seen.items() if name.startswith(prefix)})


async def tell_written(request: web.Request) -> web.Response:
    return web.Response(text=str(request.app[_STATE].written[request.match_info["key"]]))


async def tell_close_code(request: web.Request) -> web.Response:
    return web.json_response(request.app[_STATE].close_codes.get(request.match_info["key"]))


async def health(request: web.Request) -> web.Response:
    state = request.app[_STATE]
    state.checked_by[f"{request.headers['User-Agent']} {request.host}"] += 1
    return web.Response(status=state.health)


async def order_health(request: web.Request) -> web.Response:
    request.app[_STATE].health = int(request.match_info["status"])
    return web.Response()


async def tell_checked_by(request: web.Request) -> web.Response:
    return web.json_response(request.app[_STATE].checked_by)


async def tell_connections(request: web.Request) -> web.Response:
    server = request.protocol._manager
    assert server is not None
    return web.Response(text=str(len(server.connections) - 1))


def _count(request: web.Request) -> None:
    name = request.headers.get("X-Id")
    if name is not None:
        request.app[_STATE].seen[name] += 1


@asynccontextmanager
async def _here(state: State, key: str) -> AsyncIterator[None]:
    """Note that a request for this key is here, and when it is over."""
    state.arrived[key].set()
    try:
        yield
    finally:
        state.left[key].set()


async def serve(name: str) -> None:
    """Serve on a free port for ever."""
    # Without handler_cancellation a handler would not hear that its client has left.
    runner = web.AppRunner(application(name), access_log=None, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print("listening on", runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


def main() -> None:
    """Run the process."""
    parser = argparse.ArgumentParser()
    parser.add_argument("name")
    asyncio.run(serve(parser.parse_args().name))


if __name__ == "__main__":
    main()
