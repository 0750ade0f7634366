"""What happens to the fleet during a soak: routing changes every second, and faults in turn.

Rules: workers are replaced (killed, reloaded) in the first part of the run only, so that those
who serve then can be watched for the rest of it. A change is sent only while Redis runs, and the
next when it is acknowledged by every worker.
"""

import asyncio
import os
import random
import signal
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence

from proxy.routing.change import Change, Cutover, Operation, Pin, SetCanary, SetEndpoints, Unpin
from proxy.routing.change import apply as applied
from proxy.routing.model import Endpoint as Address
from proxy.routing.model import Slot
from tests.soak.books import Books
from tests.soak.endpoint import Endpoint
from tests.soak.history import History
from tests.soak.watch import clients_of, wait_stopped
from tests.support.fleet import Fleet, Routing

CHANGE_S = 1.0
REPLACING = 0.3
"""The share of the run in which workers are replaced."""
SETTLES_S = 60.0
_ACK_TRIES = 4


Happening = Callable[[], Awaitable[None]]


class Director:
    """See the module. ends: when the faults end, monotonic seconds. ports: those of the proxy.

    also: what happens beside the faults that every soak has, by name.
    """

    def __init__(
        self,
        fleet: Fleet,
        routing: Routing,
        history: History,
        books: Books,
        endpoints: Sequence[Endpoint],
        redis_pid: int,
        rng: random.Random,
        *,
        ports: Sequence[int],
        also: Mapping[str, Happening],
    ) -> None:
        self.fleet, self.routing, self.history, self.books = fleet, routing, history, books
        self.endpoints, self.redis_pid, self.rng = endpoints, redis_pid, rng
        self.ports, self.also = ports, also
        self.log: list[tuple[str, float, float]] = []
        self.done: Counter[str] = Counter()
        self.stopping = False
        self._store = asyncio.Lock()

    # ── routing ───────────────────────────────────────────────────────────────────────────────

    async def change_routing(self, tenants: Sequence[str]) -> None:
        """Change something each second until told to stop."""
        while not self.stopping:
            async with self._store:
                await self.publish(*self._drawn(tenants))
            await asyncio.sleep(CHANGE_S)

    async def publish(self, *operations: Operation) -> None:
        """Publish one change and wait until all workers serve it."""
        table = applied(self.routing.table, Change(self.routing.table.version + 1, operations))
        self.history.sent(table, _now())
        version = await self.routing.change(*operations)
        for tries in range(_ACK_TRIES):
            try:
                await self.routing.acked(version, self.fleet.workers_wanted)
                break
            except AssertionError as error:
                if tries == _ACK_TRIES - 1:
                    self.books.complain(f"a change was never acknowledged: {error}")
        self.history.acked(_now())
        self.done["routing change"] += 1

    def endpoints_of(self, slot: Slot) -> SetEndpoints:
        """All of the slot's endpoints, as a change."""
        own = [each for each in self.endpoints if each.slot == slot]
        return SetEndpoints(slot, tuple(Address("127.0.0.1", each.port) for each in own))

    def _drawn(self, tenants: Sequence[str]) -> tuple[Operation, ...]:
        rng, tenant = self.rng, self.rng.choice(tenants)
        slot = rng.choice((Slot.BLUE, Slot.GREEN))
        whole = self.endpoints_of(slot)
        choices: tuple[tuple[Operation, ...], ...] = (
            (Pin(tenant, slot),),
            (Unpin(tenant), Pin(rng.choice(tenants), slot)),
            (SetCanary(rng.randrange(10_001)),),
            (Cutover(self.routing.table.active.other),),
            (SetEndpoints(slot, (rng.choice(whole.endpoints),)),),
            (whole,),
        )
        return rng.choice(choices)

    # ── faults ────────────────────────────────────────────────────────────────────────────────

    async def break_things(self, ends: float) -> None:
        """One fault after the other: each kind once, then shuffled decks, until the end."""
        replacing_ends = _now() + REPLACING * (ends - _now())
        lasting: dict[str, Happening] = {
            "endpoint down": self._one_down,
            "slot down": self._slot_down,
            "Redis stopped": self._stop_redis,
            **self.also,
        }
        faults = {**lasting, "worker killed": self._kill, "reload": self._reload}
        deck: list[str] = []
        while _now() < ends and not self.stopping:
            if not deck:
                replacing = _now() < replacing_ends
                deck = [*faults] if replacing else [*lasting] * 2
                self.rng.shuffle(deck)
            name = deck.pop()
            began = _now()
            await faults[name]()
            self.log.append((name, began, _now()))
            self.done[name] += 1
            await asyncio.sleep(self.rng.uniform(0.2, 2.0))

    async def _one_down(self) -> None:
        await self._down([self.rng.choice(self.endpoints)])

    async def _slot_down(self) -> None:
        slot = self.rng.choice(("blue", "green"))
        await self._down([each for each in self.endpoints if each.slot == slot])

    async def _down(self, endpoints: Sequence[Endpoint]) -> None:
        down = [_now(), float("inf")]
        self.books.downs.append(down)
        for endpoint in endpoints:
            endpoint.down()
        await asyncio.sleep(self.rng.uniform(0.3, 1.5))
        for endpoint in endpoints:
            await endpoint.up()
        down[1] = _now()

    async def _stop_redis(self) -> None:
        async with self._store:
            os.kill(self.redis_pid, signal.SIGSTOP)
            try:
                await asyncio.sleep(self.rng.uniform(0.5, 2.5))
            finally:
                os.kill(self.redis_pid, signal.SIGCONT)

    async def _kill(self) -> None:
        """kill -9, after a look at whose connections it holds."""
        pids = await self.fleet.pids()
        victim = self.rng.choice(sorted(pids))
        os.kill(victim, signal.SIGSTOP)
        wait_stopped(victim)
        self.books.kill(clients_of(victim, self.ports), _now())
        os.kill(victim, signal.SIGKILL)
        await self._whole(unlike={victim})

    async def _reload(self) -> None:
        before = await self.fleet.pids()
        self.fleet.child.send(signal.SIGHUP)
        await self._whole(unlike=before)

    async def _whole(self, unlike: set[int]) -> None:
        """Wait until as many workers as wanted serve, and none that is replaced is left."""

        def whole(workers: list[dict[str, object]]) -> bool:
            serving = {each["pid"] for each in workers if each["state"] == "serving"}
            wanted = self.fleet.workers_wanted
            return len(workers) == len(serving) == wanted and not serving & unlike

        await self.fleet.until(whole, "the whole fleet serves", SETTLES_S)


def _now() -> float:
    return asyncio.get_running_loop().time()
