"""Starts a child that ends with its parent.

Rules: the child asks the kernel for a signal at its parent's death (PR_SET_PDEATHSIG). A
change of uid clears that, so it is asked for last, in preexec_fn, which runs after user= and
group=. "Parent" is the forking *thread*: when a thread ends, its children get the signal. Only
the main thread lives as long as the process, so only it may fork.
"""

import ctypes
import os
import signal
import subprocess
import threading
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO

from admin.embedded.errors import EmbeddedServerError

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)
_ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}
"""All that a server sees of our environment: it may hold secrets, or PG* settings."""


@dataclass(frozen=True, slots=True)
class Account:
    """Whom a child runs as: numeric user and group, without further groups."""

    uid: int
    gid: int


def fork(
    command: Sequence[str | Path],
    *,
    log: IO[bytes],
    death_signal: signal.Signals,
    cwd: Path,
    fds: Sequence[int] = (),
    account: Account | None = None,
) -> subprocess.Popen[bytes]:
    """Start a command in a session of its own; its output goes to the log.

    death_signal: what it gets when this process ends. fds: descriptors it inherits, by the same
    numbers. account: whom to become; None stays as we are. OSError if it can't be run.
    """
    _refuse_other_threads()
    with warnings.catch_warnings():
        # Python 3.12 warns of any fork beside threads; this preexec_fn takes no lock.
        warnings.simplefilter("ignore", DeprecationWarning)
        return subprocess.Popen(  # noqa: S603 - our own binaries, an argument list
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=cwd,
            env=_ENVIRONMENT,
            pass_fds=fds,
            start_new_session=True,
            umask=0o077,
            preexec_fn=partial(end_with_parent, death_signal, os.getpid()),  # noqa: PLW1509 - see above
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
        )


def _refuse_other_threads() -> None:
    if threading.current_thread() is not threading.main_thread():
        raise EmbeddedServerError(
            "an embedded server is started from the main thread only: it ends with the thread that starts it"
        )


def end_with_parent(death_signal: int, parent: int) -> None:
    """In the child, before exec: be signalled when the parent ends; end if it already has."""
    if _LIBC.prctl(_PR_SET_PDEATHSIG, death_signal, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent:
        os._exit(1)
