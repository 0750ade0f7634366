"""What an endpoint answers, and what the client gets of it (RFC 9110 §15, RFC 9112 §6.3, §8)."""

from typing import Final

from conformance.client import RESET
from conformance.recorder import CLOSE, OK, Answer
from conformance.recorder import RESET as CUT
from conformance.rows.row import (
    CHUNKED,
    ENDED,
    STAYS,
    Expect,
    Got,
    Row,
    get,
    one,
    post,
)
from conformance.scene import Scene

_INTERIM: Final = "103 · other 1xx · 101 not asked for"
_EARLY: Final = "final answer before the body is read"
_BAD: Final = "bad framing, status line, NUL, head over 64 KiB"
_SHORT: Final = "cut short"
_WHOLE: Final = "answers of every framing"
_OK: Final = frozenset({200})
_502: Final = Expect(frozenset({502}), dropped=True)
_BROKEN: Final = Expect(cut=True, fate=ENDED, dropped=True)


def _answered(
    name: str,
    case: str,
    answer: bytes,
    *required: Expect,
    then: str = "keep",
    sends: bytes | None = None,
) -> Row:
    return one(
        f"answer-{name}",
        case,
        get() if sends is None else sends,
        *required,
        script=(Answer(answer, then=then),),
    )


def _interims() -> list[Row]:
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n"
    processing = b"HTTP/1.1 102 Processing\r\n\r\n"
    switched = (
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    )
    return [
        _answered(
            "103",
            _INTERIM,
            hints + OK,
            Expect(_OK, interims=(103,), fate=STAYS, told=(b"Link: </a.css>",)),
        ),
        _answered("102", _INTERIM, processing + OK, Expect(_OK, interims=(102,), fate=STAYS)),
        _answered(
            "several-1xx",
            _INTERIM,
            processing + hints * 3 + OK,
            Expect(_OK, interims=(102, 103, 103, 103), fate=STAYS),
        ),
        _answered("too-many-1xx", _INTERIM, hints * 200 + OK, Expect(frozenset({502}))),
        _answered(
            "1xx-to-http-1.0",
            _INTERIM,
            hints + OK,
            Expect(_OK, interims=()),
            sends=get().replace(b"1.1", b"1.0"),
        ),
        _answered("101-unasked", _INTERIM, switched, _502),
        _answered(
            "101-other",
            _INTERIM,
            switched.replace(b"websocket", b"other"),
            _502,
            sends=get(
                b"Connection: Upgrade",
                b"Upgrade: websocket",
                b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
                b"Sec-WebSocket-Version: 13",
            ),
        ),
    ]


def _early() -> list[Row]:
    refusal = b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 5\r\n\r\nlarge"
    answer = Answer(b"", at_head=refusal)
    closes = Answer(b"", at_head=refusal, then=CLOSE)
    told = Expect(
        frozenset({413}), fate=ENDED, reached=0, answer_body=b"large", within_s=1.0, dropped=True
    )
    begun = post(b"Content-Length: 100000", body=b"x" * 1000)
    chunked = post(CHUNKED, body=b"3e8\r\n" + b"x" * 1000 + b"\r\n")
    return [
        one("early-answer", _EARLY, begun, told, script=(answer,), play=_begins_body),
        one("early-answer-chunked", _EARLY, chunked, told, script=(answer,), play=_begins_body),
        one("early-answer-then-close", _EARLY, begun, told, script=(closes,), play=_begins_body),
    ]


def _begins_body(scene: Scene) -> Got:
    """Send a part of the body, and look for the answer before the rest."""
    with scene.client() as client:
        client.send(scene.cut(scene.row.sends))
        client.wait_answers(1, scene.limit_s)
        came = client.saw("").seconds
        ended = client.wait_end(1.0)
        saw = client.saw(client.ended if ended else "open")
        return scene.got(type(saw)(saw.answers, saw.fate, came, saw.raw, saw.fault))


