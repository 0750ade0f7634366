"""Reminds people of a drill that is due: of all admins one, once a day."""

import asyncio
from datetime import UTC, datetime
from typing import Any, Final

from admin.gates.drill import DAY_S
from admin.releases import store
from admin.releases.ports import Told
from admin.routing.database import Connection, Database, DatabaseUnavailableError

LOOK_S: Final = 3600.0
"""How often each admin looks."""
AGAIN_S: Final = DAY_S
"""How soon it is told again."""
_BEGAN: Final = "SELECT min(begun_at) FROM turnout.releases WHERE NOT is_drill"
_TELLS: Final = """
INSERT INTO turnout.told (what) VALUES ('drill-due')
ON CONFLICT (what) DO UPDATE SET at = now()
 WHERE turnout.told.at < now() - make_interval(secs => $1)
RETURNING what
"""


async def due(connection: Connection, days: float) -> dict[str, Any] | None:
    """What is to be told, if this admin is the one to tell it. days: how old the last drill may be.

    Before the first release nobody has anything to drill; from then on it is due after as many days.
    """
    last = await store.last_drill(connection)
    since: datetime | None = last or await connection.fetchval(_BEGAN)
    if since is None:
        return None
    age = (datetime.now(UTC) - since).total_seconds() / DAY_S
    if age <= days or await connection.fetchval(_TELLS, AGAIN_S) is None:
        return None
    said = f"The last drill was {age:.0f} days ago" if last else "No drill was ever done"
    return {"detail": f"{said}, and {days:g} are allowed: turnout release drill"}


async def remind(database: Database, told: Told, days: float, environment: str) -> None:
    """Look now and then, for ever."""
    while True:
        try:
            async with database.connection() as connection:
                found = await due(connection, days)
            if found is not None:
                told.tell("drill-due", {**found, "environment": environment})
        except DatabaseUnavailableError:
            pass  # the next look is soon enough
        await asyncio.sleep(LOOK_S)
