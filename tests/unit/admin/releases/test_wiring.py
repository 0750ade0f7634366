"""The monitor as releases know it: it watches the one that moves traffic, whoever else asks."""

import asyncio
from dataclasses import replace

import pytest

from admin.census.model import Census
from admin.gates.checklist_file import shipped
from admin.gates.files import FileFault
from admin.gates.model import About
from admin.monitor.model import Level, Trigger, verdict_of
from admin.monitor.settings import Settings
from admin.monitor.watch import Watch
from admin.releases.compose import check_plans, watched_for
from admin.releases.config import Settings as Releasing
from admin.releases.model import Release, State
from admin.releases.plan import MinorPlan, Plan
from admin.releases.wiring import WiredGates, WiredMonitor
from proxy.routing.model import Canary, RoutingTable, Slot
from proxy.routing.windows import Window
from tests.support.monitor import BEGAN, figures, healthy, window

RELEASE = Release("r", "1.3.0", "1.2.0", Plan(), Slot.BLUE, Canary(), Canary(), state=State.CANARY)


class Nothing:
    """A store of windows in which none lies."""

    now = BEGAN

    async def since(self, _: int) -> list[Window]:
        return []

    async def latest(self, _: int) -> list[Window]:
        return []


class Tape:
    """A store of these windows."""

    now = BEGAN

    def __init__(self) -> None:
        self.windows = [window(second, old=figures(400)) for second in range(BEGAN - 60, BEGAN)]

    async def since(self, second: int) -> list[Window]:
        return [each for each in self.windows if each.second >= second]

    async def latest(self, _: int) -> list[Window]:
        return self.windows


async def nobody() -> Census:
    return Census({}, {}, (), taken=False)


async def test_one_that_waits_does_not_stop_what_is_watched():
    watch = Watch(Nothing(), Settings())
    monitor = WiredMonitor(watch, nobody)
    await monitor.judge(RELEASE, [5.0], None)
    assert watch.is_watching
    other = replace(RELEASE, name="s", state=State.PLANNED)
    assert (await monitor.judge(other, [], None)).level == "unmeasured"
    monitor.rest(other)
    assert watch.is_watching
    monitor.rest(RELEASE)
    assert not watch.is_watching


async def test_what_moved_nothing_is_not_watched():
    watch = Watch(Nothing(), Settings())
    monitor = WiredMonitor(watch, nobody)
    assert (await monitor.judge(RELEASE, [], None)).level == "unmeasured"
    assert not watch.is_watching


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        (
            MinorPlan(checklist=("smok",)),
            "releases.minor.checklist: there is no item or part 'smok'; did",
        ),
        (MinorPlan(gates=("wealth",)), "releases.minor: no gate is called 'wealth'"),
    ],
)
def test_settings_that_name_what_there_is_not_are_refused(plan: MinorPlan, said: str):
    gates = {*shipped().gates(), "health", "schema"}
    check_plans(Releasing(), shipped(), gates)
    with pytest.raises(FileFault) as caught:
        check_plans(Releasing(minor=plan), shipped(), gates)
    assert str(caught.value).startswith(said)


@pytest.mark.parametrize(
    ("dwelt_s", "window_s", "outcome"),
    [(10.0, 7200.0, "failed"), (7200.0, 7200.0, "passed"), (60.0, 60.0, "warned")],
)
def test_the_window_is_measured_by_the_releases_own_clock(
    dwelt_s: float, window_s: float, outcome: str
):
    watched = replace(
        RELEASE, state=State.STABILISING, dwelt_s=dwelt_s, plan=Plan(window_s=window_s)
    )
    found = watched_for(watched)
    assert found is not None
    assert found.outcome == outcome
    assert watched_for(RELEASE) is None


async def test_the_monitor_speaks_for_the_release_that_it_watches():
    monitor = WiredMonitor(Watch(Nothing(), Settings()), nobody)
    about = About("r", "1.3.0", "1.2.0", Slot.GREEN, Slot.BLUE)
    assert await monitor.trigger("error-rate", about) is None
    await monitor.judge(RELEASE, [5.0], None)
    verdict = verdict_of([Trigger("error-rate", Level.WARNING, "0.6 %", sample=900)], 7)
    monitor._watch.verdict = verdict
    found = await monitor.trigger("error-rate", about)
    assert found is not None
    assert (found.outcome, found.detail, found.evidence["sample"]) == ("warned", "0.6 %", 900)
    assert await monitor.trigger("response-time", about) is None
    assert await monitor.trigger("error-rate", replace(about, release="s")) is None


async def test_a_gate_that_there_is_no_longer_has_not_measured():
    async def table() -> RoutingTable:
        return RoutingTable(version=1)

    (said,) = await WiredGates({}, shipped(), 4, table).measure(RELEASE, ["gone"])
    assert (said.gate, said.outcome, said.detail) == ("gone", "unmeasured", "there is no such gate")


async def test_who_waits_is_woken_when_it_turns_critical_and_once_only():
    tape = Tape()
    clock = [0.0]
    watch = Watch(tape, Settings(), clock=lambda: clock[0])
    monitor = WiredMonitor(watch, nobody)
    release = replace(RELEASE, active=Slot.BLUE)
    await monitor.judge(release, [0.0], None)

    async def pass_by(each: Window) -> None:
        tape.windows.append(each)
        clock[0] += 1.0
        await watch.look()

    for second in range(BEGAN, BEGAN + 40):
        await pass_by(healthy(second))
    waiting = asyncio.create_task(monitor.news(3_600.0))
    await asyncio.sleep(0)
    for second in range(BEGAN + 40, BEGAN + 60):
        await pass_by(window(second, figures(100, 20), figures(300)))
    assert watch.verdict.level == "critical"
    await waiting
    # It is already, and nobody has asked yet: at once.
    await monitor.news(3_600.0)
    assert (await monitor.judge(release, [0.0], None)).level == "critical"
    again = asyncio.create_task(monitor.news(3_600.0))
    await asyncio.sleep(0)
    await pass_by(window(BEGAN + 60, figures(100, 20), figures(300)))
    assert not again.done()  # it stays so: nobody runs in circles
    again.cancel()
