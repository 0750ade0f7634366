"""What a window says: each answer in one, whatever becomes of workers; and Redis' clock by ours."""

import random
from collections import Counter
from math import floor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.observability import telemetry
from proxy.observability.telemetry import COHORTS
from proxy.observability.tenants import CAPACITY_PER_TENANT, FAILING, Entry
from proxy.routing.model import Slot
from proxy.routing.windows import MAX_LASTED_MS, Figures, TenantFigures, add_up, decode, encode
from proxy.windows import EARLY_S, Changes, Clock, grown, most_telling
from tests.support.counting import Workers

GROUPS = [(slot, cohort) for slot in Slot for cohort in COHORTS]
BLUE, GREEN = (Slot.BLUE, "rest"), (Slot.GREEN, "pilot")


async def test_a_window_has_what_was_published_since_the_last_by_group() -> None:
    workers = Workers(2)
    teller = workers.teller()
    workers.serves(0, BLUE, [200, 204, 404, 500], 700)
    workers.serves(1, GREEN, [101, 302], 12_000_000)
    assert not teller.look(1).groups  # counted, and not published yet
    for block in workers.all.blocks:
        block.publish()
    window = teller.look(2)
    assert window.groups.keys() == {BLUE, GREEN}
    blue, green = window.groups[BLUE], window.groups[GREEN]
    assert (blue.requests, blue.statuses, blue.latency_us) == (4, (0, 2, 0, 1, 1), 2_800)
    assert (blue.buckets[1], sum(blue.buckets)) == (4, 4)
    assert (green.statuses, green.buckets[-1]) == ((1, 0, 1, 0, 0), 2)
    assert not teller.look(3).groups
    assert decode(encode(window)) == window


async def test_gauges_are_those_of_all_workers_as_they_are() -> None:
    workers = Workers(2)
    teller = workers.teller()
    for block, count in zip(workers.all.blocks, (2, 5), strict=True):
        group = block.groups[telemetry.group_of(1, telemetry.REST)]
        group.in_flight = count
        group.values[telemetry.ENDPOINTS] = 3
        group.values[telemetry.ENDPOINTS_ELIGIBLE] = 1
        group.values[telemetry.CONNECT_FAILURES] += 1
        group.values[telemetry.RETRIES] += 2
        group.values[telemetry.ABORTED] += 2
        group.values[telemetry.ANSWERS_BROKEN] += 1
        block.publish()
    told = Figures(connect_failures=2, retries=4, aborted=4, broken=2)
    found = teller.look(1).groups[Slot.GREEN, "rest"]
    gauges = Figures(in_flight=7, endpoints=6, eligible=2)
    assert found == told + gauges
    assert teller.look(2).groups[Slot.GREEN, "rest"] == gauges
    workers.all.blocks[1].release()
    assert teller.look(3).groups[Slot.GREEN, "rest"].in_flight == 2


async def test_what_the_proxy_answers_itself_is_in_no_group() -> None:
    workers = Workers(1)
    teller = workers.teller()
    workers.all.blocks[0].groups[telemetry.LOCAL].finished(404, 0)
    workers.all.blocks[0].publish()
    assert not teller.look(1).groups


