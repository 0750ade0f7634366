"""What an admin does about migrations: it moves on what is due, and tells how plans stand."""

import asyncio
from typing import Any

import structlog

from admin.migrations.ledger import reading
from admin.routing.database import Database, DatabaseUnavailableError
from admin.routing.events import Hub

log = structlog.get_logger(__name__)
LOOK_S = 1.0
"""How often plans are looked at."""


async def watch(database: Database, hub: Hub) -> None:
    """Tell of each plan whenever it stands otherwise, for ever."""
    told: dict[str, dict[str, Any]] | None = None
    while True:
        try:
            async with database.connection() as connection:
                found = await reading.states(connection)
        except DatabaseUnavailableError:
            log.debug("the database can't be reached")
        else:
            for name, state in found.items():
                if told is not None and told.get(name) != state:
                    hub.tell("migration", state)
            told = found
        await asyncio.sleep(LOOK_S)
