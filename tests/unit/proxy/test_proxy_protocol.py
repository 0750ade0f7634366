"""PROXY headers, versions 1 and 2: what is read, what is refused, and at which byte."""

import ipaddress
import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.downstream.proxy_protocol import HeaderError, parse

LIMIT = 536
SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
REST = b"\x16\x03\x01GET / HTTP/1.1\r\n\r\n"


def v2(command: int, family: int, block: bytes) -> bytes:
    return SIGNATURE + bytes([command, family]) + len(block).to_bytes(2, "big") + block


def tcp4(tlvs: bytes = b"") -> bytes:
    addresses = socket.inet_aton("192.0.2.7") + socket.inet_aton("192.0.2.1")
    return v2(0x21, 0x11, addresses + struct.pack("!HH", 50_000, 443) + tlvs)


def tcp6(tlvs: bytes = b"") -> bytes:
    addresses = socket.inet_pton(socket.AF_INET6, "2001:db8::7") * 2
    return v2(0x21, 0x21, addresses + struct.pack("!HH", 50_000, 443) + tlvs)


# header, address, local
GOOD = {
    "v1 TCP4": (b"PROXY TCP4 192.0.2.7 192.0.2.1 50000 443\r\n", "192.0.2.7", False),
    "v1 TCP6": (b"PROXY TCP6 2001:db8::7 2001:db8::1 0 65535\r\n", "2001:db8::7", False),
    "v1 TCP6 long": (
        b"PROXY TCP6 " + b"ffff:" * 7 + b"ffff " + b"ffff:" * 7 + b"ffff 65535 65535\r\n",
        "ffff:" * 7 + "ffff",
        False,
    ),
    "v1 UNKNOWN": (b"PROXY UNKNOWN\r\n", None, False),
    "v1 UNKNOWN with more": (b"PROXY UNKNOWN \0what ever\r\n", None, False),
    "v2 TCP4": (tcp4(), "192.0.2.7", False),
    "v2 TCP4 with TLVs": (tcp4(b"\x02\x00\x04host" * 40), "192.0.2.7", False),
    "v2 TCP6": (tcp6(), "2001:db8::7", False),
    "v2 TCP6 with TLVs": (tcp6(b"\x04\x00\x01\x00"), "2001:db8::7", False),
    "v2 LOCAL": (v2(0x20, 0x00, b""), None, True),
    "v2 LOCAL with a block": (v2(0x20, 0x11, b"x" * 30), None, True),
    "v2 UNSPEC": (v2(0x21, 0x00, b""), None, False),
    "v2 UDP4": (v2(0x21, 0x12, b"x" * 12), None, False),
    "v2 UNIX": (v2(0x21, 0x31, b"/" * 216), None, False),
}


@pytest.mark.parametrize("name", GOOD)
@pytest.mark.parametrize("rest", [b"", REST], ids=["alone", "with more"])
def test_a_header_is_read_to_its_last_byte(name: str, rest: bytes) -> None:
    header, address, local = GOOD[name]
    found = parse(header + rest, LIMIT)
    assert found is not None
    assert (found.size, found.address, found.local) == (len(header), address, local)


@pytest.mark.parametrize("name", GOOD)
def test_every_beginning_of_a_header_waits_for_more(name: str) -> None:
    header, _, _ = GOOD[name]
    for size in range(len(header)):
        assert parse(header[:size], LIMIT) is None, size


