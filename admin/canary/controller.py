"""What is done in each state of a ramp; `admin.intents` carries it through.

Rule: whoever else moves the ramp on (an operator, through any admin) does so in the database; here
it is noticed at the next look, and gone on with from there.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from secrets import token_hex
from time import monotonic

import structlog

from admin.canary import store
from admin.canary.model import Event, NotNowError, Ramp, State, happened
from admin.canary.store import STEP_ACTION, Record
from admin.canary.traffic import LastHour
from admin.canary.weights import NoTrafficError
from admin.intents import LOOK_S, Carrier, StaleError
from admin.routing.audit import Author
from admin.routing.control import Control
from admin.routing.events import Hub
from admin.routing.limits import LimitError
from admin.routing.store import Check, Proposal
from admin.tasks import Tasks
from proxy.routing.change import ContractError, Operation
from proxy.routing.model import RoutingTable
from proxy.routing.traffic import Traffic
from proxy.routing.values import percent

log = structlog.get_logger(__name__)
_TRIES = 5
"""How often an operator's word is tried against a ramp that moves on meanwhile."""


class RunningError(Exception):
    """Another ramp has not ended."""


class _ChangedError(Exception):
    """The table is not as the ramp knows it."""


class _MadeError(Exception):
    """The table, of this version, is as the step wants it already."""

    def __init__(self, version: int) -> None:
        super().__init__(version)
        self.version = version


Happened = tuple[Event, str]
"""An event, and in words why, if it needs any."""
Outcome = tuple[Record, Happened]
"""The ramp as it was seen last, and what happens to it."""


