"""Following the routing log in Redis: register, load, follow, acknowledge.

Rules:
1. The lease is taken before the table is loaded, also after a break, so no change is called
   served without us.
2. A version is said only after `swap`: a request parsed after that is decided by it.
3. The version never goes down. A table below ours (a server that lost writes) is not taken, nor as
   our first one while others on this node serve a newer one.
4. A gap (trimmed log, emptied server, an entry that says "load again") loads the table anew.
5. What doesn't decode, isn't signed or doesn't fit is not applied; the reason is reported.
6. Without Redis, traffic goes on by the table that we have; we try again for as long as it takes.
   Nothing that lies in Redis ends following.
7. Who has no table and gets none from Redis takes the one on disk, unless others on this node serve
   a newer one. Redis' own takes its place, also at the same version.
8. Whether the lease runs is known by our own clock (`proxy.lease`), and told when it changes.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace

from redis.asyncio import Redis

from proxy.config import Follow
from proxy.last_good import LastGood, last_good
from proxy.lease import Lease
from proxy.observability import telemetry
from proxy.observability.telemetry import Block
from proxy.routing.ack import MAX_ERROR, WorkerStatus, encode_status
from proxy.routing.change import ContractError, apply
from proxy.routing.codec import decode_change
from proxy.routing.envelope import verify
from proxy.routing.model import RoutingTable
from proxy.routing.stored import restored, snapshot
from proxy.store import UNREACHABLE, Store, close, entry_version, number, script, stored

log = logging.getLogger("turnout.follow")

_BLOCK_MS = 1000
_BATCH = 100
_REFUSALS_KEPT = 8


class Follower:
    """One worker's view of the routing. on_table: called with each new table, in order.

    report: what is under way, parked and held, as of now, put into a status. served: the highest
    version that workers on this node serve by.
    """

    def __init__(
        self,
        store: Store,
        settings: Follow,
        status: WorkerStatus,
        block: Block,
        on_table: Callable[[RoutingTable], None],
        report: Callable[[WorkerStatus], WorkerStatus],
        served: Callable[[], int] = int,
    ) -> None:
        self._store = store
        self._settings = settings
        self._status = status
        self._block = block
        self._on_table = on_table
        self._report = report
        self._served = served
        self._table: RoutingTable | None = None
        self._lease = Lease(settings.lease_s)
        self._leased = False
        self._lease_timer: asyncio.TimerHandle | None = None
        self.on_lease: Callable[[bool], None] = _nobody
        self._from_disk = False
        self._known_lost = False
        self._known_behind = -1
        self._ended = False
        self._refused: deque[str] = deque(maxlen=_REFUSALS_KEPT)
        self._registered = asyncio.Event()
        self._news = asyncio.Event()
        self.loaded = asyncio.Event()

    @property
    def version(self) -> int:
        """The version that requests are decided by; 0 without a table."""
        return 0 if self._table is None else self._table.version

    def say(self, state: str) -> None:
        """Report another state (serving, draining) at once."""
        self._status = replace(self._status, state=state)
        self._news.set()

    def tell(self) -> None:
        """Something to report has changed: do it at once."""
        self._news.set()

    def end(self) -> None:
        """`follow` and `renew` return where they would go on: call it before cancelling them.

        asyncio.wait_for, through which redis-py sends, loses a cancellation that comes as the
        sending ends (before Python 3.12): what is only cancelled may go on for ever.
        """
        self._ended = True
        self._news.set()
        if self._lease_timer is not None:
            self._lease_timer.cancel()

    async def follow(self) -> None:
        """Load and follow until the end."""
        while not self._ended:
            client = self._connect(_BLOCK_MS / 1000 + self._settings.store_timeout_s)
            try:
                await self._registered.wait()
                await self._follow(client)
            except UNREACHABLE as error:
                self._lost(error)
                self._register_again()
            except Exception:
                # A worker that renews its lease and follows no more would never converge.
                log.exception("following failed at version %d; loading again", self.version)
            finally:
                await close(client)
            await asyncio.sleep(self._settings.reconnect_s)

    async def renew(self) -> None:
        """Keep the lease and report each new status at once, until the end."""
        while not self._ended:
            client = self._connect(self._settings.store_timeout_s)
            try:
                await self._renew(client)
            except UNREACHABLE as error:
                self._lost(error)
            except Exception:
                # One that follows and renews no more would serve unseen, without a lease.
                log.exception("renewing the lease failed; trying again")
            finally:
                await close(client)
            await asyncio.sleep(self._settings.reconnect_s)

    async def leave(self) -> None:
        """Give the lease back; if the store can't be reached, it ends by itself."""
        client = self._connect(self._settings.store_timeout_s)
        keys = self._store.keys
        gone = encode_status(replace(self._current_status(), state="gone"))
        try:
            await client.eval(
                script("leave"), 2, keys.leases, keys.workers, self._status.worker, gone, keys.news
            )
        except UNREACHABLE as error:
            log.warning("could not give the lease back: %s", type(error).__name__)
        finally:
            await close(client)

    def _connect(self, timeout_s: float) -> Redis:
        return self._store.connect(timeout_s, self._settings.store_timeout_s)

    # ── the lease ─────────────────────────────────────────────────────────────────────────────

    async def _renew(self, client: Redis) -> None:
        renew = client.register_script(script("renew"))
        keys = self._store.keys
        lease_ms = int(self._settings.lease_s * 1000)
        while not self._ended:
            self._news.clear()
            status = encode_status(self._current_status())
            asked = time.monotonic()
            published = await renew(
                keys=[keys.leases, keys.workers],
                args=[self._status.worker, status, lease_ms, keys.news, keys.table],
            )
            self._renewed(asked, number(published))
            if not self._block.cells[telemetry.STORE_REACHABLE]:
                log.info("the routing store is reachable")
            self._block.cells[telemetry.STORE_REACHABLE] = 1
            self._known_lost = False
            self._registered.set()
            try:
                async with asyncio.timeout(self._settings.renew_s):
                    await self._news.wait()
            except TimeoutError:
                pass

    def _renewed(self, asked: float, published: int) -> None:
        """The store has answered. asked: when we asked, monotonic seconds."""
        cells = self._block.cells
        # A store that lost writes stands below what was called served with our neighbours.
        needed = max(published, self._served()) if published > 0 else published
        self._lease.renewed(asked, needed, time.monotonic())
        self._look_at_lease()
        cells[telemetry.LEASE_ENDS] = int(self._lease.ends * 1000)
        cells[telemetry.STORE_VERSION] = max(published, 0)
        if published == self.version and not self._from_disk:
            cells[telemetry.CURRENT] = int(asked * 1000)

    def _look_at_lease(self) -> None:
        """Tell if it is another than before, and look again when it ends."""
        now = time.monotonic()
        leased = self._lease.holds(self.version, now)
        if leased is not self._leased:
            self._leased = leased
            self._block.cells[telemetry.LEASED] = leased
            if not leased:
                log.warning("the lease is over: the store has not been reached in time")
            self.on_lease(leased)
        if self._lease_timer is not None:
            self._lease_timer.cancel()
            self._lease_timer = None
        if leased:
            loop = asyncio.get_running_loop()
            self._lease_timer = loop.call_later(self._lease.ends - now, self._look_at_lease)

    def _register_again(self) -> None:
        """The lease may have ended while the store was away: rule 1 holds for the next load too."""
        self._registered.clear()
        self._news.set()

    def _current_status(self) -> WorkerStatus:
        age_ms = 0
        if self._table is not None:
            age_ms = max(int(time.monotonic() * 1000) - self._block.cells[telemetry.CURRENT], 0)
        status = replace(
            self._status, version=self.version, from_disk=self._from_disk, age_ms=age_ms
        )
        return self._report(status)

    def _lost(self, error: Exception) -> None:
        if not self._known_lost:
            self._known_lost = True
            log.warning(
                "the routing store can't be reached (%s); going on with version %d",
                type(error).__name__,
                self.version,
            )
        self._block.cells[telemetry.STORE_REACHABLE] = 0

    # ── the log ───────────────────────────────────────────────────────────────────────────────

    async def _follow(self, client: Redis) -> None:
        await self._load(client)
        log_key = self._store.keys.log
        while not self._ended:
            position = f"{self.version}-0"
            streams = await client.xread({log_key: position}, count=_BATCH, block=_BLOCK_MS)
            for entry_id, entry in _entries(streams):
                if not self._take(entry_id, entry):
                    await self._load_after(client)
                    break
            # `renew` goes first: a switch waits for its ack, and nobody for our next question.
            await asyncio.sleep(0)

    def _take(self, entry_id: bytes, entry: dict[bytes, bytes]) -> bool:
        """Apply one entry. False where only the whole table helps."""
        version = entry_version(entry_id)
        if version <= self.version:
            return True
        if self._table is None or version != self.version + 1:
            return False
        body = entry.get(b"body", b"")
        try:
            verify("change", version, body, entry.get(b"mac", b""), self._store.key)
            change = decode_change(body)
            if not change.operations:
                return False
            self._swap(apply(self._table, change))
        except ContractError as error:
            self._refuse(version, error)
            return False
        return True

    async def _load(self, client: Redis) -> None:
        asked = time.monotonic()
        found = await stored(client, self._store.keys)
        version = found.version
        if version <= self.version and not (self._from_disk and version == self.version):
            if self._table is not None:
                self._check_ahead(version)
            return
        if self._table is None and version < self._served():
            self._wait_for_newer(version)
            return
        try:
            table = restored(found, self._store.key)
        except ContractError as error:
            self._refuse(version, error)
            return
        self._block.cells[telemetry.RELOADS] += 1
        self._block.cells[telemetry.CURRENT] = int(asked * 1000)
        self._note_source(from_disk=False)
        self._swap(table)

    # ── the disk ──────────────────────────────────────────────────────────────────────────────

    async def fall_back(self, newest: Callable[[], int]) -> None:
        """Take the table on disk once the store has kept us waiting for `state_wait_s`.

        newest: the highest version that others on this node serve by.
        """
        file = last_good(self._store, self._settings)
        while file is not None and self._table is None:
            try:
                async with asyncio.timeout(self._settings.state_wait_s):
                    await self.loaded.wait()
            except TimeoutError:
                self._take_kept(file, newest())

    def _take_kept(self, file: LastGood, newest: int) -> None:
        try:
            kept = file.read()
            if kept is None or kept.version < newest:
                return
            table = snapshot(kept.version, kept.body, kept.mac, self._store.key)
        except (ContractError, OSError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            if reason not in self._refused:
                self._refused.append(str(reason))
                log.error("the table on disk, %s, is not used: %s", file.path, reason)  # noqa: TRY400 - no trace: the cause is known
            return
        now = time.time()  # noqa: TID251 - the file may be older than the machine's last start
        age_s = max(now - kept.written_s, 0.0)
        log.warning("serving by the table on disk: version %d, %.0f s old", kept.version, age_s)
        self._block.cells[telemetry.CURRENT] = int((time.monotonic() - age_s) * 1000)
        self._note_source(from_disk=True)
        self._swap(table)

    def _note_source(self, *, from_disk: bool) -> None:
        self._from_disk = from_disk
        self._block.cells[telemetry.FROM_DISK] = from_disk

    async def _load_after(self, client: Redis) -> None:
        """Load because an entry could not be applied; if that doesn't help, take a breath."""
        before = self.version
        await self._load(client)
        if self.version == before:
            await asyncio.sleep(self._settings.reconnect_s)

    def _check_ahead(self, stored_at: int) -> None:
        if stored_at < self.version:
            log.warning(
                "the store is at version %s, behind ours (%d): waiting for it to be published anew",
                "none" if stored_at < 0 else stored_at,
                self.version,
            )

    def _wait_for_newer(self, stored_at: int) -> None:
        """What the store has was overtaken; it is looked at again and again, and told once."""
        if stored_at != self._known_behind:
            self._known_behind = stored_at
            log.warning(
                "the store is at version %d, behind what others here serve: waiting for it to be"
                " published anew",
                stored_at,
            )

    def _swap(self, table: RoutingTable) -> None:
        self._on_table(table)
        self._table = table
        self._status = replace(self._status, error="")
        self._refused.clear()
        self._block.cells[telemetry.VERSION] = table.version
        self._look_at_lease()
        self.loaded.set()
        self._news.set()

    def _refuse(self, version: int, error: ContractError) -> None:
        """Report it once: what stays in the store is read again, but is no news."""
        reason = f"version {version}: {error}"[:MAX_ERROR]
        if reason in self._refused:
            return
        self._refused.append(reason)
        log.error("version %d is not applied: %s", version, error)
        self._block.cells[telemetry.REJECTED_ENTRIES] += 1
        self._status = replace(self._status, error=reason)
        self._news.set()


def _entries(streams: object) -> list[tuple[bytes, dict[bytes, bytes]]]:
    """XREAD's answer, which RESP2 gives as a list and RESP3 as a mapping of lists."""
    if isinstance(streams, dict):
        found = [entries for groups in streams.values() for entries in groups]
        return [entry for entries in found for entry in entries]
    if isinstance(streams, list):
        return [entry for _, entries in streams for entry in entries]
    return []


def _nobody(_: bool) -> None:
    """Nobody asks whether the lease runs."""
