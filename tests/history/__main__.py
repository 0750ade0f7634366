"""`python -m tests.history`: see docs/testing.md.

Exit codes: 0 every invariant held, 1 one is broken, 2 the arguments are wrong.
"""

import argparse
import json
import secrets
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from bench import trees
from tests.history.checker import check
from tests.history.mutations import MUTATIONS, mutated
from tests.history.nemesis import KINDS, WIRED
from tests.history.record import read
from tests.history.run import Options, record
from tests.support.fleet import ROOT

OUT = ROOT / "bench" / "out"
POLICIES = ("serve", "park")


def parser() -> argparse.ArgumentParser:
    """The options."""
    given = argparse.ArgumentParser(
        prog="python -m tests.history",
        description="Real processes under faults; a checker reads what was recorded.",
        epilog="Exit codes: 0 every invariant held, 1 one is broken, 2 wrong arguments.",
    )
    add = given.add_argument
    add("--seconds", type=_between(1, 24 * 3600), default=120.0, help="of traffic (120)")
    add("--seed", type=int, default=None, help="repeats what each part will do, not when they meet")
    add("--nodes", type=_whole(1, 8), default=3, help="hosts of workers; the first serves without"
        " a lease, the second parks, and so on (3)")  # fmt: skip
    add("--workers", type=_whole(1, 8), default=2, help="of each node (2)")
    add("--faults", type=_names, default=None, help=f"only these: {', '.join(KINDS)}; or none")
    add(
        "--namespaces",
        action="store_true",
        help=f"each in a network namespace (root); more faults: {', '.join(WIRED)}",
    )
    add("--mutate", choices=[*MUTATIONS], help="run a copy that has this fault; it is to be found")
    add("--check", type=Path, help="judge this history; nothing is run")
    add("--out", type=Path, default=OUT, help="where history.jsonl and history.json go (bench/out)")
    add("--json", action="store_true", help="print the verdict as JSON in place of the table")
    return given


def main(arguments: list[str]) -> int:
    """Run and judge; the exit code."""
    options = parser().parse_args(arguments)
    progress = sys.stderr if options.json else sys.stdout

    def say(text: str) -> None:
        print(text, file=progress, flush=True)

    path = options.check
    if path is None:
        options.out.mkdir(parents=True, exist_ok=True)
        path = options.out / "history.jsonl"
        _run(options, path, say)
    verdict = check(read(path))
    document = json.dumps(verdict.document(), indent=2)
    if options.check is None:
        (options.out / "history.json").write_text(document + "\n", "utf-8")
    print(document if options.json else verdict.table())
    return 0 if verdict.good else 1


def _run(options: argparse.Namespace, path: Path, say: Callable[[str], None]) -> None:
    seed = secrets.randbits(32) if options.seed is None else options.seed
    mutation = options.mutate or ""
    faults = options.faults
    if faults is None:
        faults = MUTATIONS[mutation].faults if mutation else tuple(KINDS)
        faults += tuple(WIRED) if options.namespaces and not mutation else ()
    say(
        f"history: {options.seconds:g} s, seed {seed}, {options.nodes} nodes of"
        f" {options.workers} workers, 2 admins{', mutation ' * bool(mutation)}{mutation}; {path}"
    )
    with tempfile.TemporaryDirectory(prefix="turnout-tree-") as folder:
        wanted = Options(
            options.seconds,
            seed,
            policies=_policies(options.nodes, mutation),
            workers=options.workers,
            faults=faults,
            tree=mutated(mutation, Path(folder)) if mutation else trees.copy(Path(folder)),
            mutation=mutation,
            namespaces=options.namespaces,
        )
        record(wanted, path, say)


def _policies(nodes: int, mutation: str) -> list[str]:
    """What the workers of each node do without a lease: in turn, unless the mutation wants one."""
    one = MUTATIONS[mutation].policy if mutation else ""
    return [one or POLICIES[number % 2] for number in range(nodes)]


def _between(low: float, high: float) -> Callable[[str], float]:
    def bounded(text: str) -> float:
        number = float(text)
        if not low <= number <= high:
            raise argparse.ArgumentTypeError(f"must lie between {low:g} and {high:g}")
        return number

    return bounded


def _whole(low: int, high: int) -> Callable[[str], int]:
    return lambda text: int(_between(low, high)(str(int(text))))


def _names(text: str) -> tuple[str, ...]:
    names = () if text == "none" else tuple(text.split(","))
    unknown = [name for name in names if name not in KINDS | WIRED]
    if unknown:
        raise argparse.ArgumentTypeError(f"there is no fault {', '.join(unknown)}")
    return names


if __name__ == "__main__":
    # However it is told to end, it ends what it has started (in the background, SIGINT is ignored).
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
