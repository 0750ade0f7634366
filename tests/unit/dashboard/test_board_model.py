import random
from dataclasses import replace

import pytest

from admin.dashboard.model.board import Equipment, board
from admin.dashboard.model.figures import Totals, plots, totals
from admin.dashboard.model.row import NOT_MEASURED, Threshold
from admin.dashboard.model.signals import SignalKnown
from admin.dashboard.model.verdict import Judged, Trigger, judged
from proxy.routing.model import Slot
from tests.support.shown import LIMITS, Counts, Window, counts, windows

NAMES = [
    "Error rate",
    "Avg response time",
    "Requests/s",
    "Database connections",
    "Cache hit rate",
    "Equipment connected",
]
CONNECTIONS = SignalKnown("", Threshold(80, 95), 45.0)
HITS = SignalKnown("%", Threshold(85, 70, "%", below=True), 94.0)
CPU = SignalKnown("%", Threshold(70, 85, "%"))


def shown(**given):
    about = {"measured": {}, "signals": {}, "equipment": None, "verdict": None} | given
    return board(Slot.BLUE, 10, **about, limits=LIMITS)


def of(found, name):
    return next(row for row in found.rows if row.name == name)


def test_the_document_s_board_from_figures_of_both_slots():
    measured = {
        Slot.BLUE: Totals(4500, 9, 4500, 4500 * 120_000),
        Slot.GREEN: Totals(4550, 14, 4550, 4550 * 135_000),
    }
    looked = ("error-rate", "response-time", "requests", "equipment")
    found = shown(
        measured=measured,
        signals={"database-connections": CONNECTIONS, "cache-hit-rate": HITS},
        equipment=Equipment(20, 0, 23, 23),
        verdict=Judged(
            "normal", measured=(*looked, "signal:database-connections", "signal:cache-hit-rate")
        ),
    )
    rows = [
        (row.name, row.active, row.standby, row.both, row.change, row.level) for row in found.rows
    ]
    assert rows == [
        ("Error rate", "0.2\u202f%", "0.31\u202f%", "", "+0.11 points", "normal"),
        ("Avg response time", "120\u202fms", "135\u202fms", "", "+12\u202f%", "normal"),
        ("Requests/s", "450", "455", "", "", "normal"),
        ("Database connections", "", "", "45", "", "normal"),
        ("Cache hit rate", "", "", "94\u202f%", "", "normal"),
        ("Equipment connected", "", "", "23/23", "", "normal"),
    ]
    assert (found.active, found.standby, found.level) == ("blue", "green", "normal")
    bounds = {row.name: (row.warning, row.critical) for row in found.rows}
    assert bounds["Error rate"] == (">\u202f0.5\u202f%", ">\u202f1\u202f%")
    assert bounds["Cache hit rate"] == ("<\u202f85\u202f%", "<\u202f70\u202f%")
    assert bounds["Requests/s"] == ("", "")


def test_what_nobody_measured_is_said_to_be_so_and_never_shown_as_nought():
    found = shown()
    assert [row.name for row in found.rows] == NAMES
    for row in found.rows:
        assert NOT_MEASURED in {row.both, row.active}
        assert row.standby in {"", NOT_MEASURED}
        assert row.level == "unmeasured"
    assert found.level == "unmeasured"


def test_what_the_settings_lack_is_said_with_what_to_write():
    found = shown(signals={"cache-hit-rate": HITS})
    lacking = {row.name: row.setting for row in found.rows if row.setting}
    assert lacking.keys() == {"Database connections", "Equipment connected"}
    assert 'name = "database-connections"' in lacking["Database connections"]


@pytest.mark.parametrize(
    ("known", "why"),
    [
        (CPU, "no reading yet: PUT /v1/signals/database-cpu"),
        (replace(CPU, is_asked=True), "Prometheus has given no reading yet"),
        (replace(CPU, value=50.0, age_s=180.0), "the last reading, 50, is 3 min old"),
    ],
)
def test_a_signal_without_a_fresh_reading_says_whose_turn_it_is(known, why):
    row = of(shown(signals={"database-cpu": known}), "Database CPU")
    assert (row.both, row.level, row.detail) == (NOT_MEASURED, "unmeasured", why)
    assert row.warning == ">\u202f70\u202f%"


def test_signals_beside_the_document_s_come_after_its_rows():
    found = shown(signals={"database-cpu": CPU, "queue-length": CONNECTIONS})
    assert [row.name for row in found.rows] == [*NAMES, "Database CPU", "Queue length"]


def test_a_slot_without_a_request_has_no_error_rate_but_a_rate_of_requests():
    found = shown(measured={Slot.BLUE: Totals(100, 0, 100, 1000), Slot.GREEN: Totals()})
    assert [row.standby for row in found.rows[:3]] == [NOT_MEASURED, NOT_MEASURED, "0.0"]