def _unreadable() -> list[Row]:
    length, line = b"Content-Length: 2\r\n", b"HTTP/1.1 200 OK\r\n"
    bad = {
        "two-lengths": line + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nok!",
        "length-list": line + b"Content-Length: 2, 3\r\n\r\nok!",
        "length-and-coding": line
        + length
        + b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        "length-hex": line + b"Content-Length: 0x2\r\n\r\nok",
        "length-signed": line + b"Content-Length: +2\r\n\r\nok",
        "length-empty": line + b"Content-Length:\r\n\r\nok",
        "length-19-digits": line + b"Content-Length: 1000000000000000002\r\n\r\nok",
        "coding-unknown": line + b"Transfer-Encoding: gzip\r\n\r\nok",
        "coding-twice": line + b"Transfer-Encoding: chunked, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        "coding-http-1.0": b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        "status-two-digits": b"HTTP/1.1 20 OK\r\n" + length + b"\r\nok",
        "status-four-digits": b"HTTP/1.1 2000 OK\r\n" + length + b"\r\nok",
        "status-600": b"HTTP/1.1 600 No\r\n" + length + b"\r\nok",
        "status-099": b"HTTP/1.1 099 No\r\n" + length + b"\r\nok",
        "status-letters": b"HTTP/1.1 2OO OK\r\n" + length + b"\r\nok",
        "version-2": b"HTTP/2.0 200 OK\r\n" + length + b"\r\nok",
        "version-typo": b"HTP/1.1 200 OK\r\n" + length + b"\r\nok",
        "not-http": b"220 mail.test ESMTP\r\n\r\n",
        "nul-in-field": line + b"X-A: a\0b\r\n" + length + b"\r\nok",
        "nul-in-reason": b"HTTP/1.1 200 O\0K\r\n" + length + b"\r\nok",
        "cr-in-reason": b"HTTP/1.1 200 O\rK\r\n" + length + b"\r\nok",
        "cr-in-field": line + b"X-A: a\rb\r\n" + length + b"\r\nok",
        "name-no-token": line + b"X[A]: a\r\n" + length + b"\r\nok",
        "no-colon": line + b"XA\r\n" + length + b"\r\nok",
        "space-before-colon": line + b"X-A : a\r\n" + length + b"\r\nok",
        "head-over-64k": line + b"X-A: " + b"a" * 66_000 + b"\r\n" + length + b"\r\nok",
        "head-over-64k-piled": line
        + b"".join(b"X-%d: %b\r\n" % (n, b"a" * 1000) for n in range(70))
        + length
        + b"\r\nok",
    }
    rows = [_answered(name, _BAD, answer, _502) for name, answer in bad.items()]
    broken_later = {
        "chunk-size": b"2\r\nok\r\nxyz\r\n",
        "chunk-17-digits": b"2\r\nok\r\n00000000000000002\r\nok\r\n0\r\n\r\n",
        "chunk-lf": b"2\r\nok\r\n2\nok\r\n0\r\n\r\n",
        "chunk-data": b"2\r\nok!!\r\n0\r\n\r\n",
        "chunk-negative": b"2\r\nok\r\n-2\r\n",
    }
    for name, chunks in broken_later.items():
        answer = line + b"Transfer-Encoding: chunked\r\n\r\n" + chunks
        rows.append(_answered(name, _BAD, answer, _BROKEN, _502))
    return rows


def _short() -> list[Row]:
    line = b"HTTP/1.1 200 OK\r\n"
    by_length = line + b"Content-Length: 10\r\n\r\nhello"
    by_chunks = line + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
    rows = [
        _answered("short-of-length", _SHORT, by_length, _BROKEN, then=CLOSE),
        _answered("short-of-chunks", _SHORT, by_chunks, _BROKEN, then=CLOSE),
        _answered("short-in-chunk", _SHORT, by_chunks + b"9\r\nwor", _BROKEN, then=CLOSE),
        _answered("short-of-last-line", _SHORT, by_chunks + b"0\r\n", _BROKEN, then=CLOSE),
        _answered("reset-in-length", _SHORT, by_length, _BROKEN, _502, then=CUT),
        _answered("reset-in-chunks", _SHORT, by_chunks, _BROKEN, _502, then=CUT),
        _answered("short-head", _SHORT, line + b"Content-Le", _502, then=CLOSE),
        _answered("nothing", _SHORT, b"", _502, then=CLOSE),
    ]
    old = get().replace(b"1.1", b"1.0")
    to_old = Expect(cut=True, fate=frozenset({RESET}))
    rows.append(
        _answered("short-of-chunks-to-http-1.0", _SHORT, by_chunks, to_old, then=CLOSE, sends=old)
    )
    return rows


def _whole() -> list[Row]:
    line = b"HTTP/1.1 200 OK\r\n"
    extended = (
        line + b"Transfer-Encoding: chunked\r\n\r\n2;secret=1\r\nok\r\n0\r\nX-Trailed: a\r\n\r\n"
    )
    hops = (
        line
        + b"Connection: X-Hop\r\nX-Hop: canary\r\nKeep-Alive: timeout=9\r\nProxy-Authenticate: canary\r\nContent-Length: 2\r\n\r\nok"
    )
    served = Expect(_OK, fate=STAYS, answer_body=b"ok")
    head = b"HEAD / HTTP/1.1\r\nHost: erp.test\r\n\r\n"
    return [
        _answered(
            "chunked",
            _WHOLE,
            line + b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
            served,
        ),
        _answered(
            "chunk-extensions",
            _WHOLE,
            extended,
            Expect(_OK, fate=STAYS, answer_body=b"ok", untold=(b"secret", b"X-Trailed")),
        ),
        _answered(
            "until-close", _WHOLE, line + b"\r\nok", Expect(_OK, answer_body=b"ok"), then=CLOSE
        ),
        _answered(
            "http-1.0",
            _WHOLE,
            b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
            served,
            then=CLOSE,
        ),
        _answered(
            "head",
            _WHOLE,
            line + b"Content-Length: 2\r\n\r\n",
            Expect(_OK, fate=STAYS, answer_body=b"", told=(b"Content-Length: 2\r\n",)),
            sends=head,
        ),
        _answered(
            "204",
            _WHOLE,
            b"HTTP/1.1 204 No Content\r\n\r\n",
            Expect(frozenset({204}), fate=STAYS, answer_body=b""),
        ),
        _answered(
            "304-with-length",
            _WHOLE,
            b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n",
            Expect(frozenset({304}), fate=STAYS, answer_body=b""),
        ),
        _answered(
            "hop-by-hop",
            _WHOLE,
            hops,
            Expect(_OK, fate=STAYS, answer_body=b"ok", untold=(b"canary", b"timeout=9")),
        ),
        _answered("no-reason", _WHOLE, b"HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nok", served),
    ]


ROWS: Final = (*_interims(), *_early(), *_unreadable(), *_short(), *_whole())
