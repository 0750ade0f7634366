"""The checker, fed histories that are right but for one known violation of each kind."""

import math
import random
from collections.abc import Callable, Sequence

import pytest

from bench.switch.checker import judge
from bench.switch.history import History, Request, Switch, events_of, requests_of
from proxy.routing.model import Slot

BLUE, GREEN = Slot.BLUE, Slot.GREEN
TENANTS = ("acme", "globex")
STANDING = dict.fromkeys(TENANTS, BLUE)
TO_GREEN = Switch(1.0, 1.1, GREEN, ack_ms=90.0)
TO_BLUE = Switch(2.0, 2.1, BLUE, ack_ms=90.0)


def at(begun: float, slot: Slot | None, ended: float | None = None, **fields: str) -> Request:
    """A request that takes 10 ms unless said otherwise."""
    given = {"tenant": "acme", "fault": "", **fields}
    return Request(
        begun, begun + 0.01 if ended is None else ended, given["tenant"], slot, given["fault"]
    )


RIGHT = [
    at(0.5, BLUE),
    at(1.05, BLUE),
    at(1.2, GREEN),
    at(1.5, GREEN),
    at(2.05, GREEN),
    at(2.5, BLUE),
]


def history(
    requests: Sequence[Request], switches: Sequence[Switch] = (TO_GREEN, TO_BLUE)
) -> History:
    return History(STANDING, switches, requests)


def test_what_is_right_has_no_violation() -> None:
    verdict = judge(history(RIGHT))
    assert (verdict.requests, verdict.judged) == (6, 4)
    assert (verdict.misrouted, verdict.went_back, verdict.unacked) == (0, 0, 0)
    assert not verdict.failed


@pytest.mark.parametrize(
    "wrong",
    [
        at(0.5, GREEN),  # before the first switch
        at(1.2, BLUE),  # after an ack, by the slot before
        at(1.1, BLUE),  # in the very moment of the ack
        at(1.98, BLUE, ended=2.0),  # up to the moment in which the next is asked for
        at(3.0, GREEN),  # after the last
    ],
    ids=lambda request: f"{request.begun}",
)
def test_a_misrouted_request_is_counted(wrong: Request) -> None:
    assert judge(history([*RIGHT, wrong])).misrouted == 1


@pytest.mark.parametrize(
    "either",
    [
        at(1.0, GREEN),  # asked for in this moment
        at(1.05, GREEN),
        at(1.09, BLUE, ended=1.9),  # begun before the ack, answered long after
        at(0.9, GREEN, ended=1.05),  # still under way when the next was asked for
        at(1.9, BLUE, ended=2.3),
    ],
    ids=lambda request: f"{request.begun}",
)
def test_what_meets_a_switch_may_go_either_way(either: Request) -> None:
    before, after = judge(history(RIGHT)), judge(history([*RIGHT, either]))
    assert (after.misrouted, after.judged) == (0, before.judged)


def test_failures_are_counted_by_kind_and_not_as_misrouted() -> None:
    failed = [at(1.2, None, fault="status 502"), at(1.3, None, fault="status 502")]
    verdict = judge(history([*RIGHT, *failed, at(1.05, None, fault="cut within the answer")]))
    assert verdict.failed == {"status 502": 2, "cut within the answer": 1}
    assert verdict.misrouted == 0


def test_a_request_that_goes_back_to_the_old_slot_is_counted() -> None:
    early, back = at(1.02, GREEN, ended=1.03), at(1.04, BLUE, ended=1.06)
    assert judge(history([*RIGHT, early])).went_back == 1  # RIGHT has one that began at 1.05
    assert judge(history([*RIGHT, early, back])).went_back == 2
    assert judge(history([*RIGHT, early, back])).misrouted == 0


def test_an_answer_of_two_switches_before_is_not_taken_for_the_new_slot_s() -> None:
    """Blue serves again after the second switch; one that blue began before the first is no proof."""
    late = at(0.9, BLUE, ended=2.02)
    assert judge(history([*RIGHT, late])).went_back == 0
    assert judge(history([*RIGHT, late])).timings[1].first == pytest.approx(510)


