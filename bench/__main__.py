"""`python -m bench`: measure, show, write; `python -m bench switch` is a benchmark of its own.

Exit codes are in `--help`.
"""

import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import NoReturn, TypeVar

from rich.console import Console

from bench import catalogue, options, profile, report, run
from bench.checks import CheckError
from bench.load import Load, staged
from bench.machine import Cores, MissingError, choose_cores
from bench.options import Options
from bench.outcome import Outcome
from bench.processes import StartError
from bench.progress import Watch
from bench.scenarios.small import SMALL
from bench.wrk import LoadError

Chosen = TypeVar("Chosen")
MEASURED, INVALID, MISSING, INTERRUPTED = 0, 1, 2, 130
TOLERANCE = 0.05
"""How far from 1 nginx against itself may come out."""


def main(argv: Sequence[str]) -> int:
    """Run what is asked for; gives the exit code."""
    asked = options.parse(argv)
    progress = Console(stderr=True)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        return _profile(asked) if asked.profile else _measure(asked, progress)
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


def _chosen(
    choose: Callable[[frozenset[str]], list[Chosen]], names: frozenset[str]
) -> list[Chosen]:
    try:
        return choose(names)
    except ValueError as error:
        raise MissingError(str(error)) from None


def _cores() -> Cores:
    """Both cores; the harness itself moves to the load's."""
    cores = choose_cores(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores.load})
    return cores


def _measure(asked: Options, progress: Console) -> int:
    scenarios = _chosen(catalogue.choose_scenarios, asked.scenarios)
    peers = _chosen(catalogue.choose_peers, asked.only)
    if asked.self_test:
        scenarios, peers = [SMALL], catalogue.self_test_peers()
    peers, missing = run.present(peers, asked.only)
    cores = _cores()
    jobs = [run.job(scenario, peers, cores, asked) for scenario in scenarios]
    jobs = [job for job in jobs if job.peers]
    watch = Watch(progress, sum(job.turns for job in jobs))
    outcome = run.measured(jobs, peers, missing, watch)
    folder = asked.out / "self-test" if asked.self_test else asked.out
    paths = report.write(outcome, folder)
    _show(outcome, asked, paths)
    if asked.self_test and not _is_even(outcome, progress):
        return INVALID
    return INVALID if outcome.invalid else MEASURED


def _show(outcome: Outcome, asked: Options, paths: Sequence[Path]) -> None:
    output = Console()
    if asked.as_json:
        output.out(paths[0].read_text(encoding="utf-8"), highlight=False, end="")
        return
    report.show(outcome, output)
    output.print(f"written: {', '.join(map(str, paths))}", highlight=False, soft_wrap=True)


def _is_even(outcome: Outcome, progress: Console) -> bool:
    (result,) = outcome.results
    ratio = result.measured[0].figures[-1].ratio if result.measured else None
    if ratio is not None and abs(ratio.median - 1) <= TOLERANCE:
        progress.print(f"self-test passed: {ratio.median:.3f} lies within 1 ± {TOLERANCE}")
        return True
    progress.print(
        f"self-test failed: nginx against itself must come out within 1 ± {TOLERANCE}; "
        "the machine is too noisy for figures now", style="red", soft_wrap=True,
    )  # fmt: skip
    return False


def _profile(asked: Options) -> int:
    profile.find_py_spy()
    scenarios = _chosen(catalogue.choose_scenarios, asked.scenarios or frozenset({SMALL.name}))
    peers = _chosen(catalogue.choose_peers, asked.only or frozenset({"turnout"}))
    peers, _ = run.present(peers, asked.only)
    for scenario in scenarios:
        if not isinstance(scenario, Load):
            raise MissingError(f"{scenario.name} puts no load on a proxy that could be profiled")
        job = run.job(scenario, peers[-1:], _cores(), asked)
        with staged(scenario, job) as stage:
            for runner in stage.runners.values():
                print(f"written: {profile.record(runner, asked.profile or '', asked.out)}")
            for turn in stage.broken.values():
                raise StartError("; ".join(turn().faults))
    return MEASURED


if __name__ == "__main__":
    if sys.argv[1:2] == ["switch"]:
        from bench.switch.__main__ import main as switch

        sys.exit(switch(sys.argv[2:]))
    sys.exit(main(sys.argv[1:]))
