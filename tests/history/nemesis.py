"""What befalls the system: a seeded series of faults, each undone before the next begins.

Rules: a fault is written down with the moment before it was done and the moment after it was
undone. Some lie in each other (a worker dies on a node that is cut off, a failover while an admin
is away): those are kinds of their own. Each kind comes once, then decks of all are shuffled.
"""

import asyncio
import os
import random
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

from tests.history.links import DOWN, UP, Link
from tests.history.places import Place
from tests.history.record import Fault, Line
from tests.history.system import Admin, Node, System, command, kill, started, until
from tests.support.processes import Child

PAUSE_S = (0.3, 1.2)
WAYS = ("cut", "hold both", "hold up", "hold down")
SLOW_S = 0.15
WHOLE_S = 30.0


class Nemesis:
    """See the module. lease_s: of the workers; some faults outlast it, some don't."""

    def __init__(
        self, system: System, rng: random.Random, lease_s: float, write: Callable[[Line], None]
    ) -> None:
        self._system, self._rng, self._lease_s = system, rng, lease_s
        self._write = write

    async def run(self, ends: float, kinds: Sequence[str]) -> None:
        """One after the other until the end, monotonic seconds. kinds: of KINDS and WIRED."""
        deck: list[str] = []
        while time.monotonic() < ends:
            deck = deck or self._rng.sample(kinds, len(kinds))
            await (KINDS | WIRED)[deck.pop()](self)
            await asyncio.sleep(self._rng.uniform(*PAUSE_S))

    @asynccontextmanager
    async def _during(
        self, name: str, nodes: Iterable[Node] = (), admins: Iterable[Admin] = (), **more: Any
    ) -> AsyncIterator[dict[str, Any]]:
        """Write it down when it is over. Yields what may still be added to the record."""
        began = time.monotonic()
        try:
            yield more
        finally:
            line = Fault(
                name=name,
                began=began,
                ended=time.monotonic(),
                nodes=tuple(each.name for each in nodes),
                admins=tuple(each.name for each in admins),
                **more,
            )
            self._write(line)

    def _time_s(self) -> float:
        """How long a fault lasts: below a lease, or well beyond it."""
        short, long = (0.2, 0.7 * self._lease_s), (1.3 * self._lease_s, 2.5 * self._lease_s)
        return self._rng.uniform(*self._rng.choice((short, long)))

    async def _wait(self, seconds: float | None = None) -> None:
        await asyncio.sleep(self._time_s() if seconds is None else seconds)

    def _node(self) -> Node:
        return self._rng.choice(self._system.nodes)

    def _admin(self) -> Admin:
        return self._rng.choice(self._system.admins)

    def _all(self) -> dict[str, Any]:
        """Redis is away: from everybody."""
        return {"nodes": self._system.nodes, "admins": self._system.admins, "store": True}

    # ── processes ─────────────────────────────────────────────────────────────────────────────

    async def kill_worker(self) -> None:
        """kill -9; its supervisor starts another."""
        node = self._node()
        victim = self._rng.choice(sorted(node.pids))
        async with self._during("kill worker", [node], dead=(victim,)):
            await kill(victim)
            await self._whole(node)

    async def kill_supervisor(self) -> None:
        """kill -9; its workers drain and end; somebody starts it again, as systemd does."""
        node = self._node()
        async with self._during("kill supervisor", [node], dead=tuple(sorted(node.pids))):
            assert node.child is not None
            await kill(node.child.pid)
            await self._system.start_node(node)
            await self._whole(node)

    async def reload(self) -> None:
        """SIGHUP: other workers take over; nothing may be lost by it."""
        node = self._node()
        before = set(node.pids)
        async with self._during("reload", [node], retired=tuple(sorted(before))):
            assert node.child is not None
            node.child.send(signal.SIGHUP)

            async def is_done() -> bool:
                return await node.serves() and not node.pids & before

            with suppress(AssertionError):
                await until(is_done, f"node {node.name} has others", WHOLE_S)

    async def kill_admin(self) -> None:
        """kill -9; somebody starts it again a while later."""
        admin = self._admin()
        async with self._during("kill admin", admins=[admin]):
            await kill(_pid(admin.child))
            await self._wait(self._rng.uniform(0.1, 2.0))
            await self._system.start_admin(admin)

    async def pause_worker(self) -> None:
        """SIGSTOP, and SIGCONT later."""
        node = self._node()
        victim = self._rng.choice(sorted(node.pids))
        async with self._during("pause worker", [node], paused=(victim,)):
            await self._paused(victim)

    async def pause_node(self) -> None:
        """All workers of a node at once, for longer than a lease."""
        node = self._node()
        victims = tuple(sorted(node.pids))
        async with self._during("pause node", [node], paused=victims):
            seconds = self._rng.uniform(1.3, 2.0) * self._lease_s
            await asyncio.gather(*(self._paused(each, seconds) for each in victims))

    async def pause_admin(self) -> None:
        admin = self._admin()
        async with self._during("pause admin", admins=[admin]):
            await self._paused(_pid(admin.child))

    async def pause_store(self) -> None:
        """Redis stands still."""
        async with self._during("pause Redis", **self._all()):
            await self._paused(self._system.store.primary.pid)

    async def _paused(self, pid: int, seconds: float | None = None) -> None:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
            try:
                await self._wait(seconds)
            finally:
                os.kill(pid, signal.SIGCONT)

    async def _whole(self, node: Node) -> None:
        # Who doesn't come back is missed in the end.
        with suppress(AssertionError):
            await until(node.serves, f"node {node.name} is whole", WHOLE_S)

    # ── the network ───────────────────────────────────────────────────────────────────────────

    async def part_node(self) -> None:
        """A node can't reach Redis."""
        node = self._node()
        way = self._rng.choice(WAYS)
        async with self._during("part node", [node], store=True, detail=way):
            await self._parted(way, node.link)

    async def part_node_for_long(self) -> None:
        """A node can't reach Redis for more than two leases."""
        node = self._node()
        way = self._rng.choice(WAYS)
        async with self._during("part node", [node], store=True, detail=way):
            await self._parted(way, node.link, seconds=2.5 * self._lease_s)

    async def unplug_node(self) -> None:
        """A node's wire to the stores is pulled: its packets are gone."""
        node = self._node()
        async with self._during("part node", [node], store=True, detail="unplugged"):
            await self._unplugged(node.place)

    async def unplug_admin(self) -> None:
        """An admin's wire to both stores is pulled."""
        admin = self._admin()
        async with self._during("part admin", admins=[admin], store=True, detail="unplugged"):
            await self._unplugged(admin.place)

    async def _unplugged(self, place: Place) -> None:
        place.unplug()
        await self._wait()
        place.plug_in()

    async def part_admin(self) -> None:
        """An admin can't reach Redis."""
        admin, way = self._admin(), self._rng.choice(WAYS)
        async with self._during("part admin", admins=[admin], store=True, detail=way):
            await self._parted(way, admin.store)

    async def part_database(self) -> None:
        """An admin can't reach PostgreSQL."""
        admin, way = self._admin(), self._rng.choice(WAYS)
        async with self._during("part database", admins=[admin], detail=way):
            await self._parted(way, admin.database)

    async def slow(self) -> None:
        """All links are slow."""
        links = [*self._system.store_links, *(each.database for each in self._system.admins)]
        delay_s = self._rng.uniform(0.01, SLOW_S)
        async with self._during("slow links", detail=f"{delay_s * 1000:.0f} ms"):
            for each in links:
                each.slow(delay_s)
            await self._wait()
            for each in links:
                each.mend()

    async def _parted(self, way: str, link: Link, seconds: float | None = None) -> None:
        _part(link, way)
        await self._wait(seconds)
        link.mend()

    # ── Redis ─────────────────────────────────────────────────────────────────────────────────

    async def empty_store(self) -> None:
        """FLUSHALL."""
        async with self._during("empty Redis", **self._all()):
            await command(self._system.store.primary, "FLUSHALL")

    async def restart_store(self) -> None:
        """kill -9; it comes back with what its file has: at most the last second is lost."""
        store = self._system.store
        async with self._during("restart Redis", **self._all()):
            await asyncio.to_thread(store.primary.kill)
            await self._wait(self._rng.uniform(0.0, 1.0))
            await started(store.primary)
        await store.follow()

    async def fail_over(self) -> None:
        """The replica takes over, without the last writes."""
        await self._fail_over("failover")

    async def _fail_over(
        self, name: str, then: Callable[[], Awaitable[None]] | None = None
    ) -> None:
        """then: what happens as soon as the other one has taken over."""
        store = self._system.store
        lost_s = self._rng.uniform(0.1, 1.0)
        store.replication.cut()
        await self._wait(lost_s)
        async with self._during(name, detail=f"{lost_s:.2f} s lost", **self._all()):
            await asyncio.to_thread(store.primary.kill)
            await store.promote()
            for link in self._system.store_links:
                link.lead(store.primary.port)
        if then is not None:
            await then()
        await started(store.replica)
        await store.follow()

    async def restart_database(self) -> None:
        """PostgreSQL ends its sessions, and comes back: nothing can be changed meanwhile."""
        database = self._system.database
        async with self._during("restart PostgreSQL", admins=self._system.admins):
            await asyncio.to_thread(database.stop)
            await self._wait(self._rng.uniform(0.0, 1.0))
            await started(database)

    # ── several at once ───────────────────────────────────────────────────────────────────────

    async def fail_over_kill(self) -> None:
        """A worker dies with the failover: the new one finds a table that is behind."""
        await self._fail_over("failover", self.kill_worker)

    async def part_kill(self) -> None:
        """A worker dies on a node that is cut off: the new one has nobody to ask."""
        node = self._node()
        victim = self._rng.choice(sorted(node.pids))
        async with self._during(
            "part node, kill worker", [node], store=True, dead=(victim,), detail="cut"
        ):
            node.link.cut()
            await kill(victim)
            await self._wait(1.5 * self._lease_s)
            node.link.mend()
            await self._whole(node)

    async def part_kill_supervisor(self) -> None:
        """A node that is cut off starts anew: by the table on its disk, and nobody says goodbye."""
        node = self._node()
        dead = tuple(sorted(node.pids))
        async with self._during("part node, kill supervisor", [node], store=True, dead=dead):
            node.link.cut()
            assert node.child is not None
            await kill(node.child.pid)
            await self._system.start_node(node)
            await self._wait(1.5 * self._lease_s)
            node.link.mend()
            await self._whole(node)

    async def part_empty(self) -> None:
        """Redis is emptied while a node is cut off: nobody remembers its workers."""
        node = self._node()
        way = self._rng.choice(WAYS[:2])
        async with self._during("part node, empty Redis", **self._all(), detail=way):
            _part(node.link, way)
            await self._wait(0.3)
            await command(self._system.store.primary, "FLUSHALL")
            await self._wait(2.5 * self._lease_s)
            node.link.mend()


