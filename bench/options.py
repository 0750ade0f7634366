"""The command line of `python -m bench`."""

import argparse
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.machine import ROOT

ROUNDS, QUICK_ROUNDS = 10, 3
PAIRS, QUICK_PAIRS = 10_000, 1_000


@dataclass(frozen=True, slots=True)
class Options:
    """What was asked for.

    seconds: of one sample, 0 for each scenario's own. only, scenarios: names, empty for all.
    pairs: of WebSocket connections, in the idle scenario.
    """

    rounds: int
    seconds: int
    connections: int
    pairs: int
    only: frozenset[str]
    scenarios: frozenset[str]
    out: Path
    as_json: bool
    self_test: bool
    profile: str | None


def parse(argv: Sequence[str]) -> Options:
    """The options, or SystemExit(2) after a message from argparse."""
    given = _parser().parse_args(argv)
    return Options(
        rounds=given.rounds or (QUICK_ROUNDS if given.quick else ROUNDS),
        seconds=given.seconds or (1 if given.quick else 0),
        connections=given.connections,
        pairs=given.pairs or (QUICK_PAIRS if given.quick else PAIRS),
        only=_names(given.only),
        scenarios=_names(given.scenario),
        out=given.out,
        as_json=given.json,
        self_test=given.self_test,
        profile=given.profile,
    )


def _names(texts: Iterable[str]) -> frozenset[str]:
    names = (name.strip() for text in texts for name in text.split(","))
    return frozenset(name for name in names if name)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="Turnout and its peers against nginx, in paired rounds: CPU time per request, "
        "memory, time to start. Everything takes about 15 minutes.",
        epilog="Exit codes: 0 measured, 1 a round was invalid (or the self-test failed), "
        "2 something is missing, 130 interrupted.",
    )
    add = parser.add_argument
    add("--scenario", action="append", default=[], metavar="NAME", help="these scenarios alone")
    add("--only", action="append", default=[], metavar="NAME", help="these peers beside nginx")
    add("--quick", action="store_true", help="a try: 3 rounds of 1 s, 1 000 pairs; 4 minutes")
    add("--rounds", type=_between(1, 1000), help="paired rounds (10; at least 8 count)")
    add("--seconds", type=_between(1, 60), help="length of one sample (1 or 2, by scenario)")
    add("--connections", type=_between(1, 1000), default=64, help="of wrk (64)")
    add("--pairs", type=_between(1, 25_000), help="idle WebSocket pairs (10 000)")
    add("--out", type=Path, default=ROOT / "bench" / "out", help="where the files go (bench/out)")
    add("--json", action="store_true", help="print the JSON document in place of the table")
    add("--self-test", action="store_true", help="nginx against nginx: must come out as 1.00")
    add(
        "--profile",
        nargs="?",
        const="speedscope",
        choices=("speedscope", "flamegraph"),
        help="no rounds: record with py-spy where Turnout's worker spends its time",
    )
    return parser


def _between(low: int, high: int) -> Callable[[str], int]:
    def bounded(text: str) -> int:
        number = int(text)
        if not low <= number <= high:
            raise argparse.ArgumentTypeError(f"must lie between {low} and {high}")
        return number

    return bounded
