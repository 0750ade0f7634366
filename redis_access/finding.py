"""Who has our keys now: the master that sentinels name, or the node that owns them in a cluster.

Rules:
1. Everybody is asked at once, and nobody who is silent is waited for longer than needed. Sentinels:
   more than half of them, for one that is cut off may name a master that was deposed; if fewer
   answer in time, those. The answer of the latest failover counts (its `config-epoch`, see
   "Configuration epochs" in Redis' documentation of Sentinel). Nodes of a cluster: the first.
2. A node of a cluster is asked for a key of ours. Who has it answers; who hasn't names who has
   (MOVED). All our keys have one hash tag, so one node has them all.
3. What was found last, by whichever connection or by `watch`, is where all connections of this
   process belong: `is_elsewhere`.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, Protocol

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import MovedError, RedisError, ResponseError

from config.redis_url import Address

log = logging.getLogger("turnout.redis")

FAULTS: Final = (RedisError, OSError, TimeoutError)
_MOST_MOVES: Final = 5


class ElsewhereError(RedisConnectionError):
    """This is not, or no longer, the server that has our keys. Connecting again looks for it."""


Dial = Callable[[Address, float], AbstractConnection]
"""Gives an unconnected connection to a node. The seconds: for connecting, and for each answer."""


class Finder(Protocol):
    """Finds the server. place: where it was found last."""

    place: Address | None

    async def find(self, limit_s: float) -> Address:
        """Where the server is. ElsewhereError: nobody says so within these seconds."""


class _Found:
    """What finders share: the place, and one line of log each time that it changes or is lost."""

    def __init__(self, nodes: Sequence[Address], dial: Dial) -> None:
        self._nodes, self._dial = nodes, dial
        self._lost = False
        self.place: Address | None = None

    def _took(self, place: Address, what: str) -> Address:
        if place != self.place or self._lost:
            log.info("%s is %s:%d", what, *place)
        self.place, self._lost = place, False
        return place

    def _failed(self, reasons: Sequence[str]) -> ElsewhereError:
        reason = "; ".join(sorted(set(reasons))) or "no answer in time"
        if not self._lost:
            log.warning("nobody says where Redis is: %s", reason)
        self._lost = True
        return ElsewhereError(f"nobody says where Redis is: {reason}")

    async def _ask(self, node: Address, limit_s: float, *question: str) -> Any:
        connection = self._dial(node, limit_s)
        try:
            await connection.connect()  # type: ignore[no-untyped-call]
            await connection.send_command(*question)
            return await connection.read_response()
        finally:
            await connection.disconnect(nowait=True)


class Sentinels(_Found):
    """By sentinels. service: the name that they know the master by."""

    def __init__(self, nodes: Sequence[Address], dial: Dial, service: str) -> None:
        super().__init__(nodes, dial)
        self._service = service

    async def find(self, limit_s: float) -> Address:
        """See `Finder`."""
        questions = [lambda node=node: self._named(node, limit_s) for node in self._nodes]
        answers, reasons = await _first(questions, len(self._nodes) // 2 + 1, limit_s)
        if not answers:
            raise self._failed(reasons)
        _, place = max(answers)
        return self._took(place, "the master")

    async def _named(self, node: Address, limit_s: float) -> tuple[int, Address]:
        try:
            said = await self._ask(node, limit_s, "SENTINEL", "MASTER", self._service)
        except ResponseError as error:
            if "No such master" in str(error):
                raise ElsewhereError("sentinels know no master of this name") from None
            raise
        try:
            about = dict(zip(said[::2], said[1::2], strict=True))
            place = (about[b"ip"].decode(), int(about[b"port"]))
            return int(about[b"config-epoch"]), place
        except (KeyError, TypeError, ValueError):
            raise ElsewhereError("a sentinel's answer can't be read") from None


class Cluster(_Found):
    """By the nodes of a cluster. key: one of ours."""

    def __init__(self, nodes: Sequence[Address], dial: Dial, key: str) -> None:
        super().__init__(nodes, dial)
        self._key = key

    async def find(self, limit_s: float) -> Address:
        """See `Finder`."""
        # Nodes that were there at the start may all have gone since: where we were knows others.
        nodes = dict.fromkeys([*([self.place] if self.place else []), *self._nodes])
        questions = [lambda node=node: self._owner(node, limit_s) for node in nodes]
        answers, reasons = await _first(questions, 1, limit_s)
        if not answers:
            raise self._failed(reasons)
        return self._took(answers[0], "the owner of our keys")

    async def _owner(self, node: Address, limit_s: float) -> Address:
        for _ in range(_MOST_MOVES):
            try:
                await self._ask(node, limit_s, "HMGET", self._key, "version")
            except MovedError as moved:
                # A node that doesn't know its own name leaves it out: it is where we asked.
                node = (moved.host.strip("[]") or node[0], moved.port)
            else:
                return node
        raise ElsewhereError("nodes of the cluster send us in a circle")


async def watch(finder: Finder, every_s: float, limit_s: float) -> None:
    """Look again for ever, so that who has not noticed a failover leaves the old master."""
    while True:
        await asyncio.sleep(every_s)
        try:
            await finder.find(limit_s)
        except FAULTS as error:
            log.debug("not found: %s", type(error).__name__)


async def _first(
    questions: Sequence[Callable[[], Awaitable[Any]]], wanted: int, limit_s: float
) -> tuple[list[Any], list[str]]:
    """So many answers, the first that come, or fewer if there are no more in time; and why."""
    answers: list[Any] = []
    reasons: list[str] = []
    enough = asyncio.Event()

    async def ask(question: Callable[[], Awaitable[Any]]) -> None:
        try:
            answers.append(await question())
        except FAULTS as error:
            reasons.append(_reason(error))
        if len(answers) >= wanted or len(answers) + len(reasons) == len(questions):
            enough.set()

    async with asyncio.TaskGroup() as group:
        asked = [group.create_task(ask(question)) for question in questions]
        try:
            async with asyncio.timeout(limit_s):
                await enough.wait()
        except TimeoutError:
            reasons.append("no answer in time")
        for task in asked:
            task.cancel()
    return answers, reasons


def _reason(error: Exception) -> str:
    """For the log: no more than the kind of a fault, unless the words are ours."""
    return str(error) if isinstance(error, ElsewhereError) else type(error).__name__