BAD = {
    "no header": b"GET / HTTP/1.1\r\n",
    "TLS": b"\x16\x03\x01\x02\x00",
    "another case": b"proxy TCP4 192.0.2.7 192.0.2.1 50000 443\r\n",
    "two spaces": b"PROXY  TCP4 192.0.2.7 192.0.2.1 50000 443\r\n",
    "a field too many": b"PROXY TCP4 192.0.2.7 192.0.2.1 50000 443 x\r\n",
    "a field too few": b"PROXY TCP4 192.0.2.7 192.0.2.1 50000\r\n",
    "a family that is not": b"PROXY UDP4 192.0.2.7 192.0.2.1 50000 443\r\n",
    "UNKNOWN without a space": b"PROXY UNKNOWNS\r\n",
    "the other family": b"PROXY TCP4 2001:db8::7 2001:db8::1 50000 443\r\n",
    "a target of the other family": b"PROXY TCP4 192.0.2.7 2001:db8::1 50000 443\r\n",
    "no address": b"PROXY TCP4 localhost 192.0.2.1 50000 443\r\n",
    "an octal address": b"PROXY TCP4 192.0.02.7 192.0.2.1 50000 443\r\n",
    "a scope": b"PROXY TCP6 fe80::1%eth0 fe80::2 50000 443\r\n",
    "a port over": b"PROXY TCP4 192.0.2.7 192.0.2.1 65536 443\r\n",
    "a port signed": b"PROXY TCP4 192.0.2.7 192.0.2.1 +1 443\r\n",
    "a port with a zero": b"PROXY TCP4 192.0.2.7 192.0.2.1 0443 443\r\n",
    "a port beyond int": b"PROXY TCP4 192.0.2.7 192.0.2.1 99999999999999 443\r\n",
    "a bare LF": b"PROXY TCP4 192.0.2.7 192.0.2.1 50000 443\nGET / HTTP/1.1\r\n",
    "a line over 107 bytes": b"PROXY UNKNOWN " + b"x" * 100,
    "v2 of another version": SIGNATURE + b"\x11\x11\x00\x0c" + b"x" * 12,
    "v2 with another command": SIGNATURE + b"\x22\x11\x00\x0c" + b"x" * 12,
    "v2 of another family": v2(0x21, 0x41, b"x" * 40),
    "v2 shorter than its addresses": v2(0x21, 0x11, b"x" * 11),
    "v2 TCP6 with IPv4's length": v2(0x21, 0x21, b"x" * 12),
    "v2 over the limit": v2(0x21, 0x11, b"x" * (LIMIT - 15)),
    "v2 LOCAL over the limit": v2(0x20, 0x00, b"x" * 65_535),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_header_is_refused(name: str) -> None:
    with pytest.raises(HeaderError):
        parse(BAD[name], LIMIT)


@pytest.mark.parametrize("name", BAD)
def test_once_refused_no_more_bytes_would_help(name: str) -> None:
    """Refused at some byte, waited for before: never read as a header on the way."""
    refused = False
    for size in range(1, len(BAD[name]) + 1):
        try:
            assert parse(BAD[name][:size], LIMIT) is None
            assert not refused, size
        except HeaderError:
            refused = True
    assert refused


def test_a_client_without_a_header_is_refused_at_its_first_byte() -> None:
    for byte in range(256):
        if byte in b"P\r":
            assert parse(bytes([byte]), LIMIT) is None
        else:
            with pytest.raises(HeaderError):
                parse(bytes([byte]), LIMIT)


def test_the_limit_holds_to_the_byte() -> None:
    block = b"x" * (LIMIT - 16)
    assert parse(v2(0x20, 0x00, block), LIMIT) is not None
    with pytest.raises(HeaderError):
        parse(v2(0x20, 0x00, block + b"x"), LIMIT)


@given(st.binary(max_size=600))
def test_bytes_are_read_or_refused_and_nothing_else_happens(data: bytes) -> None:
    for start in (b"", b"PROXY ", b"PROXY TCP4 ", SIGNATURE, SIGNATURE + b"\x21"):
        try:
            found = parse(start + data, LIMIT)
        except HeaderError:
            continue
        if found is not None:
            assert found.size <= min(len(start + data), LIMIT)


@given(
    st.ip_addresses(),
    st.ip_addresses(),
    st.integers(0, 65_535),
    st.integers(0, 65_535),
    st.binary(max_size=100),
)
def test_what_a_balancer_writes_is_read(
    source: ipaddress.IPv4Address | ipaddress.IPv6Address,
    target: ipaddress.IPv4Address | ipaddress.IPv6Address,
    source_port: int,
    target_port: int,
    rest: bytes,
) -> None:
    family = 0x11 if source.version == 4 else 0x21
    if target.version == source.version:
        line = f"PROXY TCP{source.version} {source} {target} {source_port} {target_port}\r\n"
        found = parse(line.encode() + rest, LIMIT)
        assert found is not None
        assert (found.address, found.size) == (str(source), len(line))
        ports = struct.pack("!HH", source_port, target_port)
        header = v2(0x21, family, source.packed + target.packed + ports)
        found = parse(header + rest, LIMIT)
        assert found is not None
        assert (found.address, found.size) == (str(source), len(header))
