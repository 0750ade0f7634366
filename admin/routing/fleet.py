"""Who serves which version: follows the workers' news and lets a change wait for all of them.

Rules: nothing is polled to find an ack: news wakes who waits. News may be lost (that is what
pub/sub is), so the registry is read after each new subscription, at the end of a lease that is
waited for, and by the reconciler.
"""

import asyncio
from time import monotonic
from typing import Any

import structlog
from redis.asyncio import Redis

from admin.routing.events import Hub
from admin.routing.publish import FAULTS, Publisher, Snapshot, StoreUnavailableError
from admin.routing.view import DEFAULT_LEASE_S, Event, FleetView
from proxy.routing.ack import Convergence, WorkerStatus, converge, decode_status
from proxy.routing.change import ContractError
from proxy.routing.keys import Keys

log = structlog.get_logger(__name__)
RECONNECT_S = 0.25
RECHECK_S = 0.05
SETTLE_S = 1.5
"""Workers come back within this after Redis; until then nobody's absence means much. (Those that we
know and that don't come back are waited for until their leases end.)"""


class Fleet:
    """The live workers. published: the version in Redis, -1 unknown. reachable: Redis answers."""

    def __init__(
        self, redis: "Redis", keys: Keys, publisher: Publisher, hub: Hub, timeout_s: float
    ) -> None:
        self._redis, self._keys, self._publisher, self._hub = redis, keys, publisher, hub
        self._timeout_s = timeout_s
        self._view = FleetView(publisher.forget_s)
        self._changed = asyncio.Event()
        self._settled_at = float("-inf")
        self._knows_all = False
        self._expected: tuple[int, float] | None = None
        self.published = -1
        self.reachable: bool | None = None

    def convergence(self, version: int) -> Convergence:
        """Who of the live workers serves this version or a later one, as known now."""
        return converge(version, self._view.live())

    def is_converged(self, version: int) -> bool:
        """Whether the version is published and no live worker is waited for."""
        if version > self.published or monotonic() < self._settled_at:
            return False
        return self.convergence(version).converged

    def live(self) -> list[WorkerStatus]:
        """What the workers that count last said."""
        return self._view.live()

    @property
    def silent(self) -> tuple[WorkerStatus, ...]:
        """What those last said who fell silent: they may still serve."""
        return self._view.silent

    def wake(self) -> None:
        """Have those look again who wait for a change."""
        self._tell([])

    async def changed(self, limit_s: float) -> None:
        """Wait for news of any worker, or for the registry to be due: seconds at most."""
        changed = self._changed
        try:
            async with asyncio.timeout(limit_s):
                await changed.wait()
        except TimeoutError:
            await self._look_again()

    @property
    def live_count(self) -> int:
        """How many workers count."""
        return len(self._view.live())

    def settle(self, lasts_s: float | None = None) -> None:
        """The registry was lost: give the workers time to return before "all" means anything.

        lasts_s: by default as long as it takes, or for an admin that has not known them before, as
        long as one that doesn't return may serve by its lease.
        """
        if lasts_s is None:
            lasts_s = SETTLE_S if self._knows_all else DEFAULT_LEASE_S
        self._settled_at = max(self._settled_at, monotonic() + lasts_s)

    def expect(self, version: int, started: float) -> None:
        """Tell listeners when all serve this version. started: what ack_ms counts from."""
        self._expected = (version, started)
        self._tell([])

    async def wait(self, version: int, deadline: float) -> tuple[Convergence, bool]:
        """Who serves the version, and whether that is all: once it is, or at the deadline.

        deadline: monotonic seconds.
        """
        while True:
            outcome, converged = self.convergence(version), self.is_converged(version)
            now = monotonic()
            if converged or now >= deadline:
                return outcome, converged
            changed = self._changed
            look_at = max(
                min(self._view.ends(outcome.pending), self._next_look(now)), now + RECHECK_S
            )
            try:
                async with asyncio.timeout(min(deadline, look_at) - now):
                    await changed.wait()
            except TimeoutError:
                if look_at < deadline:
                    await self._look_again()

    async def refresh(self) -> Snapshot:
        """Read the registry. StoreUnavailableError."""
        try:
            snapshot = await self._publisher.look()
        except StoreUnavailableError:
            self._reach(False)
            raise
        self.take(snapshot)
        return snapshot

    def take(self, snapshot: Snapshot) -> None:
        """The registry was read, on its own or by a publication."""
        is_doubtful = self._is_doubtful(snapshot)
        if not self.reachable and is_doubtful:
            self.settle()
        self._knows_all |= snapshot.version >= 0 and not is_doubtful
        self._reach(True)
        self.published = snapshot.version
        self._tell(self._view.read(snapshot, monotonic()))

    def _is_doubtful(self, snapshot: Snapshot) -> bool:
        """Whether workers may be missing only because Redis was: leases ended meanwhile."""
        leases = snapshot.leases
        ended = any(lease.remaining_ms <= 0 for lease in leases)
        return ended or (self.reachable is False and not leases)

    async def follow(self) -> None:
        """Follow the news for ever."""
        while True:
            try:
                await self._listen()
            except (*FAULTS, StoreUnavailableError) as error:
                log.warning("the workers' news is cut off", fault=type(error).__name__)
            await asyncio.sleep(RECONNECT_S)

    def _next_look(self, now: float) -> float:
        return self._settled_at if self._settled_at > now else float("inf")

    async def _look_again(self) -> None:
        try:
            await self.refresh()
        except StoreUnavailableError:
            return

    async def _listen(self) -> None:
        async with self._redis.pubsub() as pubsub:
            await pubsub.subscribe(self._keys.news)
            asked = False
            while True:
                message = await pubsub.get_message(timeout=self._timeout_s)
                if message is not None:
                    asked = False
                    await self._hear(message)
                elif asked:
                    raise TimeoutError
                else:
                    # Silence may be a dead connection: it has to answer a ping in time.
                    await pubsub.ping()
                    asked = True

    async def _hear(self, message: dict[str, Any]) -> None:
        if message["type"] == "subscribe":
            # Also after the client's own reconnection: what was said before is in the registry.
            await self.refresh()
        if message["type"] != "message":
            return
        try:
            status = decode_status(message["data"])
        except ContractError as error:
            log.warning("a worker's news can't be read", fault=str(error))
            return
        self._tell(self._view.hear(status, monotonic()))

    def _reach(self, reachable: bool) -> None:
        if reachable is not self.reachable:
            self.reachable = reachable
            log.log(20 if reachable else 40, "redis", reachable=reachable)
            self._hub.tell("store", {"reachable": reachable})

    def _tell(self, events: list[Event]) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
        for kind, document in events:
            self._hub.tell(kind, document)
        if self._expected and self.is_converged(self._expected[0]):
            version, started = self._expected
            self._expected = None
            ack_ms = (monotonic() - started) * 1000
            self._hub.tell(
                "converged",
                {"version": version, "ack_ms": round(ack_ms, 3), "workers": self.live_count},
            )
