"""`make simulate`: plays many seeds in several processes, or one of them for a reader."""

import argparse
import multiprocessing
import secrets
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence

from tests.sim.scenario import History, play
from tests.sim.world import seldom_collected

_CHUNK = 25
_TELL_S = 10.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0: every rule held in every history."""
    asked = _parser().parse_args(arguments)
    if asked.seed is not None:
        return _one(asked.seed, traced=asked.trace)
    first = secrets.randbits(40) if asked.first is None else asked.first
    return _many(range(first, first + asked.seeds), asked.processes)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make simulate")
    parser.add_argument("--seeds", type=int, default=1000, help="how many histories")
    parser.add_argument("--first", type=int, help="the first seed; by default another each time")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--seed", type=int, help="this history alone")
    parser.add_argument("--trace", action="store_true", help="print it")
    return parser


def _one(seed: int, *, traced: bool) -> int:
    history = play(seed, traced=traced)
    print("\n".join(history.trace))
    for name, count in history.counts.items():
        print(f"{count:6}  {name}")
    _tell(history)
    return 1 if history.violations else 0


def _tell(history: History) -> None:
    for violation in history.violations:
        print(f"seed {history.seed}: {violation}")
    if not history.violations:
        print(f"seed {history.seed}: all rules hold, {history.lasted_s:.1f} s of virtual time")


def _many(seeds: range, processes: int) -> int:
    print(f"{len(seeds)} seeds from {seeds.start}", flush=True)
    began = told = time.monotonic()
    counts: Counter[str] = Counter()
    failed: list[History] = []
    virtual_s, played = 0.0, 0
    for history in _histories(seeds, processes):
        played += 1
        virtual_s += history.lasted_s
        counts.update(history.counts)
        if history.violations:
            failed.append(history)
            _tell(history)
        if time.monotonic() - told > _TELL_S:
            told = time.monotonic()
            print(f"{played} played in {told - began:.0f} s, {len(failed)} failed", flush=True)
    for name, count in sorted(counts.items()):
        print(f"{count:10}  {name}")
    took_s = time.monotonic() - began
    print(
        f"{played} seeds from {seeds.start}: {len(failed)} failed; {took_s:.0f} s with {processes} "
        f"processes, {virtual_s:.0f} s of virtual time"
    )
    if failed:
        first = min(failed, key=lambda history: history.seed)
        print(f'to read the first: make simulate ARGS="--seed {first.seed} --trace"')
    return 1 if failed else 0


def _histories(seeds: range, processes: int) -> Iterator[History]:
    """Each as it is played, in any order."""
    chunks = [seeds[at : at + _CHUNK] for at in range(0, len(seeds), _CHUNK)]
    with multiprocessing.get_context("fork").Pool(processes) as pool:
        for histories in pool.imap_unordered(_play, chunks):
            yield from histories


def _play(seeds: range) -> list[History]:
    with seldom_collected():
        return [play(seed) for seed in seeds]


if __name__ == "__main__":
    sys.exit(main())