async def test_whatever_becomes_of_workers_each_answer_is_in_one_window(
    seeded_random: random.Random,
) -> None:
    """Published, replaced, looked at in any order: the sum of all windows is what was published."""
    workers = Workers(3)
    teller = workers.teller()
    exact, unpublished, windows = Counter[object](), [Counter[object]() for _ in range(3)], []
    for second in range(300):
        number = seeded_random.randrange(3)
        match seeded_random.choice(["serve", "serve", "publish", "publish", "look", "die"]):
            case "serve":
                group, status = seeded_random.choice(GROUPS), seeded_random.choice([200, 404, 503])
                workers.serves(number, group, [status] * 3)
                unpublished[number][group, status // 100 - 1] += 3
            case "publish":
                workers.all.blocks[number].publish()
                exact += unpublished[number]
                unpublished[number].clear()
            case "look":
                windows.append(teller.look(second))
            case "die":
                workers.replace(number)
                unpublished[number].clear()
    windows.append(teller.look(300))
    total = add_up(windows)
    found = Counter(
        {
            (group, place): count
            for group, figures in total.groups.items()
            for place, count in enumerate(figures.statuses)
        }
    )
    assert +found == +exact
    for figures in total.groups.values():
        assert sum(figures.buckets) == figures.requests
        assert figures.latency_us == figures.requests * 700


async def test_another_teller_begins_where_it_begins() -> None:
    workers = Workers(1)
    before = workers.teller()
    workers.serves(0, BLUE, [200] * 3)
    workers.all.blocks[0].publish()
    after = workers.teller()
    workers.serves(0, BLUE, [200])
    workers.all.blocks[0].publish()
    assert after.look(1).groups[BLUE].requests == 1
    assert before.look(1).groups[BLUE].requests == 4


async def test_a_window_says_how_long_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [50.0]
    monkeypatch.setattr("proxy.windows.monotonic", lambda: now[0])
    teller = Workers(1).teller()
    lasted = []
    for step in (1.0, 0.25, 7.5, 10_000.0):
        now[0] += step
        lasted.append(teller.look(1).lasted_ms)
    assert lasted == [1_000, 250, 7_500, MAX_LASTED_MS]


# ── tenants ───────────────────────────────────────────────────────────────────────────────────


async def test_tenants_by_the_slot_that_served_them() -> None:
    workers = Workers(2)
    teller = workers.teller()
    workers.answers(0, {"acme": 3, "bravo": 1})
    workers.answers(0, {"acme": 2}, Slot.GREEN, 500)
    workers.answers(1, {"acme": 4}, Slot.GREEN)
    found = teller.look(1).tenants
    assert found["acme"] == TenantFigures(9, 2, 9, (6, 2, 6))
    assert found["acme"].of(Slot.BLUE) == TenantFigures(3, 0, 3)
    assert found["bravo"] == TenantFigures(1, 0, 1)
    assert not teller.look(2).tenants
    workers.replace(0)
    workers.answers(0, {"acme": 1}, Slot.GREEN, 503)
    assert teller.look(3).tenants == {"acme": TenantFigures(1, 1, 1, (1, 1, 1))}


async def test_those_with_failures_come_first_then_the_busiest() -> None:
    workers = Workers(1)
    teller = workers.teller(windows_tenants=3)
    workers.answers(0, {"large": 50, "middle": 20, "small": 3, "tiny": 1})
    workers.answers(0, {"tiny": 1}, status=500)
    assert list(teller.look(1).tenants) == ["tiny", "large", "middle"]
    assert most_telling([("b", TenantFigures(1)), ("a", TenantFigures(1))], 1).keys() == {"a"}
    assert not workers.teller(windows_tenants=0).look(1).tenants


async def test_a_small_tenant_that_fails_is_seen_among_thousands() -> None:
    workers = Workers(1, limit=1)
    teller = workers.teller()
    crowd = {f"t-{number}": 5 for number in range(10 * CAPACITY_PER_TENANT)}
    workers.answers(0, {"small": 2}, Slot.GREEN, 500)
    workers.answers(0, crowd)
    workers.answers(0, {"small": 1}, Slot.GREEN, 500)
    workers.answers(0, crowd)
    assert teller.look(1).tenants["small"] == TenantFigures(3, 3, 3, (3, 3, 3))
    workers.replace(0)
    workers.answers(0, {"small": 4}, Slot.GREEN)  # and that it fails no more is seen too
    workers.answers(0, crowd)
    assert teller.look(2).tenants["small"] == TenantFigures(4, 0, 4, (4, 0, 4))


async def test_who_was_left_out_and_comes_back_begins_anew() -> None:
    workers = Workers(1, limit=1)
    workers.answers(0, {"back": 5})
    look = Changes(workers.all.blocks[0])
    assert not look.again()  # what was told of before it began
    crowd = {f"t-{number}": 9 for number in range(CAPACITY_PER_TENANT)}
    workers.answers(0, crowd)
    workers.answers(0, {"back": 2})
    assert look.again()["back"] == TenantFigures(2, 0, 2)
    # It may have more requests than it had, and more failures than that makes.
    was, now = Entry("back"), Entry("back")
    was.requests, was.micros = 10, 10
    now.requests, now.failures, now.micros = 12, 7, 12
    now.green_requests, now.green_failures, now.green_micros = 1, 1, 1
    assert grown({"back": now}, {"back": was}) == {"back": TenantFigures(2, 2, 2, (1, 1, 1))}
    assert grown({"back": was}, {"back": now}) == {"back": TenantFigures(10, 0, 10)}


async def test_what_is_listed_for_failures_is_bounded() -> None:
    workers = Workers(1, limit=1)
    look = Changes(workers.all.blocks[0])
    workers.answers(0, {f"t-{number}": 1 for number in range(3 * FAILING)}, status=500)
    assert len(workers.summaries[0].failing.entries) == FAILING
    assert len(look.again()) <= FAILING + CAPACITY_PER_TENANT


async def test_no_tenant_has_more_than_it_had(seeded_random: random.Random) -> None:
    """A summary of ten, listing and leaving out at random: told is never more than was answered."""
    workers = Workers(1, limit=1)
    look = Changes(workers.all.blocks[0])
    exact: dict[str, TenantFigures] = {}
    told: dict[str, TenantFigures] = {}
    names = [f"t-{number}" for number in range(5 * CAPACITY_PER_TENANT)]
    for _ in range(300):
        slot, failing = seeded_random.choice(list(Slot)), seeded_random.random() < 0.2
        drawn = Counter(seeded_random.choices(names, k=8))
        workers.answers(0, dict(drawn), slot, 500 if failing else 200)
        for tenant, count in drawn.items():
            part = (count, count * failing, count)
            green = part if slot is Slot.GREEN else (0, 0, 0)
            exact[tenant] = exact.get(tenant, TenantFigures()) + TenantFigures(*part, green)
        if seeded_random.random() < 0.4:
            for tenant, more in look.again().items():
                told[tenant] = told.get(tenant, TenantFigures()) + more
                for each in Slot:
                    assert more.of(each).failures <= more.of(each).requests
    assert told
    for tenant, found in told.items():
        for slot in Slot:
            of, most = found.of(slot), exact[tenant].of(slot)
            assert 0 <= of.requests <= most.requests
            assert 0 <= of.failures <= most.failures
            assert 0 <= of.micros <= most.micros


# ── Redis' clock ──────────────────────────────────────────────────────────────────────────────


@given(
    st.lists(
        st.tuples(st.floats(0, 1), st.floats(0, 1), st.floats(0.0001, 20)), min_size=1, max_size=20
    ),
    st.floats(-1e9, 1e9),
)
def test_the_clock_is_never_further_off_than_the_last_answer_took(
    answers: list[tuple[float, float, float]], ahead: float
) -> None:
    clock, now = Clock(), 1_000.0
    for there, back, pause in answers:
        now += pause
        asked, read = now, now + there
        now = read + back
        clock.heard(read + ahead, asked, now)
        assert abs(clock.at(now) - (now + ahead)) <= there + back + 1e-4


def test_a_slow_answer_moves_it_no_further_than_it_proves() -> None:
    clock = Clock()
    clock.heard(100.0, 9.999, 10.001)  # 90 ahead, known to a millisecond
    clock.heard(101.9, 11.0, 12.0)  # that too
    assert clock.ahead == pytest.approx(90.0)
    clock.heard(200.0, 20.0, 20.002)  # it was set
    assert clock.ahead == pytest.approx(180.0, abs=0.003)


@given(st.floats(0, 10_000), st.floats(-100, 100))
def test_the_next_look_is_at_a_whole_second_that_was_not_looked_at(
    ours: float, ahead: float
) -> None:
    clock = Clock()
    clock.ahead = ahead
    wait_s = clock.until_edge(ours)
    edge = clock.at(ours + wait_s)
    assert 0 < wait_s <= 1.0 + EARLY_S + 1e-6
    assert edge == pytest.approx(round(edge), abs=1e-6)
    # Woken a little early or late, the next is the one after it.
    for off in (-EARLY_S / 2, 0.0, 0.4):
        again = clock.at(ours + wait_s + off + clock.until_edge(ours + wait_s + off))
        assert floor(again + 0.5) == round(edge) + 1
