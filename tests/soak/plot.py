"""Memory over time as a small SVG, one line a process. Readable on light and dark.

Pure: samples in, text out.
"""

from collections.abc import Sequence
from html import escape

from tests.soak.watch import Life

WIDTH, HEIGHT = 760, 360
LEFT, RIGHT, TOP, BOTTOM = 60, 20, 50, 40
_STYLE = """
  text { font: 12px system-ui, sans-serif; fill: #1f2328; }
  .ground { fill: #ffffff; }
  .grid { stroke: #d1d9e0; }
  polyline { fill: none; stroke-width: 1.5; }
  .worker { stroke: #0969da; } .supervisor { stroke: #1a7f37; } .management { stroke: #9a6700; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3; } .ground { fill: #0d1117; } .grid { stroke: #30363d; }
    .worker { stroke: #79c0ff; } .supervisor { stroke: #56d364; } .management { stroke: #e3b341; }
  }
"""


def draw(lives: Sequence[Life], began: float) -> str:
    """The whole SVG. began: when the run did, monotonic seconds."""
    samples = [sample for life in lives for sample in life.samples]
    seconds = max([at - began for at, _, _ in samples], default=1.0) or 1.0
    top = 1.2 * max([resident for _, resident, _ in samples], default=1)
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
            f'aria-label="Memory of each process during a soak">'
        ),
        f"<style>{_STYLE}</style>",
        f'<rect class="ground" width="{WIDTH}" height="{HEIGHT}"/>',
        (
            f'<text x="{LEFT}" y="24">Resident memory (MB) over {seconds:.0f} s: workers blue, '
            f"supervisor green, management yellow</text>"
        ),
        *_grid(top, seconds),
    ]
    for life in lives:
        points = " ".join(
            f"{_x(at - began, seconds):.1f},{_y(resident, top):.1f}"
            for at, resident, _ in life.samples
        )
        title = f"<title>{escape(life.role)} {life.pid}</title>"
        parts.append(f'<polyline class="{escape(life.role)}" points="{points}">{title}</polyline>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def _x(at: float, seconds: float) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * max(at, 0.0) / seconds


def _y(resident: float, top: float) -> float:
    return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * resident / top


def _grid(top: float, seconds: float) -> list[str]:
    parts = []
    for step in range(5):
        y = _y(top * step / 4, top)
        x = _x(seconds * step / 4, seconds)
        parts.append(
            f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{top * step / 4e6:.0f}</text>'
            f'<text x="{x:.1f}" y="{HEIGHT - 16}" text-anchor="middle">{seconds * step / 4:.0f} s</text>'
        )
    return parts
