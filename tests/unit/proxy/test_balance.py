"""Which endpoint is drawn: least of two, shares while warming, one on trial, panic."""

import random
from collections import Counter
from typing import Any

import msgspec
import pytest

from proxy.config import Settings
from proxy.observability import telemetry
from proxy.observability.telemetry import Telemetry
from proxy.routing.model import Slot
from proxy.upstream.cluster import Cluster
from proxy.upstream.health import State
from proxy.upstream.pool import Pool
from proxy.upstream.slots import Slots
from proxy.worker import _services
from tests.support.wire import table

NOW = 5_000.0


def slots_of(endpoints: int, source: random.Random, **settings: Any) -> Slots:
    slots = _services(
        msgspec.convert(settings, Settings), Telemetry(1).blocks[0], source.randrange(2**32)
    ).slots
    slots.sweep(NOW)
    slots.update(table(blue=endpoints).endpoints)
    return slots


def group_of(endpoints: int, source: random.Random, **settings: Any) -> Cluster:
    return slots_of(endpoints, source, **settings).groups[0]


def count(group: Cluster, times: int, avoid: Pool | None = None) -> Counter[int]:
    """How often each endpoint is claimed, each claim given back at once."""
    found: Counter[int] = Counter()
    for _ in range(times):
        pool = group.claim(avoid)
        assert pool is not None
        pool.in_flight -= 1
        found[group.pools.index(pool)] += 1
    return found


def eject(group: Cluster, *numbers: int, now: float = NOW) -> None:
    for number in numbers:
        for _ in range(5):
            group.failed(group.pools[number], now)


def states(group: Cluster) -> list[State]:
    return [State(pool.health.state) for pool in group.pools]


@pytest.mark.parametrize("endpoints", [2, 3, 8])
def test_idle_endpoints_share_light_traffic(endpoints: int, seeded_random: random.Random) -> None:
    found = count(group_of(endpoints, seeded_random), 4_000)
    assert len(found) == endpoints
    assert max(found.values()) < 1.3 * 4_000 / endpoints


@pytest.mark.parametrize("endpoints", [2, 3, 8])
def test_the_least_busy_of_all_is_never_passed_over_for_the_busiest(
    endpoints: int, seeded_random: random.Random
) -> None:
    group = group_of(endpoints, seeded_random)
    group.pools[0].in_flight = 5
    assert 0 not in count(group, 500)


def test_load_spreads_nearly_evenly(seeded_random: random.Random) -> None:
    group = group_of(10, seeded_random)
    for _ in range(1_000):
        assert group.claim(None) is not None
    loads = [pool.in_flight for pool in group.pools]
    assert sum(loads) == 1_000
    # By one choice alone the spread would be near 60 (Mitzenmacher).
    assert max(loads) - min(loads) <= 6


def test_what_is_to_be_avoided_is_never_drawn(seeded_random: random.Random) -> None:
    for endpoints in (2, 3, 4):
        group = group_of(endpoints, seeded_random)
        assert 1 not in count(group, 200, avoid=group.pools[1])
    alone = group_of(1, seeded_random)
    assert alone.claim(alone.pools[0]) is None
    assert not alone.balance.busy


def test_one_whose_connections_are_all_in_use_is_passed_over(seeded_random: random.Random) -> None:
    group = group_of(4, seeded_random, limits={"endpoint_connections": 2})
    for pool in group.pools[1:]:
        pool._open = 2
    group.pools[0].in_flight = 9
    assert set(count(group, 200)) == {0}
    group.pools[0]._open = 2
    assert group.claim(None) is None
    assert group.balance.busy
    assert not group.balance.has_room


def test_a_table_at_the_start_warms_nobody_up(seeded_random: random.Random) -> None:
    slots = slots_of(3, seeded_random)
    assert states(slots.groups[0]) == [State.UNKNOWN] * 3
    slots.update(table(blue=0).endpoints)
    slots.update(table(blue=2).endpoints)
    assert states(slots.groups[0]) == [State.UNKNOWN] * 2


