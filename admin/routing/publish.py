"""Publication to Redis: one script compares, writes the table and appends to the log.

Rules: a version is published once, by whoever comes first; the compare in the script keeps
several admins apart. Bodies are sealed with the installation's routing key. Redis gets
`redis_timeout_s` for each answer, and a broken connection is tried once more at once: the
script may be run twice, for the second time finds the version there.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from time import monotonic
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from proxy.routing.ack import WorkerStatus, decode_status
from proxy.routing.change import ContractError
from proxy.routing.codec import encode_table
from proxy.routing.envelope import seal
from proxy.routing.keys import Keys
from proxy.routing.model import RoutingTable

ANY = "any"
RESET = "reset"
FAULTS = (RedisError, OSError, TimeoutError)


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
    """

    asked: float
    version: int
    log_version: int
    leases: tuple[Lease, ...]
    commit_id: str = ""
    departed: tuple[WorkerStatus, ...] = ()


@dataclass(frozen=True, slots=True)
class Published:
    """What came of a publication. word: published, ahead (it is there already) or behind."""

    word: str
    snapshot: Snapshot


def open_redis(url: str, timeout_s: float) -> "Redis":
    """A client that doesn't hide a fault behind repeated tries. Connects when it is used."""
    return Redis.from_url(
        url,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        max_connections=16,
        client_name="turnout-admin",
        retry=Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,)),
    )


class Publisher:
    """The only writer of table and log. seen: the highest version known to have been there."""

    def __init__(
        self, redis: "Redis", keys: Keys, routing_key: str, *, log_entries: int, forget_s: float
    ) -> None:
        self._redis, self._keys, self._key = redis, keys, routing_key.encode()
        self._log_entries, self._forget_ms = log_entries, round(forget_s * 1000)
        shared = _lua("snapshot")
        self._look = redis.register_script(shared + _lua("look"))
        self._publish = redis.register_script(shared + _lua("publish"))
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
        body = encode_table(table)
        arguments: list[Any] = [
            expected,
            table.version,
            body,
            seal("table", table.version, body, self._key),
            self._log_entries,
            self._forget_ms,
            commit_id,
            after,
        ]
        for version, entry in entries:
            arguments += (version, entry, seal("change", version, entry, self._key))
        asked, (word, *answer) = await self._run(self._publish, arguments)
        if word == b"published":
            self.seen = table.version
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
    version, log_version, commit_id, leases = answer
    triples = zip(leases[::3], leases[1::3], leases[2::3], strict=True)
    known = [_lease(worker.decode("ascii", "replace"), ms, body) for worker, ms, body in triples]
    return Snapshot(
        asked,
        version,
        log_version,
        tuple(lease for lease in known if lease.status.state != "gone"),
        commit_id.decode("ascii", "replace"),
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
