"""A proxy that checks nothing: it copies bytes both ways, until it is cut."""

import socket
import threading
from contextlib import suppress


class Relay:
    """Listens on loopback; each connection gets one of its own to the endpoint."""

    def __init__(self, endpoint: int) -> None:
        self._endpoint = endpoint
        self._open: set[socket.socket] = set()
        self._is_cut = False
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def cut(self) -> None:
        """Nothing passes any more: connections break, and new ones too."""
        self._is_cut = True
        for each in list(self._open):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def mend(self) -> None:
        """New connections pass again."""
        self._is_cut = False

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                threading.Thread(target=self._join, args=(client,), daemon=True).start()

    def _join(self, client: socket.socket) -> None:
        with client, socket.create_connection(("127.0.0.1", self._endpoint)) as endpoint:
            self._open |= {client, endpoint}
            if self._is_cut:
                return
            back = threading.Thread(target=_copy, args=(endpoint, client), daemon=True)
            back.start()
            _copy(client, endpoint)
            back.join()
            self._open -= {client, endpoint}


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)
