"""What is thought of an endpoint: every pair of state and event, and the times of ejection."""

from collections.abc import Callable
from itertools import product

import pytest

from proxy.upstream.health import TRANSITIONS, Event, Health, HealthRules, State

NOW = 1_000.0
PAIRS = list(product(State, Event))


def rules(**own: float) -> HealthRules:
    given = {"eject_s": 10.0, "eject_max_s": 25.0, "slow_start_s": 4.0} | own
    return HealthRules(
        failures=int(given.pop("failures", 3)),
        on_5xx=bool(given.pop("on_5xx", False)),
        rise=int(given.pop("rise", 2)),
        fall=int(given.pop("fall", 3)),
        **given,
    )


def fail(health: Health, now: float = NOW, times: int = 3, *, may_eject: bool = True) -> bool:
    return any(health.failed(now, may_eject=may_eject) for _ in range(times))


def check(health: Health, *, passed: bool, now: float = NOW, times: int = 3) -> bool:
    return any(health.checked(now, passed=passed) for _ in range(times))


def begin(health: Health, now: float = NOW, status: int = 200) -> bool:
    return health.answered(status, now, may_eject=True)


def answer(health: Health, now: float = NOW, status: int = 200) -> bool:
    changed = begin(health, now, status)
    health.completed(status)
    return changed


def healthy() -> Health:
    health = Health(rules())
    answer(health)
    return health


def unhealthy() -> Health:
    health = healthy()
    check(health, passed=False)
    return health


def ejected() -> Health:
    health = healthy()
    fail(health)
    return health


def on_trial() -> Health:
    health = ejected()
    health.sweep(NOW + 10)
    return health


def warming() -> Health:
    health = on_trial()
    answer(health, NOW + 10)
    return health


MADE: dict[State, Callable[[], Health]] = {
    State.UNKNOWN: lambda: Health(rules()),
    State.HEALTHY: healthy,
    State.UNHEALTHY: unhealthy,
    State.EJECTED: ejected,
    State.TRIAL: on_trial,
    State.WARMING: warming,
}
HAPPENS: dict[Event, Callable[[Health], bool]] = {
    Event.ANSWERED: lambda health: answer(health, NOW + 11),
    Event.FAULTS: lambda health: fail(health, NOW + 11),
    Event.CHECKS_PASS: lambda health: check(health, passed=True, now=NOW + 11),
    Event.CHECKS_FAIL: lambda health: check(health, passed=False, now=NOW + 11),
    Event.TIME: lambda health: health.sweep(NOW + 10_000),
}


@pytest.mark.parametrize(("state", "event"), PAIRS, ids=[f"{s.name}-{e.name}" for s, e in PAIRS])
def test_every_pair_leads_where_the_table_says(state: State, event: Event) -> None:
    health = MADE[state]()
    assert health.state == state
    after = TRANSITIONS.get((state, event), state)
    assert HAPPENS[event](health) is (after is not state)
    assert health.state == after


def test_every_state_leads_back_to_health() -> None:
    for start in State:
        found, waiting = {start}, [start]
        while waiting:
            here = waiting.pop()
            following = {after for (before, _), after in TRANSITIONS.items() if before is here}
            waiting += following - found
            found |= following
        assert State.HEALTHY in found


def test_failed_checks_are_made_good_by_checks_alone() -> None:
    ways = {event for (state, event) in TRANSITIONS if state is State.UNHEALTHY}
    assert ways == {Event.CHECKS_PASS}


def test_an_ejection_ends_by_time_and_not_by_an_answer_that_came_late() -> None:
    ways = {
        (event, after) for (state, event), after in TRANSITIONS.items() if state.name == "EJECTED"
    }
    assert ways == {(Event.TIME, State.TRIAL), (Event.CHECKS_FAIL, State.UNHEALTHY)}


def test_only_failures_in_a_row_eject() -> None:
    health = healthy()
    for _ in range(20):
        assert not fail(health, times=2)
        assert not answer(health)
    assert fail(health)
    assert not health.eligible


def test_answers_that_never_come_to_an_end_are_failures_in_a_row() -> None:
    health = healthy()
    ejected = []
    for _ in range(3):
        begin(health)
        ejected.append(fail(health, times=1))
    assert ejected == [False, False, True]


def test_a_whole_answer_makes_good_what_broke_off() -> None:
    health = healthy()
    for _ in range(20):
        for _ in range(2):
            begin(health)
            assert not fail(health, times=1)
        assert health.suspect, "the end of an answer is news"
        assert not answer(health)
        assert not health.suspect


def test_without_a_limit_of_failures_nobody_is_ejected() -> None:
    health = Health(rules(failures=0))
    assert not fail(health, times=1_000)


def test_who_may_not_be_ejected_is_ejected_by_the_next_failure_when_it_may() -> None:
    health = healthy()
    assert not fail(health, times=9, may_eject=False)
    assert fail(health, times=1)


def test_an_endpoints_own_5xx_counts_only_if_it_is_to() -> None:
    health = Health(rules())
    assert answer(health, status=503)
    assert not any(answer(health, status=503) for _ in range(9))
    strict = Health(rules(on_5xx=True))
    assert [answer(strict, status=500) for _ in range(3)] == [False, False, True]
    assert strict.state == State.EJECTED


def test_each_ejection_in_a_row_is_longer_up_to_the_bound() -> None:
    health, now = healthy(), NOW
    fail(health, now)
    lasted = []
    for _ in range(4):
        assert not health.sweep(health.until - 0.01)
        lasted.append(round(health.until - now, 3))
        now = health.until
        assert health.sweep(now)
        assert fail(health, now, times=1), "one failure on trial is enough"
    assert lasted == [10, 20, 25, 25]


def test_after_a_long_good_time_an_ejection_is_the_first_again() -> None:
    for good_s, lasts in ((5.0, 20.0), (25.0, 10.0)):
        health = warming()
        health.sweep(health.until)
        assert health.state == State.HEALTHY
        now = health.until + good_s
        fail(health, now)
        assert health.until - now == lasts


def test_the_share_grows_with_time_and_never_is_nothing() -> None:
    health = warming()
    shares = [health.share]
    for step in range(5):
        health.sweep(NOW + 10 + step)
        shares.append(health.share)
    assert shares == [0.1, 0.1, 0.25, 0.5, 0.75, 1.0]
    assert health.settled


def test_without_slow_start_the_share_is_whole_at_once() -> None:
    health = Health(rules(slow_start_s=0.0))
    health.warm(NOW)
    assert (health.share, health.state) == (1.0, State.UNKNOWN)


def test_the_first_check_of_an_unknown_endpoint_is_believed() -> None:
    for passed, state in ((True, State.HEALTHY), (False, State.UNHEALTHY)):
        health = Health(rules())
        assert health.checked(NOW, passed=passed)
        assert health.state == state


def test_checks_count_in_a_row() -> None:
    health = healthy()
    for passed in (False, False, True, False, False):
        assert not health.checked(NOW, passed=passed)
    assert health.checked(NOW, passed=False)
    assert not health.checked(NOW, passed=True)
    assert health.checked(NOW, passed=True)
    assert health.state == State.WARMING


def test_a_healthy_endpoint_asks_for_no_news() -> None:
    health = Health(rules())
    news = [health.suspect]
    for happens in (answer, lambda each: fail(each, times=1), answer):
        happens(health)
        news.append(health.suspect)
    assert news == [True, False, True, False]
