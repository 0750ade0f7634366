"""Drift of many targets: each is compared with what its version has, which is made once for all of them.

Rules:
1. A server has so many lanes, and a lane has one session: no server is asked for more at a time.
2. What can't be looked at is told, and stops nobody. A server that isn't reached several times one after
   the other is left alone, or each of its targets would be waited for until the time-out.
3. What a target has and what its history says are read in one snapshot: a worker may be at it.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import asyncpg

from admin.migrations.catalogue.model import Migration
from admin.migrations.drift.model import Drifted, Fingerprint, drift
from admin.migrations.drift.read import fingerprint
from admin.migrations.proof.errors import told
from admin.migrations.proof.history import applied
from admin.migrations.proof.limits import CannotProve, CannotReach, Limits
from admin.migrations.proof.servers import Connection, Place, close, open_session
from admin.migrations.targets import Target

GIVES_UP_AFTER: Final = 3
"""How often a server isn't reached, one after the other, before the rest of its targets is left out."""
BROKEN_OFF: Final = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
)
Keys = tuple[str, ...]
Had = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Server:
    """Where targets lie. place: None, these settings don't tell, and why is said instead."""

    name: str
    place: Place | None
    at_once: int = 1
    why: str = ""


@dataclass(frozen=True, slots=True)
class Looked:
    """What was found of a target. why: why it could not be looked at; empty if it was.

    version: up to which it was compared; None: there is no catalogue to tell.
    """

    target: Target
    version: str | None = None
    digest: str = ""
    expected_digest: str = ""
    differences: tuple[Drifted, ...] = ()
    why: str = ""


@dataclass(frozen=True, slots=True)
class Expected:
    """What a target should have."""

    version: str | None
    fingerprint: Fingerprint


