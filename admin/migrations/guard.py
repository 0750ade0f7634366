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
_APPLIED_STEPS = """
SELECT DISTINCT version, phase, requires FROM turnout.migration_applied WHERE kind = 'versioned'
"""
# What lies elsewhere by now has not been looked at. A contract counts from when it is claimed, and then
# for as long as something of it may be there: half of its steps, or a commit whose answer was lost.
_TARGETS = """
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
"""


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


async def read(connection: Connection) -> SchemaLimits:
    """What the ledger knows now, as one."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        return await look(connection)


async def look(connection: Connection) -> SchemaLimits:
    """The same; the caller's transaction makes it one."""
    generation = await connection.fetchval(_GENERATION)
    versions = await slot_versions(connection)
    steps = await _steps(connection)
    schemas = _schemas(versions, steps, await connection.fetch(_TARGETS))
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
    """By tenant. Thousands of targets have few states between them."""
    states: dict[tuple[str, ...], Serves] = {}
    of: dict[str, Serves] = {}
    of_all: Serves | None = None
    for row in rows:
        tenant, state = row["tenant"], tuple(row["applied"])
        if state not in states:
            states[state] = serves(steps, {Version.parse(each) for each in state})
        here = states[state]
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
