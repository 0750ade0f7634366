"""From the catalogue to what a plan keeps, and what of it no worker would run. Pure."""

from collections.abc import Iterator

from admin.migrations.backfill import HeaderFault, header, statement_fault
from admin.migrations.catalogue.model import Catalogue, CatalogueError, Fault, Kind, Migration
from admin.migrations.files import BACKFILL, Batch, File, Statement
from admin.migrations.steps import refusal


def files(catalogue: Catalogue) -> tuple[File, ...]:
    """The versioned ones by version, then the repeatable ones. CatalogueError with all faults."""
    found: list[File] = []
    faults: list[Fault] = []
    for each in (*catalogue.versioned, *catalogue.repeatable):
        batch = None
        try:
            batch = header(each.text)
        except HeaderFault as error:
            faults.append(Fault(each.path, error.line, 1, str(error)))
        faults += _faults(each, batch)
        found.append(_file(len(found), each, batch))
    if faults:
        raise CatalogueError(faults)
    return tuple(found)


def _faults(migration: Migration, batch: Batch | None) -> Iterator[Fault]:
    for statement in migration.statements:
        said = refusal(statement.sql)
        if said:
            yield Fault(migration.path, statement.line, statement.column, said)
    if batch is None:
        return
    if migration.phase != BACKFILL:
        yield Fault(migration.path, 1, 1, "turnout:batch is for a file of phase backfill")
    said = statement_fault([each.sql for each in migration.statements])
    if said:
        yield Fault(migration.path, migration.statements[0].line, 1, said)


def _file(position: int, migration: Migration, batch: Batch | None) -> File:
    return File(
        position=position,
        key=migration.key,
        version=None if migration.version is None else str(migration.version),
        name=migration.name,
        kind=str(Kind(migration.kind)),
        phase=str(migration.phase),
        requires=None if migration.requires is None else str(migration.requires),
        path=migration.path,
        text=migration.text,
        checksum=migration.checksum,
        transactional=migration.transactional,
        runs=False,
        statements=tuple(Statement(s.sql, s.line, s.column) for s in migration.statements),
        batch=batch,
    )
