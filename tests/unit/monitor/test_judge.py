"""What is made of a release's windows: each trigger, and what is not known."""

from dataclasses import replace
from random import Random

import msgspec
import pytest

from admin.monitor.judge import stepped
from admin.monitor.model import RANK, Equipment, External, Level, Reading
from admin.monitor.settings import Settings, SignalSettings
from proxy.routing.windows import TenantFigures, Window
from tests.sim_monitor.world import Load, World
from tests.support.monitor import BEGAN, NEW, OLD, Release, figures, healthy, trigger, window

BEFORE = [window(second, old=figures(400, int(second % 2))) for second in range(BEGAN - 300, BEGAN)]


def level_of(release: Release, name: str) -> Level:
    return trigger(release.verdict, name).level


def until_critical(release: Release, make, limit: int = 60) -> int:
    """How many seconds it takes."""
    for count in range(1, limit + 1):
        if release.feed(make(release.second + 1)).level is Level.CRITICAL:
            return count
    raise AssertionError(f"not critical: {release.verdict}")


def test_before_the_first_window_nothing_is_measured():
    verdict = Release().feed(external=External(BEGAN))
    assert (verdict.level, verdict.triggers, verdict.measured) == (Level.UNMEASURED, (), ())


def test_too_small_a_sample_is_unmeasured_and_says_what_lacks():
    release = Release()
    for second in range(BEGAN, BEGAN + 20):
        release.feed(window(second, figures(1), figures(300)))
    found = trigger(release.verdict, "error-rate")
    assert found.level is Level.UNMEASURED
    assert "19 of the 30 requests" in found.detail
    assert "error-rate" not in release.verdict.measured
    assert release.verdict.level is Level.UNMEASURED


def test_a_healthy_release_is_normal_with_all_that_it_rests_on():
    tenants = {"acme": TenantFigures(50, 0, 0, (10, 0, 0))}
    release = Release()
    for second in range(BEGAN, BEGAN + 60):
        release.feed(replace(healthy(second), tenants=tenants))
    assert release.verdict.level is Level.NORMAL
    assert set(release.verdict.measured) == {
        *("error-rate", "response-time", "connection-failures", "endpoints"),
        *("connection-leak", "tenant-errors"),
    }
    assert release.verdict.raised == ()
    found = trigger(release.verdict, "error-rate")
    assert found.standby == pytest.approx(0.002, rel=0.1)
    assert found.active == pytest.approx(0.5 / 300, rel=0.1)


def test_five_percent_errors_are_critical_within_seconds():
    release = Release()
    release.last(60)
    took = until_critical(release, lambda s: window(s, figures(100, 5), figures(300)))
    found = trigger(release.verdict, "error-rate")
    assert took <= 6
    assert (found.level, found.standby, found.since) == (Level.CRITICAL, 0.05, BEGAN + 60)
    assert found.active == 0.0
    assert found.detail.startswith(f"5.00% of {100 * took} requests fail, 0.00% on the active slot")
    assert found.evidence["requests"] == 100 * took
    assert msgspec.json.decode(msgspec.json.encode(release.verdict.plain()))["level"] == "critical"


def test_what_breaks_off_through_the_endpoint_is_a_failure():
    release = Release()
    release.last(60)
    broken = replace(figures(95), broken=5, aborted=5)
    assert until_critical(release, lambda s: window(s, broken, figures(300))) <= 6


def test_errors_that_both_slots_have_are_no_reason_to_go_back():
    release = Release()
    release.last(30)
    for second in range(release.second + 1, release.second + 60):
        release.feed(window(second, figures(100, 5), figures(300, 15)))
    found = trigger(release.verdict, "error-rate")
    assert found.level is Level.WARNING
    assert release.verdict.level is Level.WARNING


def test_one_percent_more_than_is_tolerated_but_less_than_is_critical_is_a_warning():
    release = Release()
    release.last(30)
    for second in range(release.second + 1, release.second + 400):
        errors = int(second % 10 < 8)  # 0.8 %
        release.feed(window(second, figures(100, errors), figures(300)))
    assert level_of(release, "error-rate") is Level.WARNING


