"""`python -m admin --config FILE [--listen host:port]`: one admin process.

Logs are JSON lines on stderr. SIGTERM and SIGINT end it cleanly, with exit code 0. Exit code 1:
it could not start, and stderr says why; 2: the arguments or the settings are wrong.
"""

import argparse
import asyncio
import logging
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec
import structlog
import uvloop

from admin.bootstrap import StartError, running
from admin.check import check
from admin.config import Settings
from admin.migrations.config import Settings as MigrationSettings
from admin.monitor.settings import Settings as MonitorSettings
from admin.releases.config import Settings as ReleaseSettings
from admin.schema import SchemaError
from config import ConfigError, Shared, load


def main(argv: Sequence[str] | None = None) -> int:
    """Run until a signal comes. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m admin", description="Turnout's control plane")
    parser.add_argument(
        "--config",
        type=Path,
        default=os.environ.get("TURNOUT_CONFIG"),
        help="the settings, a TOML file (or TURNOUT_CONFIG)",
    )
    parser.add_argument("--listen", help="host:port, in place of the setting; port 0: a free one")
    parser.add_argument(
        "--check", action="store_true", help="say what is wrong with the settings and end"
    )
    parser.add_argument("--json", action="store_true", help="with --check: machine output")
    arguments = parser.parse_args(argv)
    if arguments.check:
        return check(arguments.config, as_json=arguments.json)
    try:
        shared, settings = load(arguments.config, "admin", Settings)
        _, migrating = load(arguments.config, "migrations", MigrationSettings)
        _, releasing = load(arguments.config, "releases", ReleaseSettings)
        _, monitoring = load(arguments.config, "monitor", MonitorSettings)
        if arguments.listen:
            settings = msgspec.structs.replace(settings, listen=arguments.listen)
    except (ConfigError, ValueError) as error:
        return _fail(str(error), 2)
    log_to_stderr(settings.log_level)
    try:
        uvloop.run(serve(shared, settings, migrating, releasing, monitoring))
    except (StartError, SchemaError) as error:
        return _fail(str(error), 1)
    return 0


async def serve(
    shared: Shared,
    settings: Settings,
    migrating: MigrationSettings,
    releasing: ReleaseSettings,
    monitoring: MonitorSettings,
) -> None:
    """The admin until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    log = structlog.get_logger("admin")
    async with running(shared, settings, migrating, releasing, monitoring) as address:
        log.info("listening", address=address)
        await stop.wait()
        log.info("stopping")


def log_to_stderr(level: str) -> None:
    """JSON lines; control characters in values are escaped by JSON."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    # Its pool logs a traceback each time it finds no server; the reconciler says it once.
    logging.getLogger("asyncpg").setLevel(logging.ERROR)


def _fail(message: str, code: int) -> int:
    sys.stderr.write(f"turnout admin: {message}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
