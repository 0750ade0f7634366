"""The target's own version table: what it has, how far a step has come, and its fence.

It lies in the target's schema and is the truth; Turnout's ledger is what it said last. The row with
the empty key holds the fence: one table in place of two, for there are thousands of targets.

Rules:
1. A migration's row and its work are one transaction, wherever PostgreSQL allows.
2. Whoever writes raises the fence first, in the same transaction. A lower one than is there is
   refused by the target itself: a zombie writes nothing, whatever it believes.
3. Only who holds the target's advisory lock works on it. Whoever holds it with a lower fence has
   been given up by the ledger, and is ended.
"""

from hashlib import blake2b
from typing import Final

import asyncpg

from admin.migrations.faults import Again, Failed, Failure, Fenced
from admin.migrations.files import Applied, File, Row
from admin.migrations.target.session import APPLICATION, Session
from admin.migrations.targets import quoted

HISTORY: Final = "turnout_schema_history"
END_MS: Final = 2000
"""How long the end of a zombie's session is waited for."""
_MAKE = """
CREATE TABLE IF NOT EXISTS {history} (
    key text PRIMARY KEY,
    version text,
    name text NOT NULL DEFAULT '',
    kind text NOT NULL,
    phase text NOT NULL DEFAULT '',
    requires text,
    checksum text NOT NULL DEFAULT '',
    plan text NOT NULL DEFAULT '',
    fence bigint NOT NULL,
    state text NOT NULL CHECK (state IN ('fence', 'applying', 'applied')),
    steps integer NOT NULL DEFAULT 0,
    step_begun boolean NOT NULL DEFAULT false,
    position text,
    rows bigint NOT NULL DEFAULT 0,
    applied_by text NOT NULL DEFAULT session_user,
    begun_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    duration_ms double precision NOT NULL DEFAULT 0,
    CHECK ((key = '') = (state = 'fence'))
)
"""
_STANDS = """
SELECT {lock}($1) AS mine, to_regnamespace($2) IS NOT NULL AS has_schema,
       to_regclass($3) IS NOT NULL AS has_table
"""
_RAISE = """
INSERT INTO {history} AS mine (key, kind, state, fence) VALUES ('', 'fence', 'fence', $1)
ON CONFLICT (key) DO UPDATE SET fence = excluded.fence WHERE mine.fence <= excluded.fence
RETURNING fence
"""
_FENCE = "SELECT fence FROM {history} WHERE key = ''"
_ROWS = "SELECT * FROM {history} WHERE key <> ''"
_SAVE = """
INSERT INTO {history} AS mine
    (key, version, name, kind, phase, requires, checksum, plan, fence, state, duration_ms)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
ON CONFLICT (key) DO UPDATE
   SET name = excluded.name, phase = excluded.phase, requires = excluded.requires,
       checksum = excluded.checksum, plan = excluded.plan, fence = excluded.fence,
       state = excluded.state, applied_by = session_user, applied_at = clock_timestamp(),
       duration_ms = CASE WHEN mine.state = 'applying' THEN mine.duration_ms ELSE 0 END
                     + excluded.duration_ms,
       steps = CASE WHEN mine.state = 'applying' AND mine.checksum = excluded.checksum
                    THEN mine.steps ELSE 0 END,
       step_begun = mine.step_begun AND mine.checksum = excluded.checksum
                    AND mine.state = 'applying',
       position = CASE WHEN mine.state = 'applying' AND mine.checksum = excluded.checksum
                       THEN mine.position END,
       rows = CASE WHEN mine.state = 'applying' AND mine.checksum = excluded.checksum
                   THEN mine.rows ELSE 0 END
RETURNING applied_at
"""
_STEP = "UPDATE {history} SET steps = $2, step_begun = $3, fence = $4 WHERE key = $1"
_POSITION = "UPDATE {history} SET position = $2, rows = rows + $3, fence = $4 WHERE key = $1"
_HOLDERS = """
SELECT a.pid, a.application_name
  FROM pg_locks l JOIN pg_stat_activity a USING (pid)
 WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
   AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
   AND l.classid = (($1::bigint >> 32) & 4294967295)::oid
   AND l.objid = ($1::bigint & 4294967295)::oid
"""
_END = "SELECT pg_terminate_backend($1, $2)"


