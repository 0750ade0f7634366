"""`turnout worker --check`: what the settings' own words can't tell, and the machine can.

Turnout's database answers and its schema fits this program, each server lets the worker in, and the
folder's files can be read. Nothing is changed by looking, and nothing of a URL is repeated.
"""

import asyncio
import sys
from pathlib import Path
from typing import Final

import asyncpg
import uvloop

from admin.config import Settings as AdminSettings
from admin.migrations.batches import HAS_HIDDEN_REPLICAS
from admin.migrations.catalogue.model import CatalogueError
from admin.migrations.catalogue.read import read
from admin.migrations.config import Settings
from admin.migrations.faults import Again, Failed
from admin.migrations.planning import files_of
from admin.migrations.target.session import Limits, Sessions
from admin.migrations.targets import Target
from admin.schema import SchemaError, migrations, pending
from config import ERROR, WARNING, Report, Shared, examine

_HAS_SCHEMA: Final = "SELECT to_regclass('turnout.schema_ledger') IS NOT NULL"
_SCHEMA: Final = "SELECT number, checksum FROM turnout.schema_ledger"
_BLIND: Final = (
    "has replicas, and the role doesn't see how far they are: its backfills fail without"
    " GRANT pg_read_all_stats"
)
_SHOWN: Final = 10
"""How many faults of the folder are said."""


def check(path: Path | None, *, as_json: bool) -> int:
    """Say all that is wrong; the exit code.

    0: a worker can start here. 1: the settings are good, and something that they name is not. 2: the
    settings are wrong; nothing else was looked at.
    """
    report = examine(path, "migrations", Settings)
    of_admin = examine(path, "admin", AdminSettings)
    report.findings += [each for each in of_admin.findings if each not in report.findings]
    if report.good and report.section and not report.section.servers:
        report.add(ERROR, ("migrations", "servers"), "names no server: there is nothing to migrate")
    code = _code(report, 2)
    if not code:
        shared, settings = report.settings()
        uvloop.run(look(report, shared, of_admin.settings()[1], settings))
        code = _code(report, 1)
    said = report.as_json() if as_json else report.text()
    (sys.stdout if report.good or as_json else sys.stderr).write(said)
    return code


def _code(report: Report[Settings], otherwise: int) -> int:
    return 0 if report.good else otherwise


async def look(
    report: Report[Settings], shared: Shared, of_admin: AdminSettings, settings: Settings
) -> None:
    """Add to a report of good settings what is found around them."""
    sessions = Sessions(settings)
    try:
        await asyncio.gather(
            _ledger(report, shared.database_url, of_admin.database_connect_timeout_s),
            *(_server(report, sessions, settings, name) for name in settings.servers),
        )
    finally:
        await sessions.close()
    _folder(report, Path(settings.folder))


async def _ledger(report: Report[Settings], url: str, limit_s: float) -> None:
    """limit_s: of connecting, and of each answer."""
    where = ("database_url",)
    try:
        applied = await _applied(url, limit_s)
        lacking = pending(migrations(), applied)
    except SchemaError as error:
        report.add(ERROR, where, str(error))
    except ValueError:
        report.add(ERROR, where, "is not a PostgreSQL URL")
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        # Messages of connection errors hold addresses: the class.
        fault = type(error).__name__
        report.add(ERROR, where, f"Turnout's database can't be reached, or read ({fault})")
    else:
        if lacking:
            count = f"{len(lacking)} of this program's files, from {lacking[0].name} on"
            message = f"its schema lacks {count}: the next admin or worker to start applies them"
            report.add(WARNING, where, message)


async def _applied(url: str, limit_s: float) -> dict[int, str]:
    """What Turnout's own schema has: number → checksum."""
    connection = await asyncpg.connect(url, timeout=limit_s, command_timeout=limit_s)
    try:
        if not await connection.fetchval(_HAS_SCHEMA):
            return {}
        return {row["number"]: row["checksum"] for row in await connection.fetch(_SCHEMA)}
    finally:
        connection.terminate()


async def _server(
    report: Report[Settings], sessions: Sessions, settings: Settings, name: str
) -> None:
    """Whether its reference leads to a URL, and the server lets the worker in."""
    where = ("migrations", "servers", name)
    # No target: only the database of the server's own URL is connected to.
    target = Target("check", None, name, "", "public")
    limits = Limits(settings.lock_timeout_s, settings.statement_timeout_s)
    try:
        async with (
            asyncio.timeout(2 * settings.connect_timeout_s),
            sessions.open(target, 0, limits) as session,
        ):
            if await session.connection.fetchval(HAS_HIDDEN_REPLICAS):
                report.add(WARNING, where, _BLIND)
    except Failed as error:
        report.add(ERROR, where, error.failure.message)
    except Again as error:
        report.add(ERROR, where, error.message)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        report.add(ERROR, where, f"{name} doesn't answer ({type(error).__name__})")


def _folder(report: Report[Settings], folder: Path) -> None:
    where = ("migrations", "folder")
    if not folder.is_dir():
        # A worker runs what its plan has kept: the admin reads the folder.
        report.add(WARNING, where, "is no folder here: workers need none, the admin plans from it")
        return
    try:
        files_of(read(folder))
    except CatalogueError as error:
        for fault in error.faults[:_SHOWN]:
            report.add(ERROR, where, str(fault))
        if len(error.faults) > _SHOWN:
            report.add(ERROR, where, f"and {len(error.faults) - _SHOWN} more faults")
