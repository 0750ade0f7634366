"""The desired table in PostgreSQL: the system of record.

Rules: a change is written only if the head is still at the version that it was made from, so
changes are one after another, also between several admins. `apply` decides what a change makes;
SQL writes what it made. Nothing is published that isn't committed. The table in memory is only
believed while its version is the head's, and of the same commit. A server that was promoted or
restored may have lost commits: before its first change the version leaps over all that they may have
had, so that no version is given out twice.
"""

import json
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from importlib.resources import files
from types import MappingProxyType

import asyncpg

from admin.routing import audit
from admin.routing.database import Connection, Database, DatabaseUnavailableError
from admin.routing.limits import Limits, LimitsMovedError
from proxy.routing.change import Change, Operation, apply
from proxy.routing.codec import decode_drains, drains_document, encode_change
from proxy.routing.model import Canary, Endpoint, RoutingTable, Slot, Unit

OTHER_TIMELINE = "another timeline of PostgreSQL"
"""Why a table is published anew after a failover."""
REPUBLISH_LOCK = 0x7475726E7075
"""The advisory lock under which one admin at a time publishes anew: "turnpu" in ASCII."""
LEAP = 100_000
"""How many versions a failover of PostgreSQL may have lost. Below `reconcile.WILD`."""
_HEAD = "SELECT *, turnout.timeline() AS current_timeline FROM turnout.routing_head"
_LOCK_HEAD = f"{_HEAD} FOR UPDATE"
_FIND_KEY = """
SELECT fingerprint, version, status, body FROM turnout.idempotency WHERE actor = $1 AND key = $2
"""
_COMMIT_AT = "SELECT commit_id FROM turnout.changes WHERE version = $1"
_REPUBLISHED = """
SELECT extract(epoch FROM now() - at) FROM turnout.audit
 WHERE action = 'republish' AND version > 1 ORDER BY id DESC LIMIT 1
"""
_COMMIT = files("admin.routing").joinpath("commit.sql").read_text(encoding="utf-8")


class VersionConflictError(Exception):
    """The table is no longer at the version that the change expects."""

    def __init__(self, version: int) -> None:
        super().__init__(f"the table is at version {version}")
        self.version = version


class KeyReusedError(Exception):
    """The idempotency key came with another request before."""


class OutcomeUnknownError(Exception):
    """The database went away while it committed: the change may have been made or not."""


@dataclass(frozen=True, slots=True)
class Key:
    """A request's idempotency key. fingerprint: SHA-256 of what else makes it this request."""

    key: str
    fingerprint: bytes


