"""From the folder of migrations and the ledger to a plan: what `turnout migrations plan` asks for."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from admin.migrations.backfill import HeaderFault, header
from admin.migrations.catalogue.model import Catalogue, CatalogueError, Fault, Migration
from admin.migrations.catalogue.read import read
from admin.migrations.compatibility import still_needed
from admin.migrations.config import Settings
from admin.migrations.files import File, Statement
from admin.migrations.guard import slot_versions
from admin.migrations.ledger.plans import applied, create, know, typical_ms
from admin.migrations.plan import Draft, Estimate, PlanFault, Wish, draft, estimate
from admin.migrations.targets import targets
from admin.migrations.version import Version
from admin.routing.audit import Author
from admin.routing.database import Connection, Database

_TENANTS = "SELECT tenant FROM turnout.tenants UNION SELECT tenant FROM turnout.pins"


@dataclass(frozen=True, slots=True)
class Prepared:
    """A plan that could be made, and about how long it would take."""

    draft: Draft
    estimate: Estimate


def files_of(catalogue: Catalogue) -> tuple[File, ...]:
    """What a plan keeps of a catalogue, in the order in which it applies. CatalogueError."""
    faults, files = [], []
    for position, each in enumerate((*catalogue.versioned, *catalogue.repeatable)):
        try:
            files.append(_file(position, each))
        except HeaderFault as error:
            faults.append(Fault(each.path, error.line, 1, str(error)))
    if faults:
        raise CatalogueError(faults)
    return tuple(files)


async def prepare(database: Database, settings: Settings, wish: Wish) -> Prepared:
    """The plan that this makes now; nothing is written down.

    PlanFault, CatalogueError, targets.TargetFault, DatabaseUnavailableError.
    """
    files = files_of(read(Path(settings.folder)))
    async with database.connection() as connection:
        tenants = [row["tenant"] for row in await connection.fetch(_TENANTS)]
        made = draft(wish, files, targets(settings, tenants), await applied(connection))
        await _refuse_contracts(connection, made.files)
        typical = await typical_ms(connection)
    at_once = {name: server.at_once for name, server in settings.servers.items()}
    return Prepared(made, estimate(made, typical, at_once))


async def keep(database: Database, prepared: Prepared, author: Author, name: str = "") -> str:
    """Write the plan down; its name, by default a new one."""
    async with database.connection() as connection:
        return await create(connection, prepared.draft, author, name)


async def know_targets(database: Database, settings: Settings) -> int:
    """Have the ledger know all targets; how many there are. targets.TargetFault."""
    async with database.connection() as connection:
        tenants = [row["tenant"] for row in await connection.fetch(_TENANTS)]
        found = targets(settings, tenants)
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
