"""Finds a release that stands still: it waits for somebody, and for long nothing has happened to it.

Rule: of several admins, and after a restart, one tells, once for each time that it came to a halt.
"""

from time import monotonic
from typing import Final

from admin.releases.store import Record
from admin.routing.database import Database

# What gates say while it waits is no progress.
_LAST: Final = """
SELECT seq, extract(epoch FROM clock_timestamp() - at)::float8 AS ago_s
  FROM turnout.release_events WHERE release = $1 AND kind <> 'gate' ORDER BY seq DESC LIMIT 1
"""
_TELLS: Final = """
INSERT INTO turnout.told (what) VALUES ($1) ON CONFLICT (what) DO NOTHING RETURNING what
"""
_LOOKS: Final = 10
"""How often it is looked in that time, so that not each look of a release asks the database."""


class Still:
    """See the module. still_s: for how long nothing has happened, in seconds."""

    def __init__(self, database: Database, still_s: float) -> None:
        self._database, self._still_s = database, still_s
        self._next = 0.0

    async def since(self, record: Record) -> float | None:
        """For how many seconds it has stood still, if this admin is the one to tell it.

        DatabaseUnavailableError.
        """
        now = monotonic()
        if now < self._next:
            return None
        self._next = now + self._still_s / _LOOKS
        name = record.release.name
        async with self._database.connection() as connection:
            last = await connection.fetchrow(_LAST, name)
            if last is None or last["ago_s"] < self._still_s:
                return None
            what = f"still/{name}/{last['seq']}"
            tells = await connection.fetchval(_TELLS, what)
        return None if tells is None else float(last["ago_s"])