def test_sixty_percent_slower_is_critical_within_seconds():
    release = Release()
    release.last(60)
    took = until_critical(release, lambda s: window(s, figures(100, micros=32_000), figures(300)))
    found = trigger(release.verdict, "response-time")
    assert took <= 8
    assert (found.standby, found.active) == (32.0, 20.0)
    assert "; 1.60 times as long in most of" in found.detail


def test_slower_within_one_bucket_is_found_by_the_exact_sums():
    release = Release()
    for second in range(BEGAN, BEGAN + 60):
        release.feed(window(second, figures(100, micros=55_000), figures(300, micros=55_000)))
    new = figures(100, micros=88_000)
    took = until_critical(release, lambda s: window(s, new, figures(300, micros=55_000)))
    assert took <= 10


def test_a_tenth_slower_is_normal_and_a_third_a_warning():
    slower = {66_000: Level.NORMAL, 82_500: Level.WARNING}
    for micros, wanted in slower.items():
        assert of_slower(60_000, micros) is wanted, micros


def test_a_few_milliseconds_more_are_no_matter_however_many_times_as_long_that_is():
    assert of_slower(2_000, 11_900) is Level.NORMAL
    assert of_slower(2_000, 12_100) is Level.CRITICAL


def of_slower(before: int, micros: int) -> Level:
    """What is said of the response time two minutes after it has changed, by then or before."""
    release = Release()
    for second in range(BEGAN, BEGAN + 30):
        release.feed(window(second, figures(100, micros=before), figures(300, micros=before)))
    for second in range(release.second + 1, release.second + 120):
        release.feed(window(second, figures(100, micros=micros), figures(300, micros=before)))
    return level_of(release, "response-time")


def test_slow_on_both_slots_is_a_warning_by_the_table():
    release = Release()
    for second in range(BEGAN, BEGAN + 60):
        release.feed(window(second, figures(100, micros=600_000), figures(300, micros=600_000)))
    found = trigger(release.verdict, "response-time")
    assert (found.level, found.standby) == (Level.WARNING, 600.0)


@pytest.mark.parametrize("failing", [1.0, 0.5])
def test_an_active_slot_that_fails_at_once_makes_the_new_one_no_slower(failing):
    """Refusals take a millisecond: against their mean any version that works is slow."""
    release = Release()
    release.last(60)
    for second in range(release.second + 1, release.second + 120):
        refused = round(300 * failing)
        served = figures(300 - refused) + figures(refused, refused, micros=1_000)
        old = replace(served, endpoints=4, eligible=4, endpoint_connections=10)
        release.feed(window(second, figures(100), old))
        assert release.verdict.level not in {Level.CRITICAL, Level.WARNING}, release.verdict.raised
    # Nor is what it took then a measure for later.
    for second in range(release.second + 1, release.second + 60):
        release.feed(window(second, figures(400)))
        assert release.verdict.level not in {Level.CRITICAL, Level.WARNING}, release.verdict.raised


def test_once_an_active_slot_is_well_again_latencies_are_compared_again():
    release = Release()
    release.last(60)
    for second in range(release.second + 1, release.second + 30):
        release.feed(window(second, figures(100), figures(300, 300, micros=1_000)))
    release.last(10)
    took = until_critical(release, lambda s: window(s, figures(100, micros=32_000), figures(300)))
    assert trigger(release.verdict, "response-time").level is Level.CRITICAL
    assert took <= 8


@pytest.mark.parametrize("name", ["error-rate", "response-time"])
def test_a_new_slot_that_has_no_requests_any_more_is_no_longer_known_to_be_well(name):
    release = Release()
    release.last(60)
    assert level_of(release, name) is Level.NORMAL
    for second in range(release.second + 1, release.second + 1 + release.settings.span_s):
        release.feed(window(second, None, figures(300)))
    assert level_of(release, name) is Level.UNMEASURED
    release.last(1)
    assert level_of(release, name) is Level.NORMAL


def test_an_old_slot_whose_requests_end_is_compared_with_what_it_was():
    release = Release()
    release.last(60)
    for second in range(release.second + 1, release.second + 90):
        release.feed(window(second, figures(400, int(second % 3 == 0))))
        assert release.verdict.level not in {Level.CRITICAL, Level.WARNING}, release.verdict.raised


