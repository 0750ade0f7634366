"""redis-py's connections, which find their server and leave one that is not it any more.

Rules:
1. Whenever it connects, a connection asks its finder where to; a master has to say that it is one.
2. Before each command it looks whether the finder has found another place meanwhile.
3. An answer that says "not here, not now" (READONLY, MOVED, …) ends the connection, so that the next
   one looks again; else a pool would keep it for ever. Such a command was not carried out.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from redis.asyncio.connection import AbstractConnection, Connection, UnixDomainSocketConnection
from redis.exceptions import (
    AskError,
    ClusterDownError,
    ReadOnlyError,
    ResponseError,
    TryAgainError,
)

from redis_access.finding import ElsewhereError, Finder
from redis_access.tls import Security

_ELSEWHERE: Final = (ReadOnlyError, AskError, TryAgainError, ClusterDownError)
"""MovedError is an AskError, and MasterDownError a ClusterDownError."""
_ELSEWHERE_BY_CODE: Final = ("NOREPLICAS ", "UNBLOCKED ")
"""What redis-py has no class for. A master without its replicas may be one that was deposed."""


class NodeConnection(Connection):
    """To the host that is given. security: None, if it is not TLS."""

    def __init__(self, *, security: Security | None = None, **others: Any) -> None:
        super().__init__(**others)
        self._security = security

    def _connection_arguments(self) -> Mapping[str, Any]:
        arguments: dict[str, Any] = {"host": self.host, "port": self.port}
        if self._security is not None:
            arguments["ssl"] = self._security.context()
        return arguments


class _Leaving(AbstractConnection):
    """Rule 3."""

    async def read_response(self, *arguments: Any, **options: Any) -> Any:
        """redis-py's: every answer comes from here."""
        try:
            return await super().read_response(*arguments, **options)
        except ResponseError as error:
            if not _says_elsewhere(error):
                raise
            await self.disconnect(nowait=True)
            raise ElsewhereError(type(error).__name__) from error


class FoundConnection(_Leaving, NodeConnection):
    """See the module. finder: None, if the host is the one that was given.

    is_master: whether the server has to say of itself that it is a master. find_s: how long it
    may be looked for.
    """

    def __init__(
        self,
        *,
        finder: Finder | None = None,
        is_master: bool = False,
        find_s: float = 1.0,
        **others: Any,
    ) -> None:
        super().__init__(redis_connect_func=_arrived, **others)
        self._finder = finder
        self.is_master = is_master
        self._find_s = find_s

    async def _connect(self) -> None:
        if self._finder is not None:
            self.host, self.port = await self._finder.find(self._find_s)
        await super()._connect()  # type: ignore[no-untyped-call]

    async def send_packed_command(
        self, command: bytes | str | Iterable[bytes], check_health: bool = True
    ) -> None:
        """redis-py's: every command goes through here."""
        if self.is_connected and self._is_elsewhere():
            await self.disconnect(nowait=True)
            raise ElsewhereError("there is another master now")
        await super().send_packed_command(command, check_health)

    def _is_elsewhere(self) -> bool:
        place = None if self._finder is None else self._finder.place
        return place is not None and place != (self.host, self.port)


async def _arrived(connection: FoundConnection) -> None:
    await connection.on_connect()
    if connection.is_master:
        await connection.send_command("ROLE", check_health=False)
        if (await connection.read_response())[0] != b"master":
            raise ElsewhereError("who was named the master says that it is none")


class SocketConnection(_Leaving, UnixDomainSocketConnection):
    """To a socket on this host."""


def _says_elsewhere(error: ResponseError) -> bool:
    return isinstance(error, _ELSEWHERE) or str(error).startswith(_ELSEWHERE_BY_CODE)
