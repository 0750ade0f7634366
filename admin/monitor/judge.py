"""The judge: windows and what else is known in, a verdict out. Pure, incremental, deterministic.

Rules:
1. A second is judged once, in the order of time, all nodes' windows of it together; one that comes later than a
   judged one is passed over and counted.
2. The same windows, steps and signals give the same verdicts, in whatever portions they come.
3. A state belongs to one loop: it is changed, and handed back.

How alpha is spread: 0.6 on error rates and response times (`subject.SHARES`, for all and for the pilots), 0.2 on
tenants, 0.1 on connections. The rest are no tests: signals, equipment, endpoints and leaks have thresholds.
"""

from collections.abc import Iterable
from math import ceil
from typing import Final

from admin.monitor.findings import Findings
from admin.monitor.model import (
    EQUIPMENT,
    NONE,
    RANK,
    SIGNAL,
    UNKNOWN,
    External,
    Level,
    Part,
    Trigger,
    Verdict,
    part_of,
    verdict_of,
)
from admin.monitor.past import Past
from admin.monitor.sequential import spent
from admin.monitor.settings import Settings, SignalSettings
from admin.monitor.slots import LEAK, Connecting, Endpoints, Growth, leak_of
from admin.monitor.subject import Subject
from admin.monitor.tenants import Tenants, counts_in
from proxy.routing.model import Slot
from proxy.routing.windows import NOTHING, Figures, Window, added, by_second

PILOT: Final = "pilot"


class State:
    """What is known of a release so far. second: the last that was judged. late: windows passed over."""

    def __init__(
        self, standby: Slot, began: int, settings: Settings, pilots: frozenset[str]
    ) -> None:
        self.standby, self.began, self.settings, self.pilots = standby, began, settings, pilots
        self.second = began - 1
        self.stepped = began
        self.late = 0
        self.all = Subject("all", settings, Past(), has_own_past=False)
        self.of_pilots = Subject("pilots", settings, Past(), has_own_past=True)
        self.tenants = Tenants(settings)
        self.connecting = Connecting(settings)
        self.endpoints = Endpoints(settings)
        self.leak = leak_of(settings)
        self.signals: dict[str, _Signal] = {
            each.name: _Signal(each, settings) for each in settings.signals
        }
        self.missing_since: int | None = None
        self.requests = 0


class _Signal:
    """How long a signal has been bad."""

    def __init__(self, of: SignalSettings, settings: Settings) -> None:
        self.of = of
        self.since: dict[Level, float | None] = {Level.WARNING: None, Level.CRITICAL: None}
        self.growth = Growth(settings, 0.0) if of.leak else None
        self.seen: float | None = None

    def is_over(self, value: float, level: Level) -> bool:
        """Whether it is beyond its threshold for that level."""
        limit = self.of.critical if level is Level.CRITICAL else self.of.warning
        return value > limit if self.of.is_bad == "above" else value < limit


def begin(
    standby: Slot,
    second: int,
    settings: Settings,
    *,
    pilots: frozenset[str] = frozenset(),
    baseline: Iterable[Window] = (),
) -> State:
    """Begin to watch a release. second: its first. pilots: tenants that were moved to it by name.

    baseline: windows from before it, or from before the cutover, of the old slot.
    """
    return learn(State(standby, second, settings, pilots), baseline)


def learn(state: State, baseline: Iterable[Window]) -> State:
    """Take in what was before, in the order of time."""
    for second, windows in by_second(baseline).items():
        _learn(state, second, windows)
    state.tenants.step()
    return state


def stepped(state: State, second: int) -> State:
    """Other requests come to the new slot from that second on: a step of the canary, the cutover."""
    state.stepped = second
    state.all.step()
    state.tenants.step()
    state.leak.step()
    return state


def judge(state: State, windows: Iterable[Window], external: External) -> tuple[State, Verdict]:
    """Take windows in, and say what is to be thought of the release."""
    for second, of_second in by_second(windows).items():
        if second <= state.second:
            state.late += len(of_second)
            continue
        _take(state, second, of_second)
        state.second = second
    return state, _verdict(state, external)


# ── windows ───────────────────────────────────────────────────────────────────────────────────────


def _learn(state: State, second: int, windows: list[Window]) -> None:
    """A second before the release."""
    old = _slot(windows, state.standby.other)
    state.all.rest(part_of(old))
    state.connecting.learn(old)
    tenants = counts_in(windows, state.standby)
    state.tenants.learn(second, tenants)
    if state.pilots:
        state.of_pilots.past.add(_of_pilots(state, windows))


def _of_pilots(state: State, windows: list[Window]) -> Part:
    requests = failures = micros = 0
    for window in windows:
        for tenant in state.pilots & window.tenants.keys():
            each = window.tenants[tenant].of(state.standby.other)
            requests, failures = requests + each.requests, failures + each.failures
            micros += each.micros
    return Part(requests, failures, requests, micros)


def _take(state: State, second: int, windows: list[Window]) -> None:
    standby, told = state.standby, state.settings
    old = _slot(windows, standby.other)
    pilots = _cohorts(windows, standby, (PILOT,))
    others = _cohorts(windows, standby, ("rest", "canary"))
    state.requests = pilots.requests + others.requests
    slot = added((pilots, others))
    state.endpoints.take(second, slot)
    if second < state.stepped + told.grace_s:
        state.all.rest(part_of(old))
        return
    floor = spent(second - state.began)
    is_warm = second >= state.stepped + told.warm_up_s
    beside = part_of(old)
    state.all.take(second, floor, part_of(others), beside, is_warm=is_warm)
    if pilots.requests:
        has_past = state.of_pilots.past.is_known
        ours, theirs = part_of(pilots), NONE if has_past else beside
        state.of_pilots.take(second, floor, ours, theirs, is_warm=is_warm)
    tenants = counts_in(windows, standby)
    everybody = (
        slot.requests + old.requests,
        slot.statuses[4] + old.statuses[4],
    )
    state.tenants.take(second, floor, tenants, everybody, state.all.failing.bunch)
    state.connecting.take(second, floor, slot, old)
    beside_us = (float(old.endpoint_connections), old.requests)
    state.leak.take(second, float(slot.endpoint_connections), slot.requests, beside_us)


