"""What clients and endpoints of the soak say to each other. Pure but for reading a stream."""

import asyncio
import zlib
from collections.abc import Iterator, Mapping

MAX_FRAME = 1 << 16
TEXT, CLOSE = 1, 8
_PIECE = 16 * 1024


def small(name: str, tenant: str) -> bytes:
    """The body of a small answer: it belongs to one request alone."""
    return f"{name} {tenant}\n".encode()


def content(name: str, size: int) -> Iterator[bytes]:
    """A body of this size that no other request has, in pieces."""
    unit = f"{name} ".encode()
    piece = unit * (_PIECE // len(unit))
    left = size
    while left:
        yield piece[:left]
        left -= min(left, len(piece))


def receipt(name: str, size: int, checksum: int) -> bytes:
    """What an upload is answered with."""
    return f"{name} took {size} {checksum}\n".encode()


def checksum_of(name: str, size: int) -> int:
    """The CRC-32 of `content`."""
    checksum = 0
    for piece in content(name, size):
        checksum = zlib.crc32(piece, checksum)
    return checksum


def event(name: str, number: int) -> bytes:
    """An event of a stream."""
    return f"data: {name} {number}\n\n".encode()


def request(
    method: str, path: str, fields: Mapping[str, str], *, length: int | None, chunked: bool
) -> bytes:
    """A request's head."""
    lines = [f"{method} {path} HTTP/1.1", "Host: soak.test"]
    lines += [f"{name}: {value}" for name, value in fields.items()]
    if chunked:
        lines.append("Transfer-Encoding: chunked")
    elif length is not None:
        lines.append(f"Content-Length: {length}")
    return "\r\n".join([*lines, "\r\n"]).encode()


def frame(opcode: int, payload: bytes, *, masked: bool) -> bytes:
    """A WebSocket frame (RFC 6455 §5.2). A client's mask is zero: the payload stays as it is."""
    mask = 0x80 if masked else 0
    size = len(payload)
    head = bytes([0x80 | opcode, mask | min(size, 126)])
    if size >= 126:
        head += size.to_bytes(2)
    return head + (bytes(4) if masked else b"") + payload


async def read_frame(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Opcode and payload. EOFError when the stream ends before the frame does."""
    first, second = await reader.readexactly(2)
    size = second & 0x7F
    if size == 126:
        size = int.from_bytes(await reader.readexactly(2))
    elif size == 127:
        raise ValueError("a frame that nobody here sends")
    if second & 0x80 and await reader.readexactly(4) != bytes(4):
        raise ValueError("a mask that nobody here uses")
    return first & 0x0F, await reader.readexactly(size)