Plan = Callable[[RoutingTable], tuple[Operation, ...]]
"""Makes the operations of a change from the table as it is."""
Check = Callable[[RoutingTable, Change], None]
"""Sees the table as it would be after a change, and may refuse it by raising."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """A change that is asked for.

    plan: makes the operations from the table as it is; it raises what the caller wants raised
    if the change doesn't fit, and nothing is changed then. check: may refuse the same way.
    """

    action: str
    author: audit.Author
    plan: Plan
    check: Check | None = None
    expected_version: int | None = None
    key: Key | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """The table as it is decided. commit_id: of the commit that made it; empty: not noted.

    made_in: the server's timeline then. timeline: its timeline now; empty: a standby.
    """

    table: RoutingTable
    commit_id: str
    made_in: str
    timeline: str

    @property
    def is_of_another_timeline(self) -> bool:
        """The server was promoted or restored since: later commits may be lost."""
        return bool(self.timeline) and self.made_in != self.timeline


@dataclass(frozen=True, slots=True)
class Committed:
    """A change that was made: the tables before and after.

    after: the commit that it follows. commit_id: its own. timeline: the server's.
    """

    before: RoutingTable
    table: RoutingTable
    change: Change
    after: str
    commit_id: str
    timeline: str

    @property
    def standing(self) -> Standing:
        """What is decided by it."""
        return Standing(self.table, self.commit_id, self.timeline, self.timeline)


@dataclass(frozen=True, slots=True)
class Repeated:
    """A request that was seen before: its version, and its answer if one was kept."""

    version: int
    status: int | None
    body: bytes | None


class Store:
    """The desired table. One for each process; safe beside other processes' stores."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._last: Standing | None = None

    async def current(self) -> RoutingTable:
        """The table as it is decided now. DatabaseUnavailableError."""
        return (await self.standing()).table

    async def standing(self) -> Standing:
        """The same, with the commit that made it."""
        try:
            async with self.database.connection() as connection:
                head = await connection.fetchrow(_HEAD)
                known = self._known(head)
                return known or await self._reload(connection)
        except DatabaseUnavailableError:
            self._last = None
            raise

    async def commit(
        self, proposal: Proposal, limits: Limits | None = None
    ) -> Committed | Repeated:
        """Make the change, or find that it was made. limits: what it has to keep to.

        Raises VersionConflictError, KeyReusedError, LimitsMovedError, LimitError,
        DatabaseUnavailableError (nothing was changed), OutcomeUnknownError, and what the proposal raises.
        """
        made = await self._at_once(proposal, limits)
        return made or await self._in_turn(proposal, limits)

    async def bump(self, expected: int, floor: int, reason: str) -> Standing | None:
        """The same table at a version above `floor`; None if it is no longer at `expected`.

        Redis lost the table or is ahead of it: the version must rise, so that workers take it.
        """
        async with self._transaction() as connection:
            head = await connection.fetchrow(_LOCK_HEAD)
            known = self._known(head) or await _load(connection, head)
            if known.table.version != expected:
                return None
            risen = await _rise(connection, known, floor, reason)
        self._last = risen
        return risen

    @asynccontextmanager
    async def held_still(self) -> AsyncIterator[tuple[Connection, Standing]]:
        """A transaction as long as which nobody changes the table. DatabaseUnavailableError."""
        async with self._transaction() as connection:
            head = await connection.fetchrow(_LOCK_HEAD)
            yield connection, self._known(head) or await _load(connection, head)

    @asynccontextmanager
    async def republishing(self) -> AsyncIterator[None]:
        """Held by the one admin that publishes anew; the others wait for their turn.

        A session's lock: it has to last until Redis has the table, after the commit.
        """
        async with self.database.connection() as connection:
            await connection.execute("SELECT pg_advisory_lock($1)", REPUBLISH_LOCK)
            try:
                yield
            finally:
                await connection.execute("SELECT pg_advisory_unlock($1)", REPUBLISH_LOCK)

    async def bodies(self, after: int, to: int) -> list[tuple[int, bytes]]:
        """The log entries between two versions, as far as they are kept; `after` is left out."""
        async with self.database.connection() as connection:
            rows = await connection.fetch(
                "SELECT version, body FROM turnout.changes"
                " WHERE version > $1 AND version <= $2 ORDER BY version",
                after,
                to,
            )
        return [(row["version"], row["body"]) for row in rows]

    async def commit_at(self, version: int) -> str:
        """The commit that made a version; empty if that isn't known any more."""
        async with self.database.connection() as connection:
            found = await connection.fetchval(_COMMIT_AT, version)
        return found or ""

    async def republished_s(self) -> float | None:
        """How long ago the table was last published anew, in seconds; None: never, but to begin with."""
        async with self.database.connection() as connection:
            found = await connection.fetchval(_REPUBLISHED)
        return None if found is None else float(found)

    async def _at_once(self, proposal: Proposal, limits: Limits | None) -> Committed | None:
        """One statement that compares the version and sets all: the usual case, in one round trip.

        None if somebody else changed the table, or if it takes a second look to know.
        """
        last = self._last
        if last is None or last.is_of_another_timeline or proposal.key is not None:
            return None
        try:
            made = _made(last, proposal, limits)
        except Exception:  # noqa: BLE001 - it may fit the table as it is: the look in turn says so
            return None
        connected = False
        try:
            async with self.database.connection() as connection:
                connected = True
                is_made = await _write(connection, made, proposal, limits)
        except DatabaseUnavailableError as error:
            self._lose(error, connected)
            raise
        if not is_made:
            return None
        self._last = made.standing
        return made

    async def _in_turn(self, proposal: Proposal, limits: Limits | None) -> Committed | Repeated:
        """Hold the head, look, decide, write."""
        outcome: Committed | Repeated | None = None
        try:
            async with self._transaction() as connection:
                outcome = await self._decide(connection, proposal, limits)
        except DatabaseUnavailableError as error:
            self._lose(error, isinstance(outcome, Committed))
            raise
        if isinstance(outcome, Committed):
            self._last = outcome.standing
        return outcome

    def _lose(self, error: DatabaseUnavailableError, may_be_made: bool) -> None:
        """The database is gone. OutcomeUnknownError if it may have committed before."""
        self._last = None
        if may_be_made and not error.answered:
            raise OutcomeUnknownError from error

    def _transaction(self) -> AbstractAsyncContextManager[Connection]:
        return _transaction(self.database)

    def _known(self, head: asyncpg.Record | None) -> Standing | None:
        last = self._last
        if last is None or head is None:
            return None
        is_same = (last.table.version, last.commit_id) == (head["version"], head["commit_id"])
        return last if is_same and last.timeline == head["current_timeline"] else None

    async def _reload(self, connection: Connection) -> Standing:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            head = await connection.fetchrow(_HEAD)
            standing = await _load(connection, head)
        self._last = standing  # another may have lost the database meanwhile
        return standing

    async def _decide(
        self, connection: Connection, proposal: Proposal, limits: Limits | None
    ) -> Committed | Repeated:
        head = await connection.fetchrow(_LOCK_HEAD)
        repeated = await _repeated(connection, proposal)
        if repeated:
            return repeated
        if limits and head and limits.generation != head["schema_generation"]:
            raise LimitsMovedError
        before = self._known(head) or await _load(connection, head)
        if before.is_of_another_timeline:
            before = await _rise(connection, before, 0, OTHER_TIMELINE)
        made = _made(before, proposal, limits)
        await _write(connection, made, proposal, limits)
        return made


