"""Plots of a report, as numbers for SVG: axes with units, a line for each slot, marks where something happened. Pure.

Coordinates are the picture's own units; text is 12 of them high.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from math import ceil, floor, log10
from typing import Any, Final

WIDTH: Final = 860.0
LEFT: Final = 64.0
RIGHT: Final = 844.0
_PLOT_HEIGHT: Final = 150.0
_ROW: Final = 15.0
"""Of the marks' words, which stand above each other where they would overlap."""
_LETTER: Final = 7.0
_BELOW: Final = 24.0
_TICKS: Final = 4
_TIME_TICKS: Final = 8
_STEPS_S: Final = (
    *(1, 5, 10, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 14_400, 21_600, 43_200),
    *(86_400, 172_800, 432_000),
)
_GAP: Final = 2.5
"""A line breaks where so many times its own length nothing was told."""
Point = tuple[float, float, float | None]
"""Second, how long it stands for (s), value; None: nothing was measured."""


@dataclass(frozen=True, slots=True)
class Series:
    """A line. kind: its class in the page, as "blue"."""

    kind: str
    points: Sequence[Point]


def plot(
    title: str, unit: str, series: Sequence[Series], marks: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """One plot, ready to be drawn. marks: at (POSIX), kind, label."""
    found = [point for each in series for point in each.points]
    first, last = span([point[0] for point in found], [mark["at"] for mark in marks])
    top, ticks = scale(max((value for *_, value in found if value is not None), default=0.0))
    named, rows = _named(marks, first, last)
    above = 6 + _ROW * rows
    floor_y = above + _PLOT_HEIGHT

    def x(second: float) -> float:
        return round(LEFT + (RIGHT - LEFT) * (second - first) / max(1.0, last - first), 1)

    def y(value: float) -> float:
        return round(floor_y - _PLOT_HEIGHT * min(1.0, value / top), 1)

    return {
        "title": title,
        "unit": unit,
        "top": above,
        "floor": floor_y,
        "height": floor_y + _BELOW,
        "y_ticks": [{"y": y(value), "label": f"{value:g}"} for value in ticks],
        "x_ticks": [{"x": x(at), "label": label} for at, label in times(first, last)],
        "marks": named,
        "lines": [
            {"kind": each.kind, "points": points}
            for each in series
            for points in lines(each.points, x, y)
        ],
        "is_empty": all(value is None for *_, value in found),
    }


def span(seconds: Iterable[float], marks: Iterable[float]) -> tuple[float, float]:
    """From the first to the last of what there is."""
    both = [*seconds, *marks]
    return min(both, default=0.0), max(both, default=1.0)


def lines(points: Sequence[Point], x: Any, y: Any) -> list[str]:
    """As points of SVG polylines: broken where nothing was measured."""
    found: list[list[str]] = [[]]
    before = None
    for second, length, value in points:
        if value is None or (before is not None and second - before[0] > _GAP * before[1]):
            found.append([])
        before = second, max(length, before[1] if before else 0.0)
        if value is not None:
            found[-1].append(f"{x(second)},{y(value)}")
    # A lone point is a line to itself: its round ends are seen.
    return [" ".join(each if len(each) > 1 else each * 2) for each in found if each]


def scale(highest: float) -> tuple[float, list[float]]:
    """The axis' end, and its ticks: round numbers, from 0 to at least the highest."""
    if highest <= 0:
        return 1.0, [0.0, 1.0]
    rough = highest / _TICKS
    power = 10.0 ** floor(log10(rough))
    step = next(power * each for each in (1, 2, 2.5, 5, 10) if power * each >= rough * 0.999)
    count = ceil(highest / step - 1e-9)
    return step * count, [round(step * number, 10) for number in range(count + 1)]


def times(first: float, last: float) -> list[tuple[float, str]]:
    """Where the time axis is marked, and with what: UTC."""
    wanted = (last - first) / _TIME_TICKS
    step = next((each for each in _STEPS_S if each >= wanted), _STEPS_S[-1])
    form = "%H:%M:%S" if step < 60 else "%H:%M"
    if last - first > 86_400:
        form = "%d %b" if step >= 86_400 else "%d %b %H:%M"
        step = max(step, 14_400)
    begin = ceil(first / step) * step
    return [
        (float(at), datetime.fromtimestamp(at, UTC).strftime(form))
        for at in range(int(begin), int(last) + 1, step)
    ]


def _named(
    marks: Sequence[Mapping[str, Any]], first: float, last: float
) -> tuple[list[dict[str, Any]], int]:
    """Marks with a row for each word, so that no two overlap; and how many rows there are."""
    ends: list[float] = []
    found = []
    for mark in sorted(marks, key=lambda mark: mark["at"]):
        x = LEFT + (RIGHT - LEFT) * (mark["at"] - first) / max(1.0, last - first)
        width = _LETTER * len(mark["label"]) + 8
        is_left = x + width > RIGHT  # no room to its right
        begin, end = (x - width, x) if is_left else (x, x + width)
        row = next((row for row, taken in enumerate(ends) if taken <= begin), len(ends))
        ends[row : row + 1] = [end]
        found.append({**mark, "x": round(x, 1), "row": row, "is_left": is_left})
    for each in found:
        each["y"] = 4 + _ROW * (len(ends) - each["row"])
    return found, len(ends)
