"""What ends at this hop, and what is put in its place (RFC 9110 §7.6, §7.8, §10.1.1)."""

from typing import Any, Final

from conformance.client import KEPT
from conformance.recorder import OK, Answer
from conformance.rows.row import (
    BAD,
    CHUNKED,
    ENDED,
    HOST,
    QUICK,
    STAYS,
    TENANT,
    Expect,
    Got,
    Row,
    get,
    one,
    post,
    refused,
)
from conformance.scene import Scene

_HOPS: Final = "hop-by-hop fields"
_UPGRADE: Final = "Upgrade: only websocket"
_EXPECT: Final = "Expect"
_BODY: Final = "body over 10 MiB"
_PIPELINE: Final = "pipelining"
_FORWARDED: Final = "X-Forwarded-*, Forwarded, X-Tenant-ID, X-Request-ID"
_OK: Final = frozenset({200})
_WEBSOCKET: Final = (
    b"Connection: Upgrade",
    b"Upgrade: websocket",
    b"Sec-WebSocket-Version: 13",
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)
_SWITCHED: Final = (
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
)
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_MEBIBYTE: Final = 1024 * 1024


def _served(**more: Any) -> Expect:
    return Expect(_OK, reached=1, **({"fate": STAYS} | more))


def _hops() -> list[Row]:
    gone = {
        "named": ((b"Connection: X-Hop", b"X-Hop: canary"), ("X-Hop",)),
        "named-in-list": (
            (b"Connection: keep-alive, X-Hop, X-Hop-2", b"X-Hop: canary", b"X-Hop-2: canary"),
            ("X-Hop", "X-Hop-2"),
        ),
        "named-before": ((b"X-Hop: canary", b"Connection: x-hop"), ("X-Hop",)),
        "named-in-two": (
            (b"Connection: X-Hop", b"Connection: X-Hop-2", b"X-Hop: canary", b"X-Hop-2: canary"),
            ("X-Hop", "X-Hop-2"),
        ),
        "keep-alive": ((b"Keep-Alive: canary",), ("Keep-Alive",)),
        "proxy-connection": ((b"Proxy-Connection: canary",), ("Proxy-Connection",)),
        "proxy-authorization": ((b"Proxy-Authorization: canary",), ("Proxy-Authorization",)),
        "te": ((b"TE: canary",), ("TE",)),
        "te-trailers": ((b"Connection: TE", b"TE: trailers"), ("TE",)),
    }
    rows = []
    for name, (lines, names) in gone.items():
        expected = _served(fields=tuple((each, None) for each in names), absent=(b"canary",))
        rows.append(one(f"hop-{name}", _HOPS, get(*lines), expected))
    return [
        *rows,
        one("hop-host", _HOPS, get(b"Connection: Host"), _served(fields=(("Host", b"erp.test"),))),
        one(
            "hop-length",
            _HOPS,
            post(b"Connection: Content-Length", b"Content-Length: 5", body=b"hello"),
            _served(body=b"hello"),
        ),
        one(
            "hop-coding",
            _HOPS,
            post(b"Connection: Transfer-Encoding", CHUNKED, body=b"5\r\nhello\r\n0\r\n\r\n"),
            _served(body=b"hello"),
        ),
        one(
            "hop-tenant",
            _HOPS,
            get(b"Connection: X-Tenant-ID", host=b"Host: acme.erp.test\r\n"),
            _served(fields=((TENANT, b"acme"),)),
        ),
        one(
            "hop-tenant-trusted",
            _HOPS,
            get(b"Connection: X-Tenant-ID", b"X-Tenant-ID: acme"),
            _served(fields=((TENANT, b"acme"),)),
            site=QUICK,
            peers=False,
        ),
        one(
            "hop-forwarded",
            _HOPS,
            get(b"Connection: X-Forwarded-For"),
            _served(fields=(("X-Forwarded-For", b"127.0.0.1"),)),
        ),
    ]


