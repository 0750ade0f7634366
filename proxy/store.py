"""The routing store, Redis, as the data plane reaches it: where it is, and how it is asked."""

import logging
from dataclasses import dataclass
from importlib.resources import files

from redis.asyncio import Redis
from redis.exceptions import RedisError

from config import Shared
from proxy.routing.keys import Keys
from redis_access import Access

log = logging.getLogger("turnout.store")

UNREACHABLE = (RedisError, OSError, TimeoutError)
_VERSION_DIGITS = 16  # of 2**53 - 1


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


async def table_of(client: Redis, keys: Keys) -> tuple[int, bytes, bytes]:
    """The table as it is published: its version (-1: none, or none that it could be), body, mac."""
    stored = await client.hmget(keys.table, ["version", "body", "mac"])
    version, body, mac = (value if isinstance(value, bytes) else b"" for value in stored)
    return number(version), body, mac


def number(stored: object) -> int:
    """A version as it stands in the store; -1 for none, or none that it could be."""
    if not isinstance(stored, bytes) or not stored.isdigit() or len(stored) > _VERSION_DIGITS:
        return -1
    return int(stored)


def script(name: str) -> str:
    """One of the data plane's scripts."""
    return (files("proxy") / f"{name}.lua").read_text(encoding="utf-8")
