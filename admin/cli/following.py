"""What goes on for a while and is watched: asked for again and again, shown when it changes.

On a terminal one line, or all of it, is kept up to date; elsewhere each change is a line of its own, or with --json
a document on a line.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from admin.cli.options import Session
from admin.cli.output import coloured, console, printable, say, show_json_line, warn

PAUSE_S = 0.5
"""How often it is asked for."""

Document = dict[str, Any]
Show = Callable[[str], None]


def follow(
    session: Session,
    path: str,
    line: Callable[[Document], str],
    is_over: Callable[[Document], bool],
    board: Callable[[Document], list[str]] | None = None,
) -> Document:
    """Show what lies there whenever it changes, until it is over; what it was then.

    board: what a terminal shows in place of the line.
    """
    shown: str | Document | None = None
    words = line if board is None or not console().is_terminal else _joined(board)
    with nullcontext(say) if session.as_json else one_line() as show:
        while True:
            document = session.client.read(path)
            told = document if session.as_json else words(document)
            if told != shown:
                show_json_line(document) if session.as_json else show(words(document))
            shown = told
            if is_over(document):
                return document
            time.sleep(PAUSE_S)


def _joined(board: Callable[[Document], list[str]]) -> Callable[[Document], str]:
    return lambda document: "\n".join(board(document))


@contextmanager
def one_line(*, stderr: bool = False) -> Iterator[Show]:
    """What shows a line in place of the one before; where there is no terminal, below it."""
    screen = console(stderr=stderr)
    if not screen.is_terminal:
        yield warn if stderr else say
        return
    from rich.live import Live  # noqa: PLC0415 - see console

    with Live(console=screen, auto_refresh=False) as live:
        yield lambda text: live.update(coloured(printable(text)), refresh=True)
