import random

from admin.dashboard.model.board import (
    NOT_MEASURED,
    Equipment,
    Judged,
    Signal,
    Totals,
    Trigger,
    board,
    judged,
    plots,
    totals,
)
from proxy.routing.model import Slot
from tests.support.shown import Counts, Window, counts, windows

NAMES = [
    "Error rate",
    "Avg response time",
    "Requests/s",
    "Database connections",
    "Cache hit rate",
    "Equipment connected",
]


def shown(**given):
    about = {"measured": {}, "signals": {}, "equipment": None, "verdict": None} | given
    return board(Slot.BLUE, 10, **about)


def test_the_document_s_board_from_figures_of_both_slots():
    measured = {
        Slot.BLUE: Totals(4500, 9, 4500, 4500 * 120_000),
        Slot.GREEN: Totals(4550, 14, 4550, 4550 * 135_000),
    }
    signals = {
        "database-connections": Signal(45, 48),
        "cache-hit-rate": Signal(94, 93, "%"),
    }
    looked = ("error-rate", "response-time", "requests", "equipment")
    found = shown(
        measured=measured,
        signals=signals,
        equipment=Equipment(20, 0, 23, 23),
        verdict=Judged(
            "normal", measured=(*looked, "signal:database-connections", "signal:cache-hit-rate")
        ),
    )
    assert [(row.name, row.active, row.standby, row.level) for row in found.rows] == [
        ("Error rate", "0.2\u202f%", "0.31\u202f%", "normal"),
        ("Avg response time", "120 ms", "135 ms", "normal"),
        ("Requests/s", "450", "455", "normal"),
        ("Database connections", "45", "48", "normal"),
        ("Cache hit rate", "94 %", "93 %", "normal"),
        ("Equipment connected", "23/23", "0", "normal"),
    ]
    assert (found.active, found.standby, found.level) == ("blue", "green", "normal")


def test_what_nobody_measured_is_said_to_be_so_and_never_shown_as_nought():
    found = shown()
    assert [row.name for row in found.rows] == NAMES
    for row in found.rows:
        assert (row.active, row.standby, row.level) == (NOT_MEASURED, NOT_MEASURED, "unmeasured")
    assert found.level == "unmeasured"


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


def test_what_is_measured_while_nobody_judges_is_not_called_normal():
    found = shown(measured={Slot.BLUE: Totals(100, 0, 100, 100)})
    assert (found.rows[0].level, found.level) == ("watched", "watched")


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


def test_a_verdict_s_document_gives_signals_their_figures():
    trigger = {"name": "signal:database-connections", "level": "warning", "detail": "90 of 100"}
    document = {
        "level": "warning",
        "triggers": [{**trigger, "active": 45.0, "standby": 90.0, "evidence": {}}],
        "measured": ["signal:database-connections"],
    }
    row = shown(verdict=judged(document)).rows[3]
    assert (row.active, row.standby, row.level, row.detail) == ("45", "90", "warning", "90 of 100")
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