async def _rise(connection: Connection, known: Standing, floor: int, reason: str) -> Standing:
    """Write the same table at a version above `floor`, and above all that a failover may have lost."""
    before = known.table
    leap = LEAP if known.is_of_another_timeline else 0
    table = replace(before, version=max(before.version + leap, floor) + 1)
    proposal = Proposal(
        audit.REPUBLISH, audit.Author(audit.SYSTEM, audit.SYSTEM, reason), lambda _: ()
    )
    change = Change(table.version, ())
    made = Committed(before, table, change, known.commit_id, _new_id(), known.timeline)
    await _write(connection, made, proposal)
    return made.standing


def _new_id() -> str:
    return secrets.token_hex(8)


def _made(known: Standing, proposal: Proposal, limits: Limits | None) -> Committed:
    """What the proposal makes of this table; raises what `Store.commit` says."""
    before = known.table
    if proposal.expected_version not in {None, before.version}:
        raise VersionConflictError(before.version)
    change = Change(before.version + 1, proposal.plan(before))
    table = apply(before, change)
    if proposal.check:
        proposal.check(table, change)
    if limits:
        limits.check(before, table)
    return Committed(before, table, change, known.commit_id, _new_id(), known.timeline)


@asynccontextmanager
async def _transaction(database: Database) -> AsyncIterator[Connection]:
    async with database.connection() as connection, connection.transaction():
        yield connection


async def _repeated(connection: Connection, proposal: Proposal) -> Repeated | None:
    if proposal.key is None:
        return None
    row = await connection.fetchrow(_FIND_KEY, proposal.author.actor, proposal.key.key)
    if row is None:
        return None
    if row["fingerprint"] != proposal.key.fingerprint:
        raise KeyReusedError
    return Repeated(row["version"], row["status"], row["body"])


