"""The monitor as releases know it: it watches the one that moves traffic, whoever else asks."""

from dataclasses import replace

from admin.census.model import Census
from admin.monitor.settings import Settings
from admin.monitor.watch import Watch
from admin.releases.model import Release, State
from admin.releases.plan import Plan
from admin.releases.wiring import WiredMonitor
from proxy.routing.model import Canary, Slot
from proxy.routing.windows import Window

RELEASE = Release("r", "1.3.0", "1.2.0", Plan(), Slot.BLUE, Canary(), Canary(), state=State.CANARY)


class Nothing:
    """A store of windows in which none lies."""

    async def since(self, _: int) -> list[Window]:
        return []

    async def latest(self, _: int) -> list[Window]:
        return []


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
