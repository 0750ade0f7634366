"""What Turnout itself knows: its workers, the endpoints of both slots, and where traffic goes."""

from collections.abc import Awaitable, Callable
from typing import Protocol

from admin.gates.asking import Table
from admin.gates.bounded import bounded
from admin.gates.config import Fleet
from admin.gates.model import NAMED, About, Finding, Measured, Outcome
from proxy.routing.ack import Convergence, WorkerStatus


class Workers(Protocol):
    """The live workers (`admin.routing.fleet.Fleet`)."""

    def live(self) -> list[WorkerStatus]:
        """What those that count last said."""

    def is_converged(self, version: int) -> bool:
        """Whether all of them serve this version."""

    def convergence(self, version: int) -> Convergence:
        """Who does, and who is waited for."""


class WorkersGate:
    """Whether all workers serve the desired table: so a switch is instant."""

    name = "workers"

    def __init__(self, settings: Fleet, table: Table, workers: Workers) -> None:
        self._settings, self._table, self._workers = settings, table, workers

    async def measure(self, about: About) -> Finding:
        """See `Gate`."""
        return await bounded(self.name, self._settings.limit_s, self._measure(about))

    async def _measure(self, _: About) -> Measured:
        version = (await self._table()).version
        live, pending = len(self._workers.live()), self._workers.convergence(version).pending
        evidence = {"version": version, "live": live, "pending": list(pending)[:NAMED]}
        if not live:
            return Measured(Outcome.FAILED, "no worker is there", evidence)
        if not self._workers.is_converged(version):
            detail = f"{len(pending)} of {live} workers don't serve version {version} yet"
            return Measured(Outcome.FAILED, detail, evidence)
        return Measured(Outcome.PASSED, f"all {live} workers serve version {version}", evidence)


class EnvironmentsGate:
    """Whether standby has as many endpoints as active."""

    name = "environments"

    def __init__(self, settings: Fleet, table: Table) -> None:
        self._settings, self._table = settings, table

    async def measure(self, about: About) -> Finding:
        """See `Gate`."""
        return await bounded(self.name, self._settings.limit_s, self._measure(about))

    async def _measure(self, about: About) -> Measured:
        endpoints = (await self._table()).endpoints
        standby, active = len(endpoints[about.standby]), len(endpoints[about.active])
        good = standby >= active > 0
        detail = f"{about.standby} has {standby} endpoints, {about.active} {active}"
        evidence = {"standby": standby, "active": active}
        return Measured(Outcome.PASSED if good else Outcome.FAILED, detail, evidence)


class SwitchedGate:
    """Whether what was standby is active, at every worker."""

    name = "switched"

    def __init__(self, settings: Fleet, table: Table, workers: Workers) -> None:
        self._settings, self._table, self._workers = settings, table, workers

    async def measure(self, about: About) -> Finding:
        """See `Gate`."""
        return await bounded(self.name, self._settings.limit_s, self._measure(about))

    async def _measure(self, about: About) -> Measured:
        table = await self._table()
        served = self._workers.is_converged(table.version)
        evidence = {"active": str(table.active), "version": table.version, "converged": served}
        if table.active is not about.standby:
            return Measured(Outcome.FAILED, f"{table.active} is active", evidence)
        if not served:
            detail = f"{table.active} is active, but not yet at every worker"
            return Measured(Outcome.FAILED, detail, evidence)
        return Measured(Outcome.PASSED, f"{table.active} is active at every worker", evidence)


Look = Callable[[About], Awaitable[Measured | None]]
"""What something that watches says now; None: it can't say."""


class WatchGate:
    """What something that watches all the time says: a trigger of the monitor, a timer."""

    def __init__(self, name: str, settings: Fleet, look: Look) -> None:
        self.name = name
        self._settings, self._look = settings, look

    async def measure(self, about: About) -> Finding:
        """See `Gate`."""
        return await bounded(self.name, self._settings.limit_s, self._measure(about))

    async def _measure(self, about: About) -> Measured:
        found = await self._look(about)
        return found or Measured(Outcome.UNMEASURED, f"nothing is known of {self.name}")
