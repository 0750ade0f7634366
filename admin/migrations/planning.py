"""From the folder of migrations and the ledger to a plan: what `turnout migrations plan` asks for."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from admin.migrations.backfill import HeaderFault, header, statement_fault
from admin.migrations.catalogue.model import Catalogue, CatalogueError, Fault, Migration, Phase
from admin.migrations.catalogue.read import read
from admin.migrations.compatibility import still_needed
from admin.migrations.config import Settings
from admin.migrations.files import File, Statement
from admin.migrations.guard import slot_versions
from admin.migrations.ledger import retired
from admin.migrations.ledger.plans import applied, create, know, typical_ms
from admin.migrations.plan import Draft, Estimate, PlanFault, Wish, draft, estimate
from admin.migrations.steps import refusal
from admin.migrations.targets import Target, targets
from admin.migrations.version import Version
from admin.routing.audit import Author
from admin.routing.database import Connection, Database

_SALT = "SELECT canary_salt FROM turnout.routing_head"
_KNOWN = "SELECT name FROM turnout.migration_targets"
_TENANTS = "SELECT tenant FROM turnout.tenants UNION SELECT tenant FROM turnout.pins"


@dataclass(frozen=True, slots=True)
class Prepared:
    """A plan that could be made, and about how long it would take. targets: all that there are."""

    draft: Draft
    estimate: Estimate
    targets: tuple[Target, ...]


def files_of(catalogue: Catalogue) -> tuple[File, ...]:
    """What a plan keeps of a catalogue, in the order in which it applies. CatalogueError."""
    faults: list[Fault] = []
    files = []
    for position, each in enumerate((*catalogue.versioned, *catalogue.repeatable)):
        try:
            files.append(_file(position, each))
        except HeaderFault as error:
            faults.append(Fault(each.path, error.line, 1, str(error)))
        else:
            faults += _refused(each, files[-1])
    if faults:
        raise CatalogueError(faults)
    return tuple(files)


async def prepare(database: Database, settings: Settings, wish: Wish) -> Prepared:
    """The plan that this makes now; nothing is written down. Its waves are by the canary's salt.

    PlanFault, CatalogueError, targets.TargetFault, DatabaseUnavailableError.
    """
    files = files_of(await asyncio.to_thread(read, Path(settings.folder)))
    async with database.connection() as connection:
        known = await registered(connection, settings)
        wish = replace(wish, salt=await connection.fetchval(_SALT))
        made = draft(wish, files, known, await applied(connection, known))
        await _refuse_contracts(connection, made.files)
        typical = await typical_ms(connection)
    at_once = {name: server.at_once for name, server in settings.servers.items()}
    return Prepared(made, estimate(made, typical, at_once), known)


async def keep(database: Database, prepared: Prepared, author: Author, name: str = "") -> str:
    """Write the plan down; its name, by default a new one. targets.TargetFault."""
    async with database.connection() as connection, connection.transaction():
        # At once with those of the plan all that are known: one may lie where another lay.
        names = {row["name"] for row in await connection.fetch(_KNOWN)}
        names |= prepared.draft.jobs.keys()
        await know(connection, [each for each in prepared.targets if each.name in names])
        return await create(connection, prepared.draft, author, name)


async def registered(connection: Connection, settings: Settings) -> tuple[Target, ...]:
    """All targets there are now, by the settings and the registry of tenants, but those that are retired.

    targets.TargetFault.
    """
    found = targets(settings, [row["tenant"] for row in await connection.fetch(_TENANTS)])
    gone = await retired.names(connection)
    return tuple(each for each in found if each.name not in gone)


async def know_targets(database: Database, settings: Settings) -> int:
    """Have the ledger know all targets; how many there are. targets.TargetFault."""
    async with database.connection() as connection:
        found = await registered(connection, settings)
        await know(connection, found)
    return len(found)


async def _refuse_contracts(connection: Connection, files: Sequence[File]) -> None:
    """PlanFault for what takes away what a slot's version needs: a worker would refuse it too."""
    versions = await slot_versions(connection)
    faults = [
        f"{file.path}: {why}; deploy that version to the slot and say so (`turnout versions set`), or"
        " give the way back up (`turnout versions forget`)"
        for file in files
        if file.runs and file.phase == "contract" and file.requires is not None
        if (why := still_needed(versions, Version.parse(file.requires)))
    ]
    if faults:
        raise PlanFault(faults)


def _refused(each: Migration, file: File) -> Iterator[Fault]:
    """What no worker would run."""
    for statement in each.statements:
        said = refusal(statement.sql)
        if said:
            yield Fault(each.path, statement.line, statement.column, said)
    if file.batch is None:
        return
    if each.phase is not Phase.BACKFILL:
        yield Fault(each.path, 1, 1, "turnout:batch is for a file of phase backfill")
    said = statement_fault([statement.sql for statement in each.statements])
    if said:
        yield Fault(each.path, each.statements[0].line, 1, said)


def _file(position: int, each: Migration) -> File:
    return File(
        position=position,
        key=each.key,
        version=None if each.version is None else str(each.version),
        name=each.name,
        kind=str(each.kind),
        phase=str(each.phase),
        requires=None if each.requires is None else str(each.requires),
        path=each.path,
        text=each.text,
        checksum=each.checksum,
        transactional=each.transactional,
        runs=False,
        statements=tuple(Statement(one.sql, one.line, one.column) for one in each.statements),
        batch=header(each.text),
    )
