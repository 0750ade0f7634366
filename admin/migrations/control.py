"""What an admin does with migrations: plans them, passes on an operator's word, tells how they are."""

import asyncio
from dataclasses import replace
from pathlib import Path

import structlog

from admin.migrations import from_catalogue
from admin.migrations.catalogue.read import read
from admin.migrations.config import Settings
from admin.migrations.ledger import plans, reports
from admin.migrations.plan import Draft, Estimate, Wish, draft, estimate
from admin.migrations.targets import targets
from admin.migrations.worker import advance
from admin.routing.audit import Author
from admin.routing.database import Database, DatabaseUnavailableError
from admin.routing.events import Hub

log = structlog.get_logger(__name__)
TELL_S = 0.5
"""How often the live feed is told of what has changed."""
_TENANTS = "SELECT tenant FROM turnout.tenants ORDER BY tenant"
_SALT = "SELECT canary_salt FROM turnout.routing_head"


class Migrations:
    """Migrations, as one admin sees them."""

    def __init__(self, database: Database, settings: Settings, hub: Hub) -> None:
        self.database, self.settings = database, settings
        self._hub = hub

    async def plan(self, wish: Wish, author: Author) -> tuple[str, Draft, Estimate]:
        """Write a plan down; its name, and about how long it may take. Its salt is the canary's.

        CatalogueError, PlanFault, TargetFault: nothing was written. DatabaseUnavailableError.
        """
        catalogue = await asyncio.to_thread(read, Path(self.settings.folder))
        files = from_catalogue.files(catalogue)
        async with self.database.connection() as connection:
            tenants = [row["tenant"] for row in await connection.fetch(_TENANTS)]
            known = targets(self.settings, tenants)
            salt = await connection.fetchval(_SALT)
            async with connection.transaction():
                # First: what lies elsewhere by now has not been looked at.
                await plans.know(connection, known)
                had = await plans.applied(connection)
                made = draft(replace(wish, salt=salt), files, known, had)
                name = await plans.create(connection, made, author)
            typical_ms = await plans.typical_ms(connection)
        at_once = {name: server.at_once for name, server in self.settings.servers.items()}
        return name, made, estimate(made, typical_ms, at_once)

    async def advance(self) -> None:
        """Move on what is due, for ever, beside the workers."""
        await advance(self.database, max(self.settings.look_s, TELL_S))

    async def tell(self) -> None:
        """Tell the live feed of each plan that has moved on, for ever."""
        told: dict[str, object] = {}
        while True:
            try:
                async with self.database.connection() as connection:
                    found = await reports.summaries(connection)
            except DatabaseUnavailableError:
                found = {}
                log.debug("the database can't be reached")
            for name, summary in found.items():
                if told.get(name) != summary:
                    self._hub.tell("migration", dict(summary))
                    told[name] = summary
            for name in [name for name in told if found and name not in found]:
                del told[name]
            await asyncio.sleep(TELL_S)