def test_a_row_has_the_level_and_the_words_of_its_trigger():
    about = "green 5 %, blue 0.2 %, of 400 requests"
    beside = Trigger("tenant-errors", "warning", "acme 7 of 9")
    verdict = Judged(
        "critical", (Trigger("error-rate", "critical", about), beside), ("response-time",)
    )
    measured = {Slot.BLUE: Totals(100, 0, 100, 100), Slot.GREEN: Totals(100, 5, 100, 100)}
    found = shown(measured=measured, verdict=verdict)
    assert (found.rows[0].level, found.rows[0].detail) == ("critical", about)
    assert found.rows[1].level == "normal"  # it was looked at, and nothing was found
    assert found.rows[2].level == "watched"  # it was measured, and is not judged
    assert (found.level, list(found.details)) == ("critical", ["tenant-errors: acme 7 of 9"])
    assert found.is_judged


@pytest.mark.parametrize(
    ("failures", "level"), [(0, "normal"), (1, "normal"), (2, "warning"), (3, "critical")]
)
def test_while_no_release_is_watched_figures_are_held_against_their_thresholds(failures, level):
    found = shown(measured={Slot.BLUE: Totals(200, failures, 200, 100)})
    assert (found.rows[0].level, found.level) == (level, level)
    assert not found.is_judged


def test_a_share_of_a_few_requests_is_held_against_nothing():
    found = shown(measured={Slot.BLUE: Totals(29, 29, 29, 100)})
    row = found.rows[0]
    assert (row.active, row.level) == ("100\u202f%", "watched")
    assert row.detail == "fewer than 30 requests"


def test_of_two_slots_the_worse_counts():
    measured = {Slot.BLUE: Totals(100, 0, 100, 100), Slot.GREEN: Totals(100, 0, 100, 60_000_000)}
    assert of(shown(measured=measured), "Avg response time").level == "critical"


@pytest.mark.parametrize(
    ("there", "level"), [(23, "normal"), (22, "warning"), (21, "critical"), (0, "critical")]
)
def test_equipment_that_is_missing_is_counted(there, level):
    row = of(shown(equipment=Equipment(0, 0, there, 23)), "Equipment connected")
    assert (row.both, row.level) == (f"{there}/23", level)


def test_equipment_is_as_the_monitor_counts_it():
    trigger = Trigger("equipment", "critical", "21 of 23 devices are there", 23.0, 21.0)
    verdict = Judged("critical", (trigger,), ("equipment",))
    row = of(shown(verdict=verdict, equipment=Equipment(4, 2)), "Equipment connected")
    assert (row.both, row.level, row.detail) == ("21/23", "critical", trigger.detail)


def test_totals_add_up_nodes_seconds_and_cohorts(seeded_random: random.Random):
    seconds, wanted = [], dict.fromkeys(Slot, 0)
    for number in range(50):
        groups = {}
        for slot in Slot:
            for cohort in ("rest", "canary", "pilot"):
                requests = seeded_random.randint(0, 9)
                groups[slot, cohort] = counts(requests, seeded_random.randint(0, requests), 5)
                wanted[slot] += requests
        seconds.append(Window(number // 2, groups))
    assert {slot: of.requests for slot, of in totals(seconds).items()} == wanted


def test_failures_are_5xx_and_what_broke_off_and_only_answers_are_timed():
    figures = Counts(10, (0, 7, 0, 0, 3), 10_000, broken=2)
    found = totals([Window(1, {(Slot.BLUE, "rest"): figures})])
    assert found[Slot.BLUE] == Totals(12, 5, 10, 10_000)


def test_a_signal_that_another_admin_was_told_has_the_verdict_s_figure():
    trigger = {"name": "signal:database-connections", "level": "warning", "detail": "90 of 100"}
    document = {
        "level": "warning",
        "triggers": [{**trigger, "active": None, "standby": 90.0, "evidence": {}}],
        "measured": ["signal:database-connections"],
    }
    for known in (replace(CONNECTIONS, value=None), replace(CONNECTIONS, age_s=99.0)):
        signals = {"database-connections": known}
        row = shown(signals=signals, verdict=judged(document)).rows[3]
        assert (row.both, row.level, row.detail) == ("90", "warning", "90 of 100")
    assert judged(None) is None
    assert judged({"level": "unmeasured"}) == Judged("unmeasured")


def test_plots_have_a_value_a_second_and_none_where_there_was_none():
    seconds = [window for window in windows(10) if window.second % 10 != 4]
    found = plots(seconds)
    assert found.keys() == {"errors", "latency", "requests"}
    for plot in found.values():
        assert len(plot.times) == 10
        assert {len(line) for line in plot.lines.values()} == {10}
        assert plot.lines["blue"][4] is None
    assert found["requests"].lines["green"][0] == 23


def test_plots_of_nothing_are_empty():
    assert [plot.times for plot in plots([]).values()] == [[], [], []]


@pytest.mark.parametrize(
    ("value", "level"), [(94.0, "normal"), (85.0, "normal"), (84.0, "warning"), (69.0, "critical")]
)
def test_what_is_bad_below_is_bad_below(value, level):
    signals = {"cache-hit-rate": replace(HITS, value=value)}
    row = of(shown(signals=signals), "Cache hit rate")
    assert (row.both, row.level) == (f"{value:g}\u202f%", level)
