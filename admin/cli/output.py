"""What people and programs read: JSON as it came, or short tables.

Rules: stdout carries the answer, stderr what is said about it. Text that came from a server is
shown with its control characters escaped, and never read as markup. Colour only on a terminal,
and never when NO_COLOR is set. rich is imported when the first table is drawn.
"""

import json
import sys
from collections.abc import Iterable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

UNFOLDED = 10_000
"""Columns of what isn't a terminal: nothing is cut or folded there."""
_BAR = 24
_NARROW = "\u202f"
"""The space between thousands: it steers no terminal, though Python calls it unprintable."""
SLOT_STYLES = {"blue": "bright_blue", "green": "green"}


@cache
def console(*, stderr: bool = False) -> "Console":
    """Where people's text goes."""
    from rich.console import Console  # noqa: PLC0415 - not needed for --json and --help

    stream: TextIO = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else UNFOLDED
    return Console(
        stderr=stderr,
        width=width,
        markup=False,
        emoji=False,
        highlight=False,
        force_terminal=stream.isatty(),
        soft_wrap=True,
    )


def show_json(document: object) -> None:
    """One JSON document on stdout, and nothing else."""
    sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def show_json_line(document: object) -> None:
    """One JSON document on one line of stdout, at once: for what goes on and on."""
    sys.stdout.write(json.dumps(document, separators=(",", ":"), ensure_ascii=False) + "\n")
    sys.stdout.flush()


def say(*parts: object) -> None:
    """A line for people on stdout; the names of slots in their colours."""
    console().print(coloured(" ".join(printable(part) for part in parts)))


def warn(*parts: object) -> None:
    """A line for people on stderr."""
    console(stderr=True).print(coloured(" ".join(printable(part) for part in parts)))


def show_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A table without lines: header, then rows. None is shown as -."""
    from rich.box import SIMPLE_HEAD  # noqa: PLC0415 - see console
    from rich.table import Table  # noqa: PLC0415 - see console

    screen = console()
    table = Table(box=SIMPLE_HEAD if screen.is_terminal else None, pad_edge=False)
    for column in columns:
        table.add_column(column, no_wrap=not screen.is_terminal, overflow="fold")
    for row in rows:
        table.add_row(*(coloured("-" if cell is None else printable(cell)) for cell in row))
    screen.print(table)


def coloured(text: str) -> "Text":
    """The text with the words blue and green in their colours."""
    from rich.text import Text  # noqa: PLC0415 - see console

    styled = Text(text)
    for slot, style in SLOT_STYLES.items():
        styled.highlight_words([f" {slot}", f"{slot} "] if " " in text else [slot], style)
    return styled


def printable(value: object) -> str:
    """The value as one line that can't steer a terminal: control characters escaped."""
    text = value if isinstance(value, str) else str(value)
    if text.isprintable():
        return text
    return "".join(
        char
        if char.isprintable() or char in {"\n", _NARROW}
        else char.encode("unicode_escape").decode()
        for char in text
    )


def counted(number: int, noun: str) -> str:
    """1 tenant, 2 tenants."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}".replace(",", _NARROW)


def bar(done: int, of: int) -> str:
    """How far something is, as a bar."""
    full = round(_BAR * done / of) if of else _BAR
    return "█" * full + "░" * (_BAR - full)


def milliseconds(value: Any) -> str:
    """A duration as people read it; - if there is none."""
    if not isinstance(value, int | float):
        return "-"
    return f"{value / 1000:.1f} s" if value >= 1000 else f"{value:.1f} ms"


def seconds(value: float) -> str:
    """A longer duration as people read it: 45 s, 12 min, 1 h 5 min, 2 d 3 h."""
    whole = round(value)
    for unit, size, below, less in (("d", 86_400, "h", 3_600), ("h", 3_600, "min", 60)):
        if whole >= size:
            rest = whole % size // less
            return f"{whole // size} {unit}" + (f" {rest} {below}" if rest else "")
    return f"{whole // 60} min" if whole >= 60 and whole % 60 == 0 else _short(whole)


def _short(whole: int) -> str:
    return f"{whole // 60} min {whole % 60} s" if whole >= 60 else f"{whole} s"


def percent(value: Any) -> str:
    """25 → 25 %, 0.5 → 0.5 %."""
    return f"{value:g} %" if isinstance(value, int | float) else "-"
