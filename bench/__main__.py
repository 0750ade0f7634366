"""`python -m bench`: measure, show, write. Exit codes are in `--help`."""

import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import NoReturn

from rich.console import Console

from bench import catalogue, options, profile, report, run
from bench.checks import CheckError
from bench.machine import MissingError, choose_cores
from bench.peers.peer import Peer
from bench.processes import StartError
from bench.progress import Watch
from bench.scenarios.scenario import Scenario
from bench.wrk import LoadError

MEASURED, INVALID, MISSING, INTERRUPTED = 0, 1, 2, 130
TOLERANCE = 0.05
"""How far from 1 nginx against itself may come out."""


def main(argv: Sequence[str]) -> int:
    """Run what is asked for; gives the exit code."""
    asked = options.parse(argv)
    progress = Console(stderr=True)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        peers, scenario = _choose(asked)
        run.check_peers(peers)
        cores = choose_cores(os.sched_getaffinity(0))
        # The harness itself stays off the proxy's core.
        os.sched_setaffinity(0, {cores.load})
        if asked.profile:
            return _profile(run.Job([peers[-1]], scenario, cores, asked))
        return _measure(run.Job(peers, scenario, cores, asked), progress)
    except MissingError as error:
        progress.print(f"bench: {error}", style="red", highlight=False, soft_wrap=True)
        return MISSING
    except (StartError, CheckError, LoadError) as error:
        progress.print(f"bench: {error}", style="red", highlight=False, soft_wrap=True)
        return INVALID
    except KeyboardInterrupt:
        progress.print("bench: interrupted; everything that was started has been ended")
        return INTERRUPTED


def _interrupt(_signal: int, _frame: FrameType | None) -> NoReturn:
    """SIGTERM ends a run as Ctrl-C does: through every `with`."""
    raise KeyboardInterrupt


def _choose(asked: options.Options) -> tuple[list[Peer], Scenario]:
    if asked.scenario not in catalogue.SCENARIOS:
        known = ", ".join(catalogue.SCENARIOS)
        raise MissingError(f"no scenario is called {asked.scenario}; there are {known}")
    scenario = catalogue.SCENARIOS[asked.scenario]
    if asked.self_test:
        return catalogue.self_test_peers(), scenario
    try:
        return catalogue.choose_peers(asked.only), scenario
    except ValueError as error:
        raise MissingError(str(error)) from None


def _measure(job: run.Job, progress: Console) -> int:
    asked = job.options
    outcome = run.measured(job, Watch(progress, len(job.peers) * (asked.rounds + 1)))
    folder = asked.out / "self-test" if asked.self_test else asked.out
    paths = report.write(outcome, folder)
    output = Console()
    if asked.as_json:
        output.out((folder / "bench.json").read_text(encoding="utf-8"), highlight=False, end="")
    else:
        report.show(outcome, output)
        output.print(f"written: {', '.join(map(str, paths))}", highlight=False, soft_wrap=True)
    if asked.self_test and not _is_even(outcome, progress):
        return INVALID
    return INVALID if outcome.invalid else MEASURED


def _is_even(outcome: report.Outcome, progress: Console) -> bool:
    ratio = outcome.figures[-1].ratio
    if ratio is not None and abs(ratio.median - 1) <= TOLERANCE:
        progress.print(f"self-test passed: {ratio.median:.3f} lies within 1 ± {TOLERANCE}")
        return True
    progress.print(
        f"self-test failed: nginx against itself must come out within 1 ± {TOLERANCE}; "
        "the machine is too noisy for figures now", style="red", soft_wrap=True,
    )  # fmt: skip
    return False


def _profile(job: run.Job) -> int:
    profile.find_py_spy()
    kind, folder = job.options.profile or "speedscope", job.options.out
    with run.staged(job) as stage:
        target = profile.record(stage.proxies[0], stage.plan, kind, folder)
    print(f"written: {target}")
    return MEASURED


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
