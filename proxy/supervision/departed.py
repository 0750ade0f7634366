"""Who died: names on their way from the supervisor, which never waits, to who says goodbye for them.

A pipe, so that what the management process has not read yet outlives it.
"""

import logging
import os

log = logging.getLogger("turnout.departed")


class Departed:
    """reader: the end for the management process; one line a name."""

    def __init__(self) -> None:
        self.reader, self._writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def tell(self, worker: str) -> None:
        """This one died. If the pipe is full, its lease ends by itself."""
        try:
            os.write(self._writer, f"{worker}\n".encode())
        except BlockingIOError:
            log.warning("nobody says goodbye for worker %s: too many died", worker)
