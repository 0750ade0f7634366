"""Tell systemd how it goes: sd_notify(3), a datagram of lines to the socket in NOTIFY_SOCKET.

Rules: without that variable nothing is said. A message that can't be sent is lost and logged
once: supervision must not depend on who listens. Only the supervisor speaks (NotifyAccess=main);
one that is being upgraded to speaks once it is the main process.
"""

import logging
import os
import socket
import time
from collections.abc import Mapping
from typing import Final

log = logging.getLogger("turnout.notify")

_BEATS_PER_LIMIT: Final = 4
MAX_BEAT_S: Final = 1.0


class Notifier:
    """watchdog_s: beat more often than this, or systemd ends us; 0.0: it does not watch."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._address = _address(environ.get("NOTIFY_SOCKET", ""))
        self.watchdog_s = _watchdog_s(environ)
        self._beat_at = 0.0
        self._silent = not self._address
        self._complained = False

    def ready(self, status: str) -> None:
        """We serve; also the end of a reload."""
        self._say("READY=1", f"STATUS={status}")

    def reloading(self, status: str) -> None:
        """A reload begins. `ready` ends it."""
        micros = time.monotonic_ns() // 1000
        self._say("RELOADING=1", f"MONOTONIC_USEC={micros}", f"STATUS={status}")

    def stopping(self, status: str) -> None:
        """We are ending."""
        self._say("STOPPING=1", f"STATUS={status}")

    def status(self, status: str) -> None:
        """For people, in `systemctl status`."""
        self._say(f"STATUS={status}")

    def hand_over(self, pid: int) -> None:
        """Another process is the main one from now on; this one says no more."""
        self._say(f"MAINPID={pid}")
        self._silent = True

    def beat(self, now: float) -> None:
        """Tell the watchdog that all is well, if it is time to. now: monotonic seconds."""
        if self.watchdog_s and now >= self._beat_at:
            self._beat_at = now + min(self.watchdog_s / _BEATS_PER_LIMIT, MAX_BEAT_S)
            self._say("WATCHDOG=1")

    def _say(self, *lines: str) -> None:
        if self._silent:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sending:
                # One who does not read must not hold up supervision.
                sending.setblocking(False)
                sending.sendto("\n".join(lines).encode(), self._address)
        except OSError as error:
            if not self._complained:
                self._complained = True
                log.warning("can't notify systemd: %s", error.strerror)


def _address(given: str) -> str:
    """A path, or @name of the abstract namespace. Others (vsock) are not for services."""
    if given.startswith("@"):
        return "\0" + given[1:]
    return given if given.startswith("/") else ""


def _watchdog_s(environ: Mapping[str, str]) -> float:
    """sd_watchdog_enabled(3): the limit holds for WATCHDOG_PID, if that is given."""
    micros = environ.get("WATCHDOG_USEC", "")
    if environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return 0.0
    return int(micros) / 1e6 if micros.isascii() and micros.isdigit() else 0.0
