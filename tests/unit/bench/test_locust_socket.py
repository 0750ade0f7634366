"""The WebSocket client of the locust scenarios, against bytes of the wire."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from bench.locust.live_socket import Closed, Socket, SocketError
from tests.support.frames import CLOSE, TEXT, frame, goodbye

HEAD = b"HTTP/1.1 101 Switching Protocols\r\n\r\n"
SECONDS = 20.0


@contextmanager
def served(answer: bytes) -> Iterator[tuple[tuple[str, int], list[bytes]]]:
    """One connection is answered so, and closed once its client is done; (address, what it sent)."""
    received: list[bytes] = []

    def serve() -> None:
        connection, _ = listening.accept()
        with connection:
            connection.settimeout(SECONDS)
            received.append(connection.recv(65_536))
            connection.sendall(answer)
            connection.shutdown(socket.SHUT_WR)
            while data := connection.recv(65_536):
                received.append(data)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listening.getsockname(), received
        finally:
            thread.join(SECONDS)


def test_a_goodbye_in_the_same_bytes_as_a_message_is_not_missed() -> None:
    with served(HEAD + frame(TEXT, b"pong") + goodbye(1012)) as (address, received):
        own = Socket(address, "/ws", {"X-Tenant-ID": "acme"}, SECONDS)
        own.listen()
        with pytest.raises(Closed) as closed:
            own.rest(SECONDS)
        own.close()
    assert closed.value.code == 1012
    assert b"X-Tenant-ID: acme\r\n" in received[0]
    assert received[-1][0] == 0x80 | CLOSE  # it was answered


@pytest.mark.parametrize("answer", [b"HTTP/1.1 503 Busy\r\n\r\n", b""])
def test_what_is_no_upgrade_is_an_error(answer: bytes) -> None:
    with served(answer) as (address, _), pytest.raises(SocketError):
        Socket(address, "/ws", {}, SECONDS)


def test_an_end_without_a_goodbye_is_an_error() -> None:
    with served(HEAD) as (address, _):
        own = Socket(address, "/ws", {}, SECONDS)
        with pytest.raises(SocketError):
            own.listen()
        own.close()
