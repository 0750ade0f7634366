"""One server a folder: an flock that the server inherits.

Rules: the lock is held as long as any process of the server lives, since they share its open
file; so a start never meets what is left of an earlier server. The file says which process
started it: while that one lives, a second start is refused at once; when it is gone, its server
is ending, and is waited for.
"""

import fcntl
import os
import time
from pathlib import Path

from admin.embedded.errors import EmbeddedServerError

LEFTOVER_SECONDS = 15.0
"""How long a server whose starter is gone may take to end."""
_POLL_SECONDS = 0.01


class FolderLock:
    """The right to run a server in a folder. `descriptor` is -1 while it is not held."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.descriptor = -1

    def acquire(self) -> None:
        """Take the folder. EmbeddedServerError, which names it, when it is in use."""
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        descriptor = os.open(self._folder / "lock", flags, 0o600)
        try:
            self._wait_for(descriptor)
        except BaseException:
            os.close(descriptor)
            raise
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        self.descriptor = descriptor

    def release(self) -> None:
        """Give the folder back; what is left of the server keeps it until it has ended."""
        if self.descriptor != -1:
            os.ftruncate(self.descriptor, 0)
            os.close(self.descriptor)
            self.descriptor = -1

    def _wait_for(self, descriptor: int) -> None:
        deadline = time.monotonic() + LEFTOVER_SECONDS
        while not _locked(descriptor):
            owner = _owner(descriptor)
            if _alive(owner):
                raise EmbeddedServerError(f"{self._folder} is in use by process {owner}")
            if time.monotonic() > deadline:
                raise EmbeddedServerError(
                    f"{self._folder} is in use by a server that did not end in {LEFTOVER_SECONDS:g} s"
                )
            time.sleep(_POLL_SECONDS)


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _owner(descriptor: int) -> int:
    """The process that took the lock; 0 while none is written."""
    text = os.pread(descriptor, 20, 0)
    return int(text) if text.isdigit() else 0


def _alive(pid: int) -> bool:
    return pid > 0 and Path("/proc", str(pid)).exists()
