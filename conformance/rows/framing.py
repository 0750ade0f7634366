"""Where the body ends: Content-Length, Transfer-Encoding, chunks, trailers (RFC 9112 §6, §7)."""

from typing import Any, Final

from conformance.rows.row import BAD, CHUNKED, ENDED, STAYS, Expect, Row, one, post, refused

_CANARY: Final = b"GET /smuggled HTTP/1.1\r\nHost: erp.test\r\n\r\n"
_BOTH: Final = "Content-Length and Transfer-Encoding together"
_LENGTH: Final = "Content-Length differing, list, empty, signed, hex, _, over 18 digits"
_CODING: Final = "Transfer-Encoding other than exactly chunked, or in HTTP/1.0"
_CHUNK: Final = "chunk size 1-16 hex digits, CRLF only"
_EXTENSIONS: Final = "chunk extensions dropped, chunks made anew"
_TRAILERS: Final = "trailers dropped"
_REFUSED_CODING: Final = refused(400, 501)


def _served(body: bytes, *absent: bytes, **more: Any) -> Expect:
    return Expect(frozenset({200}), fate=STAYS, reached=1, body=body, absent=absent, **more)


def _lengths() -> list[Row]:
    bad = {
        "differing": (b"Content-Length: 5", b"Content-Length: 6"),
        "list": (b"Content-Length: 5, 6",),
        "list-same": (b"Content-Length: 5, 5",),
        "empty": (b"Content-Length:",),
        "plus": (b"Content-Length: +5",),
        "minus": (b"Content-Length: -5",),
        "hex": (b"Content-Length: 0x5",),
        "underscore": (b"Content-Length: 0_5",),
        "space": (b"Content-Length: 5 0",),
        "letters": (b"Content-Length: five",),
        "19-digits": (b"Content-Length: 1000000000000000005",),
        "20-digits": (b"Content-Length: 18446744073709551621",),
        "fraction": (b"Content-Length: 5.0",),
        "semicolon": (b"Content-Length: 5;",),
        "unicode-digits": ("Content-Length: \u0665".encode(),),
    }
    rows = [
        one(f"cl-{name}", _LENGTH, post(*lines, body=b"hello"), BAD) for name, lines in bad.items()
    ]
    twice = post(b"Content-Length: 5", b"Content-Length: 5", body=b"hello")
    once = _served(b"hello", fields=(("Content-Length", b"5"),))
    return [*rows, one("cl-identical", _LENGTH, twice, BAD, once)]


def _codings() -> list[Row]:
    chunks = b"5\r\nhello\r\n0\r\n\r\n"
    rows = [
        one("cl-te", _BOTH, post(b"Content-Length: 5", CHUNKED, body=chunks + _CANARY), BAD),
        one("te-cl", _BOTH, post(CHUNKED, b"Content-Length: 5", body=chunks + _CANARY), BAD),
        one("cl-te-zero", _BOTH, post(b"Content-Length: 0", CHUNKED, body=chunks), BAD),
        one(
            "cl-te-unknown",
            _BOTH,
            post(b"Content-Length: 5", b"Transfer-Encoding: xchunked", body=b"hello"),
            _REFUSED_CODING,
        ),
    ]
    bad = {
        "gzip": b"gzip",
        "gzip-chunked": b"gzip, chunked",
        "chunked-gzip": b"chunked, gzip",
        "twice": b"chunked, chunked",
        "x": b"xchunked",
        "suffix": b"chunkedx",
        "identity": b"identity",
        "empty": b"",
        "comma": b"chunked,",
        "parameter": b"chunked;a=b",
        "quoted": b'"chunked"',
        "vertical-tab": b"\x0bchunked",
    }
    for name, value in bad.items():
        sends = post(b"Transfer-Encoding: " + value, body=chunks)
        rows.append(one(f"te-{name}", _CODING, sends, _REFUSED_CODING))
    two = post(CHUNKED, b"Transfer-Encoding: identity", body=chunks)
    old = post(CHUNKED, body=chunks).replace(b"HTTP/1.1", b"HTTP/1.0")
    return [
        *rows,
        one("te-two-lines", _CODING, two, _REFUSED_CODING),
        one("te-http-1.0", _CODING, old, _REFUSED_CODING),
        one(
            "te-case",
            _CODING,
            post(b"transfer-encoding: Chunked", body=chunks),
            _served(b"hello"),
            _REFUSED_CODING,
        ),
        one(
            "te-white-space",
            _CODING,
            post(b"Transfer-Encoding:\t chunked \t", body=chunks),
            _served(b"hello"),
            _REFUSED_CODING,
        ),
    ]


