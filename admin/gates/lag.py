"""Replication lag: how far the replica or subscriber at the other end of a database link is behind.

The server that is asked says what it is: one that sends (`pg_stat_replication`: the exact figures), a
standby (`pg_stat_wal_receiver`), or a subscriber (`pg_stat_subscription`: what has come and is not
applied; what has not come it can't know, so the publisher is the better one to ask).
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from time import monotonic

import asyncpg

from admin.gates.bounded import bounded
from admin.gates.config import Replication
from admin.gates.model import NAMED, About, Finding, Measured, Outcome, UnmeasuredError
from admin.migrations.references import ReferenceFault, database_url
from admin.routing.database import UNREACHABLE, Connection

# In all three: name, whether it runs (null: this user may not see it), seconds, bytes.
_SENDING = """
SELECT coalesce(nullif(application_name, ''), 'replica') AS name, state = 'streaming' AS running,
       coalesce(extract(epoch FROM replay_lag), 0)::float8 AS seconds,
       greatest(pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn), 0)::int8 AS bytes
  FROM pg_stat_replication
"""
_STANDBY = """
SELECT 'standby' AS name, CASE WHEN r.pid IS NULL THEN false ELSE r.status = 'streaming' END AS running,
       CASE WHEN b.bytes = 0 THEN 0
            ELSE coalesce(extract(epoch FROM now() - pg_last_xact_replay_timestamp()), 0)
       END::float8 AS seconds, b.bytes
  FROM (SELECT 1) one LEFT JOIN pg_stat_wal_receiver r ON true,
       LATERAL (SELECT greatest(pg_wal_lsn_diff(
           greatest(r.latest_end_lsn, pg_last_wal_receive_lsn()), pg_last_wal_replay_lsn()
       ), 0)::int8 AS bytes) b
"""
# Workers that copy a table have a relid; those of one subscription count as one.
_SUBSCRIBING = """
SELECT subname AS name, bool_or(pid IS NOT NULL) AS running,
       CASE WHEN max(received_lsn) > max(latest_end_lsn)
            THEN extract(epoch FROM now() - max(latest_end_time)) ELSE 0 END::float8 AS seconds,
       greatest(pg_wal_lsn_diff(max(received_lsn), max(latest_end_lsn)), 0)::int8 AS bytes
  FROM pg_stat_subscription WHERE relid IS NULL GROUP BY subname
"""


@dataclass(frozen=True, slots=True)
class Link:
    """One replica or subscription. running: None, not shown to this user. seconds, bytes: how far behind."""

    name: str
    running: bool | None
    seconds: float
    bytes: int

    def document(self) -> dict[str, object]:
        """As evidence."""
        lag_s = round(self.seconds, 3)
        return {"name": self.name, "running": self.running, "lag_s": lag_s, "bytes": self.bytes}


class LagGate:
    """Asks the server that the settings refer to; without one, there is nothing to measure."""

    name = "replication-lag"

    def __init__(self, settings: Replication) -> None:
        self._settings = settings

    async def measure(self, about: About) -> Finding:
        """See `Gate`."""
        return await bounded(self.name, self._settings.limit_s, self._measure(about))

    async def _measure(self, _: About) -> Measured:
        if not self._settings.url:
            detail = "no database link is configured (releases.gates.replication.url)"
            return Measured(Outcome.NOT_APPLICABLE, detail)
        try:
            url = database_url(self._settings.url)
            connection = await asyncpg.connect(url, timeout=self._settings.connect_timeout_s)
        except ReferenceFault as fault:
            raise UnmeasuredError(str(fault)) from None
        except (*UNREACHABLE, ValueError) as error:
            kind = type(error).__name__
            raise UnmeasuredError(f"the database link can't be reached ({kind})") from None
        try:
            found = await self._settled(connection)
            await connection.close(timeout=self._settings.connect_timeout_s)
        finally:
            connection.terminate()  # at once, if it is not closed: who cancels does not wait
        return found

    async def _settled(self, connection: Connection) -> Measured:
        """What it is within `wait_s`: a moment's lag is none."""
        deadline = monotonic() + self._settings.wait_s
        while True:
            found = judge(await links(connection), self._settings)
            if found.outcome is not Outcome.FAILED or monotonic() >= deadline:
                return found
            await asyncio.sleep(self._settings.look_s)


async def links(connection: Connection) -> list[Link]:
    """All replication that the server takes part in."""
    if await connection.fetchval("SELECT pg_is_in_recovery()"):
        rows = await connection.fetch(_STANDBY)
    else:
        rows = [*await connection.fetch(_SENDING), *await connection.fetch(_SUBSCRIBING)]
    return [Link(row["name"], row["running"], row["seconds"], row["bytes"]) for row in rows]


def judge(found: Sequence[Link], settings: Replication) -> Measured:
    """What the links come to. Pure."""
    evidence = {"links": [link.document() for link in found[:NAMED]]}
    if any(link.running is None for link in found):
        detail = "the link's user may not see how far it is: GRANT pg_monitor to it"
        return Measured(Outcome.UNMEASURED, detail, evidence)
    stopped = [link.name for link in found if not link.running]
    if stopped:
        return Measured(Outcome.FAILED, f"replication to {stopped[0]} does not run", evidence)
    if len(found) < settings.links:
        detail = f"{len(found)} of {settings.links} links replicate"
        return Measured(Outcome.FAILED, detail, evidence)
    seconds = max((link.seconds for link in found), default=0.0)
    behind = max((link.bytes for link in found), default=0)
    if seconds > settings.lag_s or behind > settings.lag_bytes:
        detail = (
            f"{seconds:.1f} s and {behind} bytes behind; at most {settings.lag_s:g} s and"
            f" {settings.lag_bytes} bytes are allowed"
        )
        return Measured(Outcome.FAILED, detail, evidence)
    detail = f"{len(found)} links are at most {seconds:.1f} s and {behind} bytes behind"
    return Measured(Outcome.PASSED, detail, evidence)
