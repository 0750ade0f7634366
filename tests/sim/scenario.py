"""One history of a seed: what is wished for, what goes wrong, and whether all held.

A history has three parts: it begins, undisturbed; for `BUSY_S` there are changes, switches and faults;
then the faults end, and it has `SETTLES_S` to come to rest, which is looked at.
"""

import contextlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

from admin.config import Settings
from admin.routing import publish
from admin.routing.database import Database
from admin.routing.store import Store
from admin.switches.model import Step, Switch
from proxy import store as proxy_store
from proxy.routing.change import (
    Change,
    Cutover,
    Operation,
    Pin,
    Rollback,
    SetCanary,
    Unpin,
)
from proxy.routing.codec import encode_change
from proxy.routing.keys import Keys
from proxy.routing.model import RoutingTable, Slot
from proxy.routing.stored import restored
from tests.sim.admins import Admin, Steps, pins, simulated_steps, watched_log
from tests.sim.books import FENCED, SETTLES_S, Books, Wished
from tests.sim.faults import Faults
from tests.sim.network import Network
from tests.sim.postgres_data import Data, Row
from tests.sim.postgres_server import PostgresPool, PostgresServer
from tests.sim.redis_server import RedisServer
from tests.sim.traffic import BLUE, GREEN, Traffic
from tests.sim.workers import SHARED, Fleet, simulated_redis
from tests.sim.world import World, simulated_time

BEGINS_S = 1.2
BUSY_S = 4.0
_LOOK_S = 0.25
_REST_S = 0.5
FREE = ("a1", "a2", "a3")
_TOKEN = "a secret of the simulation, of 32 bytes"


@dataclass(frozen=True)
class History:
    """What became of a seed."""

    seed: int
    violations: tuple[str, ...]
    counts: dict[str, int]
    trace: tuple[str, ...]
    lasted_s: float


def play(seed: int, *, traced: bool = False) -> History:
    """The history of this seed, always the same."""
    with simulated_time(), simulated_redis():
        scenario = Scenario(seed, traced=traced)
        with simulated_steps(scenario.steps), _errors(scenario.fault), scenario.small_tables():
            return scenario.play()


