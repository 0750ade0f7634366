"""Axes, lines and marks: where they come to lie."""

import pytest

from admin.releases.plots import LEFT, RIGHT, Series, lines, plot, scale, times


@pytest.mark.parametrize(
    ("highest", "top", "ticks"),
    [
        (0.0, 1.0, [0, 1]),
        (7.0, 8.0, [0, 2, 4, 6, 8]),
        (100.0, 100.0, [0, 25, 50, 75, 100]),
        (0.035, 0.04, [0, 0.01, 0.02, 0.03, 0.04]),
        (1_234.0, 1_500.0, [0, 500, 1_000, 1_500]),
    ],
)
def test_an_axis_ends_at_a_round_number(highest: float, top: float, ticks: list[float]):
    found = scale(highest)
    assert found[0] == pytest.approx(top)
    assert found[1] == pytest.approx(ticks)


@pytest.mark.parametrize("length_s", [20, 300, 3_600, 90_000, 604_800, 2_592_000])
def test_a_time_axis_has_some_marks_and_not_too_many(length_s: int):
    found = times(1_700_000_000.0, 1_700_000_000.0 + length_s)
    assert 2 <= len(found) <= 9
    assert len({label for _, label in found}) == len(found)


def test_a_line_breaks_where_nothing_was_measured_or_told():
    points = [(0, 10, 1.0), (10, 10, None), (20, 10, 2.0), (30, 10, 3.0), (90, 10, 4.0)]
    assert lines(points, int, int) == ["0,1 0,1", "20,2 30,3", "90,4 90,4"]


def test_words_of_marks_do_not_overlap():
    marks = [{"at": at, "kind": "weight", "label": f"{at} %"} for at in (0, 1, 2, 50, 100)]
    found = plot("t", "u", [Series("blue", [(0, 10, 1.0), (100, 10, 2.0)])], marks)
    assert [mark["row"] for mark in found["marks"]] == [0, 1, 2, 0, 0]
    assert [mark["is_left"] for mark in found["marks"]] == [False, False, False, False, True]
    assert (found["marks"][0]["x"], found["marks"][-1]["x"]) == (LEFT, RIGHT)
    assert found["lines"][0]["points"].startswith(f"{LEFT},")


def test_nothing_to_draw():
    assert plot("t", "u", [Series("blue", [(0, 10, None)])], [])["is_empty"]
