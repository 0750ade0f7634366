"""The affinities in Redis: questions are sent in batches, as many as have come meanwhile.

Rules:
1. Each question is answered or failed, once; those that were under way when the connection broke
   are failed, although Redis may have carried them out: carrying one out again changes nothing.
2. After a connection is made, what could not be written before goes first.
3. Nothing that lies in Redis ends this: what can't be read belongs nowhere.
"""

import asyncio
import logging
import re
from collections.abc import Callable, Sequence
from importlib.resources import files
from typing import Any, Final

from redis.asyncio import Redis
from redis.exceptions import NoScriptError

from proxy.affinity.question import Answer, Question
from proxy.config import Follow
from proxy.routing.model import Slot
from proxy.store import UNREACHABLE, Store, close

log = logging.getLogger("turnout.affinity")

_BATCH: Final = 256
_VALUE: Final = re.compile(rb"(blue|green)\|([0-9]{1,16})")


class RedisAffinities:
    """See the module. first: gives what is to be written after a connection is made.

    tried: the first connection was made, or could not be.
    """

    def __init__(self, store: Store, settings: Follow, first: Callable[[], list[Question]]) -> None:
        self._store = store
        self._settings = settings
        self._first = first
        self._script = (files("proxy") / "affinity" / "bind.lua").read_text(encoding="utf-8")
        self._sha = ""
        self._asked: list[Question] = []
        self._news = asyncio.Event()
        self._ended = False
        self.reachable = False
        self.tried = asyncio.Event()

    def ask(self, question: Question) -> None:
        """Answer it by and by, or fail it."""
        self._asked.append(question)
        self._news.set()

    async def run(self) -> None:
        """Answer until `end`."""
        while not self._ended:
            limit_s = self._settings.store_timeout_s
            client = self._store.connect(limit_s, limit_s)
            try:
                await self._serve(client)
            except UNREACHABLE as error:
                self._away(type(error).__name__)
            except Exception:
                log.exception("asking for affinities failed; trying again")
                self._away("a fault")
            finally:
                await close(client)
            await asyncio.sleep(self._settings.reconnect_s)

    def end(self) -> None:
        """`run` returns soon: see `Follower.end`."""
        self._ended = True
        self._news.set()

    async def _serve(self, client: Redis) -> None:
        self._sha = await client.script_load(self._script)
        self._asked = [*self._first(), *self._asked]
        self.reachable = True
        self.tried.set()
        while not self._ended:
            while self._asked:
                batch = self._asked[:_BATCH]
                await self._send(client, batch)
            self._news.clear()
            await self._news.wait()

    async def _send(self, client: Redis, batch: list[Question]) -> None:
        """What is answered leaves the line; what isn't stays there for `_away`."""
        results = await self._results(client, batch)
        if any(isinstance(result, NoScriptError) for result in results):
            self._sha = await client.script_load(self._script)
            results = await self._results(client, batch)
        del self._asked[: len(batch)]
        for question, result in zip(batch, results, strict=True):
            answer = _answer(question, result)
            if answer is None:
                question.failed()
            else:
                question.answered(answer)

    async def _results(self, client: Redis, batch: list[Question]) -> list[Any]:
        pipeline = client.pipeline(transaction=False)
        for question in batch:
            keys = [self._store.keys.affinity(key.digest) for key in question.keys]
            pipeline.evalsha(self._sha, len(keys), *keys, *_arguments(question))
        return list(await pipeline.execute(raise_on_error=False))

    def _away(self, reason: str) -> None:
        if self.reachable:
            log.warning("affinities can't be asked for (%s): deciding alone", reason)
        self.reachable = False
        self.tried.set()
        asked, self._asked = self._asked, []
        for question in asked:
            question.failed()


def _arguments(question: Question) -> list[str | int]:
    arguments = [question.slot.value, question.version, *question.since, question.dead]
    for key, mode in zip(question.keys, question.modes, strict=True):
        arguments += [int(key.rule.ttl_s * 1000), mode]
    return arguments


def _answer(question: Question, result: object) -> Answer | None:
    """What the script has said; None: it failed."""
    if not isinstance(result, list) or len(result) != len(question.keys) + 2:
        log.warning("affinities were not answered: %s", type(result).__name__)
        return None
    return Answer(Slot(result[0].decode()), int(result[1]), _values(result[2:]))


def _values(stored: Sequence[bytes]) -> list[tuple[Slot, int] | None]:
    found = (_VALUE.fullmatch(value) for value in stored)
    return [each and (Slot(each[1].decode()), int(each[2])) for each in found]
