"""Tells the store who is connected for long at this worker, from time to time and in batches.

Rules:
1. No request pays for it: connections are looked through, for no more than a part of the worker's
   time, and what has changed since is written, some hundred seats at a time.
2. What lies in the store ends by itself if the worker does (`keep_s`), and is taken away when it
   leaves. It is whole only where it says so.
3. If the store lost it, or may have, it is told anew from the beginning.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator
from importlib.resources import files
from time import monotonic
from typing import Final, Protocol

from proxy.census.seats import Batch, Seats
from proxy.census.settings import CensusReport
from proxy.config import Follow
from proxy.exchange.drains import Lasting
from proxy.routing.census import Seat
from proxy.routing.lasting import REQUEST
from proxy.store import UNREACHABLE, Store, close

log = logging.getLogger("turnout.census")

BATCH: Final = 500
"""Seats that one write tells of."""
_REST: Final = 10
"""After a look, so many times as long as it took pass before the next."""
_RENEWALS: Final = 3
"""How often what lies in the store is renewed within the time that it is kept."""


class Countable(Protocol):
    """A client's connection, as it is seen here."""

    def lasting(self) -> Lasting | None:
        """What is under way in a slot; None: nothing."""

    def device(self) -> str | None:
        """The device that it is from; empty: nothing names it; None: it has left."""


def seats_of(connections: Iterable[Countable]) -> Iterator[Seat]:
    """The seat of each that lasts: requests end by themselves."""
    for connection in connections:
        lasting = connection.lasting()
        if lasting is None or lasting.kind == REQUEST:
            continue
        device = connection.device()
        if device is not None:
            tenant = (lasting.tenant or "") if device else ""
            yield Seat(lasting.slot, lasting.kind, tenant, device)


class Reporter:
    """See the module. worker: its name. connections: those that it has now."""

    def __init__(
        self,
        store: Store,
        follow: Follow,
        settings: CensusReport,
        worker: str,
        connections: Callable[[], Iterable[Countable]],
    ) -> None:
        self._redis = store.connect(follow.store_timeout_s, follow.store_timeout_s)
        self._key = store.keys.census(worker)
        text = (files("proxy") / "census" / "census.lua").read_text(encoding="utf-8")
        self._script = self._redis.register_script(text)
        self._settings = settings
        self._connections = connections
        self._seats = Seats(settings.devices)
        self._anew = True
        self._renew_at = 0.0
        self._asked_in_vain = False

    def __repr__(self) -> str:
        return f"<Reporter {self._seats}>"

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            took = 0.0
            try:
                took = self.look()
                await self.tell()
            except UNREACHABLE as error:
                self._lost(error)
            except Exception:
                log.exception("the census was not told; trying again")
                self._begin_anew()
            await asyncio.sleep(max(self._settings.look_s, took * _REST))

    def look(self) -> float:
        """See who is connected; how long that took, in seconds."""
        began = monotonic()
        self._seats.look(seats_of(self._connections()), began)
        return monotonic() - began

    async def tell(self) -> None:
        """Write what has changed, or renew what is there; raises what redis-py does."""
        if not (self._anew or self._seats.has_news or monotonic() >= self._renew_at):
            return
        while True:
            batch = self._seats.batch(BATCH)
            if not await self._write(batch):
                self._begin_anew()
                continue
            self._anew = False
            self._seats.told(batch)
            if batch.last:
                break
        self._renew_at = monotonic() + self._settings.keep_s / _RENEWALS
        self._asked_in_vain = False

    async def _write(self, batch: Batch) -> bool:
        now = monotonic()
        given: list[str | int] = [
            round(self._settings.keep_s * 1000),
            *(int(self._anew), int(batch.last), len(batch.taken)),
        ]
        for seat, held in batch.taken:
            given += [seat.field, held.connections, round((now - held.since) * 1000)]
        given += [seat.field for seat in batch.free]
        return bool(await self._script(keys=[self._key], args=given))

    def _begin_anew(self) -> None:
        self._anew = True
        self._seats.forget()

    def _lost(self, error: Exception) -> None:
        self._begin_anew()
        if not self._asked_in_vain:
            self._asked_in_vain = True
            log.warning("the census waits for the store: %s", type(error).__name__)

    async def close(self) -> None:
        """The worker ends: nobody is connected here any more."""
        try:
            await self._redis.delete(self._key)
        except UNREACHABLE as error:
            log.debug("the census was left to end by itself: %s", type(error).__name__)
        await close(self._redis)
