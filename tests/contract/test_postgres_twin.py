"""The simulation's PostgreSQL behaves as the real one, as far as the admin's stores look.

The admin's own code (`admin.routing.store`, `admin.switches.store`) does the same on both, and what it
gives must be the same.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from hashlib import sha256
from random import Random
from typing import Any, cast

import asyncpg
import pytest

from admin.config import Settings
from admin.intents import StaleError, acting
from admin.routing import audit, idempotency
from admin.routing.audit import Author
from admin.routing.database import Database, DatabaseUnavailableError, open_pool
from admin.routing.store import (
    _LOCK_HEAD,
    Committed,
    Key,
    KeyReusedError,
    Proposal,
    Store,
    VersionConflictError,
)
from admin.schema import migrate, migrations
from admin.switches import store as switches
from admin.switches.model import Event, State, Step, Switch
from proxy.routing.change import (
    Cutover,
    EndAffinities,
    EndAffinitiesOf,
    EndDrain,
    Forget,
    Hold,
    Operation,
    Pin,
    Register,
    Release,
    Rollback,
    SetCanary,
    SetDrain,
    SetEndpoints,
    Unpin,
)
from proxy.routing.model import Endpoint, Slot
from tests.sim.network import Network
from tests.sim.postgres_server import PostgresPool, PostgresServer
from tests.sim.world import World

SETTINGS = Settings(database_lock_timeout_s=0.2, database_connect_timeout_s=5.0)
WHO = Author("somebody", "admin", "request-1")
_CHANGES = 40


class Place:
    """A server, and databases of admins on it, each with its own connections."""

    async def database(self) -> Database:
        raise NotImplementedError

    async def cut(self) -> None:
        """All connections break."""
        raise NotImplementedError

    async def store(self) -> Store:
        return Store(await self.database())


class RealPlace(Place):
    def __init__(self, url: str) -> None:
        self.url = url
        self.pools: list[Any] = []

    async def database(self) -> Database:
        pool = await open_pool(self.url, SETTINGS)
        self.pools.append(pool)
        return Database(pool, 5.0)

    async def cut(self) -> None:
        other = await asyncpg.connect(self.url)
        await other.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        await other.close()


class SimulatedPlace(Place):
    def __init__(self, world: World) -> None:
        self.world = world
        self.admins = 0

    async def database(self) -> Database:
        self.admins += 1
        node = self.world.nodes[0]
        return Database(cast("Any", PostgresPool(node, SETTINGS)), 5.0)

    async def cut(self) -> None:
        self.world.network.cut(self.world.servers["postgres"])


Behaviour = Callable[[Place, Random], Awaitable[Any]]


def in_simulation(behaviour: Behaviour, lots: Random) -> Any:
    world = World(1)
    world.network = Network(world)
    world.servers["postgres"] = PostgresServer(world, SETTINGS)
    node = world.node("admin")

    async def run() -> Any:
        return await behaviour(SimulatedPlace(world), lots)

    with node.inside():
        task = node.start(run())
    world.run(1_000.0, task.done)
    try:
        return task.result()
    finally:
        world.close()


@contextlib.asynccontextmanager
async def real_place(url: str) -> AsyncIterator[Place]:
    connection = await asyncpg.connect(url)
    await migrate(connection, migrations(), 5.0)
    await connection.close()
    place = RealPlace(url)
    try:
        yield place
    finally:
        for pool in place.pools:
            pool.terminate()


def wish(*operations: Operation, key: str = "", fingerprint: str = "", **more: Any) -> Proposal:
    own = Key(key, sha256(fingerprint.encode()).digest()) if key else None
    return Proposal("change", WHO, lambda _: operations, key=own, **more)


async def made(store: Store, *operations: Operation, **more: Any) -> Committed:
    outcome = await store.commit(wish(*operations, **more))
    assert isinstance(outcome, Committed)
    return outcome


def drawn(lots: Random) -> Operation:
    """An operation of any kind."""
    tenant, slot = lots.choice("abcd"), lots.choice(tuple(Slot))
    tenants = lots.choice((None, frozenset("ab"), frozenset("c")))
    return lots.choice(
        (
            Pin(tenant, slot),
            Unpin(tenant),
            Register(tenant),
            Forget(tenant),
            SetCanary(lots.randrange(10_000), allow=frozenset("ab"), deny=frozenset("c")),
            Cutover(slot),
            Rollback(),
            SetEndpoints(slot, (Endpoint("10.0.0.1", lots.randrange(1, 99)),)),
            SetDrain("d1", slot, 5.0, tenants),
            EndDrain("d1"),
            Hold("s1", tenants),
            Release("s1"),
            EndAffinities(slot),
            EndAffinitiesOf(tenants),
        )
    )


# ── changes ───────────────────────────────────────────────────────────────────────────────────


async def changes_of_all_kinds(place: Place, lots: Random) -> Any:
    """Two admins in turn; what a third then reads, the log's entries and the audit's rows."""
    stores = [await place.store(), await place.store()]
    tables = []
    for _ in range(_CHANGES):
        operations = tuple(drawn(lots) for _ in range(lots.randint(1, 3)))
        await lots.choice(stores).commit(wish(*operations))
        tables.append(await Store(stores[0].database).current())
    reader = await place.store()
    table = await reader.current()
    async with reader.database.connection() as connection:
        rows = await audit.since(connection, 0)
    assert await stores[0].current() == table == await stores[1].current()
    return tables, rows, await reader.bodies(3, 17), await reader.bodies(_CHANGES, 99)


async def a_commit_is_found_by_its_version(place: Place, _: Random) -> Any:
    store = await place.store()
    first = await made(store, Pin("a", Slot.BLUE))
    second = await made(store, Pin("a", Slot.GREEN))
    assert second.after == first.commit_id
    assert await store.commit_at(1) == first.commit_id
    assert await store.commit_at(2) == second.commit_id == (await store.standing()).commit_id
    return await store.commit_at(3)


async def an_expected_version_is_compared(place: Place, _: Random) -> Any:
    ours, others = await place.store(), await place.store()
    await made(ours, Pin("a", Slot.BLUE))
    await made(others, Pin("b", Slot.BLUE))
    with pytest.raises(VersionConflictError) as conflict:
        await ours.commit(wish(Pin("c", Slot.BLUE), expected_version=1))
    assert (await made(ours, Pin("c", Slot.BLUE), expected_version=2)).table.version == 3
    return conflict.value.version


async def of_many_at_once_each_makes_its_own_version(place: Place, _: Random) -> Any:
    stores = [await place.store() for _ in range(3)]
    wishes = [store.commit(wish(Pin("a", Slot.BLUE))) for store in stores for _ in range(2)]
    outcomes = await asyncio.gather(*wishes)
    return sorted(cast("Committed", outcome).table.version for outcome in outcomes)


async def of_many_that_expect_the_same_one_wins(place: Place, _: Random) -> Any:
    stores = [await place.store() for _ in range(3)]
    await made(stores[0], Pin("a", Slot.BLUE))
    wishes = [store.commit(wish(Pin("b", Slot.BLUE), expected_version=1)) for store in stores]
    outcomes = await asyncio.gather(*wishes, return_exceptions=True)
    return sorted(type(outcome).__name__ for outcome in outcomes)


async def a_key_makes_a_change_once(place: Place, _: Random) -> Any:
    ours, others = await place.store(), await place.store()
    await made(ours, Pin("a", Slot.BLUE), key="k", fingerprint="x")
    again = await others.commit(wish(Pin("a", Slot.BLUE), key="k", fingerprint="x"))
    with pytest.raises(KeyReusedError):
        await others.commit(wish(Pin("b", Slot.BLUE), key="k", fingerprint="y"))
    both = [s.commit(wish(Pin("c", Slot.BLUE), key="l", fingerprint="x")) for s in (ours, others)]
    kinds = sorted(type(outcome).__name__ for outcome in await asyncio.gather(*both))
    return again, kinds, (await ours.current()).version


async def a_version_can_be_raised(place: Place, _: Random) -> Any:
    store = await place.store()
    await made(store, Pin("a", Slot.BLUE))
    raised = await store.bump(1, 7, "lost")
    assert raised is not None
    return await store.bump(1, 9, "late"), (await store.current()), await store.bodies(0, 9)


async def it_is_known_how_long_ago_a_version_was_raised(place: Place, _: Random) -> Any:
    store = await place.store()
    never = await store.republished_s()
    await store.bump(0, 0, "missing")
    first = await store.republished_s()
    await store.bump(1, 0, "missing")
    ago_s = await store.republished_s()
    assert ago_s is not None
    assert 0 <= ago_s < 60
    return never, first


async def what_is_old_is_taken_off(place: Place, _: Random) -> Any:
    store = await place.store()
    for _number in range(5):
        await made(store, Pin("a", Slot.BLUE))
    await idempotency.prune(store.database, 24, 2)
    return [version for version, _ in await store.bodies(0, 9)]


async def republishing_is_one_at_a_time(place: Place, _: Random) -> Any:
    ours, others = await place.store(), await place.store()
    async with ours.republishing():
        with pytest.raises(DatabaseUnavailableError) as late:
            async with others.republishing():
                raise AssertionError
    async with others.republishing():
        return late.value.answered


async def a_lock_that_is_not_had_in_time_changes_nothing(place: Place, _: Random) -> Any:
    holder, late = await place.database(), await place.store()
    async with holder.connection() as connection, connection.transaction():
        await connection.fetchrow(_LOCK_HEAD)
        with pytest.raises(DatabaseUnavailableError) as error:
            await late.commit(wish(Pin("a", Slot.BLUE)))
    return error.value.answered, (await late.current()).version


async def who_waits_for_the_head_sees_what_changed_it(place: Place, _: Random) -> Any:
    holder, late = await place.store(), await place.store()
    await late.current()
    async with holder._transaction() as connection:
        await connection.fetchrow(_LOCK_HEAD)
        waiting = asyncio.get_running_loop().create_task(late.commit(wish(Pin("a", Slot.BLUE))))
        await asyncio.wait({waiting}, timeout=0.05)
        assert not waiting.done()
    return cast("Committed", await waiting).table.version


async def a_session_that_breaks_gives_its_locks_back(place: Place, _: Random) -> Any:
    holder, others = await place.database(), await place.database()

    async def act() -> None:
        async with acting(holder, "s1") as mine:
            assert mine
            async with acting(others, "s1") as theirs:
                assert not theirs
            await place.cut()
            raise asyncpg.ConnectionDoesNotExistError

    with pytest.raises(DatabaseUnavailableError) as broken:
        await act()
    async with acting(await place.database(), "s1") as mine:
        return broken.value.answered, mine


async def a_transaction_that_breaks_has_done_nothing(place: Place, _: Random) -> Any:
    store = await place.store()

    async def begin() -> None:
        async with store._transaction() as connection:
            await switches._begin(connection, Switch("s1", ()), "cutover", WHO)
            await place.cut()

    with pytest.raises(DatabaseUnavailableError):
        await begin()
    async with (await place.database()).connection() as connection:
        return await switches.find(connection, "s1")


# ── switches ──────────────────────────────────────────────────────────────────────────────────


def told(record: switches.Record | None) -> Any:
    """A switch as it stands, without its moments but that they are there."""
    assert record is not None
    moments = ("held_at", "drained_at", "stepped_at", "ended_at")
    there = [name for name in moments if record.row[name] is not None]
    return record.switch, record.author, record.cancelled_by, there


async def a_switch_moves_on_from_where_it_was_seen(place: Place, _: Random) -> Any:
    database = await place.database()
    step = Step("command", "migrate")
    switch = Switch("s1", (Pin("a", Slot.GREEN),), frozenset("a"), step=step, limit_s=4.0)
    seen = []
    async with database.connection() as connection:
        await switches.begin(connection, switch, "cutover", WHO)
        await switches.begin(connection, Switch("s2", (Cutover(Slot.GREEN),)), "cutover", WHO)
        seen.append(await switches.unfinished(connection))
        await switches.note_held(connection, "s1", 3)
        for event in (Event.DRAINED, Event.STEPPED):
            seen.append(told(record := await switches.find(connection, "s1")))
            assert record is not None
            await switches.move(connection, record.switch, event)
            await switches.note_step(connection, "s1")
        with pytest.raises(StaleError):
            await switches.move(connection, switch, Event.FAILED, "late")
        await switches.note_committed(connection, "s1", 4)
        assert not await switches.cancel(connection, "s1", "somebody")
        assert await switches.cancel(connection, "s2", "somebody")
        assert not await switches.cancel(connection, "s2", "another")
        other = await switches.find(connection, "s2")
        assert other is not None
        assert other.switch.state is State.HOLDING
        await switches.move(connection, other.switch, Event.FAILED, "cancelled")
        seen += [told(await switches.find(connection, name)) for name in ("s1", "s2")]
        seen.append(await switches.unfinished(connection))
        assert 0 <= await switches.age_s(connection, "s1") < 60
        return seen, await switches.find(connection, "s3")


BEHAVIOURS = [
    changes_of_all_kinds,
    a_commit_is_found_by_its_version,
    an_expected_version_is_compared,
    of_many_at_once_each_makes_its_own_version,
    of_many_that_expect_the_same_one_wins,
    a_key_makes_a_change_once,
    a_version_can_be_raised,
    it_is_known_how_long_ago_a_version_was_raised,
    what_is_old_is_taken_off,
    republishing_is_one_at_a_time,
    a_lock_that_is_not_had_in_time_changes_nothing,
    who_waits_for_the_head_sees_what_changed_it,
    a_session_that_breaks_gives_its_locks_back,
    a_transaction_that_breaks_has_done_nothing,
    a_switch_moves_on_from_where_it_was_seen,
]


@pytest.mark.parametrize("behaviour", BEHAVIOURS, ids=lambda each: each.__name__)
async def test_both_do_the_same(
    behaviour: Behaviour, admin_database_url: str, seeded_random: Random
) -> None:
    state = seeded_random.getstate()
    async with real_place(admin_database_url) as place:
        real = await behaviour(place, seeded_random)
    seeded_random.setstate(state)
    # The simulation has a loop of its own, which can't run within another.
    simulated = await asyncio.to_thread(in_simulation, behaviour, seeded_random)
    assert simulated == real
