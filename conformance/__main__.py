"""`python -m conformance`: play every row at every proxy, show, write. Exit codes are in `--help`."""

import secrets
import signal
import sys
import time
from collections.abc import Sequence
from types import FrameType
from typing import NoReturn

from rich.console import Console
from rich.progress import Progress

from admin.embedded import EmbeddedServerError
from bench.processes import StartError
from conformance import catalogue, options, report, run, vectors
from conformance.peers.peer import Peer

PASSED, FAILED, MISSING, INTERRUPTED = 0, 1, 2, 130


def main(argv: Sequence[str]) -> int:
    """Run what is asked for; gives the exit code."""
    asked = options.parse(argv)
    progress = Console(stderr=True)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        peers, missing = catalogue.peers(asked.only)
        outcome = (
            _vectors(asked, peers, missing, progress)
            if asked.vectors
            else _rows(asked, peers, missing, progress)
        )
    except ValueError as error:
        progress.print(f"conformance: {error}", style="red", highlight=False, soft_wrap=True)
        return MISSING
    except (StartError, EmbeddedServerError) as error:
        progress.print(f"conformance: {error}", style="red", highlight=False, soft_wrap=True)
        return FAILED
    except KeyboardInterrupt:
        progress.print("conformance: interrupted; everything that was started has been ended")
        return INTERRUPTED
    _tell(outcome, asked)
    return PASSED if outcome.passed else FAILED


def _interrupt(_signal: int, _frame: FrameType | None) -> NoReturn:
    """SIGTERM ends a run as Ctrl-C does: through every `with`."""
    raise KeyboardInterrupt


def _rows(
    asked: options.Options, peers: Sequence[Peer], missing: dict[str, str], progress: Console
) -> report.Outcome:
    rows = catalogue.rows(asked.rows)
    seed = secrets.randbits(32) if asked.seed is None else asked.seed
    progress.print(f"seed {seed}: --seed {seed} repeats the cuts", highlight=False)
    began = time.monotonic()
    found = []
    with Progress(console=progress, disable=not progress.is_terminal) as bar:
        task = bar.add_task("rows", total=len(rows) * len(peers))
        for result in run.results(peers, rows, seed):
            found.append(result)
            bar.advance(task)
    order = {row.id: number for number, row in enumerate(rows)}
    found.sort(key=lambda result: order[result.row.id])
    return report.Outcome(peers, missing, seed, time.monotonic() - began, rows=found)


def _vectors(
    asked: options.Options, peers: Sequence[Peer], missing: dict[str, str], progress: Console
) -> report.Outcome:
    assert asked.vectors is not None
    files = vectors.load(asked.vectors, asked.rows)
    began = time.monotonic()
    found = []
    with Progress(console=progress, disable=not progress.is_terminal) as bar:
        task = bar.add_task("vectors", total=sum(map(len, files.values())) * len(peers))
        for judged in vectors.results(peers, files):
            found.append(judged)
            bar.advance(task)
    return report.Outcome(peers, missing, 0, time.monotonic() - began, vectors=found)


def _tell(outcome: report.Outcome, asked: options.Options) -> None:
    paths = report.write(outcome, asked.out)
    output = Console()
    if asked.as_json:
        output.out(paths[0].read_text(encoding="utf-8"), highlight=False, end="")
        return
    report.show(outcome, output, everything=bool(asked.rows))
    output.print(f"written: {', '.join(map(str, paths))}", highlight=False, soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
