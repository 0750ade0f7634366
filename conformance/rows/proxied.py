"""The PROXY protocol: who speaks, said by the balancer in front (its specification, 1 and 2)."""

import socket
import struct
from typing import Any, Final

from conformance.rows.row import BAD, ENDED, PROXIED, STAYS, Expect, Row, get, one

_CASE: Final = "PROXY protocol: mandatory once it is on, 5 s, at most 536 bytes"
_SIGNATURE: Final = b"\r\n\r\n\0\r\nQUIT\n"
_CLIENT: Final = "192.0.2.9"
_PROXY, _LOCAL, _TCP4, _TCP6 = 0x21, 0x20, 0x11, 0x21


def _v2(command: int, family: int, addresses: bytes, more: bytes = b"", length: int = -1) -> bytes:
    """A binary header. more: its TLVs. length: what it says, if not the truth."""
    size = len(addresses) + len(more) if length < 0 else length
    return _SIGNATURE + struct.pack("!BBH", command, family, size) + addresses + more


def _rows() -> list[Row]:
    four = struct.pack(
        "!4s4sHH", socket.inet_aton(_CLIENT), socket.inet_aton("192.0.2.1"), 5000, 80
    )
    six = struct.pack(
        "!16s16sHH", *[socket.inet_pton(socket.AF_INET6, "2001:db8::9")] * 2, 5000, 80
    )
    note = b"\xea" + struct.pack("!H", 100) + b"x" * 100
    believed = {
        "v1": (b"PROXY TCP4 192.0.2.9 192.0.2.1 5000 80\r\n", _CLIENT),
        "v1-tcp6": (b"PROXY TCP6 2001:db8::9 2001:db8::1 5000 80\r\n", "2001:db8::9"),
        "v1-unknown": (b"PROXY UNKNOWN\r\n", "127.0.0.1"),
        "v2": (_v2(_PROXY, _TCP4, four), _CLIENT),
        "v2-tcp6": (_v2(_PROXY, _TCP6, six), "2001:db8::9"),
        "v2-local": (_v2(_LOCAL, 0, b""), "127.0.0.1"),
        "v2-with-tlv": (_v2(_PROXY, _TCP4, four, note), _CLIENT),
    }
    refused = {
        "missing": b"",
        "v1-bad-address": b"PROXY TCP4 192.0.2.999 192.0.2.1 5000 80\r\n",
        "v1-bad-port": b"PROXY TCP4 192.0.2.9 192.0.2.1 5000 80000\r\n",
        "v1-family-differs": b"PROXY TCP4 2001:db8::9 2001:db8::1 5000 80\r\n",
        "v1-bare-lf": b"PROXY TCP4 192.0.2.9 192.0.2.1 5000 80\n",
        "v1-too-long": b"PROXY TCP4 192.0.2.9 192.0.2.1 5000 80" + b" " * 100 + b"\r\n",
        "v1-lower-case": b"proxy TCP4 192.0.2.9 192.0.2.1 5000 80\r\n",
        "v2-bad-version": _v2(0x31, _TCP4, four),
        "v2-bad-command": _v2(0x2F, _TCP4, four),
        "v2-too-short": _v2(_PROXY, _TCP4, four[:8]),
        "v2-over-536": _v2(_PROXY, _TCP4, four, b"\xea" + struct.pack("!H", 600) + b"x" * 600),
    }
    dropped = Expect(frozenset(), fate=ENDED, reached=0)
    # The specification has a header sent at once (§2), so peers need not put it together.
    at: dict[str, Any] = {"site": PROXIED, "methods": (b"GET",), "cuts": False}
    rows = []
    for name, (header, address) in believed.items():
        fields = (("X-Forwarded-For", address.encode()),)
        served = Expect(frozenset({200}), fate=STAYS, reached=1, fields=fields)
        rows.append(one(f"proxy-{name}", _CASE, header + get(), served, **at))
        in_pieces = at | {"cuts": True, "peers": False}
        rows.append(one(f"proxy-{name}-in-pieces", _CASE, header + get(), served, **in_pieces))
    for name, header in refused.items():
        rows.append(one(f"proxy-{name}", _CASE, header + get(), dropped, BAD, **at))
    slow = Expect(frozenset(), fate=ENDED, reached=0, within_s=6.5)
    begun = b"PROXY TCP4 192."
    return [*rows, one("proxy-stops", _CASE, begun, slow, limit_s=7.0, **at)]


ROWS: Final = tuple(_rows())
