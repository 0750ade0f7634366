"""A played systemd: the socket that a service notifies, and sockets that it is started with.

Rules: what it plays is read from sd_notify(3) and sd_listen_fds(3); nothing of Turnout is used.
"""

import socket
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.support.processes import Child

ACTIVATE = """\
import os, socket, sys
sockets, *command = sys.argv[1:]
names = []
for number, each in enumerate(sockets.split()):
    name, _, address = each.partition("=")
    host, _, port = address.rpartition(":")
    listening = socket.create_server((host, int(port)))
    print("played:", name, listening.getsockname()[1], flush=True)
    os.dup2(listening.detach(), 100 + number)
    names.append(name)
for number in range(len(names)):
    os.dup2(100 + number, 3 + number)
    os.close(100 + number)
os.environ |= {
    "LISTEN_PID": str(os.getpid()),
    "LISTEN_FDS": str(len(names)),
    "LISTEN_FDNAMES": ":".join(names),
}
os.execv(command[0], command)
"""
"""Listens at each name=host:port, then becomes the service, whose process LISTEN_PID names."""


class Ear:
    """The socket that a service notifies. messages: what came, line by line."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.messages: list[list[str]] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.setblocking(False)

    def environ(self, watchdog_s: float = 0.0) -> Mapping[str, str]:
        """What a service is started with."""
        watchdog = {"WATCHDOG_USEC": str(int(watchdog_s * 1e6))} if watchdog_s else {}
        return {"NOTIFY_SOCKET": str(self.path), **watchdog}

    def listen(self) -> list[str]:
        """Everything said so far, without the watchdog's beats."""
        while True:
            try:
                message = self._socket.recv(4096).decode()
            except BlockingIOError:
                return [
                    line
                    for message in self.messages
                    for line in message
                    if line != "WATCHDOG=1" and not line.startswith("MONOTONIC_USEC=")
                ]
            self.messages.append(message.split("\n"))

    def beats(self) -> int:
        """How often the watchdog was told that all is well."""
        self.listen()
        return self.messages.count(["WATCHDOG=1"])

    async def said(self, by: Child, *lines: str) -> None:
        """Wait until exactly these lines were said."""
        await by.until(lambda: self.listen() == list(lines), f"said {lines}, not {self.messages}")

    def close(self) -> None:
        self._socket.close()


def activated(sockets: Mapping[str, str]) -> list[str | Path]:
    """The start of a command line that is handed these sockets. sockets: name → host:port."""
    named = " ".join(f"{name}={address}" for name, address in sockets.items())
    return [sys.executable, "-P", "-c", ACTIVATE, named]