def test_over_half_a_second_and_surely_slower_is_critical():
    release = Release()
    for second in range(BEGAN, BEGAN + 30):
        release.feed(window(second, figures(100, micros=400_000), figures(300, micros=400_000)))
    new = figures(100, micros=560_000)  # 40 % slower
    until_critical(release, lambda s: window(s, new, figures(300, micros=400_000)))


def test_after_a_step_nothing_is_judged_for_a_moment_and_latencies_a_little_later():
    settings = msgspec.structs.replace(Settings(), grace_s=5.0, warm_up_s=20.0)
    release = Release(settings)
    release.last(60)
    assert level_of(release, "error-rate") is Level.NORMAL
    release.state = stepped(release.state, release.second + 1)
    cold = figures(100, 20, micros=200_000)
    for _ in range(5):
        verdict = release.feed(window(release.second + 1, cold, figures(300)))
    assert trigger(verdict, "error-rate").level is Level.UNMEASURED
    for _ in range(14):
        release.feed(window(release.second + 1, figures(100, micros=200_000), figures(300)))
    assert level_of(release, "error-rate") is Level.NORMAL
    assert level_of(release, "response-time") is Level.UNMEASURED
    assert "warm" in trigger(release.verdict, "response-time").detail


def test_after_the_cutover_the_past_is_the_measure():
    release = Release(baseline=BEFORE)
    for _ in range(30):
        release.feed(window(release.second + 1, figures(400, 1)))
    found = trigger(release.verdict, "error-rate")
    assert (found.level, found.evidence["compared_with"]) == (Level.NORMAL, "before")
    slow = figures(400, 1, micros=32_000)
    assert until_critical(release, lambda s: window(s, slow)) <= 8
    assert "20.0 ms before" in trigger(release.verdict, "response-time").detail


def test_without_anything_to_compare_with_it_is_unmeasured_not_normal():
    release = Release()
    for _ in range(30):
        release.feed(window(release.second + 1, figures(400)))
    found = trigger(release.verdict, "error-rate")
    assert found.level is Level.UNMEASURED
    assert "nothing to compare with" in found.detail


def test_after_some_minutes_it_is_its_own_past():
    release = Release()
    for _ in range(120):
        release.feed(window(release.second + 1, figures(400)))
    assert level_of(release, "error-rate") is Level.NORMAL
    assert until_critical(release, lambda s: window(s, figures(400, 40))) <= 5


def test_pilots_are_compared_with_their_own_past():
    """They take 90 ms where all others take 20, and always did."""
    before = [
        window(
            second,
            old=figures(400),
            tenants={"acme": TenantFigures(50, 0, 50 * 90_000)},
        )
        for second in range(BEGAN - 300, BEGAN)
    ]
    release = Release(pilots=["acme"], baseline=before)
    for _ in range(60):
        pilots = figures(50, micros=90_000)
        release.feed(window(release.second + 1, old=figures(350), pilots=pilots))
    assert level_of(release, "response-time") is Level.NORMAL
    assert trigger(release.verdict, "response-time").evidence["cohort"] == "pilots"
    slow = figures(50, micros=150_000)
    assert until_critical(release, lambda s: window(s, old=figures(350), pilots=slow)) <= 20


def tenants_of(second: int, bad: int) -> Window:
    """Acme has 10 requests a second on the new slot, others the rest."""
    named = {
        "acme": TenantFigures(10, bad, 0, (10, bad, 0)),
        "other": TenantFigures(200, 1, 0, (40, 0, 0)),
    }
    return window(second, figures(100, bad), figures(300, 1), tenants=named)


def test_a_tenant_for_whom_alone_it_fails_is_found():
    release = Release()
    for second in range(BEGAN, BEGAN + 60):
        release.feed(tenants_of(second, 0))
    assert level_of(release, "tenant-errors") is Level.NORMAL
    took = next(
        count
        for count in range(1, 30)
        if trigger(release.feed(tenants_of(release.second + 1, 6)), "tenant-errors").level
        is Level.CRITICAL
    )
    assert took <= 10
    found = trigger(release.verdict, "tenant-errors")
    assert found.detail.startswith("acme: ")
    assert found.since == BEGAN + 60
    assert found.evidence["count"] == 1


