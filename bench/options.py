"""The command line of `python -m bench`."""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.machine import ROOT


@dataclass(frozen=True, slots=True)
class Options:
    """What was asked for. seconds: of one sample. only: names of peers, empty for all."""

    rounds: int
    seconds: int
    connections: int
    only: frozenset[str]
    scenario: str
    out: Path
    as_json: bool
    self_test: bool
    profile: str | None


def parse(argv: Sequence[str]) -> Options:
    """The options, or SystemExit(2) after a message from argparse."""
    given = _parser().parse_args(argv)
    names = (name.strip() for text in given.only for name in text.split(","))
    return Options(
        rounds=given.rounds,
        seconds=given.seconds,
        connections=given.connections,
        only=frozenset(name for name in names if name),
        scenario=given.scenario,
        out=given.out,
        as_json=given.json,
        self_test=given.self_test,
        profile=given.profile,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="CPU time per request of Turnout and its peers against nginx, in paired rounds.",
        epilog="Exit codes: 0 measured, 1 a round was invalid (or the self-test failed), "
        "2 something is missing, 130 interrupted.",
    )
    add = parser.add_argument
    add("--rounds", type=_between(1, 1000), default=10, help="paired rounds (10; at least 8 count)")
    add("--seconds", type=_between(1, 60), default=2, help="length of one sample (2)")
    add("--connections", type=_between(1, 1000), default=64, help="of wrk (64)")
    add("--only", action="append", default=[], metavar="NAME", help="these peers beside nginx")
    add("--scenario", default="small", help="what is asked (small)")
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
