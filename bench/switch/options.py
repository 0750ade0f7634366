"""The command line of `python -m bench switch`."""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.machine import ROOT

SWITCHES, QUICK_SWITCHES = 1_000, 40
ROUNDS, QUICK_ROUNDS = 10, 2
ENOUGH = 1_000
"""Fewer switches than this are a try: a p99 of them is the word of a few."""


@dataclass(frozen=True, slots=True)
class Options:
    """What was asked for. Each default is in `--help`, with its bounds.

    switches: of each contender, over all rounds. rate: requests per second, 0 for as many as the
    connections carry. tenant: whether a switch moves one tenant in place of all.
    """

    switches: int
    rounds: int
    connections: int
    rate: int
    tenants: int
    workers: int
    websockets: int
    pause_ms: int
    tenant: bool
    fenced: bool
    only: frozenset[str]
    out: Path
    as_json: bool

    @property
    def per_round(self) -> int:
        """Switches of one turn: odd, so that its WebSockets are left behind and can be drained."""
        return -(-self.switches // self.rounds) | 1


def parse(argv: Sequence[str]) -> Options:
    """The options, or SystemExit(2) after a message from argparse."""
    given = parser().parse_args(argv)
    names = (name.strip() for text in given.only for name in text.split(","))
    return Options(
        switches=given.switches or (QUICK_SWITCHES if given.quick else SWITCHES),
        rounds=given.rounds or (QUICK_ROUNDS if given.quick else ROUNDS),
        connections=given.connections,
        rate=given.rate,
        tenants=given.tenants,
        workers=given.workers,
        websockets=given.websockets,
        pause_ms=given.pause_ms,
        tenant=given.move == "tenant",
        fenced=given.mode == "fenced",
        only=frozenset(name for name in names if name),
        out=given.out,
        as_json=given.json,
    )


def parser() -> argparse.ArgumentParser:
    """What is understood."""
    parser = argparse.ArgumentParser(
        prog="python -m bench switch",
        description="Switches under load: Turnout (4 workers, durable in PostgreSQL) beside reloads "
        "of nginx and HAProxy, HAProxy's runtime map, and nginx with Lua and Redis. About 10 minutes.",
        epilog="Exit codes: 0 measured, and of Turnout's requests none failed and none was misrouted "
        "after an ack; 1 not so, or a turn was invalid; 2 something is missing; 130 interrupted.",
    )
    add = parser.add_argument
    add("--switches", type=_between(1, 100_000), help="of each contender (1 000)")
    add("--rounds", type=_between(1, 1_000), help="in which the contenders take turns (10)")
    add("--quick", action="store_true", help="a try: 40 switches in 2 rounds; a minute")
    add("--connections", type=_between(1, 1_000), default=32, help="kept by the load (32)")
    add("--rate", type=_between(0, 50_000), default=1_000,
        help="requests per second (1 000; 0: as many as the connections carry)")  # fmt: skip
    add("--tenants", type=_between(1, 10_000), default=100, help="named in turn (100)")
    add("--workers", type=_between(1, 64), default=4, help="of each proxy (4)")
    add("--websockets", type=_between(0, 10_000), default=32, help="open during a turn (32)")
    add("--pause-ms", type=_between(1, 60_000), default=50,
        help="between an ack and the next switch (50)")  # fmt: skip
    add("--move", choices=("all", "tenant"), default="all", help="what a switch moves (all)")
    add("--mode", choices=("instant", "fenced"), default="instant",
        help="Turnout's switches; fenced ones hold and drain first (instant)")  # fmt: skip
    add("--only", action="append", default=[], metavar="NAME", help="these contenders alone")
    add("--out", type=Path, default=ROOT / "bench" / "out", help="where the files go (bench/out)")
    add("--json", action="store_true", help="print the JSON document in place of the table")
    return parser


def _between(low: int, high: int) -> Callable[[str], int]:
    def bounded(text: str) -> int:
        number = int(text)
        if not low <= number <= high:
            raise argparse.ArgumentTypeError(f"must lie between {low} and {high}")
        return number

    return bounded
