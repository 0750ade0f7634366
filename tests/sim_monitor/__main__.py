"""`python -m tests.sim_monitor --hours 200`: plays healthy releases and faulty ones, prints what the monitor made of them.

Exit code 0: no healthy one was blamed, and each fault was found.
"""

import argparse
import secrets
import sys
import time
from collections.abc import Sequence
from statistics import median

from tests.sim_monitor.play import SABOTAGE, Summary, healthy, sabotaged
from tests.sim_monitor.world import STEPS

_HOURS_OF_ONE = sum(lasts_s for _, lasts_s in STEPS) / 3600.0
_TELL_S = 10.0


def main(arguments: Sequence[str] | None = None) -> int:
    """See the module."""
    asked = _parser().parse_args(arguments)
    first = secrets.randbits(40) if asked.first is None else asked.first
    if asked.seed is not None:
        print(healthy(asked.seed))
        return 0
    failed = _faults(range(first, first + asked.faults)) if asked.faults else 0
    summary = _healthy(first, round(asked.hours / _HOURS_OF_ONE))
    return 1 if failed or summary.alarms else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.sim_monitor")
    parser.add_argument("--hours", type=float, default=200.0, help="of healthy releases")
    parser.add_argument("--first", type=int, help="the first seed; by default another each time")
    parser.add_argument("--faults", type=int, default=10, help="how often each fault is played")
    parser.add_argument("--seed", type=int, help="this healthy release alone")
    return parser


def _faults(seeds: range) -> int:
    """Print how soon each is found; how many are not."""
    print(f"seeds from {seeds.start}")
    print(f"{'fault':30}{'soonest':>8}{'median':>8}{'latest':>8}  seconds")
    failed = 0
    for name in SABOTAGE:
        found, missed = [], []
        for seed in seeds:
            took, said = sabotaged(name, seed)
            if took is None:
                missed.append(f"seed {seed}: {said}")
            else:
                found.append(took)
        if found:
            print(f"{name:30}{min(found):8}{median(found):8g}{max(found):8}", flush=True)
        for line in missed:
            print(f"{name}: not found, {line}")
        failed += len(missed)
    return failed


def _healthy(first: int, count: int) -> Summary:
    summary, began, told = Summary(), time.monotonic(), time.monotonic()
    for seed in range(first, first + count):
        summary.outcomes.append(healthy(seed))
        if time.monotonic() - told > _TELL_S:
            told = time.monotonic()
            print(f"{len(summary.outcomes)} of {count} in {told - began:.0f} s", flush=True)
    for line in summary.lines() if count else ():
        print(line)
    return summary


if __name__ == "__main__":
    sys.exit(main())
