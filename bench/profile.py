"""Where a proxy's CPU time goes: py-spy beside its busiest process, under the scenario's load.

py-spy samples from outside; the process is neither changed nor slowed down by tracing, unlike
with cProfile, which on a path of many short calls mostly shows itself.
"""

import shutil
import subprocess
import sys
from pathlib import Path

from bench import wrk
from bench.cpu import process_seconds
from bench.load import GRACE_S, WARM_UP_S, Runner
from bench.machine import MissingError
from bench.processes import pinned, stop

HINT = (
    "py-spy not found. Install it beside the project, then name it on PATH: "
    "python3 -m venv /tmp/py-spy && /tmp/py-spy/bin/pip install py-spy && "
    "PATH=/tmp/py-spy/bin:$PATH python -m bench --profile"
)
RECORD_S = 10
RATE = 500
"""Samples a second; py-spy runs on the load's core."""
SUFFIX = {"speedscope": "speedscope.json", "flamegraph": "flamegraph.svg"}


def find_py_spy() -> str:
    """py-spy's path: on PATH or beside the interpreter. MissingError."""
    found = shutil.which("py-spy") or shutil.which("py-spy", path=str(Path(sys.executable).parent))
    if found is None:
        raise MissingError(HINT)
    return found


def record(runner: Runner, kind: str, folder: Path) -> Path:
    """Record RECORD_S of the busiest process; gives the file's path. LoadError, MissingError.

    kind: a key of SUFFIX.
    """
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"profile-{runner.proxy.name}.{SUFFIX[kind]}"
    target.unlink(missing_ok=True)
    runner.load(WARM_UP_S)
    busiest = max(runner.proxy.pids(), key=process_seconds)
    recorder = subprocess.Popen(
        pinned(_command(busiest, kind, target), runner.core),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        runner.load(RECORD_S + 2)
        said, _ = recorder.communicate(timeout=GRACE_S)
    except subprocess.TimeoutExpired:
        raise wrk.LoadError("py-spy did not end") from None
    finally:
        stop(recorder)
    if recorder.returncode != 0 or not target.exists():
        end = said.decode(errors="replace")[-400:].strip()
        raise MissingError(f"py-spy could not record (it needs root or ptrace): {end}")
    return target


def _command(pid: int, kind: str, target: Path) -> list[str]:
    options = {"pid": pid, "duration": RECORD_S, "rate": RATE, "format": kind, "output": target}
    pairs = [(f"--{name}", str(value)) for name, value in options.items()]
    return [find_py_spy(), "record", *(word for pair in pairs for word in pair)]