class Ramps:
    """The ramps that this admin carries through, one at a time.

    check: what `Proposal.check` asks of a step. refusal: what it raises.
    """

    def __init__(
        self,
        control: Control,
        hub: Hub,
        tasks: Tasks,
        last_hour: LastHour,
        check: Check,
        refusal: type[Exception],
    ) -> None:
        self._control, self._hub = control, hub
        self._database = control.store.database
        self._last_hour = last_hour
        self._check, self._refusal = check, refusal
        self._carrier = Carrier("ramp", self._database, tasks, self._act, store.unfinished)
        self.run = self._carrier.run

    async def begin(self, ramp: Ramp, author: Author) -> Record:
        """Write the intent down and begin. RunningError, DatabaseUnavailableError: not begun."""
        async with self._database.connection() as connection:
            if not await store.begin(connection, ramp, author):
                raise RunningError
        self._tell(ramp, "begun")
        self._carrier.carry(ramp.name)
        return await self._find(ramp.name)

    async def latest(self) -> Record | None:
        """The ramp that runs, or else the last. DatabaseUnavailableError."""
        async with self._database.connection() as connection:
            return await store.latest(connection)

    async def command(self, event: Event, author: Author) -> Record | None:
        """An operator's word to the ramp that runs; None: there never was one. NotNowError."""
        for _ in range(_TRIES):
            record = await self.latest()
            if record is None:
                return None
            after = await self._commanded(record.ramp, event)
            try:
                async with self._database.connection() as connection:
                    await store.command(connection, record, after, f"ramp-{event}", author)
            except StaleError:
                continue
            self._tell(after, str(event))
            return await self._find(after.name)
        raise NotNowError("the ramp moves on just now: try again")

    async def _commanded(self, ramp: Ramp, event: Event) -> Ramp:
        after = ramp.take(event)
        if ramp.state is not State.PAUSED or after.state is not State.STEPPING:
            return after
        # Who lets it go on has seen how things are.
        table = await self._control.store.current()
        if table.active is not ramp.active:
            raise NotNowError("a cutover or a rollback has ended the canary")
        return after.knowing(table)

    async def _act(self, name: str) -> None:
        while (record := await self._find(name)).ramp.state is not State.DONE:
            try:
                record, (event, reason) = await _ACTIONS[record.ramp.state](self, record)
                after = record.ramp.take(event, reason)
                async with self._database.connection() as connection:
                    await store.save(connection, record, after)
            except StaleError:
                continue
            self._tell(after, str(event))

    def _tell(self, ramp: Ramp, event: str) -> None:
        told = {"ramp": ramp.name, "state": str(ramp.state), "step": ramp.position + 1}
        told |= {"percent": percent(ramp.share), "reason": ramp.reason}
        log.info("ramp", happened=event, **told)
        self._hub.tell("ramp", {"event": event, **told})

    async def _find(self, name: str) -> Record:
        async with self._database.connection() as connection:
            record = await store.find(connection, name)
        if record is None:
            raise StaleError(name)
        return record

    async def _note(self, record: Record, after: Ramp) -> Record:
        """Write down what is known of the step; the ramp stays where it is."""
        async with self._database.connection() as connection:
            await store.save(connection, record, after)
        found = await self._find(after.name)
        if found.revision != record.revision + 1:
            raise StaleError(after.name)
        return found

    # ── a step ────────────────────────────────────────────────────────────────────────────────

    async def _step(self, record: Record) -> Outcome:
        """Make the step's change, and wait until all workers serve it."""
        try:
            while record.ramp.version is None:
                record = await self._weighed(record)
                made = await self._make(record)
                if made is None:
                    record, found = await self._look(record)
                    if found:
                        return record, found
                    continue
                record = made
        except NoTrafficError as error:
            return record, (Event.REFUSED, str(error))
        except (ContractError, LimitError, self._refusal) as error:
            return record, (Event.REFUSED, str(getattr(error, "detail", error)))
        return await self._serve(record, record.ramp.version)

    async def _weighed(self, record: Record) -> Record:
        """Its weight is chosen once: whoever goes on makes the same change."""
        ramp = record.ramp
        if ramp.weight is not None:
            return record
        traffic = await self._last_hour.read() if ramp.asks_traffic else Traffic({})
        weight = ramp.choose(await self._control.store.current(), traffic)
        return await self._note(record, replace(ramp, weight=weight))

    async def _make(self, record: Record) -> Record | None:
        """Make the change, unless it is made; None: the table is not as the ramp knows it."""
        ramp, wanted = record.ramp, record.ramp.wanted()

        def plan(table: RoutingTable) -> tuple[Operation, ...]:
            if table.active is ramp.active and table.canary == wanted:
                raise _MadeError(table.version)
            if not ramp.fits(table):
                raise _ChangedError
            return (ramp.change(),)

        proposal = Proposal(STEP_ACTION, record.author, plan, self._check)
        try:
            version = (await self._control.change(proposal, monotonic(), 0.0)).version
        except _MadeError as made:
            version = made.version
        except _ChangedError:
            return None
        return await self._note(record, ramp.made(version))

    async def _serve(self, record: Record, version: int) -> Outcome:
        fleet = self._control.fleet
        while not (await fleet.wait(version, monotonic() + LOOK_S))[1]:
            record, found = await self._look(record)
            if found:
                return record, found
        return record, (Event.SERVED, "")

    # ── waiting ───────────────────────────────────────────────────────────────────────────────

    async def _dwell(self, record: Record) -> Outcome:
        """Until the step's time is over."""
        looked = monotonic()
        while (left_s := record.ramp.dwell_s - record.ramp.dwelt_s) > 0:
            await asyncio.sleep(min(LOOK_S, left_s))
            now = monotonic()
            record, found = await self._look(record, now - looked)
            looked = now
            if found:
                return record, found
        return record, (record.ramp.over, "")

    async def _pause(self, record: Record) -> Outcome:
        """Until somebody lets it go on, which is noticed as a stale look; or its canary ends."""
        while True:
            await asyncio.sleep(LOOK_S)
            record, found = await self._look(record)
            if found:
                return record, found

    async def _look(
        self, record: Record, measured_s: float = 0.0
    ) -> tuple[Record, Happened | None]:
        """What others have done since, if it is anything to the ramp. StaleError: to itself.

        measured_s: how much of the step's time is over since the last look, by this admin's clock.
        """
        table = await self._control.store.current()
        async with self._database.connection() as connection:
            changes = await store.foreign(connection, record.ramp.seen, table.version)
            found = happened(record.ramp, table, changes)
            known = record.ramp if found else record.ramp.knowing(table)
            return await store.look(connection, record, known, measured_s), found


_ACTIONS: Mapping[State, Callable[[Ramps, Record], Awaitable[Outcome]]] = {
    State.STEPPING: Ramps._step,  # noqa: SLF001 - the class's own table
    State.DWELLING: Ramps._dwell,  # noqa: SLF001
    State.PAUSED: Ramps._pause,  # noqa: SLF001
}


def name_of_new() -> str:
    """A name that no other ramp has."""
    return f"r-{token_hex(8)}"
