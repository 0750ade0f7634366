"""A Redis server and redis-py's client, as far as our code uses them, on virtual time.

Rules: a command has its whole effect at the moment at which it arrives, whatever becomes of its
answer. The server's clock is the wall clock of another machine. The client's errors are
redis-py's own.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from tests.sim.network import OPENING, Connection, Network, connect, nothing
from tests.sim.redis_data import TWINS, Data, renew
from tests.sim.world import CLOCK, EPOCH_S, Node, World

Request = tuple[Any, ...]


class RedisServer:
    """The server. data: what lies there. on_renewal: told whose lease was renewed. trap: told of a script
    that had its effect, and is not answered yet.
    """

    name = "redis"

    def __init__(self, world: World) -> None:
        self.world = world
        self.data = Data()
        self.trap: Callable[[Connection, str], None] = nothing
        self.on_renewal: Callable[[str], None] = nothing
        self._ahead_s = world.random.uniform(-100.0, 100.0)
        self._waiting: dict[Connection, tuple[str, int, int]] = {}
        self._listening: dict[Connection, str] = {}

    def now_ms(self) -> int:
        """By its own clock."""
        return int((EPOCH_S + self._ahead_s + self.world.now) * 1000)

    def restore(self, data: Data) -> None:
        """This is all that it knows. Its connections must be cut."""
        self.data = data

    def broken(self) -> Exception:
        return RedisConnectionError("Connection closed by server.")

    def refused(self) -> Exception:
        return RedisConnectionError("Connection refused.")

    def lost(self, connection: Connection) -> None:
        self._waiting.pop(connection, None)
        self._listening.pop(connection, None)

    def receive(self, connection: Connection, request: Any) -> None:
        if request is OPENING:
            connection.answer(True)
            return
        name, *args = request
        answer = getattr(self, f"_{name}")(connection, *args)
        if answer is not None:
            connection.answer(answer[0])
        self._pass_on()

    def _pass_on(self) -> None:
        """What was published, and what blocked readers wait for."""
        published, self.data.published = self.data.published, []
        for channel, message in published:
            for connection, wanted in list(self._listening.items()):
                if wanted == channel:
                    connection.push({"type": "message", "data": message})
        for connection, (key, after, count) in list(self._waiting.items()):
            found = self.data.xread(key, after, count)
            if found:
                del self._waiting[connection]
                connection.answer([[key.encode(), found]])

    # ── its commands: a list of one is an answer, None: later or never ─────────────────────────

    def _hmget(self, _: Connection, key: str, names: Sequence[str]) -> list[Any]:
        return [[self.data.hget(key, name.encode()) for name in names]]

    def _hget(self, _: Connection, key: str, name: str) -> list[Any]:
        return [self.data.hget(key, name.encode())]

    def _eval(
        self, connection: Connection, text: str, keys: list[str], args: list[bytes]
    ) -> list[Any]:
        twin = TWINS[text]
        answer = twin(self.data, self.now_ms(), keys, args)
        if twin is renew:
            self.on_renewal(connection.node.name)
        self.trap(connection, twin.__name__)
        return [answer]

    def _xread(
        self, connection: Connection, key: str, after: int, count: int, block_ms: int
    ) -> list[Any] | None:
        found = self.data.xread(key, after, count)
        if found:
            return [[[key.encode(), found]]]
        waits = self._waiting[connection] = (key, after, count)

        def give_up() -> None:
            if self._waiting.get(connection) is waits:
                del self._waiting[connection]
                connection.answer([])

        self.world.after(block_ms / 1000, give_up)
        return None

    def _subscribe(self, connection: Connection, channel: str) -> None:
        self._listening[connection] = channel
        connection.push({"type": "subscribe", "data": 1})

    def _ping(self, connection: Connection) -> None:
        connection.push({"type": "pong", "data": b""})


class RedisClient:
    """redis.asyncio.Redis. Made by `here`, for the process that runs then."""

    def __init__(self, node: Node, *, timeout_s: float, connect_s: float, retries: int) -> None:
        self.node, self.timeout_s, self.connect_s, self.retries = (
            *(node, timeout_s, connect_s),
            retries,
        )
        self.network: Network = node.world.network
        self.server: RedisServer = node.world.servers["redis"]
        self._idle: list[Connection] = []

    @classmethod
    def here(cls, timeout_s: float, connect_s: float, *, again: int = 0, **_: Any) -> Self:
        """As `redis_access.Access.client`."""
        assert CLOCK.loop is not None
        return cls(CLOCK.loop.node, timeout_s=timeout_s, connect_s=connect_s, retries=again)

    async def hget(self, key: str, name: str) -> Any:
        return await self._ask("hget", key, name)

    async def hmget(self, key: str, names: Sequence[str]) -> Any:
        return await self._ask("hmget", key, names)

    async def xread(self, streams: Mapping[str, str], count: int, block: int) -> Any:
        ((key, after),) = streams.items()
        return await self._ask("xread", key, int(after.partition("-")[0]), count, block)

    async def eval(self, text: str, numkeys: int, *given: Any) -> Any:
        keys, args = given[:numkeys], given[numkeys:]
        return await self._ask("eval", text, list(keys), [_encoded(each) for each in args])

    def register_script(self, text: str) -> "Script":
        return Script(self, text)

    def pubsub(self) -> "PubSub":
        return PubSub(self)

    async def aclose(self) -> None:
        for connection in self._idle:
            connection.close()
        self._idle.clear()

    async def _ask(self, *request: Any) -> Any:
        """Again on a new connection, as often as it may, if one broke. A time-out ends it."""
        connection = self._idle.pop() if self._idle else await self.dial()
        for left in reversed(range(self.retries + 1)):
            try:
                return await self._ask_on(connection, request)
            except RedisConnectionError:
                if not left:
                    raise
            connection = await self.dial()
        raise AssertionError

    async def _ask_on(self, connection: Connection, request: Request) -> Any:
        """One that broke while it idled is not known to be broken."""
        try:
            answer = await connection.ask(request, self.timeout_s)
        except TimeoutError:
            raise RedisTimeoutError("Timeout reading from socket") from None
        self._idle.append(connection)
        return answer

    async def dial(self) -> Connection:
        """A new connection. RedisConnectionError, RedisTimeoutError."""
        try:
            return await connect(self.network, self.node, self.server, self.connect_s)
        except TimeoutError:
            raise RedisTimeoutError("Timeout connecting to server") from None


class Script:
    """redis-py's: a script that is called by its text's digest."""

    def __init__(self, client: RedisClient, text: str) -> None:
        self._client, self._text = client, text

    async def __call__(self, keys: Sequence[str], args: Sequence[Any]) -> Any:
        return await self._client.eval(self._text, len(keys), *keys, *args)


class PubSub:
    """redis-py's, for one channel. A broken connection is made anew once, subscriptions and all."""

    def __init__(self, client: RedisClient) -> None:
        self._client = client
        self._connection: Connection | None = None
        self._channel = ""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._connection is not None:
            self._connection.close()

    async def subscribe(self, channel: str) -> None:
        self._channel = channel
        await self._again()

    async def ping(self) -> None:
        assert self._connection is not None
        if not self._connection.open:
            await self._again()
        self._connection._send(("ping",))

    async def get_message(self, timeout: float) -> dict[str, Any] | None:  # noqa: ASYNC109
        """The next message; None: none came in time."""
        connection = self._connection
        assert connection is not None
        message = await _next(connection, timeout)
        if message is None and not connection.open:
            connection = await self._again()
            message = await _next(connection, timeout)
            if message is None and not connection.open:
                raise self._client.server.broken()
        return message

    async def _again(self) -> Connection:
        if self._connection is not None:
            self._connection.close()
        for left in reversed(range(self._client.retries + 1)):
            try:
                self._connection = await self._client.dial()
                break
            except RedisConnectionError:
                if not left:
                    raise
        assert self._connection is not None
        self._connection._send(("subscribe", self._channel))
        return self._connection


async def _next(connection: Connection, limit_s: float) -> dict[str, Any] | None:
    try:
        async with asyncio.timeout(limit_s):
            while not connection.pushed and connection.open:
                connection.news.clear()
                await connection.news.wait()
    except TimeoutError:
        pass
    return connection.pushed.pop(0) if connection.pushed else None


def _encoded(value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()