@pytest.mark.parametrize("others", [1, 2, 5])
def test_a_new_endpoint_beside_others_takes_a_growing_share(
    others: int, seeded_random: random.Random
) -> None:
    slots = slots_of(others, seeded_random)
    group = slots.groups[0]
    slots.update(table(blue=others + 1).endpoints)
    assert states(group)[-1] is State.WARMING
    whole = 1 / (others + 1)
    for elapsed, share in ((0.0, 0.1), (2.0, 0.2), (5.0, 0.5), (10.0, 1.0)):
        slots.sweep(NOW + elapsed)
        taken = count(group, 6_000)[others] / 6_000
        assert taken == pytest.approx(whole * share, rel=0.25), (elapsed, taken)
    assert states(group)[-1] is State.HEALTHY


def test_one_that_is_not_warm_may_serve_when_nobody_is(seeded_random: random.Random) -> None:
    slots = slots_of(1, seeded_random)
    slots.update(table(blue=3).endpoints)
    group = slots.groups[0]
    group.use(group.pools[1:])
    assert states(group) == [State.WARMING] * 2
    assert set(count(group, 200)) == {0, 1}


def test_one_on_trial_takes_one_request_at_a_time(seeded_random: random.Random) -> None:
    group = group_of(3, seeded_random)
    eject(group, 0)
    group.sweep(NOW + 10)
    assert states(group)[0] is State.TRIAL
    claimed = [group.claim(None) for _ in range(60)]
    assert claimed.count(group.pools[0]) == 1
    group.pools[0].in_flight -= 1
    assert group.pools[0] in [group.claim(None) for _ in range(20)], "the next one"


def test_no_more_than_the_bound_are_ejected(seeded_random: random.Random) -> None:
    for endpoints, bound in ((1, 0), (2, 1), (3, 1), (4, 2), (7, 3)):
        group = group_of(endpoints, seeded_random)
        eject(group, *range(endpoints))
        assert states(group).count(State.EJECTED) == bound
        assert not group.balance.panic
        assert len(group.balance.eligible) == endpoints - bound


def test_with_too_few_healthy_all_are_used_and_it_is_counted(seeded_random: random.Random) -> None:
    slots = slots_of(4, seeded_random, ejection={"percent": 100})
    group = slots.groups[0]
    eject(group, 0, 1)
    assert set(count(group, 200)) == {2, 3}
    eject(group, 2)
    assert set(count(group, 200)) == {0, 1, 2, 3}
    assert slots._block.groups[0].values[telemetry.PANICS] == 200
    eject(group, 3)
    assert set(count(group, 200)) == {0, 1, 2, 3}, "also with none left"
    group.sweep(NOW + 10)
    assert not group.balance.panic


def test_panic_can_be_turned_off(seeded_random: random.Random) -> None:
    group = group_of(2, seeded_random, ejection={"percent": 100}, balancing={"panic_percent": 0})
    eject(group, 0, 1)
    assert group.claim(None) is None
    assert group.refusal(None).code == "none-healthy"


def test_where_all_checks_fail_nobody_is_sent_into_a_time_out(seeded_random: random.Random) -> None:
    group = group_of(3, seeded_random)
    for pool in group.pools:
        group.checked(pool, NOW, passed=False)
    assert group.claim(None) is None
    assert group.refusal(None).code == "none-healthy"
    group.checked(group.pools[1], NOW, passed=True)
    group.checked(group.pools[1], NOW, passed=True)
    assert group.balance.panic, "one of three is fewer than half"
    group.checked(group.pools[2], NOW, passed=True)
    group.checked(group.pools[2], NOW, passed=True)
    assert set(count(group, 100)) == {1, 2}


def test_the_gauges_say_how_many_there_are(seeded_random: random.Random) -> None:
    slots = slots_of(4, seeded_random)
    eject(slots.groups[0], 2)
    values = slots.groups[0].counted.values
    assert values[telemetry.ENDPOINTS] == 4
    assert values[telemetry.ENDPOINTS_ELIGIBLE] == 3
    assert values[telemetry.EJECTIONS] == 1
    slots.update({Slot.BLUE: (), Slot.GREEN: ()})
    assert values[telemetry.ENDPOINTS] == values[telemetry.ENDPOINTS_ELIGIBLE] == 0


def test_the_same_seed_draws_the_same() -> None:
    runs = [count(group_of(5, random.Random(7)), 300) for _ in range(2)]
    assert runs[0] == runs[1]