async def _load(connection: Connection, head: asyncpg.Record | None) -> Standing:
    """The whole table; the caller's transaction keeps it one."""
    assert head is not None  # noqa: S101 - the schema's first file makes the row
    pins = await connection.fetch("SELECT tenant, slot FROM turnout.pins")
    tenants = await connection.fetch("SELECT tenant FROM turnout.tenants")
    holds = await connection.fetch("SELECT tenant, switch FROM turnout.holds")
    ended = await connection.fetch("SELECT tenant, since FROM turnout.affinities")
    slots = {str(slot): slot for slot in Slot}
    table = RoutingTable(
        head["version"],
        Slot(head["active"]),
        Slot(head["fallback"]),
        Canary(
            head["canary_basis_points"],
            Unit(head["canary_unit"]),
            head["canary_salt"],
            frozenset(head["canary_allow"]),
            frozenset(head["canary_deny"]),
        ),
        MappingProxyType({tenant: slots[slot] for tenant, slot in pins}),
        frozenset(tenant for (tenant,) in tenants),
        MappingProxyType(
            {
                slot: tuple(Endpoint.parse(text) for text in head[f"{slot}_endpoints"])
                for slot in Slot
            }
        ),
        MappingProxyType({row["tenant"]: row["switch"] for row in holds}),
        head["hold_all"],
        MappingProxyType(decode_drains(json.loads(head["drains"]))),
        MappingProxyType({slot: head[f"{slot}_affinities_since"] for slot in Slot}),
        MappingProxyType({row["tenant"]: row["since"] for row in ended}),
    )
    return Standing(table, head["commit_id"], head["timeline"], head["current_timeline"])


def _ends_of_affinities(before: RoutingTable, table: RoutingTable) -> tuple[list[str], list[str]]:
    """The tenants whose affinities have ended by this change, and whose own end counts no more."""
    was, is_now = before.tenant_affinities_since, table.tenant_affinities_since
    ended = [tenant for tenant, since in is_now.items() if was.get(tenant) != since]
    return ended, [tenant for tenant in was if tenant not in is_now]


async def _write(
    connection: Connection, made: Committed, proposal: Proposal, limits: Limits | None = None
) -> bool:
    """All of the change in one statement; False if the head is no longer where it began."""
    before, table = made.before, made.table
    tenants = audit.tenants_of(made.change.operations)
    was, became = audit.difference(before, table, tenants)
    pinned = [t for t in tenants if t in table.pins and before.pins.get(t) != table.pins[t]]
    held = [tenant for tenant, by in table.holds.items() if before.holds.get(tenant) != by]
    author, key = proposal.author, proposal.key
    row = await connection.fetchval(
        _COMMIT,
        *(table.version, table.active, table.fallback),
        *(table.canary.basis_points, table.canary.unit, table.canary.salt),
        *([str(endpoint) for endpoint in table.endpoints[slot]] for slot in Slot),
        *(pinned, [table.pins[tenant] for tenant in pinned]),
        [t for t in tenants if t in before.pins and t not in table.pins],
        [t for t in tenants if t in table.tenants and t not in before.tenants],
        [t for t in tenants if t in before.tenants and t not in table.tenants],
        encode_change(made.change),
        *(author.actor, author.role, proposal.action),
        *(json.dumps(was), json.dumps(became), tenants, author.request_id),
        *((key.key, key.fingerprint) if key else (None, None)),
        before.version,
        *(sorted(table.canary.allow), sorted(table.canary.deny)),
        *(table.hold_all, json.dumps(drains_document(table))),
        *(table.affinities_since[slot] for slot in Slot),
        *(held, [table.holds[tenant] for tenant in held]),
        [tenant for tenant in before.holds if tenant not in table.holds],
        *(made.commit_id, made.after),
        *_ends_of_affinities(before, table),
        made.timeline,
        limits.generation if limits else None,
    )
    return row is not None
