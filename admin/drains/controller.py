"""What is done in each state of a drain; `admin.intents` carries it through."""

from collections.abc import Awaitable, Callable, Mapping
from secrets import token_hex
from time import monotonic

import structlog

from admin.census.watch import Rolls
from admin.config import Settings
from admin.drains import store
from admin.drains.model import Drain, Event, Left, State, left_of
from admin.drains.store import Record
from admin.intents import LOOK_S, Carrier, StaleError, beginning, change_once
from admin.routing.audit import Author
from admin.routing.control import Control
from admin.routing.events import Hub
from admin.switches.steps import StepError, post
from admin.tasks import Tasks
from proxy.routing import model as contract
from proxy.routing.change import Operation
from proxy.routing.model import Slot

log = structlog.get_logger(__name__)


class RunningError(Exception):
    """Another drain of the slot has not ended."""


class Drains:
    """The drains that this admin carries through. counted: slot → what is left of its drain."""

    def __init__(
        self, control: Control, hub: Hub, tasks: Tasks, settings: Settings, rolls: Rolls
    ) -> None:
        self._control, self._hub, self._rolls = control, hub, rolls
        self._database = control.store.database
        self._settings = settings
        self._carrier = Carrier("drain", self._database, tasks, self._act, store.unfinished)
        self.run = self._carrier.run
        self.counted: dict[Slot, Left] = {}

    async def begin(self, drain: Drain, author: Author) -> None:
        """Write the intent down and begin. RunningError, and what `intents.beginning` raises."""
        async with beginning(self._database) as connection:
            if not await store.begin(connection, drain, author):
                raise RunningError(drain.slot)
        self._carrier.carry(drain.name)

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
            await self._rolls.take(drain.name, contract.Drain(drain.slot, drain.tenants))
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
        fleet, told = self._control.fleet, Told(self._hub)
        while True:
            record = await self._find(name)
            version = record.drain.hurried_version or record.drain.version or 0
            left = self.left(record.drain)
            if left is not None:
                self.counted[record.drain.slot] = left
                told.left(record.drain, left)
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
        self.counted.pop(drain.slot, None)
        await self._change(record, "end", drain.end())
        if drain.webhook is not None:
            told = {"drain": drain.name, "slot": str(drain.slot), "outcome": drain.outcome}
            try:
                await post(drain.webhook, drain.name, told, self._settings.drain_webhook_s)
            except StepError as error:
                log.warning("a drain's end is not told", drain=drain.name, fault=str(error))
                async with self._database.connection() as connection:
                    await store.note(connection, drain.name, str(error))
        return Event.ENDED

    async def _change(self, record: Record, what: str, operations: tuple[Operation, ...]) -> int:
        """Make one of the drain's changes, once; its version."""
        name, author = record.drain.name, record.author
        return await change_once(self._control, "drain", name, what, author, lambda _: operations)


_ACTIONS: Mapping[State, Callable[[Drains, Record], Awaitable[Event]]] = {
    State.DRAINING: Drains._drain,  # noqa: SLF001 - the class's own table
    State.HURRYING: Drains._hurry,  # noqa: SLF001
    State.ENDING: Drains._end,  # noqa: SLF001
}


class Told:
    """Tells listeners how much is left of one drain: whenever it is less, or more, but not often."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._last: Left | None = None
        self._again = 0.0

    def left(self, drain: Drain, left: Left) -> None:
        """This is left now."""
        now = monotonic()
        if left == self._last or now < self._again:
            return
        self._last, self._again = left, now + LOOK_S
        about = {"drain": drain.name, "slot": str(drain.slot), "event": "left"}
        told = {"left": left.total, "kinds": dict(left.kinds), "unknown": list(left.unknown)}
        self._hub.tell("drain", about | told)


def name_of_new() -> str:
    """A name that no other drain has."""
    return f"d-{token_hex(8)}"
