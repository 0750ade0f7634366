"""Takes the roll of a drain, and watches it until all are back.

Rules:
1. The roll is taken before the drain is begun, and stands in the database with it. Who is seen on
   the slot while the drain goes on, and was not told in time, belongs to it, too.
2. One admin watches all rolls, under a lock; if it dies, another goes on from the database.
3. The watch ends when all are back after the drain's end, or so long after it, or with a drain that
   is stopped. Before a drain's end nobody can say that all are back: some may have come meanwhile.
"""

import asyncio
from collections.abc import Mapping
from time import monotonic

import structlog

from admin.census import store
from admin.census.model import (
    Census,
    Comparison,
    Outcome,
    Standing,
    bounded,
    compare,
    meant,
    take,
)
from admin.census.reading import Reader
from admin.census.store import Record
from admin.config import Settings
from admin.intents import acting
from admin.routing.database import Connection, DatabaseUnavailableError
from admin.routing.events import Hub
from admin.routing.publish import StoreUnavailableError
from admin.routing.store import Store
from proxy.routing.model import Drain, RoutingTable, Slot

log = structlog.get_logger(__name__)
LOCK = "census"
TAKE_S = 2.0
"""How long the roll waits for workers that have not told all they know; then it goes without."""
AGAIN_S = 0.1


class Rolls:
    """See the module. counted: slot → what its roll came to, as long as this admin watches it."""

    def __init__(self, desired: Store, reader: Reader, hub: Hub, settings: Settings) -> None:
        self._desired, self._reader, self._hub = desired, reader, hub
        self._database = desired.database
        self._settings = settings
        self._told: dict[str, Mapping[str, int]] = {}
        self.counted: dict[Slot, Mapping[str, int]] = {}

    async def take(self, name: str, drain: Drain) -> None:
        """Write down who is connected, once. StoreUnavailableError, DatabaseUnavailableError."""
        async with self._database.connection() as connection:
            if await store.is_taken(connection, name):
                return
        census = await self._whole()
        if not census.taken:
            return
        roll = take(census, drain, await self._desired.current())
        kept, beyond = bounded(roll, self._settings.census_devices)
        async with self._database.connection() as connection:
            await store.take(connection, name, kept, beyond)

    async def _whole(self) -> Census:
        """The census once all have told all they know, or after a while."""
        deadline = monotonic() + TAKE_S
        while True:
            census = await self._reader.read()
            if not census.unknown or monotonic() >= deadline:
                return census
            await asyncio.sleep(AGAIN_S)

    async def now(self) -> Census:
        """Who is connected. StoreUnavailableError."""
        return await self._reader.recent()

    async def of(self, drain: str) -> Record | None:
        """The drain's roll; None: none was taken. DatabaseUnavailableError."""
        async with self._database.connection() as connection:
            return await store.find(connection, drain)

    async def compared(self, record: Record) -> Comparison:
        """What the census says of it now. StoreUnavailableError."""
        return compare(record.roll, await self._reader.recent(), record.tenants)

    async def run(self) -> None:
        """Watch, for ever, what nobody else does."""
        while True:
            try:
                if await self._names():
                    async with acting(self._database, LOCK) as mine:
                        if mine:
                            await self._watch()
            except (DatabaseUnavailableError, StoreUnavailableError) as error:
                log.warning("the census waits for a store", fault=type(error).__name__)
            self.counted = {}
            await asyncio.sleep(self._settings.census_look_s)

    async def _names(self) -> list[str]:
        async with self._database.connection() as connection:
            return await store.watched(connection)

    async def _watch(self) -> None:
        while names := await self._names():
            self._told = {name: told for name, told in self._told.items() if name in names}
            for name in names:
                await self._look(name)
            await asyncio.sleep(self._settings.census_look_s)

    async def _look(self, name: str) -> None:
        census, table = await self._reader.read(), await self._desired.current()
        async with self._database.connection() as connection:
            record = await store.find(connection, name)
            if record is None or record.outcome:
                return
            record = await self._with_the_late(connection, record, census, table)
            comparison = compare(record.roll, census, record.tenants)
            await self._note(connection, record, comparison)
            outcome = self._outcome(record, comparison)
            ended = outcome is not None and await store.end(
                connection, name, outcome, comparison.counts
            )
        if outcome is None:
            self._count(record, comparison.counts)
        elif ended:
            self.counted.pop(record.roll.slot, None)
            log.info("census", drain=name, happened=str(outcome), **comparison.counts)
            self._tell(record, str(outcome), comparison.counts)

    async def _with_the_late(
        self, connection: Connection, record: Record, census: Census, table: RoutingTable
    ) -> Record:
        """Who is seen on the slot now, and is not in the roll, came before the drain began it."""
        if record.over_s is not None:
            return record
        roll = record.roll
        late = sorted(meant(census, Drain(roll.slot, record.tenants), table) - roll.there)
        room = self._settings.census_devices - len(roll.there) - len(roll.elsewhere)
        if not late or room <= 0:
            return record
        await store.add(connection, record.drain, late[:room], was_there=True)
        return await store.find(connection, record.drain) or record

    async def _note(self, connection: Connection, record: Record, comparison: Comparison) -> None:
        """Since when who is missing."""
        known = record.missing_since
        missing = {device for device, at in comparison.standing.items() if at is Standing.MISSING}
        gone = [device for device in missing if known[device] is None]
        returned = [device for device, at in known.items() if at and device not in missing]
        await store.note_missing(connection, record.drain, gone, missing=True)
        await store.note_missing(connection, record.drain, returned, missing=False)

    def _outcome(self, record: Record, comparison: Comparison) -> Outcome | None:
        if record.over_s is None:
            return None
        if record.drain_outcome == "stopped":
            return Outcome.STOPPED
        if comparison.is_complete:
            return Outcome.COMPLETE
        return Outcome.LIMIT if record.over_s >= self._settings.census_wait_s else None

    def _count(self, record: Record, counts: Mapping[str, int]) -> None:
        self.counted[record.roll.slot] = counts
        if self._told.get(record.drain) != counts:
            self._told[record.drain] = counts
            self._tell(record, "count", counts)

    def _tell(self, record: Record, event: str, counts: Mapping[str, int]) -> None:
        about = {"drain": record.drain, "slot": str(record.roll.slot), "event": event}
        self._hub.tell("census", {**about, **counts})
