"""The life of one instance: schema, pool, socket, ready line, SIGTERM, drain, end.

Rules. The ready line is printed when a connection would be served. On SIGTERM the socket closes
first; then streams are ended, requests and prints in flight get `drain_seconds` in all; then the
pool closes and the exit status is 0. A second signal cuts the drain short. What goes to stderr
never has a URL of the database or of Redis in it.
"""

import asyncio
import json
import logging
import signal
import socket
import sys
from contextlib import AsyncExitStack

import asyncpg
import uvloop
from aiohttp import web

from examples.print_erp.app import application
from examples.print_erp.cache import Cache
from examples.print_erp.context import Erp
from examples.print_erp.equipment import renew_forever
from examples.print_erp.migrate import SchemaError, migrate
from examples.print_erp.press import Press
from examples.print_erp.settings import Settings
from examples.print_erp.store import Store
from examples.print_erp.traffic import Traffic

BACKLOG = 1024
CUT_SECONDS = 0.5
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def run(settings: Settings) -> int:
    """Serve until a signal; 0, or 1 when it could not start."""
    logging.basicConfig(
        stream=sys.stderr, level=logging.WARNING, format="%(levelname)s %(message)s"
    )
    try:
        return uvloop.run(_serve(settings))
    except SchemaError as error:
        reason = str(error)
    except (
        OSError,
        TimeoutError,
        ValueError,
        asyncpg.PostgresError,
        asyncpg.InterfaceError,
    ) as error:
        # The text of these may quote the URL: the kind is enough to know where to look.
        reason = f"{type(error).__name__}: check the database URL, the server and --listen"
    print(f"print-erp {settings.slot} could not start: {reason}", file=sys.stderr)  # noqa: T201
    return 1


async def _serve(settings: Settings) -> int:
    stop, hurry = _signals()
    listening = _bind(settings.host, settings.port)
    await migrate(settings.database_url, settings.number, settings.instance)
    async with AsyncExitStack() as stack:
        erp = await _erp(settings, stack)
        runner = await _listen(erp, listening)
        _ready(settings, listening)
        renewing = asyncio.create_task(renew_forever(erp), name="equipment renewal")
        await erp.cache.warm()
        await stop.wait()
        await _drain(erp, runner, hurry)
        renewing.cancel()
    return 0


def _signals() -> tuple[asyncio.Event, asyncio.Event]:
    stop, hurry = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in _SIGNALS:
        loop.add_signal_handler(number, lambda: hurry.set() if stop.is_set() else stop.set())
    return stop, hurry


def _bind(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    listening = socket.socket(family, kind, protocol)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.setblocking(False)
    listening.bind(address)
    return listening


async def _erp(settings: Settings, stack: AsyncExitStack) -> Erp:
    store = await Store.open(
        settings.database_url, settings.database_connections, settings.instance
    )
    stack.push_async_callback(store.close)
    cache = Cache(settings.redis_url)
    stack.push_async_callback(cache.close)
    return Erp(settings, store, cache, Press(settings, store), Traffic(settings.slot))


async def _listen(erp: Erp, listening: socket.socket) -> web.AppRunner:
    runner = web.AppRunner(
        application(erp),
        access_log=None,
        handle_signals=False,
        shutdown_timeout=erp.settings.drain_seconds,
    )
    await runner.setup()
    await web.SockSite(runner, listening, backlog=BACKLOG).start()
    return runner


def _ready(settings: Settings, listening: socket.socket) -> None:
    host, port = listening.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    line = {"event": "ready", "address": f"{shown}:{port}", "host": host, "port": port}
    print(json.dumps({**line, **settings.served_by}), flush=True)  # noqa: T201 - the contract


async def _drain(erp: Erp, runner: web.AppRunner, hurry: asyncio.Event) -> None:
    draining = asyncio.create_task(_end(erp, runner), name="drain")
    hurried = asyncio.create_task(hurry.wait(), name="second signal")
    await asyncio.wait({draining, hurried}, return_when=asyncio.FIRST_COMPLETED)
    if not draining.done():
        draining.cancel()
        await asyncio.gather(draining, erp.press.drain(0), return_exceptions=True)
    hurried.cancel()


async def _end(erp: Erp, runner: web.AppRunner) -> None:
    clock = asyncio.get_running_loop().time
    until = clock() + erp.settings.drain_seconds
    try:
        # aiohttp waits once for a handler and once more after it has cancelled it: one wait is ours.
        async with asyncio.timeout(erp.settings.drain_seconds + CUT_SECONDS):
            await runner.cleanup()
    except TimeoutError:
        pass  # what a client holds up ends with the process
    await erp.press.drain(max(0.0, until - clock()))
