"""Endpoints that exist for tests and load: echo, slow, bytes, status, faults, what arrived."""

import asyncio
import hashlib

import msgspec
from aiohttp import web

from examples.print_erp.answers import answer, body_as, number
from examples.print_erp.context import erp_of
from examples.print_erp.faults import Faults
from examples.print_erp.problems import Problem, invalid
from examples.print_erp.sockets import close_all
from examples.print_erp.traffic import RING

ECHO_BYTES = 64 << 20
SLOW_MS = 60_000
BYTES_MAX = 256 << 20
CHUNK = bytes(range(256)) * 256


async def echo(request: web.Request) -> web.Response:
    """What arrived: headers as [name, value] pairs in their order; the body's length and SHA-256."""
    sha256, length = hashlib.sha256(), 0
    async for piece in request.content.iter_chunked(1 << 16):
        length += len(piece)
        if length > ECHO_BYTES:
            raise Problem(413, "too-large", f"echo reads at most {ECHO_BYTES} bytes")
        sha256.update(piece)
    headers = [[n.decode("latin-1"), v.decode("latin-1")] for n, v in request.raw_headers]
    body = {
        "method": request.method,
        "path": request.raw_path,
        "headers": headers,
        "body": {"length": length, "sha256": sha256.hexdigest()},
    }
    return answer(request, body)


async def slow(request: web.Request) -> web.Response:
    """Answers after ?ms=."""
    milliseconds = number(request, "ms", 1000, 0, SLOW_MS)
    await asyncio.sleep(milliseconds / 1000)
    return answer(request, {"slept_ms": milliseconds})


async def body_bytes(request: web.Request) -> web.StreamResponse:
    """Streams ?n= bytes (0..255 over and over), with a length, or chunked with ?chunked=1."""
    left = number(request, "n", 1024, 0, BYTES_MAX)
    stream = web.StreamResponse(headers={"Content-Type": "application/octet-stream"})
    if number(request, "chunked", 0, 0, 1):
        stream.enable_chunked_encoding()
    else:
        stream.content_length = left
    await stream.prepare(request)
    while left > 0:
        await stream.write(CHUNK[:left])
        left -= len(CHUNK)
    await stream.write_eof()
    return stream


async def status(request: web.Request) -> web.Response:
    """Answers with the status in the path, 200..599."""
    text = request.match_info["code"]
    if not (text.isascii() and text.isdecimal() and len(text) == 3 and 200 <= int(text) <= 599):
        raise invalid("a status is 200..599")
    code = int(text)
    if code in (204, 205, 304):
        return web.Response(status=code)
    return answer(request, {"status": code}, code)


async def set_faults(request: web.Request) -> web.Response:
    """Put these faults in force. 404 unless the program was started with --faults."""
    erp = erp_of(request)
    if not erp.settings.faults:
        raise Problem(404, "not-found", "start with --faults to open this")
    erp.faults.set(await body_as(request, Faults))
    faults = erp.faults.faults
    if not faults.equipment:
        await close_all(erp)
    return answer(request, msgspec.to_builtins(faults))


async def totals(request: web.Request) -> web.Response:
    """{total, by_tenant, probes} since start."""
    return answer(request, erp_of(request).traffic.totals())


async def log(request: web.Request) -> web.Response:
    """Arrivals after ?since= (a seq) and ?since_ns= (CLOCK_MONOTONIC), the oldest ?limit= of them."""
    since = number(request, "since", 0, 0, 1 << 62)
    since_ns = number(request, "since_ns", 0, 0, 1 << 62)
    limit = number(request, "limit", RING, 1, RING)
    return answer(request, erp_of(request).traffic.since(since, since_ns, limit))


ROUTES = [
    web.route("*", "/api/echo", echo),
    web.get("/api/slow", slow),
    web.get("/api/bytes", body_bytes),
    web.route("*", "/api/status/{code}", status),
    web.post("/_faults", set_faults),
    web.get("/_requests", totals),
    web.get("/_requests/log", log),
]
