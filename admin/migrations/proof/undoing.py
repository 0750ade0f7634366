"""Tries the undo of each migration, newest first, and whether the schema is then as it was before."""

from collections.abc import Iterable, Mapping, Sequence

from admin.migrations.catalogue.model import Catalogue, Migration, Statement
from admin.migrations.drift.model import Drifted, Fingerprint, Object, drift
from admin.migrations.drift.read import fingerprint
from admin.migrations.proof.apply import Broken, Nobody, apply
from admin.migrations.proof.model import Finding, FindingKind, Ran, Severity, UndoRun
from admin.migrations.proof.servers import Connection, Place, connected
from admin.migrations.proof.work import Work

_SHOWN = 5


async def try_undo(
    clone: Place,
    catalogue: Catalogue,
    done: Sequence[Migration],
    before: Mapping[str, Fingerprint],
    repeated: frozenset[Object],
    work: Work,
) -> None:
    """Undo in the clone what was applied, and put what is found into the proof.

    before: the schema as it was before each migration, by key. repeated: objects that repeatable
    migrations have changed, which no undo takes back.
    """
    proof, limits, schema = work.proof, work.limits, work.schema
    async with connected(clone, limits, work.path) as connection:
        for migration in reversed([each for each in done if each.version]):
            undo = catalogue.undo_of(migration.version) if migration.version else None
            if undo is None:
                proof.notes.append(f"{migration.path} has no undo: nothing before it was undone")
                return
            timed = _Timed()
            try:
                await apply(connection, clone, [undo], limits, timed)
            except Broken as broken:
                proof.findings.append(_failed(broken))
                return
            found = await _left(connection, schema, before[migration.key], repeated)
            proof.undone.append(UndoRun(undo.key, undo.path, not found, timed.ms))
            if found:
                proof.findings.append(_differs(undo, found))
                return


class _Timed(Nobody):
    """Adds up how long the statements take."""

    def __init__(self) -> None:
        self.ms = 0.0

    async def ran(self, ran: Ran, statement: Statement, *, visible: bool) -> None:  # noqa: ARG002 - see Observer
        self.ms += ran.ms


async def _left(
    connection: Connection, schema: str, before: Fingerprint, repeated: frozenset[Object]
) -> list[Drifted]:
    now = await fingerprint(connection, schema)
    return [each for each in drift(now, before) if (each.kind, each.name) not in repeated]


def _failed(broken: Broken) -> Finding:
    said = f"the undo fails at line {broken.point.line}: {broken.error.message}"
    return Finding(
        FindingKind.UNDO_FAILS, Severity.ERROR, said, point=broken.point, error=broken.error
    )


def _differs(undo: Migration, found: Iterable[Drifted]) -> Finding:
    told = [f"{each.what} {each.kind} {each.name}" for each in found]
    more = f", and {len(told) - _SHOWN} more" if len(told) > _SHOWN else ""
    said = f"after {undo.path} the schema is not as it was: {', '.join(told[:_SHOWN])}{more}"
    return Finding(FindingKind.UNDO_DIFFERS, Severity.ERROR, said)
