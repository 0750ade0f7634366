"""The loop: which seconds are ripe, what a restart finds again, who is told."""

import asyncio

import msgspec
import pytest

from admin.monitor.model import UNKNOWN, Equipment, Level, Verdict
from admin.monitor.settings import Settings
from admin.monitor.signals import Signals
from admin.monitor.watch import Watch, Watched
from admin.routing.publish import StoreUnavailableError
from proxy.routing.windows import Window
from tests.support.monitor import BEGAN, NEW, figures, healthy, trigger, window


class Tape:
    """A reader of windows that are played to it. fault: raised in place of an answer; gate: waited for."""

    def __init__(self) -> None:
        self.windows: list[Window] = []
        self.now = BEGAN
        self.fault: Exception | None = None
        self.gate: asyncio.Event | None = None
        self.reading = asyncio.Event()

    async def since(self, second: int) -> list[Window]:
        if self.gate:
            self.reading.set()
            await self.gate.wait()
        if self.fault:
            raise self.fault
        return [each for each in self.windows if each.second >= second]

    async def latest(self, seconds: int) -> list[Window]:
        newest = max((each.second for each in self.windows), default=0)
        return await self.since(newest - seconds + 1)


class Clock:
    def __init__(self) -> None:
        self.seconds = 50.0

    def __call__(self) -> float:
        return self.seconds


class Stage:
    """A watch with all that it is given."""

    def __init__(self, settings: Settings | None = None) -> None:
        self.tape, self.clock = Tape(), Clock()
        self.settings = settings or Settings()
        self.signals = Signals(self.settings)
        self.equipment: Equipment | None = None
        self.watch = Watch(
            self.tape, self.settings, self.signals, lambda: self.equipment, self.clock
        )
        self.told: list[tuple[Level, Level]] = []
        self.watch.changed = lambda before, after: self.told.append((before.level, after.level))

    async def play(self, *windows: Window, passes_s: float = 1.0) -> Verdict:
        self.tape.windows += windows
        self.clock.seconds += passes_s
        await self.watch.look()
        return self.watch.verdict

    async def begun(self) -> None:
        self.tape.windows += [window(s, old=figures(400)) for s in range(BEGAN - 120, BEGAN)]
        await self.watch.start(Watched(NEW))

    async def last(self, seconds: int) -> Verdict:
        for _ in range(seconds):
            await self.play(healthy(self.tape.windows[-1].second + 1))
        return self.watch.verdict

    async def fail(self, limit: int = 20) -> int:
        for count in range(1, limit):
            second = self.tape.windows[-1].second + 1
            verdict = await self.play(window(second, figures(100, 10), figures(300)))
            if verdict.level is Level.CRITICAL:
                return count
        raise AssertionError(self.watch.verdict)


async def test_without_a_release_nothing_is_judged():
    stage = Stage()
    assert await stage.play(healthy(BEGAN)) == UNKNOWN
    assert not stage.watch.is_watching


async def test_a_release_is_watched_and_a_change_of_level_is_told():
    stage = Stage()
    await stage.begun()
    assert (await stage.last(60)).level is Level.UNMEASURED  # no tenant is named
    assert stage.told == []
    await stage.fail()
    assert stage.told[-1][1] is Level.CRITICAL
    kept = stage.watch.history[-1]
    assert kept.level is Level.CRITICAL
    assert trigger(kept, "error-rate").evidence["failures"]


async def test_a_release_that_begins_before_any_window_is_told_finds_a_fault_as_soon():
    usual, first = Stage(), Stage()
    await usual.begun()
    await first.watch.start(Watched(NEW))
    for stage in (usual, first):
        for second in range(BEGAN, BEGAN + 60):
            await stage.play(healthy(second))
    assert await first.fail() == await usual.fail()


async def test_a_second_waits_for_all_nodes_but_not_for_a_dead_one():
    stage = Stage()
    await stage.begun()
    for second in range(BEGAN, BEGAN + 20):
        await stage.play(healthy(second), window(second, figures(10), node="b"))
    assert stage.watch.verdict.second == BEGAN + 19
    late = BEGAN + 20
    verdict = await stage.play(healthy(late))
    assert verdict.second == late - 1  # b has not told
    verdict = await stage.play(window(late, figures(10), node="b"), passes_s=0.2)
    assert verdict.second == late
    for second in range(late + 1, late + 4):
        verdict = await stage.play(healthy(second), passes_s=1.0)
        assert second - verdict.second in {1, 2}
    verdict = await stage.play(passes_s=1.6)
    assert verdict.second == late + 3
    for second in range(late + 4, late + 15):
        verdict = await stage.play(healthy(second))
    assert verdict.second == late + 14  # b is not waited for any more


async def test_a_restart_finds_a_fault_again_at_once():
    stage = Stage()
    await stage.begun()
    await stage.last(60)
    await stage.fail()
    again = Watch(stage.tape, stage.settings, clock=stage.clock)
    await again.start(Watched(NEW, began=BEGAN, stepped=BEGAN))
    assert again.verdict.level is Level.CRITICAL
    assert again.verdict.triggers == stage.watch.verdict.triggers


async def test_a_restart_looks_back_no_further_than_it_is_told():
    settings = msgspec.structs.replace(Settings(), rebuild_s=20)
    stage = Stage(settings)
    await stage.begun()
    await stage.last(100)
    again = Watch(stage.tape, settings, clock=stage.clock)
    await again.start(Watched(NEW, began=BEGAN, stepped=BEGAN))
    assert again.verdict.second == BEGAN + 99
    assert trigger(again.verdict, "error-rate").sample == 20 * 100