def test_a_tenant_that_always_failed_so_much_is_not_blamed():
    before = [
        window(second, old=figures(400, 3), tenants={"acme": TenantFigures(10, 3, 0)})
        for second in range(BEGAN - 300, BEGAN)
    ]
    release = Release(baseline=before)
    for second in range(BEGAN, BEGAN + 120):
        release.feed(tenants_of(second, 3))
    assert level_of(release, "tenant-errors") is Level.NORMAL


def test_a_tenant_that_fails_as_all_do_is_not_blamed():
    release = Release()
    for second in range(BEGAN, BEGAN + 60):
        named = {"acme": TenantFigures(10, 4, 0, (10, 4, 0))}
        release.feed(window(second, figures(100, 40), figures(300, 120), tenants=named))
    assert level_of(release, "tenant-errors") is Level.NORMAL


def test_a_tenant_that_fails_on_the_old_slot_is_not_the_new_versions():
    release = Release()
    for second in range(BEGAN, BEGAN + 60):
        named = {"acme": TenantFigures(10, 9, 0), "b": TenantFigures(90, 0, 0, (90, 0, 0))}
        release.feed(window(second, figures(100), figures(300, 9), tenants=named))
    assert level_of(release, "tenant-errors") is Level.NORMAL


def test_tenants_are_bounded():
    settings = msgspec.structs.replace(Settings(), tenants=50)
    release = Release(settings)
    for second in range(BEGAN, BEGAN + 40):
        named = {f"t{second}-{n}": TenantFigures(2, 1, 0, (2, 1, 0)) for n in range(20)}
        release.feed(window(second, figures(100, 20), figures(300, 60), tenants=named))
        assert len(release.state.tenants._known) <= 50
        assert set(release.state.tenants._suspects) <= set(release.state.tenants._known)


def slow_tenant(second: int, on_new: bool, factor: float = 1.0) -> Window:
    """Acme's requests take 90 ms, and one in 20 fails; all others take 20 ms. Acme may be the canary."""
    heavy, light = (100, 100 * int(90_000 * factor)), (300, 300 * 20_000)
    acme = (100, 5, heavy[1])
    named = {
        "acme": TenantFigures(*acme, acme if on_new else (0, 0, 0)),
        "others": TenantFigures(300, 1, light[1]),
    }
    ours = figures(100, 5, micros=int(90_000 * factor))
    both = ours + figures(300, 1, micros=20_000)
    if not on_new:
        return window(second, old=both, tenants=named)
    return window(second, ours, figures(300, 1, micros=20_000), tenants=named)


def test_a_canary_of_slow_tenants_is_not_taken_for_a_slow_version():
    """Nor one of tenants that always failed more: it is what they had before that counts."""
    before = [slow_tenant(second, on_new=False) for second in range(BEGAN - 300, BEGAN)]
    release = Release(baseline=before)
    for second in range(BEGAN, BEGAN + 120):
        release.feed(slow_tenant(second, on_new=True))
        assert level_of(release, "response-time") is not Level.CRITICAL
        assert level_of(release, "error-rate") is not Level.CRITICAL
    assert until_critical(release, lambda s: slow_tenant(s, on_new=True, factor=1.7)) <= 12


def test_a_canary_of_tenants_of_whom_nothing_is_known_is_compared_with_all_others():
    release = Release()
    took = until_critical(release, lambda s: slow_tenant(s, on_new=True))
    assert took <= 20


def test_connections_that_fail_are_critical():
    release = Release()
    release.last(60)
    failing = figures(100, connect_failures=6)
    assert until_critical(release, lambda s: window(s, failing, figures(300))) <= 8
    assert level_of(release, "connection-failures") is Level.CRITICAL


def test_a_slot_that_answers_nothing_for_nobody_can_connect_is_critical():
    release = Release()
    release.last(60)
    dead = figures(0, connect_failures=50)
    assert until_critical(release, lambda s: window(s, dead, figures(300))) <= 6


def test_ejected_endpoints_count_once_that_lasts():
    release = Release()
    release.last(20)
    for wanted, eligible in ((Level.WARNING, 3), (Level.CRITICAL, 1), (Level.NORMAL, 4)):
        for _ in range(6):
            new = figures(100, eligible=eligible)
            release.feed(window(release.second + 1, new, figures(300)))
        assert level_of(release, "endpoints") is wanted


