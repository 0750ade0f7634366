"""The file that names the supervisor's process, for those who send it signals."""

import contextlib
import logging
import os
from pathlib import Path

log = logging.getLogger("turnout.pid_file")


class PidFile:
    """path: empty for none. A file that can't be written is logged: it is no reason not to serve."""

    def __init__(self, path: str) -> None:
        self._path = Path(path) if path else None

    def write(self) -> None:
        """Name this process, in place of any other; whoever reads sees the one or the other."""
        if self._path is None:
            return
        unfinished = self._path.with_name(f"{self._path.name}.{os.getpid()}")
        try:
            unfinished.write_text(f"{os.getpid()}\n", "ascii")
            unfinished.replace(self._path)
        except OSError as error:
            log.error("%s can't be written: %s", self._path, error.strerror)  # noqa: TRY400 - no trace: the cause is known

    def remove(self) -> None:
        """Unless it names another process by now."""
        if self._path is None:
            return
        with contextlib.suppress(OSError):
            if self._path.read_text("ascii") == f"{os.getpid()}\n":
                self._path.unlink()
