"""Clients for Redis by the settings that all processes share."""

from functools import partial
from pathlib import Path
from typing import Any

from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.credentials import CredentialProvider
from redis.exceptions import AuthenticationError
from redis.exceptions import ConnectionError as RedisConnectionError

from config import Kind, RedisUrl, Shared
from config.redis_url import Address
from redis_access.connection import FoundConnection, NodeConnection, SocketConnection
from redis_access.finding import Cluster, Finder, Sentinels, watch
from redis_access.tls import Security


class Access:
    """How a process reaches the Redis of its installation. key: one of its keys, for a cluster.

    One for each process: its connections belong where any of them has found the master last.
    """

    def __init__(self, shared: Shared, key: str) -> None:
        url = shared.redis()
        self._url = url
        self._recheck_s = shared.redis_recheck_s
        self._kind: dict[str, Any] = {"security": _security(shared, url)}
        self._finder = self._finding(shared, key)
        self._server = {**_credentials(shared, url), "db": url.database}

    def __repr__(self) -> str:
        return f"<Access {self._url.kind} tls={self._url.tls}>"

    @property
    def place(self) -> Address | None:
        """Where Redis was found last; None: not yet, or there is nothing to find."""
        return None if self._finder is None else self._finder.place

    def client(self, timeout_s: float, connect_s: float, *, again: int = 0, **pool: Any) -> "Redis":
        """A client, which connects when it is used.

        timeout_s: for each answer. connect_s: for finding the server, and for connecting. again: how
        often what failed by a broken connection is tried again at once. pool: as ConnectionPool's.
        """
        retry = Retry(NoBackoff(), again, supported_errors=(RedisConnectionError,))
        limits = {"socket_timeout": timeout_s, "socket_connect_timeout": connect_s}
        own: dict[str, Any] = {**self._server, **limits, "retry": retry, **pool}
        if self._url.kind is Kind.SOCKET:
            made = ConnectionPool(SocketConnection, path=self._url.path, **own)
        elif self._finder is None:
            host, port = self._url.nodes[0]
            made = ConnectionPool(FoundConnection, host=host, port=port, **self._kind, **own)
        else:
            is_master = self._url.kind is Kind.SENTINEL
            found: dict[str, Any] = {
                "finder": self._finder,
                "is_master": is_master,
                "find_s": connect_s,
            }
            made = ConnectionPool(FoundConnection, **found, **self._kind, **own)
        return Redis.from_pool(made)

    async def watch(self, limit_s: float) -> None:
        """Notice a master that was deposed without knowing it; for ever, if there is one to find.

        limit_s: for each look.
        """
        if self._finder is not None:
            await watch(self._finder, self._recheck_s, limit_s)

    def _finding(self, shared: Shared, key: str) -> Finder | None:
        url = self._url
        if url.kind is Kind.SENTINEL:
            user, password = shared.redis_sentinel_user, shared.redis_sentinel_password
            dial = partial(self._dial, {"username": user or None, "password": password or None})
            return Sentinels(url.nodes, dial, url.service)
        if url.kind is Kind.CLUSTER:
            return Cluster(url.nodes, partial(self._dial, _credentials(shared, url)), key)
        return None

    def _dial(self, credentials: dict[str, Any], node: Address, limit_s: float) -> NodeConnection:
        limits = {"socket_timeout": limit_s, "socket_connect_timeout": limit_s}
        host, port = node
        # Answers of version 2 of the protocol: one question needs no greeting.
        more = {**credentials, **self._kind, **limits}
        return NodeConnection(host=host, port=port, protocol=2, **more)


class _PasswordFile(CredentialProvider):
    """Reads the password for each connection."""

    def __init__(self, path: Path, user: str) -> None:
        self._path, self._user = path, user

    def get_credentials(self) -> tuple[str] | tuple[str, str]:
        """redis-py's. AuthenticationError: the file can't be read."""
        try:
            password = self._path.read_text("utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            reason = type(error).__name__
            raise AuthenticationError(f"redis_password_file can't be read: {reason}") from None
        return (self._user, password) if self._user else (password,)

    async def get_credentials_async(self) -> tuple[str] | tuple[str, str]:
        """redis-py's, the one that is asked here."""
        return self.get_credentials()


def _credentials(shared: Shared, url: RedisUrl) -> dict[str, Any]:
    if shared.redis_password_file:
        provider = _PasswordFile(Path(shared.redis_password_file), url.user)
        return {"credential_provider": provider}
    return {"username": url.user or None, "password": url.password or None}


def _security(shared: Shared, url: RedisUrl) -> Security | None:
    if not url.tls:
        return None
    return Security(
        shared.redis_ca_file,
        shared.redis_certificate_file,
        shared.redis_key_file,
        check_name=shared.redis_check_name,
    )
