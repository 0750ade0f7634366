"""What a peer said before its connection broke, and the loop did not read any more."""

import asyncio
import os
import socket
from collections.abc import Iterator
from typing import Final

_READ: Final = 64 * 1024
_MAX_UNREAD: Final = 1024 * 1024


def unread(transport: asyncio.Transport) -> Iterator[bytes]:
    """What had come on a connection before it broke, at most _MAX_UNREAD bytes.

    A write that fails makes the loop give up the transport with what it had not read: the last
    words of a peer that closes while we still send, an early answer for instance. The kernel
    keeps them until the file is closed, which comes after `connection_lost`. Nothing over TLS:
    those bytes are not the peer's words, and a `TlsTransport` has let go of its socket by then.
    """
    connected = transport.get_extra_info("socket")
    if connected is None or transport.get_extra_info("ssl_object") is not None:
        return
    try:
        with socket.socket(fileno=os.dup(connected.fileno())) as own:
            left = _MAX_UNREAD
            while left > 0 and (data := own.recv(_READ, socket.MSG_DONTWAIT)):
                left -= len(data)
                yield data
    except OSError:
        return
