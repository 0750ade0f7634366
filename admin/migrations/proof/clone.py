"""Scratch clones: databases that are made, used and removed, whatever happens between.

Rules:
1. The name is chosen before the database is made, and dropping it is tried from that moment on.
2. A session of the maker's holds an advisory lock of the name's number. Clones whose lock nobody holds
   were left behind by a maker that was killed: they are removed once older than their name allows, or
   at once by `sweep(everything=True)`.
3. Nobody but the owner may connect to a clone, and it reaches no other server: its user mappings go.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Final

import asyncpg

from admin.migrations.identifiers import quoted
from admin.migrations.proof.limits import CannotProve, Limits, milliseconds
from admin.migrations.proof.names import (
    PREFIX,
    clone_name,
    lock_number,
    read_clone_name,
)
from admin.migrations.proof.servers import Connection, Place, connected, open_session
from admin.migrations.proof.servers import close as close_session

MAINTENANCE: Final = "postgres"
"""The database from which others are made, unless another is named."""
_CLONES = "SELECT datname FROM pg_database WHERE starts_with(datname, $1) ORDER BY datname"
_HELD = """
SELECT EXISTS (
  SELECT FROM pg_locks
   WHERE locktype = 'advisory' AND granted AND objsubid = 1
     AND classid = (($1::bigint >> 32) & 4294967295)::oid
     AND objid = ($1::bigint & 4294967295)::oid)
"""
_MAPPINGS = "SELECT srvname, usename FROM pg_user_mappings"
_IN_USE = (
    "{name}: others are connected to it, and PostgreSQL makes no copy with TEMPLATE then. Take "
    "--by dump, which disturbs nobody, or end their sessions first"
)
Fill = Callable[[Place], Awaitable[None]]
Say = Callable[[str], None]


class Scratch:
    """Where clones are made: one server, for one run. say: told what could not be removed."""

    def __init__(self, server: Place, limits: Limits, say: Say) -> None:
        """server: its database is the one from which others are made."""
        self.server, self._limits, self._say = server, limits, say

    @asynccontextmanager
    async def filled(self, fill: Fill) -> AsyncIterator[Place]:
        """A clone that `fill` fills. CannotProve."""
        async with self._made("TEMPLATE template0") as place:
            await fill(place)
            await self._isolate(place)
            yield place

    @asynccontextmanager
    async def copied(self, source: Place) -> AsyncIterator[Place]:
        """A copy by TEMPLATE of a database of this server, data included. CannotProve: it is in use."""
        async with self._made(f"TEMPLATE {quoted(source.database)}", source.name) as place:
            await self._isolate(place)
            yield place

    async def sweep(self, *, everything: bool = False) -> list[str]:
        """Remove the clones that were left behind: those that are too old, or all. Their names."""
        removed = []
        async with connected(self.server, self._limits) as keeper:
            now = await keeper.fetchval("SELECT now()")
            for row in await keeper.fetch(_CLONES, PREFIX):
                name = row["datname"]
                is_left = await self._is_left(keeper, name, now, everything=everything)
                if is_left and await self._remove(name):
                    removed.append(name)
        return removed

    @asynccontextmanager
    async def _made(self, how: str, source: str = "") -> AsyncIterator[Place]:
        keeper = await open_session(self.server, self._limits)
        try:
            now = await keeper.fetchval("SELECT now()")
            name = clone_name(now, self._limits.clone_age_s, secrets.token_hex(4))
            await keeper.execute("SELECT pg_advisory_lock($1)", lock_number(name))
            try:
                await self._create(keeper, name, how, source)
                yield self.server.sibling(name, f"the clone {name}")
            finally:
                await self._remove(name)
        finally:
            await close_session(keeper)

    async def _create(self, keeper: Connection, name: str, how: str, source: str) -> None:
        limit = milliseconds(self._limits.copy_s)
        try:
            await keeper.execute(f"SET statement_timeout = {limit}")
            await keeper.execute(f"CREATE DATABASE {quoted(name)} {how}")
            await keeper.execute(f"REVOKE ALL ON DATABASE {quoted(name)} FROM PUBLIC")
        except asyncpg.ObjectInUseError:
            raise CannotProve(_IN_USE.format(name=source or self.server.name)) from None
        except asyncpg.InsufficientPrivilegeError:
            raise CannotProve(
                f"{self.server.name}: the role may not make databases (or not copy this one): give "
                "it CREATEDB, or name another server with --scratch"
            ) from None
        except asyncpg.PostgresError as error:
            raise CannotProve(f"no clone can be made at {self.server.name}: {error}") from None

    async def _isolate(self, place: Place) -> None:
        """Foreign tables of a clone would lead back to real servers, with the clone's writes."""
        async with connected(place, self._limits) as connection:
            for row in await connection.fetch(_MAPPINGS):
                user = "PUBLIC" if row["usename"] == "public" else quoted(row["usename"])
                await connection.execute(
                    f"DROP USER MAPPING IF EXISTS FOR {user} SERVER {quoted(row['srvname'])}"
                )

    async def _is_left(
        self, keeper: Connection, name: str, now: datetime, *, everything: bool
    ) -> bool:
        born = read_clone_name(name)
        if born is None or not (everything or born.is_over(now.astimezone(UTC))):
            return False
        return not await keeper.fetchval(_HELD, lock_number(name))

    async def _remove(self, name: str) -> bool:
        """Drop it; whether it is gone. What hinders that is said, not raised: it must not hide why the run ended."""
        try:
            async with asyncio.timeout(self._limits.remove_s):
                async with connected(self.server, self._limits) as connection:
                    await connection.execute(f"DROP DATABASE IF EXISTS {quoted(name)} WITH (FORCE)")
        except (CannotProve, asyncpg.PostgresError, OSError, TimeoutError) as error:
            self._say(
                f"the clone {name} could not be removed ({type(error).__name__}): "
                "`turnout migrations verify --sweep` tries again"
            )
            return False
        return True
