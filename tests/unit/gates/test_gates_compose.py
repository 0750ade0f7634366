"""All gates of the settings, each by its name; and those that ask Turnout itself."""

from dataclasses import replace
from typing import NoReturn

import pytest

from admin.gates import compose, fleet
from admin.gates.checklist_file import shipped
from admin.gates.config import Fleet, Gates
from admin.gates.fleet import EnvironmentsGate, SwitchedGate, WatchGate, WorkersGate
from admin.gates.model import About, Measured, Outcome
from admin.gates.run import run
from admin.migrations.config import Settings as Migrating
from admin.routing.database import Database, DatabaseUnavailableError
from admin.routing.fleet import Fleet as LiveFleet
from proxy.routing.ack import Convergence, WorkerStatus, converge
from proxy.routing.model import Endpoint, RoutingTable, Slot
from tests.unit.gates.cases import ABOUT

TABLE = RoutingTable(
    version=7,
    endpoints={Slot.BLUE: (Endpoint("127.0.0.1", 1),), Slot.GREEN: (Endpoint("127.0.0.1", 2),)},
)


_REAL: type[fleet.Workers] = LiveFleet
"""What the types say: the admin's own fleet is what the gates ask."""


class Workers:
    """Workers that serve these versions."""

    def __init__(self, *versions: int) -> None:
        self._live = [
            WorkerStatus(f"w{number}", "here", 1, version, "serving")
            for number, version in enumerate(versions)
        ]

    def live(self) -> list[WorkerStatus]:
        return self._live

    def is_converged(self, version: int) -> bool:
        return self.convergence(version).converged

    def convergence(self, version: int) -> Convergence:
        return converge(version, self._live)


async def table() -> RoutingTable:
    return TABLE


async def gone(*_: object) -> NoReturn:
    raise DatabaseUnavailableError(TimeoutError())


def parts(**changed: object) -> compose.Parts:
    found = compose.Parts(
        table=gone,
        database=Database(None, 0.1),  # type: ignore[arg-type]
        migrating=Migrating(),
        workers=Workers(),
        census=gone,
        before=gone,
        last_drill=gone,
    )
    return replace(found, **changed)  # type: ignore[arg-type]


async def test_the_checklists_name_gates_that_there_are() -> None:
    made = compose.gates(Gates(), parts())
    assert set(shipped().gates()) <= made.keys()
    assert compose.checklist(Gates(), made) == shipped()
    assert all(name == gate.name for name, gate in made.items())


async def test_with_nothing_there_nothing_passes() -> None:
    settings = Gates()
    made = compose.gates(settings, parts())
    findings = await run(list(made.values()), ABOUT)
    outcomes = {finding.gate: finding.outcome for finding in findings}
    assert outcomes.pop("replication-lag") is Outcome.NOT_APPLICABLE
    assert set(outcomes.values()) == {Outcome.UNMEASURED}, outcomes
    assert settings.not_applicable() == {"replication-lag"}


@pytest.mark.parametrize(
    ("workers", "outcome", "said"),
    [
        (Workers(7, 8), Outcome.PASSED, "all 2 workers serve version 7"),
        (Workers(7, 6), Outcome.FAILED, "1 of 2 workers don't serve version 7 yet"),
        (Workers(), Outcome.FAILED, "no worker is there"),
    ],
)
async def test_a_switch_is_instant_if_all_workers_follow(
    workers: Workers, outcome: Outcome, said: str
) -> None:
    found = await WorkersGate(Fleet(), table, workers).measure(ABOUT)
    assert (found.outcome, found.detail) == (outcome, said)


@pytest.mark.parametrize(
    ("blue", "green", "outcome"),
    [(1, 1, "passed"), (1, 2, "passed"), (2, 1, "failed"), (0, 0, "failed"), (0, 1, "failed")],
)
async def test_environments_are_alike(blue: int, green: int, outcome: str) -> None:
    one = Endpoint("127.0.0.1", 1)

    async def given() -> RoutingTable:
        return replace(TABLE, endpoints={Slot.BLUE: (one,) * blue, Slot.GREEN: (one,) * green})

    assert (await EnvironmentsGate(Fleet(), given).measure(ABOUT)).outcome == outcome


@pytest.mark.parametrize(
    ("active", "version", "outcome", "said"),
    [
        (Slot.GREEN, 7, Outcome.PASSED, "green is active at every worker"),
        (Slot.GREEN, 6, Outcome.FAILED, "green is active, but not yet at every worker"),
        (Slot.BLUE, 7, Outcome.FAILED, "blue is active"),
    ],
)
async def test_traffic_is_switched_once_every_worker_serves_it(
    active: Slot, version: int, outcome: Outcome, said: str
) -> None:
    async def given() -> RoutingTable:
        return replace(TABLE, active=active)

    found = await SwitchedGate(Fleet(), given, Workers(7, version)).measure(ABOUT)
    assert (found.outcome, found.detail) == (outcome, said)


async def test_what_watches_has_the_word() -> None:
    async def calm(_: About) -> Measured:
        return Measured(Outcome.PASSED, "0.2 % against 0.2 %", {"sample": 900})

    async def dumb(_: About) -> None:
        return None

    found = await WatchGate("error-rate", Fleet(), calm).measure(ABOUT)
    assert (found.gate, found.outcome, found.evidence) == ("error-rate", "passed", {"sample": 900})
    silent = await WatchGate("error-rate", Fleet(), dumb).measure(ABOUT)
    assert silent.outcome is Outcome.UNMEASURED
    made = compose.gates(Gates(), parts(watched={"error-rate": calm, "signal:cpu": calm}))
    assert (await made["error-rate"].measure(ABOUT)).outcome is Outcome.PASSED
    assert (await made["signal:cpu"].measure(ABOUT)).outcome is Outcome.PASSED
    assert (await made["window"].measure(ABOUT)).outcome is Outcome.UNMEASURED
