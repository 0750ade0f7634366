"""Connections to endpoints: pooled, raced for, refused, busy (RFC 9110 §9.2.2, RFC 9112 §9)."""

from typing import Any, Final

from conformance.client import Client
from conformance.recorder import CLOSE, OK, Answer, Line, Take
from conformance.rows.row import ENDED, QUICK, STAYS, Expect, Got, Row, get, one, post
from conformance.scene import Scene

_UNASKED: Final = "unasked bytes on a pooled connection"
_RETRY: Final = "retry"
_RACE: Final = "pool race"
_NOWHERE: Final = "none healthy · all busy"
_CONNECT: Final = "connect 3 s · first byte 30 s · SSE and WebSocket"
_OK: Final = frozenset({200})
_POISON: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"
_SILENT: Final = Answer(b"", then=CLOSE)
"""Closes without a byte of answer."""
_DEAD: Final = b"Host: dead.erp.test\r\n"
_NOBODY: Final = b"Host: nobody.erp.test\r\n"


def _rows() -> list[Row]:
    warm = get(target=b"/warm")
    twice = Expect(_OK, also=(200,), fate=STAYS, reached=2, untold=(b"poison",))
    retried = Expect(_OK, also=(200,), fate=STAYS, reached=3)
    not_retried = (Expect(_OK, also=(502,), reached=2), Expect(_OK, fate=ENDED, reached=2))
    raced = Expect(_OK, also=(200,), fate=STAYS, reached=2)
    partly = Answer(b"HTTP/1.1 200 OK\r\nConte", then=CLOSE)
    on_reused = (Answer(), _SILENT, Answer())
    form = post(b"Content-Length: 5", body=b"hello")

    def second(name: str, case: str, sends: bytes, *required: Expect, **more: Any) -> Row:
        return one(
            name,
            case,
            warm + sends,
            *required,
            **(
                {"answers": 2, "play": _one_then_other, "methods": (b"GET", sends.split(b" ")[0])}
                | more
            ),
        )

    return [
        second("unasked-bytes", _UNASKED, get(), twice, play=_poisoned),
        second("unasked-bytes-post", _UNASKED, form, twice, play=_poisoned),
        second("unasked-with-answer", _UNASKED, get(), twice, script=(Answer(OK + _POISON),)),
        second("unasked-garbage", _UNASKED, get(), twice, script=(Answer(OK + b"garbage"),)),
        second("retry-get", _RETRY, get(), retried, script=on_reused),
        second(
            "retry-options",
            _RETRY,
            b"OPTIONS / HTTP/1.1\r\nHost: erp.test\r\n\r\n",
            retried,
            script=on_reused,
        ),
        second("retry-not-post", _RETRY, form, *not_retried, script=on_reused),
        second(
            "retry-not-patch",
            _RETRY,
            form.replace(b"POST", b"PATCH"),
            *not_retried,
            script=on_reused,
        ),
        second("retry-not-begun", _RETRY, get(), *not_retried, script=(Answer(), partly)),
        second(
            "retry-once",
            _RETRY,
            get(),
            Expect(_OK, also=(502,), reached=3),
            script=(Answer(), _SILENT, _SILENT),
        ),
        one(
            "retry-not-fresh", _RETRY, get(), Expect(frozenset({502}), reached=1), script=(_SILENT,)
        ),
        second("race-get", _RACE, get(), raced, script=(Answer(then=CLOSE),), play=_after_the_end),
        second("race-post", _RACE, form, raced, script=(Answer(then=CLOSE),), play=_after_the_end),
        second(
            "race-idle-time",
            _RACE,
            get(),
            raced,
            play=_outlives,
            site=QUICK,
            cuts=False,
            peers=False,
        ),
        second(
            "race-learned",
            _RACE,
            get(),
            raced,
            script=(Answer(OK.replace(b"\r\n\r\n", b"\r\nKeep-Alive: timeout=1\r\n\r\n")),),
            play=_outlives,
            cuts=False,
            limit_s=4.0,
        ),
        one(
            "connect-timeout",
            _CONNECT,
            get(host=_DEAD),
            Expect(frozenset({502}), reached=0, within_s=2.5),
            site=QUICK,
            cuts=False,
        ),
        one(
            "none-healthy",
            _NOWHERE,
            get(host=_NOBODY),
            Expect(
                frozenset({503}), fate=STAYS, reached=0, told=(b"Retry-After: ",), within_s=0.25
            ),
        ),
        one(
            "all-busy",
            _NOWHERE,
            get(),
            Expect(frozenset({503}), reached=0, told=(b"Retry-After: ",), within_s=0.25),
            script=(Answer(b""),) * 4,
            play=_crowd,
            site=QUICK,
            cuts=False,
        ),
    ]


