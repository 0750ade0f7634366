"""Accepting on a socket that all workers share, up to a number of connections at once.

Rules: those of `proxy.downstream.listener`. A worker takes one connection at a time; above the
limit it takes none: they wait in the kernel's queue, or go to other workers.
"""

import asyncio
import errno
import logging
import socket
from collections.abc import Callable

from proxy.tasks import Tasks

log = logging.getLogger("turnout.acceptor")

_OUT_OF_FILES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_PAUSE_S = 0.1


class Acceptor:
    """One listening socket. protocol: makes the protocol of a connection. limit: at once."""

    def __init__(
        self, listening: socket.socket, protocol: Callable[[], asyncio.Protocol], limit: int
    ) -> None:
        self._socket = listening
        self._protocol = protocol
        self._limit = limit
        self._open = 0
        self._accepting = False
        self._stopped = False
        self._tasks = Tasks("acceptor")

    def start(self) -> None:
        """Begin to accept, or go on."""
        if not self._accepting and not self._stopped and self._open < self._limit:
            self._accepting = True
            asyncio.get_running_loop().add_reader(self._socket.fileno(), self._accept)

    def stop(self) -> None:
        """Accept no more; the socket is closed here, and stays with the other workers."""
        self._stopped = True
        self._pause()
        self._socket.close()

    def _pause(self) -> None:
        if self._accepting:
            self._accepting = False
            asyncio.get_running_loop().remove_reader(self._socket.fileno())

    def _accept(self) -> None:
        try:
            accepted, _ = self._socket.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return  # another worker was faster, or the client has gone
        except OSError as error:
            if error.errno not in _OUT_OF_FILES:
                raise
            log.error("can't accept: %s", error.strerror)  # noqa: TRY400 - no trace: the cause is known
            self._pause()
            asyncio.get_running_loop().call_later(_PAUSE_S, self.start)
            return
        accepted.setblocking(False)
        accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._open += 1
        if self._open >= self._limit:
            self._pause()
        self._tasks.start(self._serve(accepted), "accept")

    async def _serve(self, accepted: socket.socket) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(self._protocol, accepted)
        except OSError:
            accepted.close()
            self.left()

    def left(self) -> None:
        """A connection is gone."""
        self._open -= 1
        self.start()
