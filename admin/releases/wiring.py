"""Gates, hooks, the monitor and notifications as releases know them: see `ports`."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from admin.census.model import Census
from admin.gates import run as gating
from admin.gates.checklist import Checklist
from admin.gates.model import About, Finding, Gate, Measured, Outcome
from admin.hooks import run as hooking
from admin.hooks.model import Hook
from admin.monitor.model import Equipment, Level, Verdict
from admin.monitor.watch import Watch, Watched
from admin.releases import course
from admin.releases.go import UNMEASURED, Said
from admin.releases.model import Release
from admin.releases.ports import HookResult, Judgement
from admin.routing.publish import StoreUnavailableError
from proxy.routing.model import RoutingTable
from proxy.routing.windows import Window


class WiredGates:
    """The gates by name. at_once: how many are measured at a time. table: the desired one."""

    def __init__(
        self,
        gates: Mapping[str, Gate],
        checklist: Checklist,
        at_once: int,
        table: Callable[[], Awaitable[RoutingTable]],
    ) -> None:
        self._gates, self._at_once, self._table = gates, at_once, table
        self.checklist = checklist

    @property
    def names(self) -> frozenset[str]:
        """All that there are."""
        return frozenset(self._gates)

    async def measure(self, release: Release, names: Sequence[str]) -> Sequence[Said]:
        """What these say now."""
        table = await self._table()
        about = About(
            release.name,
            release.version,
            release.from_version,
            release.standby,
            release.active,
            tuple(sorted({*table.tenants, *table.pins})),
        )
        gates = [self._gates[name] for name in names if name in self._gates]
        findings = await gating.run(gates, about, self._at_once)
        # The settings may have changed since the release began.
        gone = [
            Said(name, UNMEASURED, "there is no such gate")
            for name in names
            if name not in self._gates
        ]
        return [*(_said(each) for each in findings), *gone]


def _said(finding: Finding) -> Said:
    evidence = {**finding.evidence, "took_s": finding.took_s}
    return Said(finding.gate, str(finding.outcome), finding.detail, evidence)


class WiredHooks:
    """The hooks of the settings. prefixes: of the URLs that may be called."""

    def __init__(self, hooks: Sequence[Hook], prefixes: Sequence[str]) -> None:
        self._hooks = {hook.name: hook for hook in hooks}
        self._prefixes = prefixes
        before: dict[str, tuple[str, ...]] = {}
        after: dict[str, tuple[str, ...]] = {}
        for hook in hooks:
            of, state = (before, hook.before) if hook.before else (after, hook.after)
            of[state] = (*of.get(state, ()), hook.name)
        self.names = course.Hooks(before, after)

    def on_unknown(self, name: str) -> str:
        """What to do if nobody knows how it ended."""
        return self._hooks[name].on_unknown

    async def run(self, name: str, about: Mapping[str, Any], effect: str) -> HookResult:
        """Run it."""
        result = await hooking.run(self._hooks[name], about, effect, prefixes=self._prefixes)
        said = f"{result.detail}: {result.output_tail}" if result.output_tail else result.detail
        return HookResult(result.ok, said, known=result.known)


async def _nothing_kept(_: str) -> Sequence[Window]:
    return ()


class WiredMonitor:
    """Watches the release that moves traffic.

    census: who is connected. baseline: the windows of before a release that were kept.
    """

    def __init__(
        self,
        watch: Watch,
        census: Callable[[], Awaitable[Census]],
        baseline: Callable[[str], Awaitable[Sequence[Window]]] = _nothing_kept,
    ) -> None:
        self._watch, self._census, self._baseline = watch, census, baseline
        self._of, self._moves = "", 0
        self._turned = asyncio.Event()
        self.equipment: Equipment | None = None
        self.latest = Judgement()
        watch.changed = self._turn

    async def judge(
        self, release: Release, moved: Sequence[float], devices: int | None
    ) -> Judgement:
        """What it says now. moved: see the port."""
        if not moved:
            self.rest(release)
            return Judgement()
        await self._count(devices)
        try:
            await self._follow(release, moved)
        except StoreUnavailableError:
            return Judgement()
        self.latest = _judgement(self._watch.verdict)
        return self.latest

    async def trigger(self, name: str, about: About) -> Measured | None:
        """What one of its triggers says of a release now; None: it doesn't watch that."""
        if self._of != about.release:
            return None
        verdict = self._watch.verdict
        for each in verdict.triggers:
            if each.name == name:
                figures = {"standby": each.standby, "active": each.active, "sample": each.sample}
                return Measured(_OUTCOMES[each.level], each.detail or str(each.level), figures)
        return None

    async def news(self, limit_s: float) -> None:
        """Until it is critical and `latest` doesn't say so yet; at most so many seconds."""
        self._turned.clear()
        is_critical = self._watch.verdict.level is Level.CRITICAL
        if is_critical and self.latest.level != Level.CRITICAL:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                await self._turned.wait()

    def _turn(self, _: Verdict, after: Verdict) -> None:
        if after.level is Level.CRITICAL:
            self._turned.set()

    def rest(self, release: Release) -> None:
        """Watch it no longer, if it is the one that is watched."""
        if self._of == release.name:
            self._watch.stop()
            self._of, self._moves, self.latest = "", 0, Judgement()

    async def _follow(self, release: Release, moved: Sequence[float]) -> None:
        if self._of != release.name:
            began, stepped = (0.0 if ago < 1 else ago for ago in (moved[0], moved[-1]))
            pilots = frozenset(release.plan.pilots)
            kept = await self._baseline(release.name)
            watched = Watched(
                release.standby,
                pilots=pilots,
                baseline=kept,
                began_ago_s=began,
                stepped_ago_s=stepped,
            )
            await self._watch.start(watched)
            self._of, self._moves = release.name, len(moved)
        elif len(moved) != self._moves:
            self._watch.step()
            self._moves = len(moved)

    async def _count(self, devices: int | None) -> None:
        if not devices:
            self.equipment = None
            return
        try:
            census = await self._census()
        except StoreUnavailableError:
            self.equipment = None
        else:
            here = len(census.devices)
            self.equipment = Equipment(devices, here) if census.taken else None


_OUTCOMES: Mapping[Level, Outcome] = {
    Level.NORMAL: Outcome.PASSED,
    Level.WARNING: Outcome.WARNED,
    Level.CRITICAL: Outcome.FAILED,
    Level.UNMEASURED: Outcome.UNMEASURED,
}
"""What a gate makes of a trigger. Who is warned has looked: the window's clock stood meanwhile."""


def _judgement(verdict: Verdict) -> Judgement:
    wrong = [each for each in verdict.raised if each.level is verdict.level]
    why = "; ".join(each.detail for each in wrong)
    level = verdict.level
    if level is Level.UNMEASURED and not verdict.triggers:
        why = "nothing was measured yet"
    return Judgement(str(level), why, verdict.plain())
