"""`python -m admin.migrations --config FILE`: one worker. As many as wanted run side by side.

Logs are JSON lines on stderr. SIGTERM and SIGINT let it end what it has begun, or give it back:
exit code 0. Exit code 1: it could not start, and stderr says why; 2: arguments or settings are
wrong. `--check` starts nothing, and says by the same codes whether it could.
"""

import argparse
import asyncio
import os
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from random import Random  # noqa: TID251 - the seed of a worker's jitter
from secrets import token_hex

import structlog
import uvloop

from admin.__main__ import log_to_stderr
from admin.bootstrap import StartError, wait_for_database
from admin.config import Settings as AdminSettings
from admin.migrations.check import check
from admin.migrations.config import Settings
from admin.migrations.target.session import Sessions
from admin.migrations.worker import Worker
from admin.routing.database import Database
from admin.schema import SchemaError, migrate, migrations
from config import ConfigError, Shared, load


def main(argv: Sequence[str] | None = None) -> int:
    """Run until a signal comes. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="turnout worker", description="Turnout's migrations")
    parser.add_argument(
        "--config",
        type=Path,
        default=os.environ.get("TURNOUT_CONFIG"),
        help="the settings, a TOML file (or TURNOUT_CONFIG)",
    )
    parser.add_argument("--name", help="in the ledger; by default host, process and a number")
    parser.add_argument(
        "--check",
        action="store_true",
        help="say what is wrong with the settings, databases and files that it needs, and end",
    )
    parser.add_argument("--json", action="store_true", help="with --check: machine output")
    arguments = parser.parse_args(argv)
    if arguments.check:
        return check(arguments.config, as_json=arguments.json)
    try:
        shared, settings = load(arguments.config, "migrations", Settings)
        _, of_admin = load(arguments.config, "admin", AdminSettings)
    except (ConfigError, ValueError) as error:
        return _fail(str(error), 2)
    if not settings.servers:
        return _fail("[migrations.servers] names no server: there is nothing to migrate", 2)
    log_to_stderr(settings.log_level)
    name = arguments.name or f"{socket.gethostname()}-{os.getpid()}-{token_hex(2)}"
    try:
        uvloop.run(serve(name, shared, of_admin, settings))
    except (StartError, SchemaError) as error:
        return _fail(str(error), 1)
    return 0


async def serve(name: str, shared: Shared, of_admin: AdminSettings, settings: Settings) -> None:
    """The worker until SIGTERM or SIGINT. of_admin: how PostgreSQL is spoken with."""
    pool = await wait_for_database(shared.database_url, of_admin)
    database = Database(pool, of_admin.database_connect_timeout_s)
    try:
        async with pool.acquire() as connection:
            await migrate(connection, migrations(), of_admin.database_wait_s)
        worker = Worker(name, database, Sessions(settings), settings, Random(name))  # noqa: S311 - jitter
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, worker.drain)
        log = structlog.get_logger("worker")
        log.info("working", worker=name, servers=sorted(settings.servers))
        await worker.run()
        log.info("stopped", worker=name)
    finally:
        await database.close()


def _fail(message: str, code: int) -> int:
    sys.stderr.write(f"turnout worker: {message}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
