"""Following the routing log in Redis: register, load, follow, acknowledge.

Rules:
1. The lease is taken before the table is loaded, also after a break, so no change is called
   served without us.
2. A version is said only after `swap`: a request parsed after that is decided by it.
3. The version never goes down. A table below ours (a server that lost writes) is not taken.
4. A gap (trimmed log, emptied server, an entry that says "load again") loads the table anew.
5. What doesn't decode, isn't signed or doesn't fit is not applied; the reason is reported.
6. Without Redis, traffic goes on by the table that we have; we try again for as long as it takes.
   Nothing that lies in Redis ends following.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.resources import files

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from proxy.config import Follow
from proxy.observability import telemetry
from proxy.observability.telemetry import Block
from proxy.routing.ack import MAX_ERROR, WorkerStatus, encode_status
from proxy.routing.change import ContractError, apply
from proxy.routing.codec import decode_change, decode_table
from proxy.routing.envelope import verify
from proxy.routing.keys import Keys
from proxy.routing.model import RoutingTable

log = logging.getLogger("turnout.follow")

_BLOCK_MS = 1000
_BATCH = 100
_VERSION_DIGITS = 16  # of 2**53 - 1
_REFUSALS_KEPT = 8
_UNREACHABLE = (RedisError, OSError, TimeoutError)


@dataclass(frozen=True, slots=True)
class Store:
    """Where the routing lies. key: proves who wrote it; empty where nothing is signed."""

    url: str
    keys: Keys
    key: bytes


class Follower:
    """One worker's view of the routing. on_table: called with each new table, in order.

    report: what is under way, parked and held, as of now, put into a status.
    """

    def __init__(
        self,
        store: Store,
        settings: Follow,
        status: WorkerStatus,
        block: Block,
        on_table: Callable[[RoutingTable], None],
        report: Callable[[WorkerStatus], WorkerStatus],
    ) -> None:
        self._store = store
        self._settings = settings
        self._status = status
        self._block = block
        self._on_table = on_table
        self._report = report
        self._table: RoutingTable | None = None
        self._known_lost = False
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

    async def follow(self) -> None:
        """Load and follow until the end."""
        while not self._ended:
            client = self._connect(_BLOCK_MS / 1000 + self._settings.store_timeout_s)
            try:
                await self._registered.wait()
                await self._follow(client)
            except _UNREACHABLE as error:
                self._lost(error)
                self._register_again()
            except Exception:
                # A worker that renews its lease and follows no more would never converge.
                log.exception("following failed at version %d; loading again", self.version)
            finally:
                await _close(client)
            await asyncio.sleep(self._settings.reconnect_s)

    async def renew(self) -> None:
        """Keep the lease and report each new status at once, until the end."""
        while not self._ended:
            client = self._connect(self._settings.store_timeout_s)
            try:
                await self._renew(client)
            except _UNREACHABLE as error:
                self._lost(error)
            except Exception:
                # One that follows and renews no more would serve unseen, without a lease.
                log.exception("renewing the lease failed; trying again")
            finally:
                await _close(client)
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
        except _UNREACHABLE as error:
            log.warning("could not give the lease back: %s", type(error).__name__)
        finally:
            await _close(client)

    def _connect(self, timeout_s: float) -> Redis:
        return connect(self._store.url, self._settings, timeout_s)

    # ── the lease ─────────────────────────────────────────────────────────────────────────────

    async def _renew(self, client: Redis) -> None:
        renewal = client.register_script(script("renew"))
        keys = self._store.keys
        lease_ms = int(self._settings.lease_s * 1000)
        while not self._ended:
            self._news.clear()
            status = encode_status(self._current_status())
            await renewal(
                keys=[keys.leases, keys.workers],
                args=[self._status.worker, status, lease_ms, keys.news],
            )
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

    def _register_again(self) -> None:
        """The lease may have ended while the store was away: rule 1 holds for the next load too."""
        self._registered.clear()
        self._news.set()

    def _current_status(self) -> WorkerStatus:
        return self._report(replace(self._status, version=self.version))

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

    def _take(self, entry_id: bytes, entry: dict[bytes, bytes]) -> bool:
        """Apply one entry. False where only the whole table helps."""
        version = int(entry_id.partition(b"-")[0])
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
        stored = await client.hmget(self._store.keys.table, ["version", "body", "mac"])
        version, body, mac = (value if isinstance(value, bytes) else b"" for value in stored)
        stored_at = _version(version)
        if stored_at <= self.version:
            if self._table is not None:
                self._check_ahead(stored_at)
            return
        try:
            verify("table", stored_at, body, mac, self._store.key)
            table = _table_at(stored_at, body)
        except ContractError as error:
            self._refuse(stored_at, error)
            return
        self._block.cells[telemetry.RELOADS] += 1
        self._swap(table)

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

    def _swap(self, table: RoutingTable) -> None:
        self._on_table(table)
        self._table = table
        self._status = replace(self._status, error="")
        self._refused.clear()
        self._block.cells[telemetry.VERSION] = table.version
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


def _version(stored: bytes) -> int:
    """The table's version as it stands in the store; -1 for none, or none that it could be."""
    return int(stored) if stored.isdigit() and len(stored) <= _VERSION_DIGITS else -1


def _table_at(version: int, body: bytes) -> RoutingTable:
    table = decode_table(body)
    if table.version != version:
        raise ContractError("the table is of another version than it says")
    return table


async def _close(client: Redis) -> None:
    try:
        await client.aclose()
    except _UNREACHABLE as error:
        log.debug("a connection to the store did not close well: %s", type(error).__name__)


def connect(url: str, settings: Follow, timeout_s: float) -> Redis:
    """A client to the store that tries nothing twice. timeout_s: for each answer."""
    return Redis.from_url(
        url,
        socket_timeout=timeout_s,
        socket_connect_timeout=settings.store_timeout_s,
        retry=Retry(NoBackoff(), 0),
    )


def script(name: str) -> str:
    """A script of this folder, for the store to run."""
    return (files("proxy") / f"{name}.lua").read_text(encoding="utf-8")
