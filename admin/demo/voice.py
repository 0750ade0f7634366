"""What the demo says: plain lines, each at once.

Rules: with --json stdout carries demo.json alone and everything else goes to stderr. While the
board has the terminal, notes go to it instead.
"""

import contextlib
import os
import sys
from collections.abc import Callable
from typing import TextIO

from admin.cli.output import printable

BOLD, PLAIN = "\x1b[1m", "\x1b[0m"


class Voice:
    """Speaks to whoever started the demo. into: takes notes instead, and says whether it could."""

    def __init__(self, *, as_json: bool) -> None:
        self.into: Callable[[str], bool] | None = None
        self._stream: TextIO = sys.stderr if as_json else sys.stdout
        self._has_colour = self._stream.isatty() and not os.environ.get("NO_COLOR")

    def say(self, line: str) -> None:
        """A line."""
        self._write(self._stream, f"{line}\n")

    def loud(self, line: str) -> None:
        """A line that is looked for."""
        self.say(f"{BOLD}{line}{PLAIN}" if self._has_colour else line)

    def ready(self, name: str, seconds: float) -> None:
        """A part is ready."""
        self.say(f"  {name:<11} ready after {seconds:.1f} s")

    def note(self, line: str) -> None:
        """Something happened while the demo runs."""
        if self.into is None or not self.into(printable(line)):
            self.say(f"turnout: {line}")

    def answer(self, text: str) -> None:
        """The machine's output."""
        self._write(sys.stdout, text)

    def fail(self, message: str) -> None:
        """Why it can't go on."""
        self._write(sys.stderr, f"turnout: {message}\n")

    @staticmethod
    def _write(stream: TextIO, text: str) -> None:
        # Whoever listened may have left (`turnout demo | head`): the demo goes on.
        with contextlib.suppress(BrokenPipeError):
            stream.write(text)
            stream.flush()