def _upgrades() -> list[Row]:
    h2c = (
        b"Connection: Upgrade, HTTP2-Settings",
        b"Upgrade: h2c",
        b"HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA",
    )
    stripped = _served(fields=(("Upgrade", None),), absent=(b"HTTP2-Settings", b"h2c"))
    none = _served(fields=(("Upgrade", None),))
    smuggled = get(*_WEBSOCKET) + get(target=b"/second")
    second = Expect(_OK, also=(200,), fate=STAYS, reached=2, in_order=True)
    bodied = get(*_WEBSOCKET, b"Content-Length: 5") + b"hello"
    return [
        one(
            "upgrade-websocket",
            _UPGRADE,
            get(*_WEBSOCKET),
            Expect(told=(b"101", b"echoed bytes")),
            script=(Answer(_SWITCHED),),
            play=_tunnel,
        ),
        one("upgrade-refused", _UPGRADE, smuggled, second, answers=2, methods=(b"GET",)),
        one("upgrade-h2c", _UPGRADE, get(*h2c), stripped),
        one(
            "upgrade-h2c-listed",
            _UPGRADE,
            get(
                b"Connection: Upgrade, HTTP2-Settings",
                b"Upgrade: websocket, h2c",
                b"HTTP2-Settings: AAMA",
            ),
            Expect(reached=1, absent=(b"h2c", b"HTTP2-Settings")),
        ),
        one(
            "upgrade-unknown", _UPGRADE, get(b"Connection: Upgrade", b"Upgrade: made-up/1.0"), none
        ),
        one("upgrade-not-named", _UPGRADE, get(b"Upgrade: websocket"), none),
        one(
            "upgrade-http-1.0",
            _UPGRADE,
            get(*_WEBSOCKET).replace(b"1.1", b"1.0"),
            _served(fields=(("Upgrade", None),), fate=ENDED),
        ),
        one(
            "upgrade-post",
            _UPGRADE,
            post(*_WEBSOCKET, b"Content-Length: 5", body=b"hello"),
            _served(body=b"hello", fields=(("Upgrade", None),)),
            BAD,
        ),
        one("upgrade-with-length", _UPGRADE, bodied, Expect(_OK, reached=1, body=b"hello"), BAD),
        one(
            "upgrade-chunked",
            _UPGRADE,
            get(*_WEBSOCKET, CHUNKED) + b"5\r\nhello\r\n0\r\n\r\n",
            Expect(_OK, reached=1, body=b"hello"),
            BAD,
        ),
    ]


def _tunnel(scene: Scene) -> Got:
    """Switch, then bytes both ways."""
    with scene.client() as client:
        client.send(scene.cut(scene.row.sends))
        client.wait_answers(1, scene.limit_s)
        client.send([b"echoed bytes"])
        client.wait_bytes(b"echoed bytes", scene.limit_s)
        return scene.got(client.saw(KEPT))


