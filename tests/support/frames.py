"""WebSocket frames as bytes (RFC 6455 §5.2), right or wrong as a test wants them."""

import struct

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
MASK = b"\x37\xfa\x21\x3d"


def frame(
    opcode: int, payload: bytes = b"", *, mask: bytes = b"", fin: bool = True, rsv: int = 0
) -> bytes:
    """One frame with the shortest length that holds. mask: its key; empty: not masked."""
    first = opcode | rsv << 4 | (0x80 if fin else 0)
    flag, size = 0x80 if mask else 0, len(payload)
    if size < 126:
        head = bytes((first, flag | size))
    elif size < 65536:
        head = struct.pack("!BBH", first, flag | 126, size)
    else:
        head = struct.pack("!BBQ", first, flag | 127, size)
    return head + mask + (masked(payload, mask) if mask else payload)


def masked(payload: bytes, mask: bytes) -> bytes:
    """The payload under this key, or out from under it."""
    key = (mask * (len(payload) // 4 + 1))[: len(payload)]
    return (int.from_bytes(payload) ^ int.from_bytes(key)).to_bytes(len(payload))


def goodbye(code: int, reason: bytes = b"", *, mask: bytes = b"") -> bytes:
    """A Close frame."""
    return frame(CLOSE, struct.pack("!H", code) + reason, mask=mask)
