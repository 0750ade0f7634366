"""`python -m tests.soak`: see docs/testing.md. Exit codes: 0 the books balance, 1 they don't."""

import argparse
import asyncio
import json
import secrets
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import uvloop

from tests.soak.plot import draw
from tests.soak.report import document, table
from tests.soak.run import Plan, soak

OUT = Path(__file__).parents[2] / "bench" / "out"


def parser() -> argparse.ArgumentParser:
    """The options."""
    given = argparse.ArgumentParser(
        prog="python -m tests.soak",
        description="Mixed traffic with faults; in the end every request must be accounted for.",
        epilog="Exit codes: 0 the books balance, 1 they don't, 130 interrupted.",
    )
    add = given.add_argument
    add("--minutes", type=_between(0.1, 24 * 60), default=10.0, help="of traffic (10)")
    add("--seed", type=int, default=None, help="repeats the plan of each client and of the faults")
    add("--workers", type=_whole(1, 64), default=2, help="of the proxy (2)")
    add("--connections", type=_whole(1, 1000), default=48, help="clients (48)")
    add("--compiled", action="store_true", help="the data plane compiled, in a copy of the sources")
    add("--tls", action="store_true", help="TLS on both sides, and tokens for half the requests")
    add("--out", type=Path, default=OUT, help="where soak.json and soak.svg go (bench/out)")
    add("--json", action="store_true", help="print the JSON document in place of the table")
    return given


def main(arguments: list[str]) -> int:
    """Run; the exit code."""
    options = parser().parse_args(arguments)
    seed = secrets.randbits(32) if options.seed is None else options.seed
    plan = Plan(
        options.minutes * 60,
        seed,
        options.workers,
        options.connections,
        compiled=options.compiled,
        tls=options.tls,
    )
    progress = sys.stderr if options.json else sys.stdout

    def say(text: str) -> None:
        print(text, file=progress, flush=True)

    say(f"soak: {options.minutes:g} min, seed {seed}, {plan.workers} workers, {plan.of}")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        result = runner.run(soak(plan, say))
    found = document(result)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "soak.json").write_text(json.dumps(found, indent=2) + "\n", "utf-8")
    (options.out / "soak.svg").write_text(draw(result.lives, result.began), "utf-8")
    print(json.dumps(found, indent=2) if options.json else table(result))
    return 1 if result.books.wrong else 0


def _between(low: float, high: float) -> Callable[[str], float]:
    def bounded(text: str) -> float:
        number = float(text)
        if not low <= number <= high:
            raise argparse.ArgumentTypeError(f"must lie between {low:g} and {high:g}")
        return number

    return bounded


def _whole(low: int, high: int) -> Callable[[str], int]:
    return lambda text: int(_between(low, high)(str(int(text))))


if __name__ == "__main__":
    # However it is told to end, it ends what it has started (in the background, SIGINT is ignored).
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        sys.exit(main(sys.argv[1:]))
    except (KeyboardInterrupt, asyncio.CancelledError):
        sys.exit(130)
