"""A proxy's process: started, and ended by pid; it never outlives the run."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.processes import stop


@contextmanager
def running(
    argv: list[str], folder: Path, *, cwd: Path | None = None
) -> Iterator["subprocess.Popen[bytes]"]:
    """The process, until the block ends. What it prints goes to folder/log."""
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "TERM", *argv],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=cwd,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        stop(process)
