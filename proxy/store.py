"""The routing store, Redis, as the data plane reaches it: where it is, and how it is asked."""

import logging
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from config import Shared
from proxy.routing.keys import Keys
from proxy.routing.stored import Entry, Stored
from redis_access import Access

log = logging.getLogger("turnout.store")

UNREACHABLE = (RedisError, OSError, TimeoutError)
_VERSION_DIGITS = 16  # of 2**53 - 1
_TAIL_ENTRIES = 1_000
"""More than the admin leaves between a snapshot and the log's end."""


@dataclass(frozen=True, slots=True)
class Store:
    """Where the routing lies. key: proves who wrote it; empty where nothing is signed.

    A process has one: where one of its connections has found Redis, all belong.
    """

    access: Access
    keys: Keys
    key: bytes

    @classmethod
    def of(cls, shared: Shared) -> "Store":
        """That of an installation."""
        keys = Keys(shared.redis_prefix)
        return cls(Access(shared, keys.table), keys, shared.routing_key.encode())

    def connect(self, timeout_s: float, connect_s: float) -> Redis:
        """A client that doesn't hide a fault behind repeated tries. It connects when it is used.

        timeout_s: for each answer. connect_s: for a connection.
        """
        return self.access.client(timeout_s, connect_s)


async def close(client: Redis) -> None:
    """Close it, whatever has become of its connections."""
    try:
        await client.aclose()
    except UNREACHABLE as error:
        log.debug("a connection to the store did not close well: %s", type(error).__name__)


async def stored(client: Redis, keys: Keys) -> Stored:
    """What is published now."""
    where = (keys.leases, keys.table, keys.log)
    found: Any = await client.eval(script("load"), 1, *where, str(_TAIL_ENTRIES))
    version, at, body, mac = (value if isinstance(value, bytes) else b"" for value in found[:4])
    entries = ((name, dict(zip(each[::2], each[1::2], strict=True))) for name, each in found[4])
    tail = tuple(
        Entry(entry_version(name), fields.get(b"body", b""), fields.get(b"mac", b""))
        for name, fields in entries
    )
    return Stored(number(version), number(at), body, mac, tail)


def entry_version(entry_id: bytes) -> int:
    """The version that the id of a log entry says."""
    return int(entry_id.partition(b"-")[0])


def number(stored: object) -> int:
    """A version as it stands in the store; -1 for none, or none that it could be."""
    if not isinstance(stored, bytes) or not stored.isdigit() or len(stored) > _VERSION_DIGITS:
        return -1
    return int(stored)


def script(name: str) -> str:
    """One of the data plane's scripts."""
    return (files("proxy") / f"{name}.lua").read_text(encoding="utf-8")
