"""Processes of a run: started on one core, watched, and ended by pid.

Rule: whoever starts a process holds it in a `with`, so that an error and Ctrl-C end it too. A
run that is itself killed takes its children along (PR_SET_PDEATHSIG).
"""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from bench.cpu import tree

STOP_S = 8.0
"""How long a process may take to end by itself before it is killed."""


class StartError(Exception):
    """A process ended or did not answer in time; the message has the end of its log."""


def pinned(argv: list[str], core: int | None) -> list[str]:
    """The command on one core (None: on any), ended when the run ends. Wrappers exec: the pid stays."""
    on_core = [] if core is None else ["taskset", "--cpu-list", str(core)]
    return ["setpriv", "--pdeathsig", "TERM", *on_core, *argv]


def free_ports(count: int) -> list[int]:
    """Loopback ports that were free a moment ago, all different."""
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in held]
    for each in held:
        each.close()
    return ports


@contextmanager
def running(
    argv: list[str],
    core: int | None,
    folder: Path,
    *,
    cwd: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """The process, until the block ends. What it prints goes to folder/log.

    It has a session of its own, so that Ctrl-C in the terminal reaches the run alone, which
    then ends its processes in order.
    """
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(
            pinned(argv, core),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=cwd,
            env={**os.environ, **(environment or {})},
            start_new_session=True,
        )
    try:
        yield process
    finally:
        stop(process)


def stop(process: subprocess.Popen[bytes]) -> None:
    """SIGTERM, then after STOP_S SIGKILL for it and all that it started."""
    if process.poll() is not None:
        return
    family = tree(process.pid)
    process.terminate()
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        for pid in family:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait(STOP_S)


def wait_until_listening(
    process: subprocess.Popen[bytes], port: int, folder: Path, limit_s: float = 10.0
) -> None:
    """Return when the loopback port takes connections. StartError when it doesn't in time."""
    deadline = time.monotonic() + limit_s
    while True:
        check_alive(process, folder)
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        if time.monotonic() > deadline:
            raise StartError(
                f"{folder.name}: nothing listens on port {port} after {limit_s:.0f} s{tail(folder)}"
            )
        time.sleep(0.02)


def check_alive(process: subprocess.Popen[bytes], folder: Path) -> None:
    """StartError when the process has ended."""
    code = process.poll()
    if code is not None:
        raise StartError(f"{folder.name} ended with {code}{tail(folder)}")


def tail(folder: Path) -> str:
    """The end of the folder's log, for an error message."""
    log = folder / "log"
    text = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
    lines = text.strip().splitlines()[-12:]
    return "".join(f"\n  | {line}" for line in lines)
