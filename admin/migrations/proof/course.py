"""The observer of a whole proof: the schema before each migration, and the queries after each statement."""

from admin.migrations.catalogue.model import Kind, Migration, Statement
from admin.migrations.drift.model import Fingerprint, Object, drift
from admin.migrations.drift.read import fingerprint
from admin.migrations.proof.model import Ran
from admin.migrations.proof.servers import Connection
from admin.migrations.proof.watching import Watch


class Course:
    """Keeps the schema as it was before each migration, and passes the rest on to the watch."""

    def __init__(self, watch: Watch, connection: Connection, schema: str) -> None:
        self.watch, self._connection, self._schema = watch, connection, schema
        self.before: dict[str, Fingerprint] = {}
        self.after = Fingerprint({})
        self._before_repeatable: Fingerprint | None = None

    @property
    def first(self) -> Fingerprint:
        """The schema before all of them."""
        return next(iter(self.before.values()), self.after)

    @property
    def repeated(self) -> frozenset[Object]:
        """The objects that repeatable migrations have changed."""
        if self._before_repeatable is None:
            return frozenset()
        found = drift(self.after, self._before_repeatable)
        return frozenset((each.kind, each.name) for each in found)

    async def begins(self, migration: Migration) -> None:
        """See `apply.Observer`."""
        now = await fingerprint(self._connection, self._schema)
        self.before[migration.key] = now
        if migration.kind is Kind.REPEATABLE and self._before_repeatable is None:
            self._before_repeatable = now
        await self.watch.begins(migration)

    async def ran(self, ran: Ran, statement: Statement, *, visible: bool) -> None:
        """See `apply.Observer`."""
        await self.watch.ran(ran, statement, visible=visible)

    async def committed(self, migration: Migration) -> None:
        """See `apply.Observer`."""
        await self.watch.committed(migration)
