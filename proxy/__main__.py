"""`python -m proxy`: argv → settings → supervisor."""

import argparse
import gc
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from config import Report, examine
from proxy.config import Settings


def main(argv: Sequence[str] | None = None) -> int:
    """Run, or only check the settings; the exit code (2: they can't be used)."""
    arguments = _arguments(argv)
    path: Path | None = arguments.config
    if arguments.check:
        return _check(examine(path, "proxy", Settings), as_json=arguments.json)
    logging.basicConfig(
        level=logging.INFO,
        format="%(asctime)s %(process)d %(name)s %(levelname)s %(message)s",
        stream=sys.stderr,
    )
    # What is imported stays: looking for garbage in it would take a tenth of the start.
    gc.disable()
    from proxy.supervision import supervisor  # noqa: PLC0415 - --check and --help start without it

    return supervisor.main(lambda: examine(path, "proxy", Settings).settings())


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="turnout proxy", description="Run the data plane.", allow_abbrev=False
    )
    parser.add_argument(
        "--config",
        type=Path,
        default=os.environ.get("TURNOUT_CONFIG") or None,
        help="turnout.toml (or TURNOUT_CONFIG); without it the defaults and TURNOUT_* variables",
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="say what is wrong with the settings, line by line, and end",
    )
    parser.add_argument("--json", action="store_true", help="with --check: machine output")
    return parser.parse_args(argv)


def _check(report: Report[Settings], *, as_json: bool) -> int:
    """Everything that is wrong with the settings, with file and line; the exit code."""
    from proxy.supervision.check import look  # noqa: PLC0415 - the data plane starts without it

    look(report)
    said = report.as_json() if as_json else report.text()
    (sys.stdout if report.good or as_json else sys.stderr).write(said)
    return 0 if report.good else 2


if __name__ == "__main__":
    sys.exit(main())