def _chunks() -> list[Row]:
    bad = {
        "lf-after-size": b"5\nhello\r\n0\r\n\r\n",
        "lf-after-data": b"5\r\nhello\n0\r\n\r\n",
        "lf-after-last": b"5\r\nhello\r\n0\n\r\n",
        "lf-at-end": b"5\r\nhello\r\n0\r\n\n",
        "lf-in-extension": b"5;a\nhello\r\n0\r\n\r\n",
        "cr-alone": b"5\rhello\r\n0\r\n\r\n",
        "cr-in-extension": b"5;a\rb\r\nhello\r\n0\r\n\r\n",
        "cr-cr-lf": b"5\r\r\nhello\r\n0\r\n\r\n",
        "nul-in-size": b"5\0\r\nhello\r\n0\r\n\r\n",
        "nul-in-extension": b"5;a\0b\r\nhello\r\n0\r\n\r\n",
        "17-digits": b"00000000000000005\r\nhello\r\n0\r\n\r\n",
        "17-digits-overflow": b"10000000000000005\r\nhello\r\n0\r\n\r\n",
        "empty": b"\r\nhello\r\n0\r\n\r\n",
        "0x": b"0x5\r\nhello\r\n0\r\n\r\n",
        "plus": b"+5\r\nhello\r\n0\r\n\r\n",
        "minus": b"-5\r\nhello\r\n0\r\n\r\n",
        "underscore": b"0_5\r\nhello\r\n0\r\n\r\n",
        "leading-space": b" 5\r\nhello\r\n0\r\n\r\n",
        "trailing-space": b"5 \r\nhello\r\n0\r\n\r\n",
        "trailing-tab": b"5\t\r\nhello\r\n0\r\n\r\n",
        "letter": b"5g\r\nhello\r\n0\r\n\r\n",
        "bare-semicolon": b"5;\r\nhello\r\n0\r\n\r\n",
        "extension-no-token": b"5;bad[=x\r\nhello\r\n0\r\n\r\n",
        "no-crlf-after-data": b"5\r\nhello0\r\n\r\n",
        "data-too-long": b"5\r\nhello!!\r\n0\r\n\r\n",
        "extensions-over-4k": b"5;a=" + b"x" * 5000 + b"\r\nhello\r\n0\r\n\r\n",
        "extensions-over-4k-in-all": b"".join(b"1;a=%b\r\nh\r\n" % (b"x" * 500) for _ in range(10))
        + b"0\r\n\r\n",
    }
    rows = [
        one(f"chunk-{name}", _CHUNK, post(CHUNKED, body=body), BAD) for name, body in bad.items()
    ]
    good = {
        "16-digits": b"0000000000000005\r\nhello\r\n0\r\n\r\n",
        "upper-case": b"A\r\n0123456789\r\n0\r\n\r\n",
        "last-of-zeros": b"5\r\nhello\r\n000\r\n\r\n",
        "empty-body": b"0\r\n\r\n",
    }
    bodies = {"upper-case": b"0123456789", "empty-body": b""}
    for name, body in good.items():
        expected = _served(bodies.get(name, b"hello"))
        rows.append(one(f"chunk-{name}", _CHUNK, post(CHUNKED, body=body), expected))
    return rows


def _extensions() -> list[Row]:
    plain = b'5;secret=1\r\nhello\r\n6;secret="a b"\r\n world\r\n0;secret\r\n\r\n'
    zeros = b"0000B\r\nhello world\r\n0000\r\n\r\n"
    return [
        one(
            "chunk-extensions",
            _EXTENSIONS,
            post(CHUNKED, body=plain),
            _served(b"hello world", b"secret"),
        ),
        one(
            "chunk-made-anew",
            _EXTENSIONS,
            post(CHUNKED, body=zeros),
            _served(b"hello world", b"0000B\r\n", b"0000\r\n"),
        ),
    ]


def _trailers() -> list[Row]:
    fields = {
        "plain": b"X-Trailed: canary",
        "content-length": b"Content-Length: 50",
        "transfer-encoding": b"Transfer-Encoding: gzip",
        "host": b"Host: evil.test",
        "authorization": b"Authorization: Bearer canary",
        "tenant": b"X-Tenant-ID: evil",
    }
    rows = []
    for name, line in fields.items():
        sends = post(CHUNKED, body=b"5\r\nhello\r\n0\r\n" + line + b"\r\n\r\n")
        dropped = _served(b"hello", line.split(b": ")[1] + b"\r\n")
        rows.append(one(f"trailer-{name}", _TRAILERS, sends, dropped, BAD))
    long = b"5\r\nhello\r\n0\r\nX-Trailed: " + b"x" * 5000 + b"\r\n\r\n"
    folded = b"5\r\nhello\r\n0\r\nX-Trailed: a\r\n b\r\n\r\n"
    bare = b"5\r\nhello\r\n0\r\nX-Trailed: a\nX: b\r\n\r\n"
    late = Expect(frozenset({400, 431}), fate=ENDED, reached=0)
    return [
        *rows,
        one("trailer-over-4k", _TRAILERS, post(CHUNKED, body=long), late),
        one("trailer-folded", _TRAILERS, post(CHUNKED, body=folded), BAD),
        one("trailer-bare-lf", _TRAILERS, post(CHUNKED, body=bare), BAD),
    ]


ROWS: Final = (*_lengths(), *_codings(), *_chunks(), *_extensions(), *_trailers())
