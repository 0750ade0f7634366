"""Intervals: computed from windows, made coarser, written and read."""

import random

from admin.releases.kept import (
    BASELINE_WINDOWS,
    Interval,
    body_of,
    gathered,
    gist,
    groups_in,
    joined,
    packed,
    ripe,
    unpacked,
)
from proxy.routing.model import Slot
from proxy.routing.windows import Figures, TenantFigures, Window
from tests.support.monitor import figures

BLUE, GREEN = (Slot.BLUE, "rest"), (Slot.GREEN, "canary")


def windows(seconds: range, node: str = "a") -> list[Window]:
    return [
        Window(s, node, {BLUE: figures(10, endpoint_connections=s % 50), GREEN: figures(2, 1)})
        for s in seconds
    ]


def requests(intervals: list[Interval]) -> int:
    return sum(of.requests for each in intervals for of in each.groups.values())


def test_windows_are_gathered_whatever_their_order():
    told = [*windows(range(100, 125)), *windows(range(100, 120), "b")]
    found = gathered(told)
    assert [(each.begins, each.told_ms, each.nodes) for each in found] == [
        *((100, 20_000, 2), (110, 20_000, 2), (120, 5_000, 1)),
    ]
    assert found[0].groups[BLUE].requests == 200
    assert found[0].groups[BLUE].endpoint_connections == 2 * 9  # of its end, of both nodes
    seed = random.randrange(2**32)
    print("seed", seed)
    random.Random(seed).shuffle(told)
    assert gathered(told) == found


def test_coarser_ones_have_the_same_sums():
    fine = gathered(windows(range(600, 1_800)))
    for length_s, count in ((60, 20), (600, 2)):
        coarse = joined(fine, length_s)
        assert len(coarse) == count
        assert requests(coarse) == requests(fine)
        assert joined(joined(fine, 60), 600) == joined(fine, 600)
    signalled = [
        Interval(0, 10, 1, 1, {}, {"a": 1.0, "b": 1.0}),
        Interval(10, 10, 1, 1, {}, {"a": 2.0}),
    ]
    assert joined(signalled, 60)[0].signals == {"a": 2.0, "b": 1.0}


def test_what_is_old_is_joined_once_its_time_is_whole():
    now = 1_000_000 // 600 * 600
    recent = Interval(now - 7_000, 10, 1, 1, {})
    hours = [Interval(now - 7_260 + at, 10, 1, 1, {}) for at in range(0, 60, 10)]
    days = [Interval(now - 173_400 + at, 60, 1, 1, {}) for at in range(0, 600, 60)]
    found = ripe([recent, *hours, *days], now)
    assert sorted((len(some), by.begins, by.length_s) for some, by in found) == [
        *((6, now - 7_260, 60), (10, now - 173_400, 600)),
    ]
    assert ripe(hours, now - 1) == []
    assert ripe([by for _, by in found], now) == []


def test_a_release_of_thirty_days_is_small():
    kept = [Interval(at, 10, 1, 1, {}) for at in range(0, 2_592_000, 10)]
    gone = ripe(kept, 2_592_000)
    left = len(kept) - sum(len(some) for some, _ in gone) + len(gone)
    assert 7_000 < left < 8_000
    row = Interval(0, 10, 1, 1, {BLUE: figures(10_000, 9), GREEN: figures(900, 3)})
    assert len(body_of(row)) < 600


def test_it_is_read_as_it_was_written():
    found = gathered(windows(range(100, 110)))[0]
    assert groups_in(body_of(found)) == found.groups
    assert groups_in(body_of(Interval(0, 600, 0, 0, {BLUE: Figures()}))) == {}


def test_a_baseline_keeps_its_tenants_and_the_newest():
    told = [Window(1, "a", {BLUE: figures(3)}, {"acme": TenantFigures(3, 1, 9)})]
    assert unpacked(packed(told)) == told
    many = [Window(s, "a") for s in range(BASELINE_WINDOWS + 5)]
    assert unpacked(packed(many))[0].second == 5
    assert unpacked(b"of another program") == unpacked(packed([])) == []


def test_the_gist_is_who_raises_what():
    def verdict(level: str, detail: str) -> dict[str, object]:
        return {"level": level, "triggers": [{"name": "x", "level": level, "detail": detail}]}

    assert gist(verdict("warning", "5 %")) == gist(verdict("warning", "6 %"))
    assert gist(verdict("warning", "5 %")) != gist(verdict("critical", "5 %"))
    assert gist({}) == gist({"level": None, "triggers": []})
