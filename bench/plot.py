"""A small SVG: one bar a proxy (the median), and a dot for each round. Readable on light and dark.

Pure: figures in, text out. Whatever text is drawn is escaped.
"""

import math
import statistics
from collections.abc import Sequence
from html import escape

WIDTH = 760
LABEL = 170
RIGHT = 90
ROW = 44
TOP = 78
BOTTOM = 44
_STYLE = """
  text { font: 14px system-ui, sans-serif; fill: #1f2328; }
  .title { font-size: 17px; font-weight: 600; }
  .small { font-size: 12px; fill: #59636e; }
  .bar { fill: #9db7d8; }
  .base { fill: #c3c9d0; }
  .dot { fill: #0a3069; fill-opacity: .55; }
  .grid { stroke: #d1d9e0; stroke-width: 1; }
  .one { stroke: #cf222e; stroke-width: 1.5; stroke-dasharray: 4 3; }
  .ground { fill: #ffffff; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3; }
    .small { fill: #9198a1; }
    .bar { fill: #2f5a8f; }
    .base { fill: #4a525c; }
    .dot { fill: #a5d6ff; }
    .grid { stroke: #30363d; }
    .one { stroke: #ff7b72; }
    .ground { fill: #0d1117; }
  }
"""


def draw(title: str, subtitle: str, proxies: Sequence[tuple[str, Sequence[float]]]) -> str:
    """The whole SVG. proxies: (name, its ratios round by round), the baseline first."""
    top = nice_top(max((ratio for _, ratios in proxies for ratio in ratios), default=1.0))
    height = TOP + ROW * len(proxies) + BOTTOM
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
            f'width="{WIDTH}" height="{height}" role="img" aria-label="{escape(title)}">'
        ),
        f"<style>{_STYLE}</style>",
        f'<rect class="ground" width="{WIDTH}" height="{height}"/>',
        f'<text class="title" x="16" y="28">{escape(title)}</text>',
        f'<text class="small" x="16" y="50">{escape(subtitle)}</text>',
        *_grid(top, height),
    ]
    for index, (name, ratios) in enumerate(proxies):
        parts.extend(_row(name, ratios, TOP + ROW * index, top, index == 0))
    one = _x(1.0, top)
    parts.append(f'<line class="one" x1="{one}" x2="{one}" y1="{TOP - 8}" y2="{height - BOTTOM}"/>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def nice_top(highest: float) -> float:
    """Where the axis ends: the next of 1.25, 1.5, 2, 3, 4, 5, 6, 8, 10 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(max(highest, 1.0)))
    steps = (1.25, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0)
    return power * next(step for step in (*steps, 12.5) if power * step >= highest * 1.02)


def _x(ratio: float, top: float) -> float:
    return round(LABEL + (WIDTH - LABEL - RIGHT) * ratio / top, 1)


def _grid(top: float, height: int) -> list[str]:
    parts = []
    for tick in (top * step / 4 for step in range(5)):
        x = _x(tick, top)
        parts.append(
            f'<line class="grid" x1="{x}" x2="{x}" y1="{TOP - 8}" y2="{height - BOTTOM}"/>'
            f'<text class="small" x="{x}" y="{height - 20}" text-anchor="middle">{tick:g}</text>'
        )
    return parts


def _row(name: str, ratios: Sequence[float], y: int, top: float, baseline: bool) -> list[str]:
    middle = y + ROW // 2
    label = f'<text x="{LABEL - 12}" y="{middle + 5}" text-anchor="end">{escape(name)}</text>'
    if not ratios:
        return [
            label,
            f'<text class="small" x="{LABEL + 8}" y="{middle + 5}">no valid round</text>',
        ]
    median = statistics.median(ratios)
    width = _x(median, top) - LABEL
    end = max(_x(ratio, top) for ratio in ratios) + 12
    parts = [
        label,
        (
            f'<rect class="{"base" if baseline else "bar"}" x="{LABEL}" y="{y + 8}" '
            f'width="{width:.1f}" height="{ROW - 16}" rx="2"/>'
        ),
        f'<text x="{end:.1f}" y="{middle + 5}">{median:.2f}</text>',
    ]
    dots = () if baseline else ratios
    parts.extend(
        f'<circle class="dot" cx="{_x(ratio, top)}" cy="{middle + _shift(index)}" r="3.5"/>'
        for index, ratio in enumerate(dots)
    )
    return parts


def _shift(index: int) -> int:
    """Dots of neighbouring rounds side by side, so that equal ones stay visible."""
    return (-8, 0, 8)[index % 3]
