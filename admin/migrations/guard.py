"""Keeps tenants from slots whose version their schema doesn't serve: what the ledger knows, as limits.

Rule: what is known may be old. Where less is allowed by now, the generation has moved on and nothing
is committed (`admin/sql/0011__slot_versions.sql`); where more is, `Control` asks again.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from admin.migrations.catalogue.model import Phase
from admin.migrations.compatibility import Schemas, Serves, Step, Unserved, serves, unserved
from admin.migrations.version import Version
from admin.routing.database import Connection, Database
from admin.routing.limits import LimitError
from proxy.routing.model import RoutingTable, Slot

NAMED = 20
"""How many tenants a refusal names."""
_GENERATION = "SELECT schema_generation FROM turnout.routing_head"
_VERSIONS = "SELECT slot, version FROM turnout.slot_versions"
# The newest plan's files are all that the catalogue held then.
_STEPS = """
SELECT version, phase, requires FROM turnout.migration_files
 WHERE kind = 'versioned'
   AND plan = (SELECT name FROM turnout.migration_plans ORDER BY number DESC LIMIT 1)
"""
# From one key and checksum to the next by their index: the same file means the same to whoever has it,
# and what thousands of targets have need not be read for it.
_APPLIED_STEPS = """
WITH RECURSIVE known AS (
    (SELECT key, checksum, kind, version, phase, requires FROM turnout.migration_applied
      ORDER BY key, checksum LIMIT 1)
    UNION ALL
    SELECT next.* FROM known, LATERAL (
        SELECT key, checksum, kind, version, phase, requires FROM turnout.migration_applied
         WHERE (key, checksum) > (known.key, known.checksum)
         ORDER BY key, checksum LIMIT 1
    ) next
)
SELECT version, phase, requires FROM known WHERE kind = 'versioned'
"""
# What lies elsewhere by now has not been looked at. A contract counts from when it is claimed, and then
# for as long as something of it may be there: half of its steps, or a commit whose answer was lost. Thousands of targets have few states between them: a row for each.
_TARGETS = """
WITH each AS (
    SELECT target.tenant, array(
               SELECT version FROM turnout.migration_applied
                WHERE target = target.name AND kind = 'versioned' AND target.looked_at IS NOT NULL
                UNION
               SELECT file.version FROM turnout.migration_jobs job
                 JOIN turnout.migration_files file USING (plan, position)
                WHERE job.target = target.name AND file.phase = 'contract'
                  AND (job.state = 'running' OR
                       (job.touched AND job.state NOT IN ('done', 'skipped')))
                ORDER BY version
           ) AS applied
      FROM turnout.migration_targets target
     WHERE target.retired_at IS NULL AND ({whose})
)
SELECT applied, array_agg(tenant) AS tenants FROM each GROUP BY applied
"""
_OF_ALL = _TARGETS.format(whose="true")
_OF_ONE = _TARGETS.format(whose="target.tenant = $1 OR target.tenant IS NULL")


@dataclass(frozen=True, slots=True)
class SchemaLimits:
    """What was known at a generation. See `admin.routing.limits.Limits`."""

    generation: int
    schemas: Schemas
    known: frozenset[Version] = frozenset()
    """The versions of all migrations that are known."""

    def check(self, before: RoutingTable, after: RoutingTable) -> None:
        """LimitError, naming the tenants that the change would leave unserved."""
        found = unserved(before, after, self.schemas)
        if found:
            raise refusal(found)


class SchemaGuard:
    """Reads the ledger; remembers what it read."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: SchemaLimits | None = None

    async def limits(self, *, fresh: bool = False) -> SchemaLimits:
        """Those known, or those of now. DatabaseUnavailableError."""
        if self._known is None or fresh:
            async with self._database.connection() as connection:
                self._known = await read(connection)
        return self._known

    async def of(self, tenant: str) -> Schemas:
        """What is known now of one tenant alone, whom else there is left out. DatabaseUnavailableError."""
        async with self._database.connection() as connection:
            return (await read(connection, tenant)).schemas

    async def check(self, before: RoutingTable, after: RoutingTable) -> None:
        """LimitError if the change must not be made, as of now. DatabaseUnavailableError.

        What is known refuses too much, if anything, while its generation lasts: so what it lets pass
        may pass, and only for what it refuses all has to be read.
        """
        known = self._known
        if known is not None and known.generation == await self._generation():
            try:
                known.check(before, after)
            except LimitError:
                pass
            else:
                return
        (await self.limits(fresh=True)).check(before, after)

    async def _generation(self) -> int:
        async with self._database.connection() as connection:
            return int(await connection.fetchval(_GENERATION))


async def read(connection: Connection, tenant: str | None = None) -> SchemaLimits:
    """What the ledger knows now, as one. tenant: of this one alone."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        return await look(connection, tenant)


async def look(connection: Connection, tenant: str | None = None) -> SchemaLimits:
    """The same; the caller's transaction makes it one."""
    generation = await connection.fetchval(_GENERATION)
    versions = await slot_versions(connection)
    steps = await _steps(connection)
    if tenant is None:
        rows = await connection.fetch(_OF_ALL)
    else:
        rows = await connection.fetch(_OF_ONE, tenant)
    schemas = _schemas(versions, steps, rows)
    return SchemaLimits(generation, schemas, frozenset(step.version for step in steps))


async def slot_versions(connection: Connection) -> dict[Slot, Version]:
    """What slots run, of those that said so."""
    rows = await connection.fetch(_VERSIONS)
    return {Slot(row["slot"]): Version.parse(row["version"]) for row in rows}


def refusal(found: list[Unserved]) -> LimitError:
    """What is said of tenants that would be left unserved."""
    first = found[0]
    names = tuple(each.tenant or "tenants without a pin" for each in found[:NAMED])
    more = f" and {len(found) - NAMED} more" if len(found) > NAMED else ""
    return LimitError(
        f"{first.slot} runs {first.version}, which the schema of {', '.join(names)}{more} doesn't"
        f" serve: {first.why}",
        names,
    )


async def _steps(connection: Connection) -> tuple[Step, ...]:
    """All migrations that are known, once each: what the newest plan says of one counts."""
    known: dict[str, Step] = {}
    for query in (_APPLIED_STEPS, _STEPS):
        for row in await connection.fetch(query):
            requires = row["requires"]
            known[row["version"]] = Step(
                Version.parse(row["version"]),
                Phase(row["phase"]),
                None if requires is None else Version.parse(requires),
            )
    return tuple(known.values())


def _schemas(
    versions: Mapping[Slot, Version], steps: tuple[Step, ...], rows: Iterable[Any]
) -> Schemas:
    """By tenant. rows: each state that there is, and whose targets have it."""
    of: dict[str, Serves] = {}
    of_all: Serves | None = None
    for row in rows:
        here = serves(steps, {Version.parse(each) for each in row["applied"]})
        for tenant in row["tenants"]:
            if tenant is None:
                of_all = here if of_all is None else of_all.both(here)
            else:
                of[tenant] = of[tenant].both(here) if tenant in of else here
    return Schemas(versions, of, of_all)


def with_version(schemas: Schemas, slot: Slot, version: Version | None) -> Schemas:
    """The same with another version in a slot; None: unknown."""
    versions = {each: known for each, known in schemas.versions.items() if each is not slot}
    if version is not None:
        versions[slot] = version
    return replace(schemas, versions=versions)
