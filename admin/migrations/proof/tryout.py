"""Tries queries in a clone: describes them, plans them, and runs writes that are rolled back.

Rules:
1. All of it happens in savepoints of the caller's transaction, and is rolled back.
2. Values go as literals to EXECUTE, whose types PostgreSQL knows better than a driver does.
3. Where a foreign key or a trigger is in the way of a made-up row, both are switched off, before as after.
   An UPDATE gets a row to find, of the same made-up values.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import asyncpg

from admin.migrations.identifiers import literal, quoted
from admin.migrations.proof.columns import Table
from admin.migrations.proof.compare import State
from admin.migrations.proof.errors import told
from admin.migrations.proof.facts import Facts
from admin.migrations.proof.limits import Limits, milliseconds
from admin.migrations.proof.model import Error
from admin.migrations.proof.queries.model import Query
from admin.migrations.proof.queries.placeholders import with_values
from admin.migrations.proof.queries.shape import Shape, shape
from admin.migrations.proof.servers import Connection
from admin.migrations.proof.trials import Origin, Trial, trials
from admin.migrations.proof.values import made_up

GENERIC_PLAN: Final = 16
"""The major version from which EXPLAIN takes statements with parameters."""
_NAME = "turnout_tried"
_BEGIN = "SAVEPOINT turnout_tried"
_END = "ROLLBACK TO SAVEPOINT turnout_tried; RELEASE SAVEPOINT turnout_tried"
_FORGET = "DEALLOCATE ALL"
_ALONE = "SET LOCAL session_replication_role = replica"
_NOT_ALONE = "SET LOCAL session_replication_role = origin"
_TIMED_OUT = "57014"
_IN_THE_WAY = ("23503", "P0001", "42501")
"""A missing parent row, a trigger's own exception, a policy: none of them is what a trial is about."""


@dataclass(slots=True)
class Candidate:
    """A query that planned before, with all that is tried of it.

    before: how it stood. alone: the trials for which triggers and foreign keys are off.
    """

    query: Query
    form: Shape
    before: State
    trials: list[Trial] = field(default_factory=list)
    alone: set[int] = field(default_factory=set)

    @property
    def origins(self) -> list[Origin]:
        """Of the trials, by their number."""
        return [each.origin for each in self.trials]


