"""Who uses the system: requests through all nodes, all the time, each written down.

Rules: what is not repeatable (POST) is sent once, by its own id. A client keeps its connection, so
that it meets the same worker again; which worker that is, is looked up in the kernel's tables when
a new beginning of request ids is seen.
"""

import asyncio
import itertools
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.history.record import FAIL, INFO, OK, Line, Request, Worker
from tests.history.system import Node
from tests.soak.watch import clients_of
from tests.support.clients import Answer, Connection, opened

PAUSE_S = (0.0, 0.03)
POSTS = 0.5
"""The share of requests that must not be sent twice."""
LASTS = 40
"""Requests of one connection, on average."""
EVERY_S = 0.02
"""The crowd's next request comes after so long, on average, whatever becomes of those before."""
IDLE = 24
"""Connections that the crowd keeps."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A connection that has answered, and whose request ids came with the last answer."""

    node: Node
    connection: Connection
    worker: str


class Clients:
    """All of them. write: takes what is to be recorded."""

    def __init__(
        self, nodes: Sequence[Node], tenants: Sequence[str], write: Callable[[Line], None]
    ) -> None:
        self._nodes, self._tenants, self._write = nodes, tenants, write
        self._numbers = itertools.count()
        self._known: set[str] = set()
        self.stopping = False

    async def run(self, rng: random.Random) -> None:
        """One client, until told to stop."""
        while not self.stopping:
            await self._life(rng.choice(self._nodes), rng)

    async def crowd(self, rng: random.Random) -> None:
        """Requests on kept connections at their own pace: also to a worker that stands still."""
        idle: list[Kept] = []
        try:
            async with asyncio.TaskGroup() as group:
                while not self.stopping:
                    await asyncio.sleep(rng.expovariate(1 / EVERY_S))
                    kept = idle.pop(rng.randrange(len(idle))) if len(idle) >= IDLE else None
                    group.create_task(self._one(kept, idle, rng), name="one of the crowd")
        finally:
            for each in idle:
                await each.connection.close()

    async def _one(self, kept: Kept | None, idle: list[Kept], rng: random.Random) -> None:
        """One request of the crowd; its connection is idle afterwards, if it goes on."""
        try:
            if kept is not None and kept.connection.reader.at_eof():
                await kept.connection.close()
                kept = None
            if kept is None:
                node = rng.choice(self._nodes)
                kept = Kept(node, await opened(node.port, node.place.host), "")
        except (OSError, TimeoutError):
            return
        worker, goes_on = await self.ask(kept.node, kept.connection, rng, kept.worker)
        if goes_on:
            idle.append(Kept(kept.node, kept.connection, worker))
        else:
            await kept.connection.close()

    async def _life(self, node: Node, rng: random.Random) -> None:
        """One connection, from its beginning to its end."""
        try:
            connection = await opened(node.port, node.place.host)
        except (OSError, TimeoutError):
            await asyncio.sleep(rng.uniform(*PAUSE_S))
            return
        worker = ""
        try:
            while not self.stopping and not connection.reader.at_eof():
                worker, goes_on = await self.ask(node, connection, rng, worker)
                if not goes_on or rng.random() < 1 / LASTS:
                    return
                await asyncio.sleep(rng.uniform(*PAUSE_S))
        finally:
            await connection.close()

    async def ask(
        self, node: Node, connection: Connection, rng: random.Random, worker: str
    ) -> tuple[str, bool]:
        """One request; whose request ids its answer bears, and whether the connection goes on.

        worker: whose it was before; empty: unknown.
        """
        name, tenant = f"r{next(self._numbers)}", rng.choice(self._tenants)
        is_post = rng.random() < POSTS
        method, body = ("POST", b"x") if is_post else ("GET", b"")
        began = time.monotonic()

        def note(outcome: str, by: str, **more: object) -> None:
            self._write(
                Request(
                    id=name,
                    tenant=tenant,
                    method=method,
                    node=node.name,
                    worker=by,
                    began=began,
                    ended=time.monotonic(),
                    outcome=outcome,
                    kept=bool(worker),
                    **more,  # type: ignore[arg-type]
                )
            )

        try:
            connection.send(method, "/work", body, tenant=tenant, x_id=name)
            answer = await connection.answer()
        except (OSError, EOFError, TimeoutError, ValueError) as error:
            note(INFO, worker, error=type(error).__name__)
            return worker, False
        if answer.status == 200:
            note(OK, answer.worker, status=200, slot=answer.slot, said=answer.body.decode())
        else:
            code = str(answer.json.get("code", "")) if answer.body[:1] == b"{" else ""
            # The proxy's own answers all but say that nothing was sent; these don't.
            unsure = code in {"answer-timeout", "no-answer", "bad-answer"}
            note(INFO if unsure else FAIL, answer.worker, status=answer.status, code=code)
        await self._learn(node, answer, connection)
        return answer.worker, not answer.last

    async def _learn(self, node: Node, answer: Answer, connection: Connection) -> None:
        """Which process it is whose answers bear these ids."""
        if answer.worker in self._known:
            return
        port = connection.writer.get_extra_info("sockname")[1]
        for pid in list(node.pids):
            try:
                held = await asyncio.to_thread(clients_of, pid, {node.port})
            except OSError:
                continue
            if (node.port, port) in held:
                self._known.add(answer.worker)
                self._write(Worker(node=node.name, pid=pid, prefix=answer.worker))
                return
