"""Gates at once: order, bounds, crashes, cancellation."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import NoReturn

import pytest

from admin.census.model import Census as Taken
from admin.census.model import Connected, Device
from admin.gates import census, lag
from admin.gates.bounded import bounded
from admin.gates.config import Census, Drill, Replication
from admin.gates.drill import DrillGate
from admin.gates.lag import Link
from admin.gates.model import About, Finding, Gate, Measured, Outcome, UnmeasuredError
from admin.gates.run import run
from proxy.routing.model import Slot
from tests.unit.gates.cases import ABOUT

PASSED = Measured(Outcome.PASSED, "good")


class Good:
    """Ends when it may."""

    def __init__(self, name: str, may_end: asyncio.Event | None = None) -> None:
        self.name, self._may_end = name, may_end
        self.began, self.cancelled = asyncio.Event(), False

    async def measure(self, _: About) -> Finding:
        self.began.set()
        try:
            if self._may_end:
                await self._may_end.wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        return Finding(self.name, Outcome.PASSED, "good", {}, 1.5)


class Bad:
    """Breaks its promise."""

    name = "bad"

    async def measure(self, _: About) -> NoReturn:
        raise RuntimeError("postgresql://user:s3cret@host")


async def test_findings_come_in_order_and_a_crash_is_one_gates_own() -> None:
    late = asyncio.Event()
    slow = Good("slow", late)
    gates: list[Gate] = [slow, Good("a"), Bad(), Good("c")]
    task = asyncio.create_task(run(gates, ABOUT))
    await slow.began.wait()
    late.set()
    findings = await task
    assert [finding.gate for finding in findings] == ["slow", "a", "bad", "c"]
    assert [finding.outcome for finding in findings] == ["passed", "passed", "unmeasured", "passed"]
    assert findings[2].detail == "the measurement failed (RuntimeError)"
    assert "s3cret" not in repr(findings)
    assert findings[0].took_s == 1.5


async def test_no_more_than_so_many_run_at_once() -> None:
    may_end = asyncio.Event()
    gates = [Good(str(number), may_end) for number in range(4)]
    task = asyncio.create_task(run(gates, ABOUT, at_once=2))
    await asyncio.gather(gates[0].began.wait(), gates[1].began.wait())
    await asyncio.sleep(0)
    assert not gates[2].began.is_set()
    may_end.set()
    assert len(await task) == 4


async def test_a_gate_without_an_end_is_given_one() -> None:
    findings = await run([Good("slow", asyncio.Event()), Good("a")], ABOUT, limit_s=0.01)
    assert [finding.outcome for finding in findings] == ["unmeasured", "passed"]
    assert findings[0].detail == "not measured within 0.01 s"


async def test_a_sentence_has_an_end() -> None:
    async def measuring() -> Measured:
        raise UnmeasuredError("x" * 100_000)

    assert len((await bounded("x", 1.0, measuring())).detail) == 1000


async def test_a_time_out_of_something_else_is_not_the_gates_own() -> None:
    async def measuring() -> Measured:
        raise TimeoutError

    found = await bounded("x", 60.0, measuring())
    assert (found.outcome, found.detail) == (
        Outcome.UNMEASURED,
        "the measurement failed (TimeoutError)",
    )


async def test_who_cancels_the_run_cancels_all() -> None:
    gates = [Good(str(number), asyncio.Event()) for number in range(3)]
    task = asyncio.create_task(run(gates, ABOUT))
    await asyncio.gather(*(gate.began.wait() for gate in gates))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert all(gate.cancelled for gate in gates)


async def test_what_can_not_be_measured_says_why() -> None:
    async def measuring() -> Measured:
        raise UnmeasuredError("green has no endpoints")

    found = await bounded("x", 1.0, measuring())
    assert (found.outcome, found.detail) == (Outcome.UNMEASURED, "green has no endpoints")


# ── what single gates make of what they see ───────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("links", "outcome", "said"),
    [
        ([Link("r", True, 0.0, 0)], Outcome.PASSED, "at most 0.0 s"),
        ([Link("r", True, 5.0, 16_777_216)], Outcome.PASSED, "at most 5.0 s"),
        ([Link("r", True, 5.1, 0)], Outcome.FAILED, "5.1 s and 0 bytes behind"),
        ([Link("r", True, 0.0, 16_777_217)], Outcome.FAILED, "16777217 bytes behind"),
        ([Link("r", True, 0.0, 0), Link("s", False, 0.0, 0)], Outcome.FAILED, "to s does not run"),
        ([Link("r", None, 0.0, 0), Link("s", False, 0.0, 0)], Outcome.UNMEASURED, "pg_monitor"),
        ([], Outcome.FAILED, "0 of 1 links"),
    ],
)
def test_how_far_links_may_be_behind(links: list[Link], outcome: Outcome, said: str) -> None:
    found = lag.judge(links, Replication(url="env:X"))
    assert found.outcome is outcome
    assert said in found.detail


async def test_without_a_link_lag_does_not_apply() -> None:
    found = await lag.LagGate(Replication()).measure(ABOUT)
    assert found.outcome is Outcome.NOT_APPLICABLE


def taken(blue: int, green: int, *, unknown: int = 0, is_taken: bool = True) -> Taken:
    seat = Connected(("websocket",), 1, 0)
    devices = {Device("acme", f"b{number}"): {Slot.BLUE: seat} for number in range(blue)}
    devices |= {Device("acme", f"g{number}"): {Slot.GREEN: seat} for number in range(green)}
    return Taken(devices, {}, tuple(f"w{number}" for number in range(unknown)), is_taken)


@pytest.mark.parametrize(
    ("seen", "missing", "outcome", "said"),
    [
        (taken(20, 3), 0, Outcome.PASSED, "23 of 23"),
        (taken(20, 2), 0, Outcome.FAILED, "22 of 23"),
        (taken(20, 2), 1, Outcome.WARNED, "22 of 23"),
        (taken(20, 2, unknown=1), 0, Outcome.UNMEASURED, "1 workers have not told"),
        (taken(0, 0, is_taken=False), 0, Outcome.UNMEASURED, "no worker takes a census"),
    ],
)
def test_how_much_equipment_is_enough(
    seen: Taken, missing: int, outcome: Outcome, said: str
) -> None:
    found = census.judge(seen, 23, missing)
    assert found.outcome is outcome
    assert said in found.detail


@pytest.mark.parametrize(
    ("before", "expected", "outcome"),
    [
        (5, 0, Outcome.PASSED),
        (6, 0, Outcome.FAILED),
        (6, 5, Outcome.PASSED),
        (None, 0, "unmeasured"),
    ],
)
async def test_as_many_as_before_or_as_expected(
    before: int | None, expected: int, outcome: str
) -> None:
    async def now() -> Taken:
        return taken(3, 2)

    async def then(_: About) -> int | None:
        return before

    settings = Census(expected=expected, wait_s=0.0)
    found = await census.CensusGate(settings, now, then).measure(ABOUT)
    assert found.outcome == outcome


async def test_without_equipment_the_census_does_not_apply() -> None:
    async def never(*_: object) -> NoReturn:
        raise AssertionError

    found = await census.CensusGate(Census(applies=False), never, never).measure(ABOUT)
    assert found.outcome is Outcome.NOT_APPLICABLE


@pytest.mark.parametrize(
    ("days", "outcome"), [(0.5, Outcome.PASSED), (30.0, Outcome.PASSED), (30.1, Outcome.FAILED)]
)
async def test_a_drill_is_good_for_so_many_days(days: float, outcome: Outcome) -> None:
    now = datetime(2026, 11, 28, tzinfo=UTC)

    async def last() -> datetime:
        return now - timedelta(days=days)

    found = await DrillGate(Drill(days=30), last, lambda: now).measure(ABOUT)
    assert found.outcome is outcome


async def test_without_a_drill_there_was_none() -> None:
    async def last() -> None:
        return None

    found = await DrillGate(Drill(), last).measure(ABOUT)
    assert (found.outcome, found.detail[:21]) == (Outcome.FAILED, "no drill was ever don")