class Expectations:
    """What targets should have by their histories; each made when it is first asked for."""

    def __init__(
        self,
        wanted: Callable[[Had | None], Sequence[Migration]],
        make: Callable[[Sequence[Migration], Target, Place], Awaitable[Fingerprint]],
    ) -> None:
        """wanted: by what a history says (None: there is none). make: by the server of a target."""
        self._wanted, self._make = wanted, make
        self._made: dict[Keys, Fingerprint] = {}
        self._failed: dict[tuple[Keys, str], str] = {}
        self._locks: defaultdict[Keys, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def of(self, had: Had | None, target: Target, place: Place) -> Expected:
        """For a target with this history, which lies there. CannotProve."""
        migrations = self._wanted(had)
        keys = tuple(each.key for each in migrations)
        last = max((each.version for each in migrations if each.version), default=None)
        async with self._locks[keys]:
            if keys not in self._made:
                self._made[keys] = await self._first(keys, migrations, target, place)
        return Expected("nothing" if last is None else str(last), self._made[keys])

    async def _first(
        self, keys: Keys, migrations: Sequence[Migration], target: Target, place: Place
    ) -> Fingerprint:
        """Make it. What fails at a server isn't tried there again for each of its targets."""
        why = self._failed.get((keys, target.server))
        if why is None:
            try:
                return await self._make(migrations, target, place)
            except CannotProve as error:
                why = str(error)
            except BROKEN_OFF as error:
                why = broken_off(error)
            self._failed[keys, target.server] = why
        raise CannotProve(f"what it should have can't be told: {why}")


class Always:
    """The same for all of them."""

    def __init__(self, fingerprint: Fingerprint) -> None:
        self._expected = Expected(None, fingerprint)

    async def of(self, _: Had | None, __: Target, ___: Place) -> Expected:
        """See Expectations."""
        return self._expected


class Looking:
    """One look at many targets."""

    def __init__(
        self,
        expectations: Expectations | Always,
        limits: Limits,
        *,
        grants: bool,
        ignored: Sequence[str],
        say: Callable[[Looked], None],
    ) -> None:
        """grants, ignored: as `fingerprint` takes them. say: told of each target once it was looked at, or not."""
        self._expectations, self._limits, self._say = expectations, limits, say
        self._grants, self._ignored = grants, ignored
        self._missed: dict[str, int] = {}

    async def at(self, targets: Iterable[Target], servers: Mapping[str, Server]) -> None:
        """Look at all of them."""
        await in_lanes(targets, servers, self._lane)

    async def _lane(self, server: Server, targets: Iterator[Target]) -> None:
        lane = _Lane(server, self._limits)
        try:
            for target in targets:
                self._say(await self._looked(lane, target))
        finally:
            await lane.close()

    async def _looked(self, lane: "_Lane", target: Target) -> Looked:
        try:
            return await self._compared(lane, target)
        except CannotProve as error:
            why = str(error)
        except BROKEN_OFF as error:
            why = broken_off(error)
        await lane.close()
        return Looked(target, why=why)

    async def _compared(self, lane: "_Lane", target: Target) -> Looked:
        connection = await self._reached(lane, target)
        had, here = await self._read(connection, target.schema)
        expected = await self._expectations.of(had, target, lane.place_of(target))
        return Looked(
            *(target, expected.version, here.digest, expected.fingerprint.digest),
            tuple(drift(here, expected.fingerprint)),
        )

    async def _reached(self, lane: "_Lane", target: Target) -> Connection:
        name = lane.server.name
        missed = self._missed.get(name, 0)
        if missed >= GIVES_UP_AFTER:
            raise CannotProve(f"{name} was not reached {missed} times one after the other")
        try:
            connection = await lane.session(target)
        except CannotReach:
            self._missed[name] = self._missed.get(name, 0) + 1
            raise
        self._missed[name] = 0
        return connection

    async def _read(self, connection: Connection, schema: str) -> tuple[Had | None, Fingerprint]:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            if not await connection.fetchval(
                "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)", schema
            ):
                raise CannotProve(f"there is no schema {schema}")
            had = await _history(connection, schema)
            here = await fingerprint(connection, schema, grants=self._grants, ignored=self._ignored)
        return had, here


async def _history(connection: Connection, schema: str) -> Had | None:
    """What the target's history says; None: it has none. That is an error, which must not end the snapshot."""
    inner = connection.transaction()
    await inner.start()
    try:
        return await applied(connection, schema)
    finally:
        await inner.rollback()


class _Lane:
    """At most one session on a server, kept while the next target lies in the same database."""

    def __init__(self, server: Server, limits: Limits) -> None:
        self.server, self._limits = server, limits
        self._connection: Connection | None = None
        self._database = ""

    def place_of(self, target: Target) -> Place:
        """The target's database. CannotProve: it isn't known."""
        place = self.server.place
        if place is None:
            raise CannotProve(self.server.why)
        return place.sibling(target.database) if target.database else place

    async def session(self, target: Target) -> Connection:
        """One in the target's database. CannotReach, CannotProve."""
        place = self.place_of(target)
        kept = self._connection
        if kept is not None and self._database == target.database and not kept.is_closed():
            return kept
        await self.close()
        self._connection = await open_session(
            place, self._limits, default_transaction_read_only="on"
        )
        self._database = target.database
        return self._connection

    async def close(self) -> None:
        """End the session, if there is one."""
        kept, self._connection = self._connection, None
        if kept is not None:
            await close(kept)


async def in_lanes(
    targets: Iterable[Target],
    servers: Mapping[str, Server],
    lane: Callable[[Server, Iterator[Target]], Awaitable[None]],
) -> None:
    """Run each server's lanes beside one another: a lane takes its next target from its server's."""
    by_server: defaultdict[str, list[Target]] = defaultdict(list)
    # Those of one database one after the other: a lane keeps its session meanwhile.
    for target in sorted(targets, key=lambda each: (each.database, each.name)):
        by_server[target.server].append(target)
    async with asyncio.TaskGroup() as lanes:
        for name, its in by_server.items():
            server = servers.get(name) or Server(name, None, why=f"these settings know no {name}")
            following = iter(its)
            for number in range(min(server.at_once, len(its))):
                work = _awaited(lane(server, following))
                lanes.create_task(work, name=f"{name}, lane {number}")


async def _awaited(work: Awaitable[None]) -> None:
    await work


def broken_off(error: Exception) -> str:
    """What is told of an error. A driver's own may hold addresses, so of these the class alone."""
    name = type(error).__name__
    if isinstance(error, asyncpg.PostgresError):
        return f"it broke off ({name}): {told(error).message}"
    return f"it broke off ({name})"