def _part(link: Link, way: str) -> None:
    if way == "cut":
        link.cut()
    else:
        link.hold(*{"hold both": (UP, DOWN), "hold up": (UP,), "hold down": (DOWN,)}[way])


def _pid(child: Child | None) -> int:
    assert child is not None
    return child.pid


KINDS: dict[str, Callable[[Nemesis], Awaitable[None]]] = {
    "kill-worker": Nemesis.kill_worker,
    "kill-supervisor": Nemesis.kill_supervisor,
    "reload": Nemesis.reload,
    "kill-admin": Nemesis.kill_admin,
    "pause-worker": Nemesis.pause_worker,
    "pause-node": Nemesis.pause_node,
    "pause-admin": Nemesis.pause_admin,
    "pause-store": Nemesis.pause_store,
    "part-node": Nemesis.part_node,
    "part-node-for-long": Nemesis.part_node_for_long,
    "part-admin": Nemesis.part_admin,
    "part-database": Nemesis.part_database,
    "slow": Nemesis.slow,
    "empty-store": Nemesis.empty_store,
    "restart-store": Nemesis.restart_store,
    "restart-database": Nemesis.restart_database,
    "failover": Nemesis.fail_over,
    "failover-kill": Nemesis.fail_over_kill,
    "part-kill": Nemesis.part_kill,
    "part-kill-supervisor": Nemesis.part_kill_supervisor,
    "part-empty": Nemesis.part_empty,
}
"""All that can happen, by the name that `--faults` takes."""
WIRED: dict[str, Callable[[Nemesis], Awaitable[None]]] = {
    "unplug-node": Nemesis.unplug_node,
    "unplug-admin": Nemesis.unplug_admin,
}
"""What can happen too where each has a network namespace."""
