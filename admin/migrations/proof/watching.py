"""Tries the old version's queries after each statement of a migration: the observer of `apply`."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from admin.migrations.catalogue.model import Migration, Statement
from admin.migrations.proof.compare import State, differences
from admin.migrations.proof.limits import Limits
from admin.migrations.proof.model import Apart, Counts, Error, Ran
from admin.migrations.proof.queries.model import Query
from admin.migrations.proof.servers import Connection
from admin.migrations.proof.story import Story
from admin.migrations.proof.tryout import Candidate, Tryout
from admin.migrations.proof.work import Progress

_ADDS_ONLY = frozenset(
    {
        *("CreateStmt", "CreateSeqStmt", "CreateEnumStmt", "CommentStmt", "VacuumStmt"),
        *("InsertStmt", "UpdateStmt", "DeleteStmt", "SelectStmt"),
    }
)


class Watch:
    """Queries under watch. candidates: those that planned before; apart: the others, and why."""

    def __init__(
        self,
        connection: Connection,
        limits: Limits,
        progress: Progress,
        *,
        invents_nulls: bool = True,
    ) -> None:
        """invents_nulls: NULL is tried where it is allowed, as the old version may write it."""
        self._connection = connection
        self._tryout = Tryout(connection, limits, invents_nulls=invents_nulls)
        self._progress = progress
        self.candidates: list[Candidate] = []
        self.apart: list[Apart] = []
        self.done: list[Ran] = []
        self.story = Story([])
        self._last: list[State] = []
        self._path = ""

    async def look(self, queries: Iterable[Query], counts: Counts) -> None:
        """See how they stand before anything is applied."""
        async with self._undone():
            for query in queries:
                found = await self._tryout.candidate(query)
                counts.given += 1
                if isinstance(found, Error):
                    reason = f"it did not plan before: {found.message}"
                    self.apart.append(Apart(query.shown, query.source, reason))
                else:
                    self.candidates.append(found)
                    counts.trials += sum(each is None for each in found.before.trials.values())
        counts.planned = len(self.candidates)
        self._last = [each.before for each in self.candidates]
        self.story = Story(each.query for each in self.candidates)

    @asynccontextmanager
    async def _undone(self) -> AsyncIterator[None]:
        """What happens within is rolled back; what a migration has set for itself doesn't count there."""
        if not self._path:
            self._path = await self._connection.fetchval("SELECT current_setting('search_path')")
        transaction = self._connection.transaction()
        await transaction.start()
        try:
            await self._connection.execute("SELECT set_config('search_path', $1, true)", self._path)
            await self._connection.execute("SET LOCAL ROLE NONE")
            yield
        finally:
            await transaction.rollback()

    async def begins(self, migration: Migration) -> None:
        """See `apply.Observer`."""
        self._progress(f"{migration.path}: {len(migration.statements)} statements")

    async def ran(self, ran: Ran, statement: Statement, *, visible: bool) -> None:
        """See `apply.Observer`."""
        self.done.append(ran)
        self._tryout.forget()
        writes = may_refuse(statement)
        async with self._undone():
            for number, candidate in enumerate(self.candidates):
                now = await self._tryout.state(candidate, self._last[number], writes=writes)
                self._last[number] = now
                found = differences(candidate.before, now, candidate.origins)
                self.story.tried(number, found, ran.point)
        if visible:
            self.story.committed(ran.point.key)
        self._progress(_told(ran, len(self.candidates)))

    async def committed(self, migration: Migration) -> None:
        """See `apply.Observer`."""
        self.story.committed(migration.key)


def _told(ran: Ran, queries: int) -> str:
    lock = f", {ran.locks[0].mode} on {ran.locks[0].relation}" if ran.locks else ""
    tried = f"; {queries} queries tried" if queries else ""
    return f"  line {ran.point.line}: {ran.ms:.1f} ms{lock}{tried}"


def may_refuse(statement: Statement) -> bool:
    """Whether a write may fail after it that worked before it: the few that can't are spared the time."""
    kind = statement.node.DESCRIPTOR.name
    if kind == "IndexStmt":
        return bool(statement.node.unique)
    return kind not in _ADDS_ONLY
