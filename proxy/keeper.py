"""What one process of a node does at the store for all its workers.

It runs in the management process, so that neither a worker nor the supervisor waits for a disk or
for a worker that is dead. Rules:
1. The table that the workers serve is kept on disk as its snapshot was published, once somebody
   serves it, soon after it changed, and no more often than `follow.state_write_s` says.
2. Whoever died without a goodbye (kill -9) gets it from here, so that nobody waits for its lease. While
   the store is away, that is tried again.
"""

import asyncio
import contextlib
import logging
import os
import time
from collections import deque
from dataclasses import replace

from redis.asyncio import Redis

from proxy.config import Follow
from proxy.last_good import LastGood, Sealed, last_good
from proxy.observability.telemetry import Telemetry
from proxy.routing.ack import WorkerStatus, decode_status, encode_status
from proxy.routing.change import ContractError
from proxy.routing.envelope import verify
from proxy.store import UNREACHABLE, Store, close, script, stored

log = logging.getLogger("turnout.keeper")

_MAX_DEAD = 1_000
_READ_BYTES = 65536


class Keeper:
    """See the module. departed: a pipe with a line for each worker that died, its name."""

    def __init__(self, store: Store, settings: Follow, shared: Telemetry, departed: int) -> None:
        self._store = store
        self._settings = settings
        self._telemetry = shared
        self._departed = departed
        self._dead: deque[str] = deque(maxlen=_MAX_DEAD)
        self._died = asyncio.Event()
        self._waiting = ""
        self._kept = -1
        self._fault = ""
        self._file = last_good(store, settings)

    # ── the table on disk ─────────────────────────────────────────────────────────────────────

    async def keep(self) -> None:
        """Keep what is served, for ever; returns at once where nothing is to be kept."""
        while self._file is not None:
            await asyncio.sleep(self._settings.state_write_s)
            newest = self._telemetry.newest()
            if newest <= self._kept:
                continue
            # While the store is away, the workers say so.
            with contextlib.suppress(*UNREACHABLE):
                await self._keep(self._file)

    async def _keep(self, file: LastGood) -> None:
        client = self._connect()
        try:
            found = await stored(client, self._store.keys)
        finally:
            await close(client)
        version, body, mac = found.at, found.body, found.mac
        if not self._kept < version <= self._telemetry.newest():
            return  # nobody serves it yet, or the store is behind: look again
        try:
            verify("table", version, body, mac, self._store.key)
            now = int(time.time())  # noqa: TID251 - its age is told after a restart
            self._kept = await asyncio.to_thread(file.write, Sealed(version, body, mac, now))
        except ContractError as error:
            self._tell(f"is not kept: {error}")
        except OSError as error:
            self._tell(f"can't be written: {error.strerror}")
        else:
            self._fault = ""
            if self._kept > version:
                self._tell(f"is newer, at {self._kept}, than what is served, at {version}")

    def _tell(self, fault: str) -> None:
        if fault != self._fault:
            self._fault = fault
            log.error("the table on disk, in %s, %s", self._settings.state_dir, fault)

    # ── the dead ──────────────────────────────────────────────────────────────────────────────

    async def bury(self) -> None:
        """Take the leases of the dead away, for ever."""
        asyncio.get_running_loop().add_reader(self._departed, self._read)
        while True:
            await self._died.wait()
            self._died.clear()
            while self._dead:
                try:
                    await self._bury()
                except UNREACHABLE as error:
                    self._put_off(error)
                    await asyncio.sleep(self._settings.reconnect_s)

    def _read(self) -> None:
        try:
            lines = os.read(self._departed, _READ_BYTES)
        except BlockingIOError:
            return
        self._dead.extend(lines.decode("utf-8").splitlines())
        self._died.set()

    async def _bury(self) -> None:
        """All that are known; who is done is forgotten."""
        client = self._connect()
        try:
            while self._dead:
                await self._say_goodbye(client, self._dead[0])
                log.info("said goodbye for worker %s, which died", self._dead.popleft())
        finally:
            await close(client)

    def _put_off(self, error: Exception) -> None:
        if self._dead[0] != self._waiting:
            self._waiting = self._dead[0]
            why = type(error).__name__
            log.warning("can't say goodbye for worker %s yet (%s)", self._waiting, why)

    async def _say_goodbye(self, client: Redis, worker: str) -> None:
        keys = self._store.keys
        (said,) = await client.hmget(keys.workers, [worker])
        gone = encode_status(replace(_status(worker, said), state="gone"))
        await client.eval(script("leave"), 2, keys.leases, keys.workers, worker, gone, keys.news)

    def _connect(self) -> Redis:
        timeout_s = self._settings.store_timeout_s
        return self._store.connect(timeout_s, timeout_s)


def _status(worker: str, said: object) -> WorkerStatus:
    """What a worker last said, or what its name tells if that can't be read."""
    try:
        status = decode_status(said if isinstance(said, bytes) else b"")
        if status.worker == worker:
            return status
    except ContractError:
        pass
    return WorkerStatus(worker, worker.rpartition("/")[0], 0, 0, "gone")