class Scenario:
    """See the module."""

    def __init__(self, seed: int, *, traced: bool) -> None:
        self.world = world = World(seed, traced=traced)
        self.lots = lots = Random(f"scenario {seed}")
        self.books = Books(world)
        self.steps = Steps(world, self.books)
        world.network = Network(world)
        self.settings = Settings(
            token_secret=_TOKEN,
            steps={"step": ("played",)},
            log_entries=lots.choice((10, 1000)),
            switch_silent_s=lots.choice((0.5, 2.0)),
        )
        self.redis = world.servers["redis"] = RedisServer(world)
        self.postgres = world.servers["postgres"] = PostgresServer(world, self.settings)
        self.postgres.on_commit = self.books.commits
        self.postgres.commit(_first(lots))
        self.fleet = Fleet(world, self.books, _proxy(lots))
        self.traffic = Traffic(world, self.fleet, self.books, Random(f"traffic {seed}"))
        self.admins: list[Admin] = []
        self.books.is_forgotten = self._is_forgotten
        self.redis.on_renewal = lambda name: self.books.is_renewed(name, self._published())
        self.faults = Faults(self)
        self._numbers = 0

    @contextlib.contextmanager
    def small_tables(self) -> Iterator[None]:
        """In every second history a table counts as large: a snapshot, and the log after it."""
        before = publish.SMALL_TABLE_BYTES
        publish.SMALL_TABLE_BYTES = self.lots.choice((0, before))
        try:
            yield
        finally:
            publish.SMALL_TABLE_BYTES = before

    def fault(self, what: str) -> None:
        """The code under test did what it must never do."""
        self.books.broken(0, what)

    def play(self) -> History:
        world = self.world
        try:
            self._begin()
            self._plan()
            busy_until = BEGINS_S + BUSY_S
            world.run(busy_until, self._failed)
            if not self._failed():
                self.faults.end()
                self._settle(busy_until)
            for fault in world.faults():
                self.fault(fault)
            return self._history()
        finally:
            world.close()

    def _history(self) -> History:
        world, books = self.world, self.books
        trace = tuple(world.trace or ())
        found = tuple(books.violations)
        return History(world.seed, found, dict(books.summary()), trace, world.now)

    def _failed(self) -> bool:
        return bool(self.books.violations)

    # ── the beginning ─────────────────────────────────────────────────────────────────────────

    def _begin(self) -> None:
        for _ in range(2):
            self.start_admin()
        for _ in range(self.lots.choice((2, 2, 3, 4))):
            self.world.at(self.lots.uniform(0.0, 0.5), self._start_worker)

    def _start_worker(self) -> None:
        self.fleet.start()

    def start_admin(self) -> Admin:
        """One more admin, from nothing."""
        admin = Admin(self.world, f"admin{len(self.admins) + 1}", self.settings, self.books)
        self.admins.append(admin)
        self.world.tell(admin.node.name, "starts")
        return admin

    def _published(self) -> int:
        stored = self.redis.data.hget(Keys(SHARED.redis_prefix).table, b"version")
        return proxy_store.number(stored)

    def _is_forgotten(self, worker: str) -> bool:
        """Whether neither Redis nor some living admin has ever heard of this worker."""
        name = next(w._inherited.name for w in self.fleet.workers if w.node.name == worker)
        if name.encode() in self.redis.data.leases.get(Keys(SHARED.redis_prefix).leases, {}):
            return False
        return not all(admin.knows(name) for admin in self.admins if admin.node.alive)

    def admin(self) -> Admin | None:
        """One that lives, by lot."""
        alive = [admin for admin in self.admins if admin.node.alive]
        return self.lots.choice(alive) if alive else None

    # ── what is wished for ────────────────────────────────────────────────────────────────────

    def _plan(self) -> None:
        lots, world = self.lots, self.world
        when = 0.9
        while when < BEGINS_S + BUSY_S:
            world.at(when, self._ask)
            when += lots.expovariate(10.0)
        for _ in range(lots.randint(2, 7)):
            world.at(BEGINS_S + lots.uniform(0.0, BUSY_S), self._wish)
        for _ in range(lots.randint(1, 3)):
            world.at(BEGINS_S + lots.uniform(0.0, BUSY_S), self._switch)
        self.faults.plan(BEGINS_S, BEGINS_S + BUSY_S)

    def _ask(self) -> None:
        fenced = self.traffic._lots.random() < 0.6
        self.traffic.ask(self.traffic._lots.choice(FENCED if fenced else FREE))

    def _wish(self) -> None:
        kind = self.lots.random()
        if kind < 0.2:
            self._race()
        elif kind < 0.35:
            self._keyed()
        else:
            self._change(None)

    def _wished(self, expected: int | None = None, key: str = "") -> Wished:
        self._numbers += 1
        wished = Wished(f"c{self._numbers}", expected, key)
        self.books.wishes.append(wished)
        return wished

    def _operations(self) -> tuple[Operation, ...]:
        lots = self.lots
        tenant, slot = lots.choice(FREE), lots.choice(tuple(Slot))
        return lots.choice(
            (
                (Pin(tenant, slot),),
                (Unpin(tenant),),
                (SetCanary(lots.choice((0, 500, 5_000, 10_000))),),
                (Cutover(slot),),
                (Rollback(),),
                (Pin(tenant, slot), SetCanary(2_500)),
            )
        )

    def _change(self, expected: int | None) -> None:
        admin = self.admin()
        if admin is not None:
            operations = self._operations()
            admin.node.start(admin.change(self._wished(expected), lambda _: operations))

    def _race(self) -> None:
        """Several that expect the same version, at once."""
        expected = self.books.data.head["version"]
        for _ in range(self.lots.randint(2, 3)):
            self.world.after(self.lots.uniform(0.0, 0.003), lambda: self._change(expected))

    def _keyed(self) -> None:
        admin, operations = self.admin(), self._operations()
        if admin is not None:
            wished = self._wished(key=f"key-{self._numbers}")
            admin.node.start(admin.keyed(wished, lambda _: operations, self.admin))

    def _switch(self) -> None:
        admin, lots = self.admin(), self.lots
        self._numbers += 1
        name = f"s{self._numbers}"
        tenants = lots.choice((None, ("f1",), ("f2",), FENCED, FENCED))
        slot = lots.choice(tuple(Slot))
        operations = (Cutover(slot),) if tenants is None else pins(tenants, slot)
        kind = lots.choice(("", "", "webhook", "webhook", "command"))
        self.steps.ends[name] = (
            lots.choice(("ok", "ok", "ok", "fails", "hangs")),
            lots.choice((0.01, 0.2, 1.0)),
        )
        switch = Switch(
            name,
            operations,
            None if tenants is None else frozenset(tenants),
            step=Step(kind, "step") if kind else None,
            limit_s=lots.choice((0.5, 2.0, 4.0)),
        )
        if admin is None:
            return
        admin.node.start(admin.switch(switch))
        if lots.random() < 0.15:
            self.world.after(lots.uniform(0.01, 1.0), lambda: self._cancel(name))

    def _cancel(self, name: str) -> None:
        admin = self.admin()
        if admin is not None:
            admin.node.start(admin.cancel(name))

    # ── the end ───────────────────────────────────────────────────────────────────────────────

    def _settle(self, since: float) -> None:
        """Until all is well and stays so for a moment, or the time is over."""
        world, quiet = self.world, 0.0
        while world.now < since + SETTLES_S and not self._failed():
            world.run(world.now + _LOOK_S, self._failed)
            quiet = quiet + _LOOK_S if self._is_well() else 0.0
            if quiet > _REST_S:
                break
        if not self._failed():
            unlike = self._left() or self._unlike()
            self.books.close(self.postgres.data, unlike)

    def _is_well(self) -> bool:
        data = self.postgres.data
        ended = all(row["state"] in {"done", "undone"} for row in data.switches.values())
        over = all(asked.is_over for asked in self.books.requests)
        held = data.holds or data.head["hold_all"]
        return ended and over and not held and not self._left()

    def _left(self) -> list[str]:
        """Where the planes are not of PostgreSQL's mind."""
        decided = self.postgres.data.head["version"]
        found = []
        if self._published() != decided:
            found.append(f"PostgreSQL is at {decided}, Redis at {self._published()}")
        for worker in self.fleet.alive:
            table = worker.table
            if not worker._told_to_end.is_set() and (table is None or table.version != decided):
                has = 0 if table is None else table.version
                found.append(f"PostgreSQL is at {decided}, {worker.node.name} at {has}")
        return found

    def _unlike(self) -> list[str]:
        """Versions agree: do the tables?"""
        table, there = self._read()
        if table.version != self.postgres.data.head["version"] or self._left():
            # A change that had waited was made as we read.
            self.world.run(self.world.now + 1.0, self._failed)
            return self._left() or self._unlike()
        found = []
        if there != table:
            found.append("Redis has another table than PostgreSQL at the same version")
        unlike = [
            f"{worker.node.name} has another table than PostgreSQL"
            for worker in self.fleet.alive
            if not worker._told_to_end.is_set() and worker.table != table
        ]
        return found + unlike

    def _read(self) -> tuple[RoutingTable, RoutingTable]:
        """What PostgreSQL and Redis have, as the planes' own code reads it."""
        reader = self.world.node("reader")

        async def read() -> tuple[RoutingTable, RoutingTable]:
            pool: Any = PostgresPool(reader, self.settings)
            decided = await Store(Database(pool, 1.0)).current()
            place = proxy_store.Store.of(SHARED)
            found = await proxy_store.stored(place.connect(1.0, 1.0), place.keys)
            return decided, restored(found, place.key)

        with reader.inside():
            task = reader.start(read())
        self.world.run(self.world.now + 5.0, task.done)
        tables: tuple[RoutingTable, RoutingTable] = task.result()
        return tables