async def test_after_a_cutover_a_restart_has_the_baseline_that_was_kept():
    stage = Stage()
    kept = [window(second, old=figures(400, 1)) for second in range(BEGAN - 2000, BEGAN - 1700)]
    stage.tape.windows += [window(BEGAN + s, figures(400, 1)) for s in range(40)]
    await stage.watch.start(Watched(NEW, BEGAN, BEGAN, baseline=kept))
    found = trigger(stage.watch.verdict, "error-rate")
    assert (found.level, found.evidence["compared_with"]) == (Level.NORMAL, "before")


async def test_a_step_is_counted_from_the_second_that_follows():
    stage = Stage()
    await stage.begun()
    await stage.last(60)
    stage.watch.step()
    await stage.play(healthy(BEGAN + 60))
    assert trigger(stage.watch.verdict, "error-rate").level is Level.UNMEASURED
    await stage.last(3)
    assert trigger(stage.watch.verdict, "error-rate").level is Level.NORMAL


async def test_while_windows_cannot_be_read_what_was_measured_grows_stale():
    stage = Stage()
    await stage.begun()
    await stage.last(60)
    stage.tape.fault = StoreUnavailableError("ConnectionError")
    verdict = await stage.play(passes_s=3.0)
    assert trigger(verdict, "error-rate").level is Level.NORMAL
    verdict = await stage.play(passes_s=4.0)
    assert trigger(verdict, "error-rate").level is Level.UNMEASURED
    stage.tape.fault = None
    stage.tape.windows += [healthy(BEGAN + 60 + s) for s in range(8)]
    verdict = await stage.play()
    assert trigger(verdict, "error-rate").level is Level.NORMAL


async def test_after_ten_seconds_without_redis_a_healthy_release_is_well_and_a_fault_is_found():
    stage = Stage()
    await stage.begun()
    await stage.last(60)
    stage.tape.fault = StoreUnavailableError("ConnectionError")
    for _ in range(10):
        verdict = await stage.play(passes_s=1.0)
        assert trigger(verdict, "error-rate").level in {Level.NORMAL, Level.UNMEASURED}
    assert trigger(verdict, "error-rate").level is Level.UNMEASURED
    stage.tape.fault = None
    back = BEGAN + 70  # what was served meanwhile was told to nobody
    for second in range(back, back + 20):
        verdict = await stage.play(healthy(second))
        assert verdict.level is not Level.CRITICAL, verdict.raised
    assert trigger(verdict, "error-rate").level is Level.NORMAL
    assert await stage.fail() <= 6


async def test_what_comes_late_all_at_once_is_judged_second_by_second():
    stage = Stage()
    await stage.begun()
    await stage.last(60)
    verdict = await stage.play(*(healthy(BEGAN + 60 + each) for each in range(10)), passes_s=10.0)
    assert verdict.second == BEGAN + 69
    assert verdict.level is not Level.CRITICAL
    bad = [window(BEGAN + 70 + each, figures(100, 10), figures(300)) for each in range(10)]
    assert (await stage.play(*bad, passes_s=10.0)).level is Level.CRITICAL


async def test_a_node_that_restarts_and_a_worker_that_dies_are_no_fault():
    """Its windows are missing, then half of the gauges are, and one window covers several seconds."""
    stage = Stage()
    await stage.begun()

    def of_b(second: int, times: int = 1, share: float = 1.0) -> Window:
        gauges = {"endpoints": round(4 * share), "eligible": round(4 * share)}
        return window(second, figures(100 * times, **gauges), figures(300 * times), node="b")

    for second in range(BEGAN, BEGAN + 40):
        await stage.play(healthy(second), of_b(second))
    for second in range(BEGAN + 40, BEGAN + 55):
        verdict = await stage.play(healthy(second))
        assert verdict.level is not Level.CRITICAL, verdict.raised
    await stage.play(healthy(BEGAN + 55), of_b(BEGAN + 55, times=3, share=0.5))
    for second in range(BEGAN + 56, BEGAN + 80):
        verdict = await stage.play(healthy(second), of_b(second, share=0.5))
        assert verdict.level is not Level.CRITICAL, verdict.raised
    assert trigger(verdict, "error-rate").level is Level.NORMAL
    assert verdict.second == BEGAN + 79


async def test_signals_and_equipment_are_judged_too():
    stage = Stage()
    await stage.begun()
    await stage.last(40)
    stage.equipment = Equipment(23, 10)
    stage.signals.put("database-cpu", 95.0, stage.watch.now)
    verdict = await stage.last(10)
    assert trigger(verdict, "signal:database-cpu").level is Level.CRITICAL
    assert trigger(verdict, "equipment").level is Level.CRITICAL


async def test_history_is_bounded_and_has_what_changed():
    settings = msgspec.structs.replace(Settings(), history=3)
    stage = Stage(settings)
    await stage.begun()
    await stage.last(30)
    for _ in range(5):
        await stage.fail()
        await stage.last(30)
    assert len(stage.watch.history) == 3
    levels = [each.level for each in stage.watch.history]
    assert Level.CRITICAL in levels


async def test_a_release_that_is_stopped_while_windows_are_read_is_not_judged():
    stage = Stage()
    await stage.begun()
    await stage.last(5)
    stage.tape.gate = asyncio.Event()
    looking = asyncio.ensure_future(stage.watch.look())
    await stage.tape.reading.wait()
    stage.watch.stop()
    stage.tape.gate.set()
    await looking
    assert stage.watch.verdict == UNKNOWN


@pytest.mark.parametrize("step_s", [0, 1])
async def test_time_goes_by_the_windows_clock(step_s):
    stage = Stage()
    assert stage.watch.now == 0
    await stage.begun()
    assert stage.watch.now == BEGAN - 1
    stage.clock.seconds += step_s
    assert stage.watch.now == BEGAN - 1 + step_s
