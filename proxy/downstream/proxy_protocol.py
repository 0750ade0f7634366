"""The PROXY protocol, versions 1 and 2: what a load balancer says before the client's first byte.

Source: HAProxy's proxy-protocol.txt (2020/03/05); section numbers are its own. Pure: bytes in,
a header out. Rules: a header is read strictly or not at all; what can't become one any more is
refused at its first wrong byte; TLVs are passed over.
"""

import ipaddress
from typing import Final

_V1: Final = b"PROXY "
_V2: Final = b"\r\n\r\n\x00\r\nQUIT\n"
_V1_MAX: Final = 107  # §2.1: with CRLF
_V2_FIXED: Final = 16
_LOCAL: Final = 0x20
_PROXY: Final = 0x21
# Family and transport → bytes of one address, and of both with their ports (§2.2).
_TCP: Final = {0x11: (4, 12), 0x21: (16, 36)}
# Unspecified, datagrams, UNIX sockets: their length, but no address that a client could have.
_UNTOLD: Final = {0x00: 0, 0x12: 12, 0x22: 36, 0x31: 216, 0x32: 216}


class HeaderError(Exception):
    """What came is no PROXY header."""


class Header:
    """A header. size: its bytes. address: the client's, None where it is not told.

    local: the balancer speaks for itself (a health check).
    """

    __slots__ = ("address", "local", "size")

    def __init__(self, size: int, address: str | None, *, local: bool = False) -> None:
        self.size = size
        self.address = address
        self.local = local

    def __repr__(self) -> str:
        return f"<Header {'local' if self.local else self.address} {self.size} bytes>"


def parse(data: bytes, limit: int) -> Header | None:
    """The header that the bytes begin with; None: more is needed. HeaderError.

    limit: the most bytes that a header may have.
    """
    if data.startswith(_V1[: len(data)]):
        return _parse_v1(data, min(limit, _V1_MAX))
    if data.startswith(_V2[: len(data)]):
        return _parse_v2(data, limit)
    raise HeaderError("no PROXY header")


def _parse_v1(data: bytes, limit: int) -> Header | None:
    """§2.1: `PROXY TCP4 192.0.2.7 192.0.2.1 50000 443 CRLF`."""
    end = data.find(b"\r\n", 0, limit)
    if end < 0:
        if len(data) >= limit:
            raise HeaderError("a PROXY line without an end")
        return None
    line, size = data[:end], end + 2
    if line == b"PROXY UNKNOWN" or line.startswith(b"PROXY UNKNOWN "):
        return Header(size, None)  # "the receiver must ignore anything presented before the CRLF"
    parts = line.split(b" ")
    if len(parts) != 6 or parts[1] not in {b"TCP4", b"TCP6"}:
        raise HeaderError("a malformed PROXY line")
    version = 4 if parts[1] == b"TCP4" else 6
    source, _ = _address(parts[2], version), _address(parts[3], version)
    _check_port(parts[4])
    _check_port(parts[5])
    return Header(size, source)


def _address(text: bytes, version: int) -> str:
    try:
        found = ipaddress.ip_address(text.decode("ascii"))
    except ValueError:
        raise HeaderError("a malformed address") from None
    if found.version != version or b"%" in text:
        raise HeaderError("an address of another family, or with a scope")
    return str(found)


def _check_port(text: bytes) -> None:
    """§2.1: decimal, 0 to 65535, without leading zeroes."""
    if not (text.isdigit() and len(text) <= 5 and int(text) <= 65_535):
        raise HeaderError("a malformed port")
    if text[:1] == b"0" and text != b"0":
        raise HeaderError("a malformed port")


def _parse_v2(data: bytes, limit: int) -> Header | None:
    """§2.2: signature, version and command, family, length; addresses; TLVs."""
    command = data[12] if len(data) > 12 else _PROXY
    if command not in {_LOCAL, _PROXY}:
        raise HeaderError("another version or command")
    if len(data) < _V2_FIXED:
        return None
    family, length = data[13], int.from_bytes(data[14:16], "big")
    size = _V2_FIXED + length
    if size > limit:
        raise HeaderError("a PROXY header over the limit")
    if command == _PROXY and length < _least(family):
        raise HeaderError("a PROXY header shorter than its addresses")
    if len(data) < size:
        return None
    if command == _LOCAL:
        return Header(size, None, local=True)  # "must … discard the protocol block"
    if family not in _TCP:
        return Header(size, None)
    width, _ = _TCP[family]
    return Header(size, str(ipaddress.ip_address(data[_V2_FIXED : _V2_FIXED + width])))


def _least(family: int) -> int:
    if family in _TCP:
        return _TCP[family][1]
    if family not in _UNTOLD:
        raise HeaderError("an unknown family")
    return _UNTOLD[family]
