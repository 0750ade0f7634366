"""`python -m bench switch`: measure, show, write. Exit codes are in `--help`."""

import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import NoReturn

from rich.console import Console

from bench.machine import MissingError
from bench.processes import StartError
from bench.progress import Watch
from bench.switch import catalogue, options, report, run
from bench.switch.options import Options

MEASURED, INVALID, MISSING, INTERRUPTED = 0, 1, 2, 130


def main(argv: Sequence[str]) -> int:
    """Run what is asked for; gives the exit code."""
    asked = options.parse(argv)
    progress = Console(stderr=True)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        return _measure(asked, progress)
    except MissingError as error:
        progress.print(f"bench: {error}", style="red", highlight=False, soft_wrap=True)
        return MISSING
    except StartError as error:
        progress.print(f"bench: {error}", style="red", highlight=False, soft_wrap=True)
        return INVALID
    except KeyboardInterrupt:
        progress.print("bench: interrupted; everything that was started has been ended")
        return INTERRUPTED


def _interrupt(_signal: int, _frame: FrameType | None) -> NoReturn:
    """SIGTERM ends a run as Ctrl-C does: through every `with`."""
    raise KeyboardInterrupt


def _measure(asked: Options, progress: Console) -> int:
    try:
        contenders = catalogue.choose(asked.only)
    except ValueError as error:
        raise MissingError(str(error)) from None
    contenders, missing = run.present(contenders, asked.only)
    watch = Watch(progress, len(contenders) * (asked.rounds + 1))
    outcome = run.measured(contenders, missing, asked, watch)
    paths = report.write(outcome, asked.out)
    output = Console()
    if asked.as_json:
        output.out(paths[0].read_text(encoding="utf-8"), highlight=False, end="")
    else:
        report.show(outcome, output)
        output.print(f"written: {', '.join(map(str, paths))}", highlight=False, soft_wrap=True)
    return MEASURED if outcome.is_clean else INVALID


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
