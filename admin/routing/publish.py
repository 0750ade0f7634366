"""Publication to Redis: one script compares, sets the version and appends to the log.

Rules: a version is published once, by whoever comes first; the compare in the script keeps
several admins apart. Bodies are sealed with the installation's routing key. Redis gets
`redis_timeout_s` for each answer, and a broken connection is tried once more at once: the
script may be run twice, for the second time finds the version there. A small table is written
whole with each change; of a large one a snapshot is written now and then (`Publisher.checkpoint`),
and the log leads on from it.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from time import monotonic
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from proxy.routing.ack import WorkerStatus, decode_status
from proxy.routing.change import Change, ContractError
from proxy.routing.codec import encode_change, encode_table
from proxy.routing.envelope import seal
from proxy.routing.keys import Keys
from proxy.routing.model import RoutingTable
from redis_access import Access

ANY = "any"
RESET = "reset"
FAULTS = (RedisError, OSError, TimeoutError)
SMALL_TABLE_BYTES = 65_536
"""A table below this size is written whole with each change."""
LARGE_CHANGE_BYTES = 65_536
"""With a change above this size the table is written whole."""
TAIL_ENTRIES = 128
"""Entries that may follow a snapshot: who loads has to apply them."""


class StoreUnavailableError(Exception):
    """Redis can't be reached, or not in time. Carries the kind of fault, never the URL."""