def _first(lots: Random) -> Data:
    """A table that has been decided before: endpoints, and where the fenced tenants are."""
    data = Data()
    pinned = {tenant: lots.choice(tuple(Slot)).value for tenant in FENCED}
    head = Row(
        {
            **data.head,
            "version": 1,
            "blue_endpoints": [f"{BLUE}1:80"],
            "green_endpoints": [f"{GREEN}1:80"],
            "commit_id": "first",
        }
    )
    changes = {1: (encode_change(Change(1, ())), "first")}
    return Data(head=head, pins=pinned, changes=changes)


def _proxy(lots: Random) -> dict[str, Any]:
    """The data plane's settings."""
    lease_s = lots.choice((1.5, 3.0))
    policies = lots.choice((("serve", {}), ("park", {}), ("serve", {"f1": "park", "a1": "park"})))
    return {
        "follow": {
            "lease_s": lease_s,
            "renew_s": lease_s / 3,
            "without_lease": policies[0],
            "without_lease_tenants": policies[1],
        },
        "parking": {"wait_s": 4.0, "requests": lots.choice((3, 1000))},
        "metrics": {"tenants": 0},
        "access_log": {"format": "off"},
    }


@contextlib.contextmanager
def _errors(fault: Any) -> Iterator[None]:
    """What either plane logs as an error is a fault, but for stores that are away."""
    handler = _Errors(fault)
    log = logging.getLogger("turnout")
    level, propagates = log.level, log.propagate
    log.addHandler(handler)
    log.setLevel(logging.ERROR)
    log.propagate = False
    try:
        with watched_log(fault):
            yield
    finally:
        log.removeHandler(handler)
        log.setLevel(level)
        log.propagate = propagates


class _Errors(logging.Handler):
    def __init__(self, fault: Any) -> None:
        super().__init__(logging.ERROR)
        self._fault = fault

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if record.exc_info:
            text = f"{text}: {record.exc_info[1]!r}"
        self._fault(f"logged as an error: {text}")