class Tryout:
    """Tries queries on one connection. Its methods are called within a transaction."""

    def __init__(
        self, connection: Connection, limits: Limits, *, invents_nulls: bool = True
    ) -> None:
        self._connection, self._limits = connection, limits
        self._invents_nulls = invents_nulls
        self._facts = Facts(connection)
        self._plants: dict[str, list[str]] = {}
        self._is_superuser = connection.get_settings().is_superuser == "on"
        self._can_plan = connection.get_server_version().major >= GENERIC_PLAN

    async def candidate(self, query: Query) -> Candidate | Error:
        """How it stands now, and with what it can be tried. Error: it doesn't plan."""
        before = await self.described(query.text, can_plan=query.can_plan)
        if before.error:
            return before.error
        found = Candidate(query, Shape(query.kind), before)
        if query.writes or await self._facts.has_functions(query.functions):
            await self._find_trials(found)
        return found

    async def state(self, candidate: Candidate, last: State, *, writes: bool) -> State:
        """How it stands now; of the trials, those that worked before.

        last: how it stood last, whose trials are taken over unless `writes` says to try them again.
        """
        now = await self.described(candidate.query.text, can_plan=candidate.query.can_plan)
        if now.error or not candidate.trials:
            return now
        if not writes and not last.error:
            return State(None, now.parameters, now.columns, last.trials)
        good = [number for number, error in candidate.before.trials.items() if error is None]
        table = await self._table(candidate.form)
        results = {}
        for number in good:
            alone = number in candidate.alone
            results[number] = await self._tried(candidate, number, table, alone=alone)
        return State(None, now.parameters, now.columns, results)

    def forget(self) -> None:
        """The schema has changed."""
        self._facts.forget()
        self._plants.clear()

    async def described(self, text: str, *, can_plan: bool = True) -> State:
        """What PostgreSQL makes of a query, without running it. can_plan: EXPLAIN takes it."""
        savepoint = self._connection.transaction()
        await savepoint.start()
        try:
            prepared = await self._connection.prepare(text)
            parameters = tuple(_type(each) for each in prepared.get_parameters())
            columns = tuple((each.name, _type(each.type)) for each in prepared.get_attributes())
            if self._can_plan and can_plan:
                await self._connection.execute(f"EXPLAIN (GENERIC_PLAN) {text}")
        except asyncpg.PostgresError as error:
            return State(told(error))
        finally:
            await savepoint.rollback()
        return State(None, parameters, columns)

    async def _find_trials(self, candidate: Candidate) -> None:
        query, types = candidate.query, candidate.before.parameters
        text = query.text
        if not query.has_parameters:
            text, types = query.shown, (await self.described(query.shown)).parameters
        candidate.form = shape(text)
        table = await self._table(candidate.form)
        found = trials(query, candidate.form, types, table, self._limits.variants)
        candidate.trials = [
            each for each in found if self._invents_nulls or each.origin is not Origin.NULL
        ]
        results: dict[int, Error | None] = {}
        for number in range(len(candidate.trials)):
            error = await self._tried(candidate, number, table, alone=False)
            if error and error.sqlstate in _IN_THE_WAY:
                error = await self._tried(candidate, number, table, alone=True)
                candidate.alone.add(number)
            results[number] = error
            if error and error.sqlstate == _TIMED_OUT:
                break  # the others would take as long
        before = candidate.before
        candidate.before = State(None, before.parameters, before.columns, results)

    async def _table(self, form: Shape) -> Table | None:
        return await self._facts.table(form.schema, form.table)

    async def _tried(
        self, candidate: Candidate, number: int, table: Table | None, *, alone: bool
    ) -> Error | None:
        """Why the trial fails; None: it works. alone: without triggers and foreign keys."""
        trial = candidate.trials[number]
        needs_row = (
            candidate.form.kind in {"UpdateStmt", "DeleteStmt"} and trial.origin is not Origin.ROW
        )
        script = [f"SET LOCAL statement_timeout = {milliseconds(self._limits.try_s)}"]
        if needs_row and table:
            script += await self._planting(table)
        if alone:
            script += self._obstacles_out(table)
        for text, values in trial.steps:
            script += _executed(text, values, can_prepare=candidate.query.can_plan)
        return await self._undone([*script, "SET CONSTRAINTS ALL IMMEDIATE"])

    async def _planting(self, table: Table) -> list[str]:
        """What plants a row of made-up values, for an UPDATE to find; nothing, if it isn't taken."""
        if table.name not in self._plants:
            columns = [each for each in table.columns.values() if not each.generated]
            names = ", ".join(quoted(each.name) for each in columns)
            values = ", ".join(_literal(made_up(each.base, 1, each)) for each in columns)
            script = [f"INSERT INTO {table.name} ({names}) VALUES ({values})"]  # noqa: S608 - quoted
            if self._is_superuser:
                script = [_ALONE, *script, _NOT_ALONE]
            elif await self._undone(script):
                script = [*table.obstacles, *script]
            taken = await self._undone(script) is None
            self._plants[table.name] = script if taken else []
        return self._plants[table.name]

    def _obstacles_out(self, table: Table | None) -> Sequence[str]:
        """One setting switches all off at once, but only a superuser may set it."""
        if self._is_superuser:
            return [_ALONE]
        return table.obstacles if table else []

    async def _undone(self, script: Sequence[str]) -> Error | None:
        """Run it all and take it back, in one round trip if nothing fails; why it fails."""
        try:
            await self._connection.execute("\n;\n".join([_BEGIN, *script, _END]))
        except asyncpg.PostgresError as error:
            await self._connection.execute(_END)
            return told(error)
        return None


def _executed(text: str, values: Sequence[str | None], *, can_prepare: bool) -> list[str]:
    """A statement with its values. A prepared one outlives the savepoint, so the last one goes first."""
    if not values:
        return [text]
    literals = [_literal(value) for value in values]
    if not can_prepare:
        return [with_values(text, literals)]
    given = ", ".join(literals)
    return [_FORGET, f"PREPARE {_NAME} AS {text}", f"EXECUTE {_NAME} ({given})"]


def _literal(value: str | None) -> str:
    return "NULL" if value is None else literal(value)


def _type(kind: asyncpg.Type) -> str:
    """As PostgreSQL calls it within; with its schema, unless it is PostgreSQL's own."""
    return kind.name if kind.schema == "pg_catalog" else f"{kind.schema}.{kind.name}"
