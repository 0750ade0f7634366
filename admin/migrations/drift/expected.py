"""The schema that a catalogue makes, by applying it to an empty scratch database."""

from collections.abc import Iterable, Sequence

import asyncpg

from admin.migrations.catalogue.model import Catalogue, Migration
from admin.migrations.drift.model import Fingerprint
from admin.migrations.drift.read import fingerprint
from admin.migrations.identifiers import quoted
from admin.migrations.proof.apply import Broken, Nobody, apply
from admin.migrations.proof.clone import Scratch
from admin.migrations.proof.errors import told
from admin.migrations.proof.limits import CannotProve, Limits
from admin.migrations.proof.servers import Connection, Place, connected
from admin.migrations.version import Version


def wanted(
    catalogue: Catalogue, at: Version | None, applied: Iterable[str] | None
) -> list[Migration]:
    """What to apply: up to a version, or what the target's history says (None: it has none), or all."""
    if at is None and applied is not None:
        keys = frozenset(applied)
        return [each for each in (*catalogue.versioned, *catalogue.repeatable) if each.key in keys]
    last = at or catalogue.last
    versioned = catalogue.between(None, last) if last else ()
    return [*versioned, *catalogue.repeatable]


async def expected(
    scratch: Scratch,
    migrations: Sequence[Migration],
    path: Sequence[str],
    baseline: str,
    limits: Limits,
    *,
    grants: bool,
    ignored: Sequence[str],
) -> Fingerprint:
    """What they make of an empty schema, or of the one that `baseline`, a script of SQL, makes. CannotProve.

    path: the schema, and further ones of the search path.
    """
    schema = path[0]
    path = tuple(dict.fromkeys((*path, "public")))

    async def fill(clone: Place) -> None:
        async with connected(clone, limits) as connection:
            await connection.execute(f"CREATE SCHEMA IF NOT EXISTS {quoted(schema)}")
        async with connected(clone, limits, path) as connection:
            await _baseline(connection, baseline)
            try:
                await apply(connection, clone, migrations, limits, Nobody())
            except Broken as broken:
                raise CannotProve(_hint(broken, baseline)) from None

    async with scratch.filled(fill) as clone, connected(clone, limits, path) as connection:
        return await fingerprint(connection, schema, grants=grants, ignored=ignored)


async def _baseline(connection: Connection, baseline: str) -> None:
    try:
        # asyncpg stumbles over a script without a statement.
        await connection.execute(f"SELECT;\n{baseline}")
    except asyncpg.PostgresError as error:
        raise CannotProve(f"the baseline fails: {told(error).message}") from None


def _hint(broken: Broken, baseline: str) -> str:
    said = f"{broken.point.path}, line {broken.point.line} fails in an empty schema: {broken.error.message}"
    if baseline:
        return said
    return (
        f"{said}. If the catalogue doesn't begin with an empty schema, give what it begins with: "
        "--baseline FILE.sql; or compare with --expected or --expected-file"
    )
