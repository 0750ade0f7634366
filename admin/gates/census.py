"""Equipment: all devices that should be are connected, through whichever slot."""

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic

from admin.census.model import Census
from admin.gates.bounded import bounded
from admin.gates.config import Census as Settings
from admin.gates.model import About, Finding, Measured, Outcome, UnmeasuredError
from admin.routing.publish import StoreUnavailableError
from proxy.routing.model import Slot

Now = Callable[[], Awaitable[Census]]
"""Who is connected now (`Rolls.now`)."""
Before = Callable[[About], Awaitable[int | None]]
"""How many devices were connected when the release began; None: nobody counted."""


class CensusGate:
    """Counts the devices that workers tell of."""

    name = "census"

    def __init__(self, settings: Settings, now: Now, before: Before) -> None:
        self._settings, self._now, self._before = settings, now, before

    async def measure(self, about: About) -> Finding:
        """See `Gate`."""
        return await bounded(self.name, self._settings.limit_s, self._measure(about))

    async def _measure(self, about: About) -> Measured:
        if not self._settings.applies:
            return Measured(Outcome.NOT_APPLICABLE, "the settings say that there is no equipment")
        expected = self._settings.expected or await self._before(about)
        if expected is None:
            raise UnmeasuredError("nobody counted the devices before: set census.expected")
        deadline = monotonic() + self._settings.wait_s
        while True:
            found = judge(await self._census(), expected, self._settings.missing)
            if found.outcome is Outcome.PASSED or monotonic() >= deadline:
                return found
            await asyncio.sleep(self._settings.look_s)

    async def _census(self) -> Census:
        try:
            return await self._now()
        except StoreUnavailableError as error:
            raise UnmeasuredError(f"Redis can't be asked who is connected ({error})") from None


def judge(census: Census, expected: int, missing: int) -> Measured:
    """What a census says. missing: how many devices may be. Pure."""
    connected = len(census.devices)
    evidence = {
        "connected": connected,
        "expected": expected,
        "slots": {str(slot): len(census.on(slot)) for slot in Slot},
        "workers_unknown": len(census.unknown),
    }
    words = f"{connected} of {expected} devices are connected"
    if not census.taken:
        detail = "no worker takes a census: see [[proxy.census]]"
        return Measured(Outcome.UNMEASURED, detail, evidence)
    if connected >= expected:
        return Measured(Outcome.PASSED, words, evidence)
    if census.unknown:
        detail = f"{words}, and {len(census.unknown)} workers have not told all they know"
        return Measured(Outcome.UNMEASURED, detail, evidence)
    outcome = Outcome.WARNED if connected + missing >= expected else Outcome.FAILED
    return Measured(outcome, words, evidence)
