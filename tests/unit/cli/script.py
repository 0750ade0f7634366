"""A server that plays a script: one connection, one step; and the answers of an admin."""

import contextlib
import json
import socket
import threading
from collections.abc import Sequence

OK = {"version": 8, "converged": True}


def answer(
    document: object, status: str = "200 OK", content_type: str = "application/json"
) -> bytes:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


class Script:
    """Answers the n-th connection with the n-th step, and keeps what it was sent.

    A step is bytes to send; b"" closes without an answer.
    """

    def __init__(self, steps: Sequence[bytes]) -> None:
        self._steps = steps
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.requests: list[bytes] = []
        self._thread = threading.Thread(target=self._play)
        self._thread.start()

    def _play(self) -> None:
        for step in self._steps:
            with contextlib.suppress(OSError):
                connection = self._listener.accept()[0]
                with connection:
                    connection.settimeout(5)
                    self.requests.append(self._read(connection))
                    connection.sendall(step)
        self._listener.close()

    @staticmethod
    def _read(connection: socket.socket) -> bytes:
        data = b""
        while b"\r\n\r\n" not in data:
            data += connection.recv(65536)
        head = data.partition(b"\r\n\r\n")[0]
        for line in head.split(b"\r\n"):
            if line.lower().startswith(b"content-length:"):
                wanted = len(head) + 4 + int(line.split(b":")[1])
                while len(data) < wanted:
                    data += connection.recv(65536)
        return data

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join(5)


def key_of(request: bytes) -> bytes:
    lines = request.split(b"\r\n")
    return next(line for line in lines if line.lower().startswith(b"idempotency-key:"))
