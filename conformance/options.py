"""The command line of `python -m conformance`."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.machine import ROOT


@dataclass(frozen=True, slots=True)
class Options:
    """What was asked for. only: names of proxies; rows: ids; both empty for all."""

    only: frozenset[str]
    rows: frozenset[str]
    vectors: Path | None
    out: Path
    as_json: bool
    seed: int | None


def parse(argv: Sequence[str]) -> Options:
    """The options, or SystemExit(2) after a message from argparse."""
    given = _parser().parse_args(argv)
    return Options(
        only=_names(given.only),
        rows=_names(given.row),
        vectors=given.vectors,
        out=given.out,
        as_json=given.json,
        seed=given.seed,
    )


def _names(given: Sequence[str]) -> frozenset[str]:
    return frozenset(name.strip() for text in given for name in text.split(",") if name.strip())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m conformance",
        description="Each case of HTTP that is required, with what Turnout, nginx and HAProxy do.",
        epilog="Exit codes: 0 every row of Turnout is as required, 1 one is not (or a proxy did "
        "not come up), 2 something is missing, 130 interrupted.",
    )
    add = parser.add_argument
    add(
        "--only",
        action="append",
        default=[],
        metavar="NAME",
        help="these proxies (all that are installed)",
    )
    add("--row", action="append", default=[], metavar="ID", help="these rows (all)")
    add(
        "--vectors",
        type=Path,
        metavar="DIR",
        help="run the files of vectors in there, not the rows",
    )
    add(
        "--out",
        type=Path,
        default=ROOT / "conformance" / "out",
        help="where the files go (conformance/out)",
    )
    add("--json", action="store_true", help="print the JSON document in place of the table")
    add("--seed", type=int, help="of the random cuts (a new one each time)")
    return parser