def test_connections_that_grow_while_the_requests_do_not_leak():
    release = Release()
    release.last(60)
    assert level_of(release, "connection-leak") is Level.NORMAL

    def leaking(second: int) -> Window:
        held = 10 + 15 * (second - BEGAN - 59)
        return window(second, figures(100, endpoint_connections=held), figures(300))

    assert until_critical(release, leaking) <= 9
    assert "grew from" in trigger(release.verdict, "connection-leak").detail


def test_a_leak_that_does_not_double_in_seven_seconds_is_found_in_twice_that():
    release = Release()
    release.last(60)

    def leaking(second: int) -> Window:
        held = 50 + 5 * (second - BEGAN - 59)
        return window(second, figures(100, endpoint_connections=held), figures(300))

    assert until_critical(release, leaking, 40) <= 17


def test_a_slow_leak_is_found_too():
    release = Release()
    release.last(60)

    def leaking(second: int) -> Window:
        held = 40 + (second - BEGAN - 59) // 2
        return window(second, figures(100, endpoint_connections=held), figures(300))

    assert until_critical(release, leaking, 300) <= 200


@pytest.mark.parametrize("why", ["requests", "both"])
def test_connections_that_grow_with_the_requests_or_on_both_slots_do_not_leak(why):
    release = Release()
    release.last(60)
    for step in range(1, 60):
        many = 10 + 15 * step
        asked = 100 + 150 * step if why == "requests" else 100
        others = 10 + 15 * step if why == "both" else 10
        new = figures(asked, endpoint_connections=many)
        old = figures(300, endpoint_connections=others)
        release.feed(window(release.second + 1, new, old))
        assert level_of(release, "connection-leak") is Level.NORMAL


def test_missing_equipment_counts_once_it_lasts_and_had_time_to_come_back():
    release = Release()
    release.last(10)
    levels = []
    for _ in range(60):
        second = release.second + 1
        told = External(second, equipment=Equipment(23, 20))
        verdict = release.feed(healthy(second), external=told)
        levels.append(trigger(verdict, "equipment").level)
    assert levels[:20] == [Level.NORMAL] * 20
    assert levels[20:] == [Level.CRITICAL] * 40
    one = External(release.second, equipment=Equipment(23, 22))
    assert trigger(release.feed(external=one), "equipment").level is Level.WARNING
    assert "22 of 23" in trigger(release.verdict, "equipment").detail
    back = External(release.second, equipment=Equipment(23, 23))
    assert trigger(release.feed(external=back), "equipment").level is Level.NORMAL


def with_signals(*signals: SignalSettings) -> Settings:
    return msgspec.structs.replace(Settings(), signals=signals)


@pytest.mark.parametrize(
    ("value", "wanted"),
    [(60.0, Level.NORMAL), (75.0, Level.WARNING), (86.0, Level.CRITICAL)],
)
def test_a_signal_by_its_thresholds(value, wanted):
    release = Release()
    release.last(60)
    for second in range(release.second + 1, release.second + 8):
        told = External(second, {"database-cpu": Reading(value, second)})
        release.feed(healthy(second), external=told)
    assert level_of(release, "signal:database-cpu") is wanted


def test_a_signal_must_be_bad_for_some_time():
    release = Release()
    release.last(30)
    second = release.second
    release.feed(external=External(second, {"database-cpu": Reading(99.0, second)}))
    assert level_of(release, "signal:database-cpu") is Level.NORMAL
    release.feed(external=External(second + 4, {"database-cpu": Reading(50.0, second + 4)}))
    release.feed(external=External(second + 6, {"database-cpu": Reading(99.0, second + 6)}))
    assert level_of(release, "signal:database-cpu") is Level.NORMAL
    release.feed(external=External(second + 11, {"database-cpu": Reading(99.0, second + 6)}))
    assert level_of(release, "signal:database-cpu") is Level.CRITICAL


