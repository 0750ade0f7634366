"""The proof from end to end: clone, apply, try, undo, contract, command; and no clone left.

The order: what only reads the migrated clone comes first, then what works in copies of it, and the user's
command last, for it may change what it likes.
"""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path

from admin.migrations.catalogue.model import Catalogue, Kind
from admin.migrations.drift.read import fingerprint
from admin.migrations.proof import filling
from admin.migrations.proof.apply import Broken, apply
from admin.migrations.proof.clone import Scratch
from admin.migrations.proof.command import run_command
from admin.migrations.proof.contracts import try_contracts
from admin.migrations.proof.course import Course
from admin.migrations.proof.history import applied
from admin.migrations.proof.limits import CannotProve, Limits
from admin.migrations.proof.model import (
    Apart,
    Finding,
    FindingKind,
    Proof,
    Severity,
)
from admin.migrations.proof.pending import Pending, pending
from admin.migrations.proof.programs import programs
from admin.migrations.proof.queries import statistics
from admin.migrations.proof.queries.model import Query, Untried, merged
from admin.migrations.proof.servers import Connection, Place, connected, quiet
from admin.migrations.proof.tryout import Tryout
from admin.migrations.proof.undoing import try_undo
from admin.migrations.proof.watching import Watch
from admin.migrations.proof.work import Progress, Work
from admin.migrations.version import Version

