"""The load's figures and how they look."""

import io
import itertools

import pytest
from rich.console import Console

from admin.demo.board import bar_cells, board, line, state
from admin.demo.figures import MAX_KINDS, WINDOW_S, Figures, percentile
from admin.demo.traffic import NAMES, Pace, tenant_names
from admin.demo.watch import EVENTS_SHOWN, Control


def figures(answers: int = 0, began: float = 0.0) -> Figures:
    """So many answers, evenly over the window, three of four by blue, taking 1, 2, 3… ms."""
    made = Figures(began)
    for number in range(answers):
        slot = "green" if number % 4 == 3 else "blue"
        now = began + WINDOW_S * number / answers
        made.answer(now, f"t{number % 8}", slot, (number + 1) / 1000)
    return made


def control() -> Control:
    return Control(reachable=True, version=7, active="blue", canary=25, serving=1, workers=2)


def drawn(load: Figures, of: Control) -> str:
    output = io.StringIO()
    console = Console(file=output, width=100, force_terminal=False)
    console.print(board(load.snapshot(load.began + WINDOW_S), of))
    return output.getvalue()


def test_percentiles_by_nearest_rank():
    ordered = [number / 1000 for number in range(1, 101)]
    assert percentile(ordered, 0.5) == pytest.approx(50)
    assert percentile(ordered, 0.99) == pytest.approx(99)
    assert percentile([0.007], 0.99) == pytest.approx(7)
    assert percentile([], 0.5) is None


def test_a_snapshot_covers_the_window():
    shot = figures(100).snapshot(WINDOW_S)
    assert shot.per_second == pytest.approx(100 / WINDOW_S)
    assert shot.slots["blue"].per_second == pytest.approx(75 / WINDOW_S)
    assert [shot.slots[slot].tenants for slot in ("blue", "green")] == [6, 2]
    assert shot.slots["green"].p50 == pytest.approx(52)


def test_what_is_older_than_the_window_no_longer_counts():
    made = figures(100)
    shot = made.snapshot(2 * WINDOW_S)
    assert (shot.per_second, shot.answered) == (0, 100)
    assert shot.slots["blue"].p99 is None
    assert not made._recent


def test_a_tenant_belongs_to_the_slot_that_served_it_last():
    made = Figures(0.0)
    made.answer(1.0, "acme", "blue", 0.001)
    made.answer(2.0, "acme", "green", 0.001)
    shot = made.snapshot(2.0)
    assert (shot.slots["blue"].tenants, shot.slots["green"].tenants) == (0, 1)


def test_errors_are_counted_by_kind_and_kinds_are_bounded():
    made = Figures(0.0)
    for number in range(3 * MAX_KINDS):
        made.error(f"kind {number}")
    assert made.snapshot(1.0).failed == 3 * MAX_KINDS
    assert len(made.errors) == MAX_KINDS + 1


def test_the_line_holds_all_that_counts():
    made = figures(100)
    made.error("502 to GET")
    text = line(made.snapshot(WINDOW_S), control())
    for part in (
        "5 s",
        "20 req/s",
        "1 errors",
        "blue 6 tenants",
        "green 2 tenants p50 52.0",
        "active blue",
        "canary 25 %",
        "version 7",
        "workers 1/2",
    ):
        assert part in text


def test_the_board_holds_the_same_and_the_last_events():
    of = control()
    of.events.extend(f"change {number}" for number in range(2 * EVENTS_SHOWN))
    text = drawn(figures(100), of)
    for part in ("20 requests/s", "0 errors", "52.0", "version 7", "change 15"):
        assert part in text
    assert "change 7" not in text
    # Six of eight tenants.
    assert text.count("█") == 40


def test_an_event_cannot_steer_the_terminal():
    of = control()
    of.events.append("\x1b[2J[red]x")
    text = drawn(figures(4), of)
    assert "\x1b[2J" not in text
    assert "\\x1b[2J[red]x" in text


def test_an_admin_that_is_away_is_said():
    assert state(Control()) == "the admin is away"


def test_the_bar_has_a_cell_for_whoever_has_a_tenant():
    made = Figures(0.0)
    for number in range(199):
        made.answer(1.0, f"t{number}", "blue", 0.001)
    made.answer(1.0, "pilot", "green", 0.001)
    assert bar_cells(made.snapshot(1.0)) == (39, 1)
    assert bar_cells(Figures(0.0).snapshot(1.0)) == (0, 0)


def test_tenants_have_names_each_once():
    assert len(set(NAMES)) == 40
    assert tenant_names(2) == ["acme", "globex"]
    assert len(set(tenant_names(100))) == 100


def test_the_pace_is_even():
    pace = Pace(100)
    pace.take(1000.0)
    waits = [pace.take(1000.0)[1] for _ in range(50)]
    steps = [later - earlier for earlier, later in itertools.pairwise(waits[20:])]
    assert steps == pytest.approx([0.01] * 29)


def test_the_pace_does_not_catch_up_in_bursts():
    pace = Pace(100)
    turns = [pace.take(1000.0 + number) for number in range(5)]
    assert [number for number, _ in turns] == [0, 1, 2, 3, 4]
    waits = [pace.take(1010.0)[1] for _ in range(100)]
    # A tenth of a second is made up for, no more.
    assert sum(wait == 0 for wait in waits) <= 12
    assert waits[-1] == pytest.approx(0.89, abs=0.02)