def test_times_are_those_of_what_was_seen() -> None:
    first = judge(history([*RIGHT, at(1.02, GREEN, ended=1.04), at(1.15, BLUE)])).timings[0]
    assert first.acked == pytest.approx(100)
    assert first.told == 90.0
    assert first.first == pytest.approx(40)
    assert first.after_ack == pytest.approx(110)
    assert first.true == pytest.approx(150)  # blue was sent a request 50 ms after the ack


def test_it_is_true_at_the_ack_if_nobody_was_sent_to_the_old_slot_later() -> None:
    assert [each.true for each in judge(history(RIGHT)).timings] == pytest.approx([100, 100])


def test_a_switch_that_nobody_saw_is_never_true() -> None:
    timing = judge(history([each for each in RIGHT if each.slot is BLUE])).timings[0]
    assert timing.true == timing.first == timing.after_ack == math.inf


def test_after_a_switch_without_an_ack_nothing_is_judged_until_the_next_has_one() -> None:
    lost = Switch(1.0, math.inf, GREEN, fault="answered 503")
    verdict = judge(history([*RIGHT, at(1.5, BLUE), at(3.0, GREEN)], [lost, TO_BLUE]))
    assert verdict.unacked == 1
    assert len(verdict.timings) == 1
    assert verdict.misrouted == 1  # the last one alone


def test_a_switch_of_one_tenant_is_held_against_that_tenant_alone() -> None:
    own = Switch(1.0, 1.1, GREEN, tenant="acme")
    right = [at(1.2, GREEN), at(1.05, BLUE, tenant="globex"), at(1.2, BLUE, tenant="globex")]
    verdict = judge(history(right, [own]))
    assert (verdict.judged, verdict.misrouted, verdict.went_back) == (3, 0, 0)
    moved_too = [at(1.2, GREEN), at(1.3, GREEN, tenant="globex")]
    assert judge(history(moved_too, [own])).misrouted == 1
    left_behind = [at(1.2, BLUE), at(1.3, BLUE, tenant="globex")]
    assert judge(history(left_behind, [own])).misrouted == 1


def simulated(chance: random.Random, stale: Callable[[float], bool]) -> tuple[History, int]:
    """Two hundred switches under load; where `stale` says so the old slot answers. (…, how many)."""
    switches, requests, wrong = [], [], 0
    now, slot = 10.0, BLUE
    for _ in range(200):
        asked = now + chance.uniform(0.02, 0.05)
        acked = asked + chance.uniform(0.001, 0.02)
        until = acked + 0.05
        while now < until:
            now += chance.expovariate(1000)
            ended = now + chance.uniform(0.0002, 0.002)
            if now < asked:
                answer, is_wrong = slot, False
            elif now < acked:
                answer, is_wrong = chance.choice([BLUE, GREEN]), False
            else:
                is_wrong = stale(now)
                answer = slot if is_wrong else slot.other
            wrong += is_wrong
            requests.append(at(now, answer, ended))
        switches.append(Switch(asked, acked, slot.other))
        slot, now = slot.other, until + 0.003  # all answers are in before the next is asked for
    chance.shuffle(requests)
    return History(STANDING, switches, requests), wrong


def test_every_stale_answer_after_an_ack_is_found_and_no_other(
    seeded_random: random.Random,
) -> None:
    clean, none = simulated(seeded_random, lambda _: False)
    assert (judge(clean).misrouted, none) == (0, 0)
    dirty, wrong = simulated(seeded_random, lambda _: seeded_random.random() < 0.01)
    assert wrong > 0
    assert judge(dirty).misrouted == wrong


def test_rows_of_the_load_become_what_they_stand_for() -> None:
    (good, bad) = requests_of([[1.0, 1.1, 1, "green", ""], [2.0, 2.1, 0, "", "cut"]], TENANTS)
    assert good == Request(1.0, 1.1, "globex", GREEN)
    assert bad == Request(2.0, 2.1, "acme", None, "cut")
    (event,) = events_of([["closed", 3.0, 7, 1, "blue", 1012]], TENANTS)
    assert (event.tenant, event.slot, event.code) == ("globex", BLUE, 1012)
    with pytest.raises(ValueError, match="no such"):
        events_of([["no such", 3.0, 7, 1, "blue", 1012]], TENANTS)