OLDEST = 15
"""The oldest major version of PostgreSQL that is taken."""


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be proven, and how.

    source: the database that is cloned; None: `snapshot` is restored. server: where clones are made, with the
    database from which that is done. by_template: with CREATE DATABASE … TEMPLATE. data: rows too.
    extra_schemas: of the search path, after `schema`.
    only_schemas: of the source, by pg_dump; empty: all.
    after, to, old: see `pending`; is_empty: nothing is applied yet. statistics: take the source's
    pg_stat_statements too. hidden: variables that the command must not see.
    """

    catalogue: Catalogue
    server: Place
    source: Place | None = None
    snapshot: Path | None = None
    schema: str = "public"
    extra_schemas: Sequence[str] = ("public",)
    by_template: bool = False
    data: bool = False
    only_schemas: Sequence[str] = ()
    after: Version | None = None
    is_empty: bool = False
    to: Version | None = None
    old: Version | None = None
    queries: Sequence[Query | Untried] = ()
    new_queries: Sequence[Query | Untried] = ()
    statistics: bool = True
    undo: bool = True
    command: str = ""
    variable: str = "DATABASE_URL"
    hidden: frozenset[str] = frozenset()
    programs: Path | None = None
    limits: Limits = field(default_factory=Limits)


async def verify(request: Request, progress: Progress) -> Proof:
    """Prove it, or say what speaks against it. CannotProve: nothing can be said."""
    return await _Run(request, progress).whole()


class _Run:
    """One proof on its way."""

    def __init__(self, request: Request, progress: Progress) -> None:
        self._asked, self._limits, self._progress = request, request.limits, progress
        self._scratch = Scratch(request.server, request.limits, progress)
        self.proof = Proof()
        self._path = tuple(dict.fromkeys((request.schema, *request.extra_schemas)))
        self._work = Work(self._path, request.limits, self.proof, progress)
        self._old: list[Query] = []
        self._new: list[Query] = []
        self._applied: dict[str, str] | None = None
        self._server_major = OLDEST

    async def whole(self) -> Proof:
        for name in await self._scratch.sweep():
            self.proof.notes.append(f"{name}, left behind by an earlier run, was removed")
        await self._read_source()
        async with self._clone() as clone:
            self.proof.facts["clone"] = clone.database
            await self._in_clone(clone)
        return self.proof

    async def _read_source(self) -> None:
        """What it has, and what it is asked: nothing is written there."""
        found = list(self._asked.queries)
        if self._asked.source:
            async with connected(
                self._asked.source,
                self._limits,
                self._path,
                default_transaction_read_only="on",
            ) as connection:
                self._server_major = connection.get_server_version().major
                self._applied = await applied(connection, self._asked.schema)
                found += await self._statistics(connection)
        self._old, self._new = self._sorted(found), self._sorted(self._asked.new_queries)
        if len(self._old) > self._limits.queries:
            left = len(self._old) - self._limits.queries
            self.proof.notes.append(
                f"{left} queries, those called least, were left out (--max-queries)"
            )
        self._old = self._old[: self._limits.queries]
        if not self._old and not self._asked.command:
            raise CannotProve(
                "there is nothing to try: no query of the old version was found. Give --queries FILE or "
                "--query-log FILE, install pg_stat_statements in the database, or give a --command"
            )

    async def _statistics(self, connection: Connection) -> list[Query | Untried]:
        if not self._asked.statistics:
            return []
        found = await statistics.queries_of(connection, self._limits.queries)
        if found is None:
            self.proof.notes.append("the database has no pg_stat_statements")
        return found or []

    def _sorted(self, found: Sequence[Query | Untried]) -> list[Query]:
        """The queries, one of each shape; what is none is put apart."""
        self.proof.apart += [
            Apart(each.text, each.source, each.reason)
            for each in found
            if isinstance(each, Untried)
        ]
        return merged((each for each in found if isinstance(each, Query)), self._limits.samples)

    def _clone(self) -> AbstractAsyncContextManager[Place]:
        """The clone that the request asks for."""
        asked, facts = self._asked, self.proof.facts
        self._progress("making the clone")
        facts["schema"] = asked.schema
        facts["data"] = "with data" if asked.data or asked.by_template else "schema only"
        if asked.source and asked.by_template:
            facts |= {"source": asked.source.name, "by": "template"}
            return self._scratch.copied(asked.source)
        facts |= {"by": "dump", "source": asked.source.name} if asked.source else {"by": "snapshot"}
        return self._scratch.filled(self._fill)

    async def _fill(self, clone: Place) -> None:
        asked = self._asked
        async with connected(clone, self._limits) as connection:
            major = connection.get_server_version().major
            if "public" in asked.only_schemas:
                await connection.execute("DROP SCHEMA public")  # pg_dump makes it, if it is named
        tools = programs(max(self._server_major, major), asked.programs)
        if asked.source:
            await filling.from_database(
                *(asked.source, clone, tools, self._limits),
                data=asked.data,
                schemas=asked.only_schemas,
            )
        elif asked.snapshot:
            self.proof.facts["snapshot"] = asked.snapshot.name
            await filling.from_snapshot(asked.snapshot, clone, tools, self._limits, data=asked.data)

    async def _in_clone(self, clone: Place) -> None:
        asked = self._asked
        async with connected(clone, self._limits, self._path) as connection:
            await self._check_server(connection)
            await quiet(connection)
            todo = await self._pending(connection)
            course = Course(
                Watch(connection, self._limits, self._progress), connection, asked.schema
            )
            await self._look(course.watch)
            try:
                await apply(connection, clone, todo.now, self._limits, course)
            except Broken as broken:
                self._progress(f"{broken.point.path} fails")
                self.proof.findings.append(_failed(broken))
            await self._gather(course, connection)
        if any(each.kind is FindingKind.MIGRATION_FAILS for each in self.proof.findings):
            return
        await self._in_copies(clone, todo, course)
        await self._command(clone)

    async def _check_server(self, connection: Connection) -> None:
        major = connection.get_server_version().major
        if major < OLDEST:
            raise CannotProve(f"PostgreSQL {major} is too old: {OLDEST} is the least")
        self.proof.facts["server"] = (
            f"PostgreSQL {await connection.fetchval('SHOW server_version')}"
        )

    async def _pending(self, connection: Connection) -> Pending:
        asked, have = self._asked, self._applied
        if have is None and asked.source is None:
            have = await applied(connection, asked.schema)
        if asked.after or asked.is_empty:
            have = None
        elif have is None:
            raise CannotProve(
                f"the schema {asked.schema} has no turnout_schema_history, so what is applied is not "
                "known: say it by --from VERSION (or --from none)"
            )
        todo = pending(asked.catalogue, have, asked.after, asked.to, asked.old)
        proof = self.proof
        proof.facts["old_version"] = str(todo.old or "unknown")
        proof.checksums = {each.path: each.checksum for each in (*todo.now, *todo.held_back)}
        proof.held_back = [each.path for each in todo.held_back]
        return todo

    async def _look(self, watch: Watch) -> None:
        self._progress(f"{len(self._old)} queries of the old version, before the migrations")
        await watch.look(self._old, self.proof.counts)
        self.proof.apart += watch.apart
        if self._old and not watch.candidates and not self._asked.command:
            raise CannotProve(
                f"none of the {len(self._old)} queries plans before the migrations "
                f"(the first: {watch.apart[0].reason}): is --schema right, and are they this database's?"
            )

    async def _gather(self, course: "Course", connection: Connection) -> None:
        """What came of it, and whether the new version's queries plan."""
        self.proof.ran += course.watch.done
        self.proof.findings += course.watch.story.findings
        after = await fingerprint(connection, self._asked.schema)
        self.proof.fingerprints = {"before": course.first.digest, "after": after.digest}
        course.after = after
        tryout = Tryout(connection, self._limits)
        for query in self._new:
            async with connection.transaction():
                error = (await tryout.described(query.text)).error
            self.proof.counts.new += 1
            if error:
                said = f"a query of the new version doesn't plan: {error.message}"
                self.proof.findings.append(
                    Finding(
                        FindingKind.NEW_QUERY_FAILS,
                        Severity.ERROR,
                        said,
                        query=query.shown,
                        source=query.source,
                        calls=query.calls,
                        error=error,
                    )
                )

    async def _in_copies(self, clone: Place, todo: Pending, course: "Course") -> None:
        asked = self._asked
        if asked.undo and any(each.kind is Kind.UNDO for each in asked.catalogue.migrations):
            self._progress("undo")
            async with self._scratch.copied(clone) as copy:
                await try_undo(
                    copy, asked.catalogue, todo.now, course.before, course.repeated, self._work
                )
        if todo.held_back:
            self._progress("contracts")
            async with self._scratch.copied(clone) as copy:
                await try_contracts(copy, todo.held_back, self._old, self._new, self._work)

    async def _command(self, clone: Place) -> None:
        asked = self._asked
        if not asked.command:
            return
        self._progress(f"running {asked.command}")
        run = await run_command(asked.command, clone, asked.variable, asked.hidden, self._limits)
        self.proof.commands.append(run)
        if run.exit_code != 0:
            ended = f"ended with {run.exit_code}"
            if run.exit_code is None:
                ended = f"took longer than {self._limits.command_s:g} s"
            said = f"`{run.command}` {ended}"
            self.proof.findings.append(Finding(FindingKind.COMMAND_FAILS, Severity.ERROR, said))


def _failed(broken: Broken) -> Finding:
    said = f"{broken.point.path}, line {broken.point.line} fails: {broken.error.message}"
    return Finding(
        FindingKind.MIGRATION_FAILS, Severity.ERROR, said, point=broken.point, error=broken.error
    )