def _expectations() -> list[Row]:
    asks = post(b"Expect: 100-continue", b"Content-Length: 5", body=b"hello")
    relays = Answer(at_head=_CONTINUE)
    refuses = Answer(b"", at_head=b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
    continued = Expect(_OK, interims=(100,), fate=STAYS, reached=1, body=b"hello")
    early = Expect(frozenset({403}), interims=(), reached=0, absent=(b"hello",))
    return [
        one("expect-relayed", _EXPECT, asks, continued, script=(relays,), play=_waits_for_continue),
        one(
            "expect-final-answer", _EXPECT, asks, early, script=(refuses,), play=_waits_for_continue
        ),
        one("expect-not-waited", _EXPECT, asks, _served(body=b"hello")),
        one(
            "expect-http-1.0",
            _EXPECT,
            asks.replace(b"1.1", b"1.0"),
            Expect(_OK, interims=(), reached=1),
            script=(relays,),
        ),
        one("expect-unknown", _EXPECT, get(b"Expect: canary"), Expect(frozenset({417}), reached=0)),
        one(
            "expect-list",
            _EXPECT,
            get(b"Expect: 100-continue, canary"),
            Expect(frozenset({417}), reached=0),
        ),
    ]


def _waits_for_continue(scene: Scene) -> Got:
    """Send the body only when it is asked for."""
    head, end, body = scene.row.sends.partition(b"\r\n\r\n")
    with scene.client() as client:
        client.send(scene.cut(head + end))
        client.wait(lambda: bool(client.read().messages), scene.limit_s)
        if client.read().messages and client.read().messages[0].status == 100:
            client.send(scene.cut(body))
            client.wait_answers(1, scene.limit_s)
        return scene.got(client.saw(client.fate(1.0)))


def _bodies() -> list[Row]:
    announced = post(b"Content-Length: 10485761")
    piece = b"100000\r\n" + b"x" * _MEBIBYTE + b"\r\n"
    streamed = post(CHUNKED, body=piece * 10 + b"1\r\nx\r\n0\r\n\r\n")
    fits = post(CHUNKED, body=b"100000\r\n" + b"x" * _MEBIBYTE + b"\r\n0\r\n\r\n")
    return [
        one("body-announced", _BODY, announced, refused(413)),
        one("body-streamed", _BODY, streamed, refused(413), cuts=False),
        one("body-fits", _BODY, fits, _served(body=b"x" * _MEBIBYTE), cuts=False),
    ]


def _pipelines() -> list[Row]:
    def answer(number: int) -> Answer:
        return Answer(
            b"",
            at_head=b"",
            later=((0.05, b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n%d" % number),),
        )

    several = (
        get(target=b"/1")
        + post(b"Content-Length: 2", body=b"ab")
        + post(CHUNKED, body=b"1\r\nc\r\n0\r\n\r\n")
    )
    then_bad = get(target=b"/1") + b"GET / HTTP/1.1\r\nHost : erp.test\r\n\r\n"
    ordered = Expect(
        _OK,
        also=(200, 200),
        fate=STAYS,
        reached=3,
        in_order=True,
        target=b"/1",
        told=(b"\r\n\r\n1", b"\r\n\r\n2", b"\r\n\r\n3"),
    )
    last = Expect(_OK, fate=ENDED, reached=1, target=b"/1")
    with_400 = Expect(_OK, also=(400,), fate=ENDED, reached=1, target=b"/1")
    closing = get(b"Connection: close", target=b"/1") + get(target=b"/2")
    return [
        one(
            "pipeline-of-three",
            _PIPELINE,
            several,
            ordered,
            script=tuple(answer(n) for n in (1, 2, 3)),
            answers=3,
            methods=(b"GET", b"POST", b"POST"),
        ),
        one("pipeline-then-bad", _PIPELINE, then_bad, with_400, last, answers=2),
        one(
            "pipeline-after-close",
            _PIPELINE,
            closing,
            Expect(_OK, fate=ENDED, reached=1, target=b"/1"),
        ),
        one(
            "pipeline-after-refusal", _PIPELINE, post(b"Content-Length: x") + get(target=b"/2"), BAD
        ),
    ]


def _forwarded() -> list[Row]:
    lines = (
        b"X-Forwarded-For: 6.6.6.6",
        b"X-Forwarded-Proto: canary",
        b"X-Forwarded-Host: canary.test",
        b"X-Forwarded-Port: 6666",
        b"Forwarded: for=6.6.6.6;host=canary.test",
        b"X-Real-IP: 6.6.6.6",
    )
    ours = (("X-Forwarded-For", b"127.0.0.1"),)
    mixed_case = get(b"x-forwarded-FOR: 6.6.6.6", b"X-TENANT-id: canary")
    chain = (
        ("X-Forwarded-For", b"6.6.6.6, 127.0.0.1"),
        (TENANT, b"acme"),
        ("X-Request-ID", b"given-1"),
    )
    trusted = get(b"X-Forwarded-For: 6.6.6.6", b"X-Tenant-ID: acme", b"X-Request-ID: given-1")
    two = get(b"X-Tenant-ID: acme", b"X-Tenant-ID: evil")
    return [
        one(
            "forwarded-replaced",
            _FORWARDED,
            get(*lines),
            _served(fields=ours, absent=(b"6.6.6.6", b"canary")),
        ),
        one(
            "forwarded-any-case",
            _FORWARDED,
            mixed_case,
            _served(fields=ours, absent=(b"6.6.6.6", b"canary")),
        ),
        one(
            "tenant-replaced",
            _FORWARDED,
            get(b"X-Tenant-ID: canary"),
            _served(fields=((TENANT, None),), absent=(b"canary",)),
        ),
        one(
            "request-id-replaced",
            _FORWARDED,
            get(b"X-Request-ID: canary"),
            _served(absent=(b"canary",)),
        ),
        one(
            "forwarded-trusted", _FORWARDED, trusted, _served(fields=chain), site=QUICK, peers=False
        ),
        one("tenant-doubled", _FORWARDED, two, BAD, site=QUICK, peers=False),
    ]


ROWS: Final = (
    *_hops(),
    *_upgrades(),
    *_expectations(),
    *_bodies(),
    *_pipelines(),
    *_forwarded(),
)
__all__ = ["HOST", "OK", "ROWS"]