class Versions:
    """The version table of one target, in the hands of one job. fence: the job's."""

    def __init__(self, session: Session, fence: int, *, makes_schema: bool) -> None:
        schema = quoted(session.target.schema)
        self._session, self._fence, self._makes_schema = session, fence, makes_schema
        self._history = f"{schema}.{quoted(HISTORY)}"
        self._key = _lock_of(session.target.schema)

    async def enter(self, *, whole_session: bool = False) -> None:
        """Take the target's lock, make its table if need be, raise its fence. In a transaction.

        whole_session: hold the lock after the transaction too. Again, Failed, Fenced.
        """
        lock = "pg_try_advisory_lock" if whole_session else "pg_try_advisory_xact_lock"
        stands = await self._stand(lock)
        if not stands["mine"]:
            await self._end_zombies()
            stands = await self._stand(lock)
        if not stands["mine"]:
            raise Again("55P03", "another session holds the target's advisory lock")
        if not stands["has_table"]:
            await self._make(has_schema=stands["has_schema"])
        await self.raise_fence()

    async def raise_fence(self) -> None:
        """Write the fence, in each transaction that writes. Fenced: a higher one is there."""
        sql = _RAISE.format(history=self._history)
        if await self._session.connection.fetchval(sql, self._fence) is None:
            found = await self._session.connection.fetchval(_FENCE.format(history=self._history))
            raise Fenced(
                f"the target's fence is {found} by now, and the job's {self._fence}", found
            )

    async def rows(self) -> dict[str, Row]:
        """All that the target has, by key."""
        sql = _ROWS.format(history=self._history)
        return {row["key"]: _row(row) for row in await self._session.connection.fetch(sql)}

    async def save(self, file: File, plan: str, duration_ms: float, *, whole: bool) -> Applied:
        """Write the migration's row. whole: it is applied; otherwise it is begun, or gone on with."""
        at = await self._session.connection.fetchval(
            _SAVE.format(history=self._history),
            *(file.key, file.version, file.name, file.kind, file.phase, file.requires),
            *(file.checksum, plan, self._fence, "applied" if whole else "applying", duration_ms),
        )
        return Applied(
            *(file.key, file.version, file.name, file.kind, file.phase, file.requires),
            *(file.checksum, plan, self._fence, at.isoformat(), duration_ms),
        )

    async def step(self, key: str, steps: int, *, begun: bool) -> None:
        """So many steps are done; begun: the next one may be."""
        sql = _STEP.format(history=self._history)
        await self._session.connection.execute(sql, key, steps, begun, self._fence)

    async def moved(self, key: str, position: str | None, rows: int) -> None:
        """A backfill is done up to here, in the batch's transaction; None: it begins anew."""
        sql = _POSITION.format(history=self._history)
        await self._session.connection.execute(sql, key, position, rows, self._fence)

    async def _stand(self, lock: str) -> asyncpg.Record:
        target = self._session.target
        row = await self._session.connection.fetchrow(
            _STANDS.format(lock=lock),
            *(self._key, quoted(target.schema), self._history),
        )
        assert row is not None  # noqa: S101 - a SELECT without FROM has a row
        return row

    async def _make(self, *, has_schema: bool) -> None:
        if not has_schema and not self._makes_schema:
            name = self._session.target.schema
            raise Failed(
                Failure(
                    f"there is no schema {name} in the database",
                    "Make it, or set create_schemas = true in [migrations]; then retry.",
                    code="no-schema",
                )
            )
        if not has_schema:
            schema = quoted(self._session.target.schema)
            await self._session.connection.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
        sql = _MAKE.format(history=self._history)
        await self._session.connection.execute(sql)

    async def _end_zombies(self) -> None:
        """End who holds the lock with a lower fence. Fenced: somebody holds it with a higher one."""
        connection = self._session.connection
        for holder in await connection.fetch(_HOLDERS, self._key):
            fence = _fence_of(holder["application_name"])
            if fence > self._fence:
                raise Fenced("another worker is at work on the target")
            if 0 < fence < self._fence:
                try:
                    await connection.execute(_END, holder["pid"], END_MS)
                except asyncpg.InsufficientPrivilegeError:
                    raise Again(
                        "55P03",
                        "an older session holds the target's lock, and the worker's role may not"
                        " end it: workers of one server share a role",
                    ) from None


def _fence_of(application: str) -> int:
    """The fence that a session names; 0: it is no worker's."""
    words = application.split(" ")
    if words[0] == APPLICATION and len(words) > 1 and words[1].isdecimal():
        return int(words[1])
    return 0


def _lock_of(schema: str) -> int:
    """The advisory lock's number, within the target's database."""
    digest = blake2b(f"turnout-migrations {schema}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, signed=True)


def _row(row: asyncpg.Record) -> Row:
    applied = Applied(
        row["key"],
        row["version"],
        row["name"],
        row["kind"],
        row["phase"],
        row["requires"],
        row["checksum"],
        row["plan"],
        row["fence"],
        row["applied_at"].isoformat(),
        row["duration_ms"],
    )
    return Row(
        *(applied, row["state"] == "applied", row["steps"], row["step_begun"]),
        *(row["position"], row["rows"]),
    )