def _ask_both(scene: Scene, client: Client, first: bytes, second: bytes) -> Got:
    if first:
        client.send(scene.cut(first))
        client.wait_answers(1, scene.limit_s)
    client.send(scene.cut(second))
    client.wait_answers(2, scene.limit_s)
    return scene.got(client.saw(client.fate(1.0)))


def _halves(sends: bytes) -> tuple[bytes, bytes]:
    """The first request, a head alone, and the second."""
    first, end, second = sends.partition(b"\r\n\r\n")
    return first + end, second


def _one_then_other(scene: Scene) -> Got:
    """The second request when the first is answered."""
    with scene.client() as client:
        return _ask_both(scene, client, *_halves(scene.row.sends))


def _used(take: Take) -> Line:
    """The connection that the last whole request came on."""
    return next(line for line in reversed(take.lines) if take.marks[line.number] < line.parsed)


def _poisoned(scene: Scene) -> Got:
    """An answer that nobody asked for, once the connection is idle; then the next request."""
    first, second = _halves(scene.row.sends)
    with scene.client() as client:
        client.send(scene.cut(first))
        client.wait_answers(1, scene.limit_s)
        scene.wait_reached(1)
        line = _used(scene.take)
        scene.recorder.say(line, _POISON)
        dropped = scene.recorder.wait_for(lambda _: line.ended, 1.0)
        got = _ask_both(scene, client, b"", second)
    return scene.got(got.saw, "" if dropped else "the connection was kept")


def _after_the_end(scene: Scene) -> Got:
    """The endpoint has ended the connection, and the proxy has had time to hear of it."""
    first, second = _halves(scene.row.sends)
    with scene.client() as client:
        client.send(scene.cut(first))
        client.wait_answers(1, scene.limit_s)
        scene.recorder.wait_for(lambda take: _used(take).ended, 0.3)
        return _ask_both(scene, client, b"", second)


def _outlives(scene: Scene) -> Got:
    """The proxy must close the idle connection before the endpoint would, in 1 s and a half."""
    first, second = _halves(scene.row.sends)
    with scene.client() as client:
        client.send(scene.cut(first))
        client.wait_answers(1, scene.limit_s)
        scene.wait_reached(1)
        line = _used(scene.take)
        closed = scene.recorder.wait_for(lambda _: line.ended, 1.5)
        got = _ask_both(scene, client, b"", second)
    return Got(
        got.saw,
        got.reached if closed else (),
        got.streams,
        got.faults,
        notes=("closed in time" if closed else "stayed open",),
    )


def _crowd(scene: Scene) -> Got:
    """As many requests as there may be connections, none answered; then one more."""
    crowd = [scene.client() for _ in range(4)]
    try:
        for client in crowd:
            client.send([scene.row.sends])
        full = scene.wait_reached(4)
        with scene.client() as client:
            client.send([scene.row.sends])
            client.wait_answers(1, scene.limit_s)
            got = scene.got(client.saw(client.fate(0.3)))
    finally:
        for client in crowd:
            client.sock.close()
    reached = got.reached[4:] if full else got.reached
    return Got(got.saw, reached, got.streams, got.faults)


ROWS: Final = tuple(_rows())
