"""A small SVG of panels: a bar a proxy (the median), a dot for each round, a line at the mark.

Readable on light and dark. Pure: figures in, text out. Whatever text is drawn is escaped.
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH = 760
LABEL = 170
RIGHT = 90
ROW = 40
TOP = 66
HEAD, FOOT = 44, 40
"""Above and below the bars of a panel."""
_STYLE = """
  text { font: 14px system-ui, sans-serif; fill: #1f2328; }
  .title { font-size: 17px; font-weight: 600; }
  .head { font-weight: 600; }
  .small { font-size: 12px; fill: #59636e; }
  .bar { fill: #9db7d8; }
  .base { fill: #c3c9d0; }
  .dot { fill: #0a3069; fill-opacity: .55; }
  .grid { stroke: #d1d9e0; stroke-width: 1; }
  .mark { stroke: #cf222e; stroke-width: 1.5; stroke-dasharray: 4 3; }
  .ground { fill: #ffffff; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3; }
    .small { fill: #9198a1; }
    .bar { fill: #2f5a8f; }
    .base { fill: #4a525c; }
    .dot { fill: #a5d6ff; }
    .grid { stroke: #30363d; }
    .mark { stroke: #ff7b72; }
    .ground { fill: #0d1117; }
  }
"""


@dataclass(frozen=True, slots=True)
class Bar:
    """A proxy and its figures, round by round. base: drawn as what the others are held against."""

    name: str
    values: Sequence[float]
    base: bool = False


@dataclass(frozen=True, slots=True)
class Panel:
    """One measure. unit: of its scale. mark: where the line stands; None for none."""

    heading: str
    unit: str
    bars: Sequence[Bar]
    mark: float | None

    @property
    def height(self) -> int:
        """Pixels from its heading to the end of its scale."""
        return HEAD + ROW * len(self.bars) + FOOT

    @property
    def top(self) -> float:
        """Where its scale ends."""
        values = [value for bar in self.bars for value in bar.values]
        return nice_top(max([*values, self.mark or 0.0], default=1.0))


def draw(title: str, subtitle: str, panels: Sequence[Panel]) -> str:
    """The whole SVG, panels one below the other."""
    height = TOP + sum(panel.height for panel in panels) + 8
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
            f'width="{WIDTH}" height="{height}" role="img" aria-label="{escape(title)}">'
        ),
        f"<style>{_STYLE}</style>",
        f'<rect class="ground" width="{WIDTH}" height="{height}"/>',
        f'<text class="title" x="16" y="28">{escape(title)}</text>',
        f'<text class="small" x="16" y="50">{escape(subtitle)}</text>',
    ]
    y = TOP
    for panel in panels:
        parts.extend(_panel(panel, y))
        y += panel.height
    return "\n".join([*parts, "</svg>"]) + "\n"


def nice_top(highest: float) -> float:
    """Where the axis ends: the next of 1.25, 1.5, 2, 3, 4, 5, 6, 8, 10 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(max(highest, 0.01)))
    steps = (1.25, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0)
    return power * next(step for step in (*steps, 12.5) if power * step >= highest * 1.02)


def _panel(panel: Panel, y: int) -> list[str]:
    top, first = panel.top, y + HEAD
    end = first + ROW * len(panel.bars)
    heading = (
        f'<text class="head" x="16" y="{y + 22}">{escape(panel.heading)}'
        f'<tspan class="small" dx="10">{escape(panel.unit)}</tspan></text>'
    )
    parts = [heading, *_grid(top, first, end)]
    for index, bar in enumerate(panel.bars):
        parts.extend(_bar(bar, first + ROW * index, top))
    if panel.mark is not None:
        x = _x(panel.mark, top)
        parts.append(f'<line class="mark" x1="{x}" x2="{x}" y1="{first - 6}" y2="{end}"/>')
    return parts


def _x(value: float, top: float) -> float:
    return round(LABEL + (WIDTH - LABEL - RIGHT) * value / top, 1)


def _grid(top: float, first: int, end: int) -> list[str]:
    parts = []
    for tick in (top * step / 4 for step in range(5)):
        x = _x(tick, top)
        parts.append(
            f'<line class="grid" x1="{x}" x2="{x}" y1="{first - 6}" y2="{end}"/>'
            f'<text class="small" x="{x}" y="{end + 18}" text-anchor="middle">{tick:g}</text>'
        )
    return parts


def _bar(bar: Bar, y: int, top: float) -> list[str]:
    middle = y + ROW // 2
    label = f'<text x="{LABEL - 12}" y="{middle + 5}" text-anchor="end">{escape(bar.name)}</text>'
    if not bar.values:
        nothing = f'<text class="small" x="{LABEL + 8}" y="{middle + 5}">no valid round</text>'
        return [label, nothing]
    median = statistics.median(bar.values)
    end = max(_x(value, top) for value in bar.values) + 12
    parts = [
        label,
        (
            f'<rect class="{"base" if bar.base else "bar"}" x="{LABEL}" y="{y + 7}" '
            f'width="{_x(median, top) - LABEL:.1f}" height="{ROW - 14}" rx="2"/>'
        ),
        f'<text x="{end:.1f}" y="{middle + 5}">{median:.3g}</text>',
    ]
    # The baseline's own ratios are all 1.
    dots = () if bar.base and set(bar.values) == {1.0} else bar.values
    parts.extend(
        f'<circle class="dot" cx="{_x(value, top)}" cy="{middle + _shift(index)}" r="3.5"/>'
        for index, value in enumerate(dots)
    )
    return parts


def _shift(index: int) -> int:
    """Dots of neighbouring rounds side by side, so that equal ones stay visible."""
    return (-8, 0, 8)[index % 3]
