"""Carries drains through, one task for each; goes on with those that another began.

Rules: as of switches. What is intended stands in the database before anything is done; each change
has a key of its own, so that whoever goes on makes it once; only who holds the drain's lock acts on
it; a fault of a store is waited out.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from hashlib import sha256
from secrets import token_hex
from time import monotonic

import structlog

from admin.config import Settings
from admin.drains import store
from admin.drains.model import Drain, Event, Left, State, left_of
from admin.drains.store import Record, StaleError
from admin.routing.audit import Author
from admin.routing.control import Control
from admin.routing.database import DatabaseUnavailableError
from admin.routing.events import Hub
from admin.routing.publish import StoreUnavailableError
from admin.routing.store import Key, OutcomeUnknownError, Proposal, Repeated
from admin.switches.steps import StepError, post
from admin.switches.store import acting
from admin.tasks import Tasks
from proxy.routing.change import Operation
from proxy.routing.model import Slot

log = structlog.get_logger(__name__)
AGAIN_S = 0.25
"""How soon a store that could not be reached is asked again."""
LOOK_S = 0.5
"""How often unfinished drains are looked for, and a drain looks for its own end."""
WEBHOOK_S = 10.0


class RunningError(Exception):
    """Another drain of the slot has not ended."""


class Drains:
    """The drains that this admin carries through."""

    def __init__(self, control: Control, hub: Hub, tasks: Tasks, settings: Settings) -> None:
        self._control, self._hub, self._tasks = control, hub, tasks
        self._database = control.store.database
        self._settings = settings
        self._mine: set[str] = set()

    async def begin(self, drain: Drain, author: Author) -> None:
        """Write the intent down and begin. RunningError, DatabaseUnavailableError: not begun."""
        async with self._database.connection() as connection:
            if not await store.begin(connection, drain, author):
                raise RunningError(drain.slot)
        self._carry(drain.name)

    async def latest(self, slot: Slot) -> Record | None:
        """The slot's drain: the one that runs, or else the last. DatabaseUnavailableError."""
        async with self._database.connection() as connection:
            return await store.latest(connection, slot)

    async def stop(self, name: str, by: str) -> bool:
        """Have it end now. False: too late."""
        async with self._database.connection() as connection:
            asked = await store.stop(connection, name, by)
        self._control.fleet.wake()
        return asked

    def left(self, drain: Drain) -> Left | None:
        """What is left of it, as known now; None before the workers could know of it."""
        version = drain.hurried_version or drain.version
        fleet = self._control.fleet
        if version is None or drain.state is State.DONE:
            return None
        return left_of(drain.name, version, fleet.live(), fleet.silent)

    async def run(self) -> None:
        """Go on, for ever, with what nobody acts on."""
        while True:
            try:
                async with self._database.connection() as connection:
                    names = await store.unfinished(connection)
                for name in names:
                    self._carry(name)
            except DatabaseUnavailableError:
                log.debug("the database can't be reached")
            await asyncio.sleep(LOOK_S)

    def _carry(self, name: str) -> None:
        if name not in self._mine:
            self._mine.add(name)
            self._tasks.start(f"drain {name}", lambda: self._carry_through(name))

    async def _carry_through(self, name: str) -> None:
        try:
            while True:
                if await self._try(name):
                    return
                await asyncio.sleep(AGAIN_S)
        finally:
            self._mine.discard(name)

    async def _try(self, name: str) -> bool:
        """Act on it, if nobody else does. False: a store is away, and it has to be tried again."""
        try:
            async with acting(self._database, name) as mine:
                if mine:
                    await self._act(name)
        except StaleError:
            return True
        except (DatabaseUnavailableError, StoreUnavailableError, OutcomeUnknownError) as error:
            log.warning("a drain waits for a store", drain=name, fault=type(error).__name__)
            return False
        return True

    async def _act(self, name: str) -> None:
        while (record := await self._find(name)).drain.state is not State.DONE:
            event = await _ACTIONS[record.drain.state](self, record)
            async with self._database.connection() as connection:
                await store.move(connection, record.drain, event)
            log.info("drain", drain=name, happened=str(event))
            self._hub.tell(
                "drain", {"drain": name, "slot": str(record.drain.slot), "event": str(event)}
            )

    async def _find(self, name: str) -> Record:
        async with self._database.connection() as connection:
            record = await store.find(connection, name)
        if record is None:
            raise StaleError(name)
        return record

    # ── its states ────────────────────────────────────────────────────────────────────────────

    async def _drain(self, record: Record) -> Event:
        drain = record.drain
        if drain.version is None:
            version = await self._change(record, "begin", drain.begin())
            async with self._database.connection() as connection:
                await store.note_begun(connection, drain.name, version)
        return await self._wait(drain.name, "age_s", drain.limit_s)

    async def _hurry(self, record: Record) -> Event:
        drain = record.drain
        if drain.hurried_version is None:
            version = await self._change(record, "hurry", drain.hurry())
            async with self._database.connection() as connection:
                await store.note_hurried(connection, drain.name, version)
        return await self._wait(drain.name, "hurried_s", self._settings.drain_hurry_s)

    async def _wait(self, name: str, age: str, limit_s: float) -> Event:
        """Until nothing is left, it is stopped, or this age reaches the limit."""
        fleet = self._control.fleet
        while True:
            record = await self._find(name)
            version = record.drain.hurried_version or record.drain.version or 0
            left = self.left(record.drain)
            if left is not None and left.is_nothing and fleet.is_converged(version):
                return Event.EMPTY
            if record.row["stopped_by"] is not None:
                return Event.STOPPED
            left_s = limit_s - float(record.row[age])
            if left_s <= 0:
                return Event.LIMIT
            await fleet.changed(min(LOOK_S, left_s))

    async def _end(self, record: Record) -> Event:
        drain = record.drain
        await self._change(record, "end", drain.end())
        if drain.webhook is not None:
            told = {"drain": drain.name, "slot": str(drain.slot), "outcome": drain.outcome}
            try:
                await post(drain.webhook, drain.name, told, WEBHOOK_S)
            except StepError as error:
                log.warning("a drain's end is not told", drain=drain.name, fault=str(error))
                async with self._database.connection() as connection:
                    await store.note(connection, drain.name, str(error))
        return Event.ENDED

    async def _change(self, record: Record, what: str, operations: tuple[Operation, ...]) -> int:
        """Make one of the drain's changes, once; its version. Workers aren't waited for here."""
        key = Key(f"drain/{record.drain.name}/{what}", sha256(what.encode()).digest())
        proposal = Proposal(f"drain-{what}", record.author, lambda _: operations, None, None, key)
        outcome = await self._control.change(proposal, monotonic(), 0.0)
        version = outcome.version
        if isinstance(outcome, Repeated):
            await self._control.reconciler.once()
        return version


_ACTIONS: Mapping[State, Callable[[Drains, Record], Awaitable[Event]]] = {
    State.DRAINING: Drains._drain,  # noqa: SLF001 - the class's own table
    State.HURRYING: Drains._hurry,  # noqa: SLF001
    State.ENDING: Drains._end,  # noqa: SLF001
}


def name_of_new() -> str:
    """A name that no other drain has."""
    return f"d-{token_hex(8)}"