def _slot(windows: list[Window], slot: Slot) -> Figures:
    return _cohorts(windows, slot, ("rest", "canary", PILOT))


def _cohorts(windows: list[Window], slot: Slot, cohorts: tuple[str, ...]) -> Figures:
    found = [
        figures
        for window in windows
        for cohort in cohorts
        if (figures := window.groups.get((slot, cohort))) is not None
    ]
    return added(found) if len(found) > 1 else found[0] if found else NOTHING


# ── the verdict ───────────────────────────────────────────────────────────────────────────────────


def _verdict(state: State, external: External) -> Verdict:
    if state.second < state.began:
        return UNKNOWN
    is_stale = external.second - state.second > state.settings.stale_s
    triggers = [_if_stale(each, state, external) if is_stale else each for each in _traffic(state)]
    triggers += _signals(state, external)
    if external.equipment is not None:
        triggers.append(_equipment(state, external))
    return verdict_of(triggers, state.second)


def _traffic(state: State) -> list[Trigger]:
    second, told = state.second, state.settings
    warm_from = state.stepped + ceil(max(told.warm_up_s, told.grace_s))
    when = (told, state.began, second, warm_from)
    judged = [
        Findings(state.all, *when, lambda: state.tenants.mix(second)),
        Findings(state.of_pilots, *when),
    ]
    there = [each for each in judged if each.is_there] or judged[:1]
    return [
        _worst([each.error_rate() for each in there]),
        _worst([each.response_time() for each in there]),
        state.connecting.trigger(second),
        state.endpoints.trigger(second),
        state.leak.trigger(*LEAK, second),
        state.tenants.trigger(second),
    ]


def _worst(triggers: list[Trigger]) -> Trigger:
    return max(triggers, key=lambda each: RANK[each.level])


def _if_stale(trigger: Trigger, state: State, external: External) -> Trigger:
    """What is wrong stays so; that all is well is no longer known."""
    if trigger.level is not Level.NORMAL:
        return trigger
    detail = f"no figures for {external.second - state.second} s; before: {trigger.detail}"
    name, evidence = trigger.name, trigger.evidence
    return Trigger(name, Level.UNMEASURED, detail, None, None, 0, state.second, evidence)


def _equipment(state: State, external: External) -> Trigger:
    told, equipment = state.settings, external.equipment
    assert equipment is not None  # noqa: S101 - asked by the only caller
    missing, expected = equipment.missing, equipment.expected
    if missing < told.equipment_warning:
        state.missing_since = None
    elif state.missing_since is None:
        state.missing_since = external.second
    detail = f"{equipment.present} of {expected} devices are there"
    level, since = Level.NORMAL, state.missing_since
    if since is not None:
        lasts = external.second - since
        detail += f", {missing} missing for {lasts} s"
        is_back = external.second >= state.stepped + told.equipment_return_s
        if lasts >= told.equipment_grace_s and is_back:
            is_much = 100.0 * missing >= told.equipment_critical_percent * expected
            is_critical = missing >= told.equipment_critical and is_much
            level = Level.CRITICAL if is_critical else Level.WARNING
    evidence = {"expected": expected, "present": equipment.present, "missing": missing}
    present = float(equipment.present)
    return Trigger(
        EQUIPMENT, level, detail, present, float(expected), expected, since or 0, evidence
    )


def _signals(state: State, external: External) -> list[Trigger]:
    found = []
    for name, signal in state.signals.items():
        reading = external.signals.get(name)
        if reading is None:
            if signal.of.required:
                detail = "no reading was ever given"
                found.append(Trigger(SIGNAL + name, Level.UNMEASURED, detail))
            continue
        age = external.second - reading.at
        if age > signal.of.stale_s:
            detail = f"the last reading is {age:.0f} s old"
            found.append(Trigger(SIGNAL + name, Level.UNMEASURED, detail, reading.value))
            continue
        if signal.growth is not None and signal.seen != reading.at:
            signal.growth.take(int(reading.at), reading.value, state.requests)
        signal.seen = reading.at
        found.append(_signal(signal, reading.value, reading.at, external.second))
    return found


def _signal(signal: _Signal, value: float, at: float, now: int) -> Trigger:
    of, level, since = signal.of, Level.NORMAL, 0.0
    for each in (Level.WARNING, Level.CRITICAL):
        if not signal.is_over(value, each):
            signal.since[each] = None
            continue
        began = signal.since[each]
        if began is None:
            began = signal.since[each] = at
        if now - began >= of.for_s:
            level, since = each, began
    unit = f" {of.unit}".rstrip()
    detail = f"{value:g}{unit} (bad {of.is_bad} {of.warning:g}, critical {of.critical:g})"
    if level is Level.CRITICAL and of.worst == "warning":
        level = Level.WARNING
    if signal.growth is not None and level is not Level.CRITICAL:
        grown = signal.growth.trigger(SIGNAL + of.name, of.name, now)
        if grown.level in {Level.WARNING, Level.CRITICAL} and RANK[grown.level] > RANK[level]:
            return grown
    evidence = {"warning": of.warning, "critical": of.critical, "unit": of.unit, "at": at}
    return Trigger(SIGNAL + of.name, level, detail, value, None, 1, int(since), evidence)