def test_a_signal_that_is_bad_below_and_one_that_can_only_warn():
    below = SignalSettings("cache-hits", 90.0, 80.0, "%", is_bad="below", for_s=0.0)
    mild = SignalSettings("failed-logins", 10.0, 50.0, worst="warning", for_s=0.0)
    release = Release(with_signals(below, mild))
    release.last(30)
    now = release.second
    readings = {"cache-hits": Reading(70.0, now), "failed-logins": Reading(90.0, now)}
    release.feed(external=External(now, readings))
    assert level_of(release, "signal:cache-hits") is Level.CRITICAL
    assert level_of(release, "signal:failed-logins") is Level.WARNING


def test_a_signal_that_is_stale_or_required_and_never_given_is_unmeasured():
    settings = with_signals(
        SignalSettings("old", 1.0, 2.0),
        SignalSettings("never", 1.0, 2.0, required=True),
        SignalSettings("unused", 1.0, 2.0),
    )
    release = Release(settings)
    release.last(100)
    told = External(release.second, {"old": Reading(0.5, release.second - 61)})
    verdict = release.feed(external=told)
    names = {each.name: each.level for each in verdict.triggers}
    assert names["signal:old"] is Level.UNMEASURED
    assert names["signal:never"] is Level.UNMEASURED
    assert "signal:unused" not in names
    assert verdict.level is Level.UNMEASURED


def test_a_signal_that_leaks():
    release = Release(with_signals(SignalSettings("db-connections", 1e6, 2e6, leak=True)))
    release.last(60)
    for step in range(40):
        second = release.second + 1
        reading = {"db-connections": Reading(45.0 + 10 * step, second)}
        verdict = release.feed(healthy(second), external=External(second, reading))
        if verdict.level is Level.CRITICAL:
            break
    assert trigger(verdict, "signal:db-connections").level is Level.CRITICAL
    assert step < 20


def test_what_was_well_is_unmeasured_when_no_figures_come_and_what_was_wrong_stays_so():
    release = Release()
    release.last(60)
    verdict = release.feed(external=External(release.second + 6))
    assert trigger(verdict, "error-rate").level is Level.UNMEASURED
    assert "no figures for 6 s" in trigger(verdict, "error-rate").detail
    until_critical(release, lambda s: window(s, figures(100, 50), figures(300)))
    verdict = release.feed(external=External(release.second + 60))
    assert verdict.level is Level.CRITICAL


def noisy(seed: int, seconds: int) -> list[Window]:
    world = World(Random(seed), Load(80.0, 30_000.0, 0.5, 0.01), 20.0)
    return [world.second(BEGAN + second) for second in range(seconds)]


def told(release: Release) -> list[object]:
    return [release.verdict.plain(), release.state.late]


def test_portions_make_no_difference(run_seed):
    """Second by second, at random, or all at once: the last verdict is the same."""
    print(f"seed {run_seed}")
    rng, windows = Random(run_seed), noisy(run_seed, 200)
    single, random, whole = Release(), Release(), Release()
    for each in windows:
        single.feed(each)
    at = 0
    while at < len(windows):
        size = rng.randrange(1, 30)
        random.feed(*windows[at : at + size])
        at += size
    whole.feed(*windows)
    assert told(single) == told(random) == told(whole)


def halves(of: Window) -> list[Window]:
    """The same second, told by two nodes."""
    one = replace(of, groups={name: each for name, each in of.groups.items() if name[0] is NEW})
    other = replace(of, groups={name: each for name, each in of.groups.items() if name[0] is OLD})
    return [replace(one, node="x"), replace(other, node="y", tenants={})]


def test_it_makes_no_difference_how_many_nodes_tell(run_seed):
    print(f"seed {run_seed}")
    together, apart = Release(), Release()
    for each in noisy(run_seed, 120):
        together.feed(each)
        apart.feed(*halves(each))
    assert told(together) == told(apart)


def test_what_comes_late_is_passed_over_and_counted():
    release = Release()
    release.last(10)
    verdict = release.verdict
    assert release.feed(window(BEGAN + 3, figures(100, 100), figures(300), node="b")) == verdict
    assert release.state.late == 1


def test_something_wrong_is_more_than_something_unknown():
    assert sorted(Level, key=RANK.__getitem__) == [
        *(Level.NORMAL, Level.UNMEASURED),
        *(Level.WARNING, Level.CRITICAL),
    ]
