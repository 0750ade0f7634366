"""Time-outs, with settings below a second (RFC 9112 §9.5)."""

import time
from typing import Any, Final

from conformance.client import CLOSED, KEPT, RESET, Client
from conformance.recorder import OK, Answer
from conformance.rows.row import CHUNKED, ENDED, HOST, QUICK, Expect, Got, Row, get, one, post
from conformance.scene import Scene

_CASE: Final = "head slower than 10 s · body idle 30 s · write idle 60 s · keep-alive idle 75 s"
_ANSWER: Final = "connect 3 s · first byte 30 s · SSE and WebSocket"
_OK: Final = frozenset({200})
_SLOW_S: Final = 0.15
"""Between the bytes of a client that never stops: below every time-out."""


def _rows() -> list[Row]:
    in_time: dict[str, Any] = {"after_s": 0.2, "within_s": 3.0}
    timed_out = Expect(frozenset({408}), fate=ENDED, reached=0, **in_time)
    drips = Answer(
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n",
        later=(*((0.3, b"4\r\nx: y\r\n"),) * 7, (0.3, b"0\r\n\r\n")),
    )
    stalls = Answer(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")
    large = Answer(b"HTTP/1.1 200 OK\r\nContent-Length: 50000000\r\n\r\n" + b"x" * 50_000_000)
    quiet = Expect(frozenset(), fate=ENDED, reached=0)
    silent = Expect(frozenset({504}), reached=1, **in_time)
    waits = {"site": QUICK, "cuts": False, "limit_s": 4.0}

    def row(name: str, sends: bytes, *required: Expect, **more: Any) -> Row:
        case = str(more.pop("case", _CASE))
        return one(name, case, sends, *required, **(waits | more))

    return [
        row("time-head-stops", b"GET / HTTP/1.1\r\nHost: erp", timed_out),
        row("time-head-drips", get(b"X-A: " + b"a" * 100), timed_out, play=_drips),
        row("time-no-byte", b"", quiet),
        row("time-body-stops", post(b"Content-Length: 10", body=b"hello"), timed_out),
        row("time-chunk-stops", post(CHUNKED, body=b"5\r\nhel"), timed_out),
        row(
            "time-keep-alive", get(), Expect(_OK, fate=frozenset({CLOSED}), reached=1), play=_idles
        ),
        row(
            "time-client-stops-reading",
            get(),
            Expect(cut=True, fate=ENDED),
            play=_stops_reading,
            script=(large,),
        ),
        row("time-first-byte", get(), silent, script=(Answer(b""),), case=_ANSWER),
        row(
            "time-events",
            get(),
            Expect(_OK, reached=1, answer_body=b"x: y" * 7, after_s=1.5),
            script=(drips,),
            case=_ANSWER,
        ),
        row(
            "time-answer-stalls",
            get(),
            Expect(cut=True, fate=ENDED),
            script=(stalls,),
            play=_waits,
            case=_ANSWER,
        ),
        row(
            "time-tunnel-idle",
            _WEBSOCKET,
            Expect(told=(b"ping",), fate=ENDED),
            script=(Answer(_SWITCHED),),
            play=_pings,
            case=_ANSWER,
        ),
    ]


_WEBSOCKET: Final = (
    b"GET / HTTP/1.1\r\n" + HOST + b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
_SWITCHED: Final = (
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
)


def _ended(client: Client, limit_s: float) -> str:
    return client.ended if client.wait_end(limit_s) else "open"


def _drips(scene: Scene) -> Got:
    """A byte at a time, for ever: each in time, the head never."""
    with scene.client() as client:
        began = time.monotonic()
        for byte in scene.row.sends:
            client.send([bytes([byte])])
            client.wait_answers(1, _SLOW_S)
            if client.ended or client.raw or time.monotonic() - began > scene.limit_s:
                break
        took = time.monotonic() - began
        saw = client.saw(_ended(client, 1.0))
        return scene.got(type(saw)(saw.answers, saw.fate, took, saw.raw, saw.fault))


def _idles(scene: Scene) -> Got:
    """Nothing after the first answer."""
    with scene.client() as client:
        client.send([scene.row.sends])
        client.wait_answers(1, scene.limit_s)
        return scene.got(client.saw(_ended(client, scene.limit_s)))


def _waits(scene: Scene) -> Got:
    """Wait for the end, whatever comes."""
    with scene.client() as client:
        client.send([scene.row.sends])
        return scene.got(client.saw(_ended(client, scene.limit_s)))


def _stops_reading(scene: Scene) -> Got:
    """Take nothing of a large answer for a while; then what is left of it must break off."""
    with scene.client() as client:
        client.send([scene.row.sends])
        scene.wait_reached(1)
        time.sleep(2.0)
        fate = _ended(client, scene.limit_s)
        return scene.got(client.saw(fate), f"{len(client.raw)} bytes")


def _pings(scene: Scene) -> Got:
    """A tunnel that is used outlives the other time-outs; an idle one ends."""
    with scene.client() as client:
        client.send([scene.row.sends])
        client.wait_answers(1, scene.limit_s)
        for _ in range(5):
            client.send([b"ping"])
            client.wait_bytes(b"ping", 1.0)
            time.sleep(0.25)
        alive = KEPT if not client.ended else RESET
        fate = _ended(client, scene.limit_s) if alive == KEPT else "open"
        return scene.got(client.saw(fate))


ROWS: Final = tuple(_rows())
__all__ = ["OK", "ROWS"]
