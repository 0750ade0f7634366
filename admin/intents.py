"""What stands in the database to be done, carried through by whichever admin holds its lock.

Rules:
1. What is intended stands in the database before anything is done, and each of its changes is made
   under a key of its own: whoever goes on may make it again, and it is made once.
2. Only who holds the intent's lock acts on it; and it moves on only from the state that it was seen
   in, so that of two who act on it (one that lost its lock without noticing) only one does.
3. A fault of a store is waited out, and nothing is left half done because of it.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from hashlib import blake2b, sha256
from time import monotonic

import structlog

from admin.routing.audit import Author
from admin.routing.control import Control
from admin.routing.database import Connection, Database, DatabaseUnavailableError
from admin.routing.publish import StoreUnavailableError
from admin.routing.store import Check, Key, OutcomeUnknownError, Plan, Proposal, Repeated
from admin.tasks import Tasks

log = structlog.get_logger(__name__)
AGAIN_S = 0.25
"""How soon a store that could not be reached is asked again."""
LOOK_S = 0.5
"""How often unfinished intents are looked for, and a waiting one looks for its own end."""
AWAY = (DatabaseUnavailableError, StoreUnavailableError, OutcomeUnknownError)
"""What a store that is away raises."""


class StaleError(Exception):
    """Somebody else has moved the intent on."""


class Carrier:
    """The intents of one kind that this admin carries through, a task for each.

    kind: what they are called in logs and tasks. act: brings the one of this name to its end, from
    wherever it stands. unfinished: the names of those that have not ended, oldest first. at_once:
    how many of those that others began are taken up.
    """

    def __init__(
        self,
        kind: str,
        database: Database,
        tasks: Tasks,
        act: Callable[[str], Awaitable[None]],
        unfinished: Callable[[Connection], Awaitable[Sequence[str]]],
        at_once: int | None = None,
    ) -> None:
        self._kind, self._database, self._tasks = kind, database, tasks
        self._act, self._unfinished, self._at_once = act, unfinished, at_once
        self._mine: dict[str, asyncio.Event] = {}

    @property
    def count(self) -> int:
        """How many are being carried."""
        return len(self._mine)

    async def run(self) -> None:
        """Go on, for ever, with what nobody acts on."""
        while True:
            try:
                async with self._database.connection() as connection:
                    names = await self._unfinished(connection)
                for name in names[: self._at_once]:
                    self.carry(name)
            except DatabaseUnavailableError:
                log.debug("the database can't be reached")
            await asyncio.sleep(LOOK_S)

    def carry(self, name: str) -> None:
        """Carry this one through, unless that is being done."""
        if name not in self._mine:
            self._mine[name] = asyncio.Event()
            self._tasks.start(f"{self._kind} {name}", lambda: self._carry_through(name))

    async def wait(self, name: str, limit_s: float) -> None:
        """Until it is let go of here, for `limit_s` at most; not for long if others carry it."""
        mine = self._mine.get(name)
        if mine is None:
            await asyncio.sleep(min(limit_s, LOOK_S))
            return
        try:
            async with asyncio.timeout(limit_s):
                await mine.wait()
        except TimeoutError:
            return

    async def _carry_through(self, name: str) -> None:
        """To its end, if nobody else does; again and again while a store is away."""
        try:
            while True:
                if await self._try(name):
                    return
                await asyncio.sleep(AGAIN_S)
        finally:
            ended = self._mine.pop(name, None)
            if ended is not None:
                ended.set()

    async def _try(self, name: str) -> bool:
        """Act on it, if nobody else does. False: a store is away, and it has to be tried again."""
        try:
            async with acting(self._database, name) as mine:
                if mine:
                    await self._act(name)
        except StaleError:
            return True
        except AWAY as error:
            log.warning("waits for a store", kind=self._kind, name=name, fault=type(error).__name__)
            return False
        return True


@asynccontextmanager
async def beginning(database: Database) -> AsyncIterator[Connection]:
    """A connection by which an intent is written down. DatabaseUnavailableError: it was not.

    OutcomeUnknownError: the database went away meanwhile; the intent may stand, and be acted on.
    """
    connected = False
    try:
        async with database.connection() as connection:
            connected = True
            yield connection
    except DatabaseUnavailableError as error:
        if connected and not error.answered:
            raise OutcomeUnknownError from error
        raise


@asynccontextmanager
async def acting(database: Database, name: str) -> AsyncIterator[bool]:
    """Whether this admin is the one that acts on the intent, for as long as the block runs.

    A session's lock: it ends with the admin, however that ends.
    """
    number = int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), signed=True)
    async with database.connection() as connection:
        mine = await connection.fetchval("SELECT pg_try_advisory_lock($1)", number)
        try:
            yield bool(mine)
        finally:
            if mine and not connection.is_closed():
                await connection.execute("SELECT pg_advisory_unlock($1)", number)


async def change_once(
    control: Control,
    kind: str,
    name: str,
    what: str,
    author: Author,
    plan: Plan,
    check: Check | None = None,
) -> int:
    """Make one of an intent's changes, once; its version. Workers aren't waited for here.

    what: names the change among the intent's. Raises what `Control.change` raises.
    """
    key = Key(f"{kind}/{name}/{what}", sha256(what.encode()).digest())
    proposal = Proposal(f"{kind}-{what}", author, plan, check, None, key)
    outcome = await control.change(proposal, monotonic(), 0.0)
    if isinstance(outcome, Repeated):
        await control.reconciler.once()
    return outcome.version
