"""Faults that a test switches on: a share of errors, a delay, connections that leak, no equipment.

Only where the program was started with --faults. The share is exact, not random: at 0.25 every
fourth request fails, so that a test knows what it will see.
"""

import asyncio
from typing import Annotated

import asyncpg
import msgspec

from examples.print_erp.problems import Problem

MAX_DELAY_MS = 60_000
MAX_LEAKED = 60
"""Connections that are left open at most: the server's other users need some."""


class Faults(msgspec.Struct, forbid_unknown_fields=True):
    """What goes wrong, and for whom. tenant: None for everyone.

    leak_every: each so many requests a connection to the database is left open; 0: none. equipment:
    whether printers are let in; if not, those that are there are closed.
    """

    error_rate: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.0
    delay_ms: Annotated[int, msgspec.Meta(ge=0, le=MAX_DELAY_MS)] = 0
    tenant: Annotated[str, msgspec.Meta(pattern="^[a-z0-9-]{1,63}$")] | None = None
    leak_every: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 0
    equipment: bool = True


class FaultInjection:
    """The faults in force, and how much error is owed."""

    def __init__(self) -> None:
        self.faults = Faults()
        self._owed = 0.0
        self._until_leak = 0
        self.leaked: list[asyncpg.Connection] = []

    def set(self, faults: Faults) -> None:
        """Put these in force instead; Faults() ends them."""
        self.faults = faults
        self._owed = 0.0
        self._until_leak = faults.leak_every

    async def strike(self, tenant: str, database_url: str) -> None:
        """Delay this request, leak for it, or refuse it: Problem 500, code injected-fault."""
        faults = self.faults
        if faults.tenant not in (None, tenant):
            return
        if faults.leak_every and len(self.leaked) < MAX_LEAKED:
            self._until_leak -= 1
            if self._until_leak <= 0:
                self._until_leak = faults.leak_every
                self.leaked.append(await asyncpg.connect(database_url))
        if faults.delay_ms:
            await asyncio.sleep(faults.delay_ms / 1000)
        self._owed += faults.error_rate
        if self._owed >= 1 - 1e-9:
            self._owed -= 1
            raise Problem(500, "injected-fault", "a fault was asked for at /_faults")
