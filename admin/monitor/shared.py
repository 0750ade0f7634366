"""Readings that are pushed to one admin, for all of them: in Redis, where the windows are.

Rules:
1. A reading is of the moment when it came, by Redis' clock: the one by which windows have their seconds, and the
   monitor its now. No admin's clock counts.
2. In Redis and not in PostgreSQL: the monitor goes on while PostgreSQL is away, and without Redis it has no windows to
   judge either. What Redis loses is stale soon anyway, and pushed again.
3. One that can't be shared is refused: who pushes it tries again, and no admin knows more than the others.
"""

import asyncio
import json
from collections.abc import Mapping
from typing import Any, Final

import structlog
from redis.asyncio import Redis

from admin.monitor.model import Reading
from admin.monitor.settings import SignalSettings
from admin.monitor.signals import Signals
from admin.routing.publish import FAULTS, StoreUnavailableError
from proxy.routing.keys import Keys

log = structlog.get_logger(__name__)
LOOK_S: Final = 1.0
"""How often others' readings are looked for."""
_MAX_BYTES: Final = 200


class SharedSignals:
    """Shares readings. own: where this admin's monitor finds them."""

    def __init__(self, redis: "Redis", keys: Keys, own: Signals) -> None:
        self._redis, self._key, self._own = redis, keys.signals, own
        self._is_away = False

    @property
    def settings(self) -> Mapping[str, SignalSettings]:
        """What is known of each."""
        return self._own.settings

    def latest(self) -> Mapping[str, Reading]:
        """By name; those that were ever given."""
        return self._own.latest()

    async def put(self, name: str, value: float) -> None:
        """Take a reading for all. UnknownSignalError, ValueError, StoreUnavailableError: it is not taken."""
        self._own.check(name, value)
        try:
            seconds, micros = await self._redis.time()
            at = int(seconds) + int(micros) / 1e6
            await self._redis.hset(self._key, name, json.dumps([value, at]))
        except FAULTS as error:
            raise StoreUnavailableError(type(error).__name__) from error
        self._own.put(name, value, at)

    async def look(self) -> None:
        """Take what other admins were told. StoreUnavailableError."""
        try:
            found: Any = await self._redis.hgetall(self._key)
        except FAULTS as error:
            raise StoreUnavailableError(type(error).__name__) from error
        for name, told in found.items():
            reading = _reading(told)
            if reading is not None and name.decode("ascii", "replace") in self._own.settings:
                self._own.put(name.decode(), reading.value, reading.at)

    async def run(self) -> None:
        """Look every LOOK_S, for ever."""
        while True:
            try:
                await self.look()
                self._is_away = False
            except StoreUnavailableError as error:
                if not self._is_away:
                    log.warning("signals can't be shared", fault=str(error))
                self._is_away = True
            await asyncio.sleep(LOOK_S)


def _reading(told: bytes) -> Reading | None:
    """None: it is no reading."""
    if len(told) > _MAX_BYTES:
        return None
    try:
        value, at = json.loads(told)
        return Reading(float(value), float(at)) if abs(value) + abs(at) < float("inf") else None
    except (ValueError, TypeError, RecursionError, OverflowError):
        return None
