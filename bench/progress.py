"""What is seen while a run goes on: a bar on a terminal, lines elsewhere. On stderr."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


class Watch:
    """Told what happens. turns: how many turns there are, warm-ups included.

    notes: of the scenario that is under way.
    """

    def __init__(self, console: Console, turns: int) -> None:
        self._console = console
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
        )
        self._bar = Progress(*columns, console=console, disable=not console.is_terminal)
        self._task = self._bar.add_task("starting", total=turns)
        self._begun = 0
        self._scenario = ""
        self.notes: list[str] = []

    def scenario(self, name: str, title: str) -> None:
        """A scenario begins."""
        self._scenario = name
        self.notes = []
        self.say(f"{name}: {title}")

    def turn(self, what: str) -> None:
        """A turn begins."""
        self._bar.update(self._task, description=f"{self._scenario}, {what}", completed=self._begun)
        self._begun += 1

    def say(self, text: str) -> None:
        """A line that stays."""
        self._console.print(text, highlight=False, soft_wrap=True)

    def note(self, text: str) -> None:
        """Something that a reader of this scenario's figures must know."""
        self.say(f"  {text}")
        self.notes.append(text)

    @contextmanager
    def shown(self) -> Iterator["Watch"]:
        """The bar, until the block ends."""
        with self._bar:
            yield self
