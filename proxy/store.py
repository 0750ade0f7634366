"""The routing store, Redis, as the data plane reaches it: where it is, and how it is asked."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from config import Shared
from proxy.routing.keys import Keys
from proxy.routing.stored import Entry, Stored

log = logging.getLogger("turnout.store")

UNREACHABLE = (RedisError, OSError, TimeoutError)
_VERSION_DIGITS = 16  # of 2**53 - 1
_TAIL_ENTRIES = 1_000
"""More than the admin leaves between a snapshot and the log's end."""


@dataclass(frozen=True, slots=True)
class Store:
    """Where the routing lies. key: proves who wrote it; empty where nothing is signed."""

    url: str
    keys: Keys
    key: bytes

    @classmethod
    def of(cls, shared: Shared) -> "Store":
        """That of an installation."""
        return cls(shared.redis_url, Keys(shared.redis_prefix), shared.routing_key.encode())

    def connect(self, timeout_s: float, connect_s: float) -> Redis:
        """A client that doesn't hide a fault behind repeated tries. It connects when it is used.

        timeout_s: for each answer. connect_s: for a connection.
        """
        return Redis.from_url(
            self.url,
            socket_timeout=timeout_s,
            socket_connect_timeout=connect_s,
            retry=Retry(NoBackoff(), 0),
        )


async def close(client: Redis) -> None:
    """Close it, whatever has become of its connections."""
    try:
        await client.aclose()
    except UNREACHABLE as error:
        log.debug("a connection to the store did not close well: %s", type(error).__name__)


async def stored(client: Redis, keys: Keys) -> Stored:
    """What is published now."""
    version, at, body, mac, tail = await client.eval(
        script("load"), 2, keys.table, keys.log, str(_TAIL_ENTRIES)
    )
    entries = tuple(
        Entry(entry_version(entry_id), *_sealed(dict(zip(fields[::2], fields[1::2], strict=True))))
        for entry_id, fields in tail
    )
    return Stored(number(version), number(at), _bytes(body), _bytes(mac), entries)


def entry_version(entry_id: bytes) -> int:
    """The version that the id of a log entry says."""
    return int(entry_id.partition(b"-")[0])


def _sealed(fields: Mapping[bytes, bytes]) -> tuple[bytes, bytes]:
    return fields.get(b"body", b""), fields.get(b"mac", b"")


def _bytes(value: object) -> bytes:
    return value if isinstance(value, bytes) else b""


def number(stored: object) -> int:
    """A version as it stands in the store; -1 for none, or none that it could be."""
    if not isinstance(stored, bytes) or not stored.isdigit() or len(stored) > _VERSION_DIGITS:
        return -1
    return int(stored)


def script(name: str) -> str:
    """One of the data plane's scripts."""
    return (files("proxy") / f"{name}.lua").read_text(encoding="utf-8")
