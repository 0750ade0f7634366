"""WebSocket frames (RFC 6455 section 5.2), as far as load and endpoint need them. Pure."""

import struct

TEXT, CLOSE, PING, PONG = 1, 8, 9, 10
ZERO_MASK = bytes(4)
"""A mask of zeros leaves the payload as it is; a client's frames must have one."""


def frame(opcode: int, payload: bytes, *, masked: bool) -> bytes:
    """A final frame. payload: under 126 bytes."""
    flag = 0x80 if masked else 0
    mask = ZERO_MASK if masked else b""
    return bytes((0x80 | opcode, flag | len(payload))) + mask + payload


def take(buffer: bytearray) -> list[tuple[int, bytes]]:
    """(opcode, payload) of each whole frame at the buffer's beginning; takes them out of it."""
    found = []
    while (size := _size(buffer)) is not None and len(buffer) >= sum(size):
        head, length = size
        payload = bytes(buffer[head : head + length])
        if buffer[1] & 0x80:
            payload = _unmasked(payload, bytes(buffer[head - 4 : head]))
        found.append((buffer[0] & 0x0F, payload))
        del buffer[: head + length]
    return found


def code_of(payload: bytes) -> int:
    """The status code of a close frame; 1005 without one (section 7.4.1)."""
    return int(struct.unpack_from("!H", payload)[0]) if len(payload) >= 2 else 1005


def _size(buffer: bytearray) -> tuple[int, int] | None:
    """(bytes of the head, of the payload); None while the head isn't whole."""
    if len(buffer) < 2:
        return None
    masking = 4 if buffer[1] & 0x80 else 0
    length = buffer[1] & 0x7F
    extended = {126: 2, 127: 8}.get(length, 0)
    head = 2 + extended + masking
    if len(buffer) < head:
        return None
    return head, int.from_bytes(buffer[2 : 2 + extended]) if extended else length


def _unmasked(payload: bytes, mask: bytes) -> bytes:
    return bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))
