"""Server names read from ClientHellos: OpenSSL's, cut anywhere, and ones made by hand."""

import contextlib
import random
from itertools import pairwise

import pytest

from proxy.downstream.client_hello import MAX_BYTES, HelloError, IncompleteError, server_name
from tests.support.client_hello import by_openssl


def u16(number: int) -> bytes:
    return number.to_bytes(2)


def vec16(data: bytes) -> bytes:
    return u16(len(data)) + data


def sni(name: bytes, kind: int = 0) -> bytes:
    return u16(0) + vec16(vec16(bytes((kind,)) + vec16(name)))


def message(extensions: bytes | None, *, before: bytes | None = None, after: bytes = b"") -> bytes:
    start = b"\x03\x03" + bytes(32) + b"\x00" + vec16(b"\x13\x01") + b"\x01\x00"
    body = start if before is None else before
    if extensions is not None:
        body += vec16(extensions)
    body += after
    return b"\x01" + len(body).to_bytes(3) + body


def records(data: bytes, *sizes: int) -> bytes:
    edges = [0, *sizes, len(data)]
    return b"".join(b"\x16\x03\x01" + vec16(data[a:b]) for a, b in pairwise(edges) if a < b)


@pytest.mark.parametrize("name", ["print.acme.example", "a", "xn--bcher-kva.example"])
def test_openssls_hello_names_its_server(name: str) -> None:
    assert server_name(by_openssl(name)) == name
    assert server_name(by_openssl(name, protocols=("h2", "http/1.1"))) == name


def test_a_hello_without_a_name() -> None:
    assert server_name(by_openssl(None)) is None
    assert server_name(records(message(None))) is None
    assert server_name(records(message(b""))) is None


def test_a_hello_cut_at_every_byte_is_incomplete() -> None:
    hello = by_openssl("print.acme.example")
    for end in range(len(hello)):
        with pytest.raises(IncompleteError):
            server_name(hello[:end])
    assert server_name(hello + b"\x16early data, or whatever follows") == "print.acme.example"


def test_a_hello_in_several_records(seeded_random: random.Random) -> None:
    whole = message(sni(b"Print.ACME.example."))
    for _ in range(200):
        sizes = sorted(seeded_random.sample(range(1, len(whole)), seeded_random.randrange(1, 15)))
        hello = records(whole, *sizes)
        assert server_name(hello) == "print.acme.example"
        with pytest.raises(IncompleteError):
            server_name(hello[: seeded_random.randrange(len(hello))])


@pytest.mark.parametrize(
    "hello",
    [
        pytest.param(b"GET / HTTP/1.1\r\n", id="http"),
        pytest.param(b"\x80\x2e\x01", id="ssl 2"),
        pytest.param(b"\x17", id="application data"),
        pytest.param(b"\x16\x02", id="version"),
        pytest.param(b"\x16\x03\x01\x00\x00", id="empty record"),
        pytest.param(b"\x16\x03\x01\x40\x01", id="long record"),
        pytest.param(records(b"\x02\x00\x00\x00"), id="server hello"),
        pytest.param(records(b"\x01\x00\x40\x00"), id="long message"),
        pytest.param(records(message(sni(b"a") + sni(b"b"))), id="two extensions"),
        pytest.param(records(message(sni(b"a", kind=1))), id="another kind of name"),
        pytest.param(
            records(message(u16(0) + vec16(vec16(b"\0" + vec16(b"a") + b"\0" + vec16(b"b"))))),
            id="two names",
        ),
        pytest.param(records(message(u16(0) + vec16(vec16(b"")))), id="no names"),
        pytest.param(records(message(u16(0) + vec16(b""))), id="empty extension"),
        pytest.param(records(message(u16(0) + vec16(b"\x00\x09\x00"))), id="cut name"),
        pytest.param(records(message(sni(b""))), id="empty name"),
        pytest.param(records(message(sni(b"a b"))), id="space"),
        pytest.param(records(message(sni(b"a\0.example"))), id="nul"),
        pytest.param(records(message(sni(b"\xc3\xbc.example"))), id="not ascii"),
        pytest.param(records(message(sni(b".a"))), id="leading dot"),
        pytest.param(records(message(sni(b"a" * 254))), id="long name"),
        pytest.param(records(message(sni(b"a"), after=b"x")), id="bytes after"),
        pytest.param(records(message(b"\x00\x00\x00")), id="cut extension"),
        pytest.param(records(message(None, before=b"\x03\x03")), id="cut random"),
        pytest.param(records(message(sni(b"a")), *range(1, 17)), id="seventeen records"),
    ],
)
def test_what_is_no_hello_is_refused(hello: bytes) -> None:
    with pytest.raises(HelloError):
        server_name(hello)


def test_a_hello_over_the_limit_is_refused_before_it_is_whole() -> None:
    padding = u16(21) + vec16(bytes(15_000))
    assert server_name(records(message(padding + sni(b"a")))) == "a"
    whole = message(padding + u16(21) + vec16(bytes(2_000)) + sni(b"a"))
    with pytest.raises(HelloError, match="limit"):
        server_name(records(whole, 8_000)[:9])
    assert len(whole) > MAX_BYTES


def test_random_bytes_raise_nothing_else(seeded_random: random.Random) -> None:
    hello = by_openssl("print.acme.example")
    for _ in range(5_000):
        data = bytearray(hello)
        for _ in range(seeded_random.randrange(1, 6)):
            data[seeded_random.randrange(len(data))] = seeded_random.randrange(256)
        with contextlib.suppress(IncompleteError, HelloError):
            server_name(bytes(data))
