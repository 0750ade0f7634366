"""Where the frames of one direction of a WebSocket begin and end (RFC 6455 §5.2).

Rules:
1. Nothing of a payload is looked at or kept: of the bytes that go by only headers are read, and
   of a header that is cut at most 9 bytes are held.
2. The endpoints judge each other; a tunnel stays transparent. What breaks the framing itself
   makes the tracker `lost`: from then on no boundary is known, and nothing may be put in.
3. After a Close frame its sender has nothing more to say (§5.5.1): what follows isn't taken.
Reserved bits are let by: extensions such as permessage-deflate own them.
"""

import struct
from typing import Final

TEXT: Final = 1
CLOSE: Final = 8
MAX_TEXT_BYTES: Final = 1_000
MAX_REASON_BYTES: Final = 123
_MAX_CONTROL: Final = 125
_MASKED: Final = 0x80
_LENGTH: Final = 0x7F
_OPCODE: Final = 0x0F
_LOST: Final = 1 << 64  # beyond the end of any frame

# What the first byte of a header says: what may not be (§5.2: a reserved opcode; §5.5: a control
# frame in fragments), a control frame, data that ends its message, or data that goes on.
_BAD: Final = 0
_CONTROL: Final = 1
_ENDS: Final = 2
_GOES_ON: Final = 3


def _kind(first: int) -> int:
    opcode, last = first & _OPCODE, first & 0x80
    if opcode in {8, 9, 10}:
        return _CONTROL if last else _BAD
    if opcode > 2:
        return _BAD
    return _ENDS if last else _GOES_ON


_KINDS: Final = bytes(_kind(first) for first in range(256))


class FrameTracker:
    """One direction. masked: whether its frames must be (§5.1: a client's must, a server's not).

    opcode: of the frame under way, or else of the last; -1 before the first. in_message: a
    fragmented message has begun and not ended. closed: a Close frame has gone by, whole. lost:
    see the module.
    """

    __slots__ = ("_head", "_left", "_mask", "closed", "in_message", "lost", "opcode")

    def __init__(self, *, masked: bool) -> None:
        self._mask = _MASKED if masked else 0
        self._left = 0
        self._head = b""
        self.opcode = -1
        self.in_message = False
        self.closed = False
        self.lost = False

    def __repr__(self) -> str:
        state = "lost" if self.lost else "closed" if self.closed else f"left={self.left}"
        return f"<FrameTracker {state} opcode={self.opcode} in_message={self.in_message}>"

    @property
    def at_boundary(self) -> bool:
        """Whether a frame may be put in here."""
        return not (self._left or self._head or self.lost)

    @property
    def left(self) -> int:
        """Bytes until the frame under way ends; as long as its length is cut, at least so many."""
        return 1 if self._head else self._left

    def feed(self, data: bytes, *, one_frame: bool = False) -> int:
        """Follow these bytes; how many of them may be passed on: all, up to a Close frame's end.

        one_frame: stop where the first frame ends that these bytes belong to.
        """
        size = len(data)
        if self.lost or self.closed:
            return 0 if self.closed else size
        # Where the next frame begins: at the end or beyond, if this one goes on.
        at = self._resume(data) if self._head else self._left
        while at < size and not (at and (one_frame or self.opcode == CLOSE)):
            at = self._begin(data, at)
        return self._settle(at, size)

    def _resume(self, data: bytes) -> int:
        """The rest of a header that was cut; where its frame ends."""
        held, self._head = self._head, b""
        return self._begin(held + data[:9], 0) - len(held)

    def _begin(self, data: bytes, at: int) -> int:
        """Read the header at this place; where its frame ends."""
        first = data[at]
        kind = _KINDS[first]
        if kind == _BAD:
            return self._lose()
        available = len(data) - at
        if available < 2:
            return self._hold(data, at)
        second = data[at + 1]
        if second & _MASKED != self._mask:
            return self._lose()
        length = second & _LENGTH
        header = 2
        if length > _MAX_CONTROL:
            header = 4 if length == 126 else 10
            if available < header and kind != _CONTROL:
                return self._hold(data, at)
            length = int.from_bytes(data[at + 2 : at + header], "big")
            if length >> 63 or kind == _CONTROL:
                return self._lose()
        self.opcode = first & _OPCODE
        if kind != _CONTROL:
            self.in_message = kind == _GOES_ON
        # The key of four bytes that masks a payload counts as part of it.
        return at + header + length + (4 if self._mask else 0)

    def _hold(self, data: bytes, at: int) -> int:
        self._head = data[at:]
        return len(data)

    def _lose(self) -> int:
        self.lost = True
        return _LOST

    def _settle(self, at: int, size: int) -> int:
        """at: where the frame under way ends."""
        if self._head or self.lost:
            self._left = 0
            return size
        if at > size:
            self._left = at - size
            return size
        self._left = 0
        self.closed = self.opcode == CLOSE
        return at


def is_close_code(code: int) -> bool:
    """Whether a Close frame may carry it (RFC 6455 §7.4)."""
    return 3000 <= code <= 4999 or (1000 <= code <= 1014 and code not in {1004, 1005, 1006})


def text_frame(text: str) -> bytes:
    """A text message in one frame, from a server. ValueError: longer than MAX_TEXT_BYTES."""
    payload = text.encode()
    if len(payload) > MAX_TEXT_BYTES:
        raise ValueError("the message is too long")
    if len(payload) > _MAX_CONTROL:
        return struct.pack("!BBH", 0x80 | TEXT, 126, len(payload)) + payload
    return bytes((0x80 | TEXT, len(payload))) + payload


def close_frame(code: int, reason: str, mask: bytes = b"") -> bytes:
    """A Close frame. mask: four random bytes, from a client; empty from a server (§5.3).

    ValueError: the code may not be sent, or the reason is longer than MAX_REASON_BYTES.
    """
    text = reason.encode()
    if not is_close_code(code) or len(text) > MAX_REASON_BYTES:
        raise ValueError("no Close frame can say this")
    payload = struct.pack("!H", code) + text
    if not mask:
        return bytes((0x80 | CLOSE, len(payload))) + payload
    masked = bytes(byte ^ mask[index & 3] for index, byte in enumerate(payload))
    return bytes((0x80 | CLOSE, _MASKED | len(payload))) + mask + masked