@dataclass(frozen=True, slots=True)
class Lease:
    """A worker in the registry. remaining_ms: 0 or less when the lease is over."""

    worker: str
    remaining_ms: int
    status: WorkerStatus


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Redis at one moment.

    asked: when the question was sent, monotonic seconds. version, log_version: of table and
    log, -1 for what isn't there. commit_id: of the commit that made the table; empty: not told.
    departed: what those last said who said goodbye; they are not among the leases.
    at: the version of the snapshot from which the log leads to the table.
    """

    asked: float
    version: int
    log_version: int
    leases: tuple[Lease, ...]
    commit_id: str = ""
    at: int = 0
    departed: tuple[WorkerStatus, ...] = ()

    @property
    def tail(self) -> int:
        """How many entries follow the snapshot."""
        return self.version - self.at


@dataclass(frozen=True, slots=True)
class Published:
    """What came of a publication. word: published, ahead (it is there already) or behind."""

    word: str
    snapshot: Snapshot


def open_redis(access: Access, timeout_s: float) -> "Redis":
    """A client that tries once more what failed by a broken connection. Connects when it is used."""
    return access.client(
        timeout_s, timeout_s, again=1, max_connections=16, client_name="turnout-admin"
    )


class Publisher:
    """The only writer of table and log. seen: the highest version known to have been there.

    forget_s: how long a silent worker stays in the registry.
    """

    def __init__(
        self, redis: "Redis", keys: Keys, routing_key: str, *, log_entries: int, forget_s: float
    ) -> None:
        self._redis, self._keys, self._key = redis, keys, routing_key.encode()
        self.forget_s = forget_s
        self._log_entries, self._forget_ms = log_entries, round(forget_s * 1000)
        self._tail_entries = min(TAIL_ENTRIES, log_entries)
        self._snapshot_bytes = 0
        shared = _lua("snapshot")
        self._look = redis.register_script(shared + _lua("look"))
        self._publish = redis.register_script(shared + _lua("publish"))
        self._checkpoint = redis.register_script(_lua("checkpoint"))
        self._lock = asyncio.Lock()
        self.seen = -1

    async def version(self) -> int:
        """The published table's version, -1 without one. StoreUnavailableError."""
        try:
            version = await self._redis.hget(self._keys.table, "version")
        except FAULTS as error:
            raise StoreUnavailableError(type(error).__name__) from error
        return int(version) if version is not None and version.isdigit() else -1

    async def look(self) -> Snapshot:
        """Where table and log stand, and the registry. StoreUnavailableError."""
        asked, answer = await self._run(self._look, [self._forget_ms])
        return _snapshot(asked, answer)

    async def publish(
        self,
        table: RoutingTable,
        entries: Sequence[tuple[int, bytes]],
        expected: int | str,
        commit_id: str = "",
        after: str = "",
    ) -> Published:
        """Publish the table with the log entries (version, body) that lead to it.

        expected: the version that must be there, ANY for any that is lower, RESET for what can't
        be believed. commit_id: of the commit that made the table. after: the commit that the
        expected version must be of, as far as both are known. StoreUnavailableError: it may have been published or not.
        """
        body = encode_table(table) if self._is_whole(entries, expected) else b""
        published = await self._put(table.version, body, entries, expected, commit_id, after)
        if published.word == "whole":
            body = encode_table(table)
            published = await self._put(table.version, body, entries, expected, commit_id, after)
        if published.word == "published":
            self.seen = table.version
            self._snapshot_bytes = len(body) or self._snapshot_bytes
        return published

    def is_long(self, snapshot: Snapshot) -> bool:
        """Whether the log has led on from the snapshot for so long that it is time for another."""
        return snapshot.tail * 2 > self._tail_entries

    async def checkpoint(self, table: RoutingTable, commit_id: str) -> bool:
        """Write a snapshot of the published table. False: it is another by now.

        StoreUnavailableError.
        """
        # In a thread: a large table takes long, and others' changes go on meanwhile.
        body = await asyncio.to_thread(encode_table, table)
        mac = seal("table", table.version, body, self._key)
        try:
            written = await self._checkpoint(
                keys=[self._keys.table], args=[table.version, body, mac, commit_id]
            )
        except FAULTS as error:
            raise StoreUnavailableError(type(error).__name__) from error
        return bool(written)

    def _is_whole(self, entries: Sequence[tuple[int, bytes]], expected: int | str) -> bool:
        """Whether the table's body goes with it: there is no snapshot, or it is as cheap."""
        if isinstance(expected, str) or self._snapshot_bytes < SMALL_TABLE_BYTES:
            return True
        # A version that was raised: no operation leads the log on to it.
        if any(entry == encode_change(Change(version, ())) for version, entry in entries):
            return True
        return sum(len(entry) for _, entry in entries) > LARGE_CHANGE_BYTES

    async def _put(
        self,
        version: int,
        body: bytes,
        entries: Sequence[tuple[int, bytes]],
        expected: int | str,
        commit_id: str,
        after: str,
    ) -> Published:
        mac = seal("table", version, body, self._key) if body else b""
        limits = (self._log_entries, self._tail_entries, self._forget_ms)
        arguments: list[Any] = [expected, version, body, mac, *limits, commit_id, after]
        for number, entry in entries:
            arguments += (number, entry, seal("change", number, entry, self._key))
        asked, (word, *answer) = await self._run(self._publish, arguments)
        return Published(word.decode(), _snapshot(asked, answer))

    async def _run(self, script: Any, arguments: list[Any]) -> tuple[float, list[Any]]:
        keys = self._keys
        # One at a time: answers come in the order of the questions, so the last is the newest.
        async with self._lock:
            asked = monotonic()
            try:
                answer: list[Any] = await script(
                    keys=[keys.table, keys.log, keys.leases, keys.workers], args=arguments
                )
            except FAULTS as error:
                raise StoreUnavailableError(type(error).__name__) from error
        return asked, answer


def _lua(name: str) -> str:
    return files("admin.routing").joinpath(f"{name}.lua").read_text(encoding="utf-8")


def _snapshot(asked: float, answer: list[Any]) -> Snapshot:
    version, log_version, commit_id, at, leases = answer
    triples = zip(leases[::3], leases[1::3], leases[2::3], strict=True)
    known = [_lease(worker.decode("ascii", "replace"), ms, body) for worker, ms, body in triples]
    return Snapshot(
        asked,
        version,
        log_version,
        tuple(lease for lease in known if lease.status.state != "gone"),
        commit_id.decode("ascii", "replace"),
        at,
        tuple(lease.status for lease in known if lease.status.state == "gone"),
    )


def _lease(worker: str, remaining_ms: int, body: bytes) -> Lease:
    """Who holds a lease but can't be understood is waited for like one that never acks."""
    try:
        status = decode_status(body)
        if status.worker == worker:
            return Lease(worker, remaining_ms, status)
    except ContractError:
        pass
    unreadable = WorkerStatus(worker, "", 0, 0, "unknown", 0, "its status can't be read")
    return Lease(worker, remaining_ms, unreadable)
