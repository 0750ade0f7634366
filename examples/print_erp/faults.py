"""Faults that a test switches on: a share of errors, and a delay, on /api/*.

Only where the program was started with --faults. The share is exact, not random: at 0.25 every
fourth request fails, so that a test knows what it will see.
"""

import asyncio
from typing import Annotated

import msgspec

from examples.print_erp.problems import Problem

MAX_DELAY_MS = 60_000


class Faults(msgspec.Struct, forbid_unknown_fields=True):
    """What goes wrong, and for whom. tenant: None for everyone."""

    error_rate: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.0
    delay_ms: Annotated[int, msgspec.Meta(ge=0, le=MAX_DELAY_MS)] = 0
    tenant: Annotated[str, msgspec.Meta(pattern="^[a-z0-9-]{1,63}$")] | None = None


class FaultInjection:
    """The faults in force, and how much error is owed."""

    def __init__(self) -> None:
        self.faults = Faults()
        self._owed = 0.0

    def set(self, faults: Faults) -> None:
        """Put these in force instead; Faults() ends them."""
        self.faults = faults
        self._owed = 0.0

    async def strike(self, tenant: str) -> None:
        """Delay this request, or refuse it: Problem 500, code injected-fault."""
        faults = self.faults
        if faults.tenant not in (None, tenant):
            return
        if faults.delay_ms:
            await asyncio.sleep(faults.delay_ms / 1000)
        self._owed += faults.error_rate
        if self._owed >= 1 - 1e-9:
            self._owed -= 1
            raise Problem(500, "injected-fault", "a fault was asked for at /_faults")
