"""Bytes of clients put through one worker's data plane, and what must hold of what it sends on."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from conformance.readers import REFUSES, NginxReader, disagreements
from conformance.reading import Message, read_answers, read_requests
from tests.support.wire import Wire, table, whole

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
MANY_TURNS = 64
SMALL = {"limits": {"body_bytes": 4096, "head_bytes": 2048, "request_line_bytes": 512}}
"""Limits that random bytes reach."""


@dataclass(frozen=True)
class Passed:
    """What went through. streams: the bytes of each connection to an endpoint.

    client: what the client got. ended: its connection has ended, or was cut (reset).
    """

    streams: tuple[bytes, ...]
    client: bytes
    ended: bool = False
    reset: bool = False

    @property
    def requests(self) -> list[Message]:
        return [each for stream in self.streams for each in read_requests(stream).messages]


def through(
    data: bytes,
    *,
    cut: Callable[[bytes], Iterable[bytes]] = whole,
    trusted: bool = False,
    answer: bytes = OK,
    ends: bool = False,
) -> Passed:
    """A client sends these bytes; endpoints answer each whole request with `answer`.

    ends: the endpoint ends its connection after that. The wire's own checks hold after every
    step: no error, counters as they must be, and zero in the end.
    """
    with Wire(cut, trusted=trusted, settings=SMALL, routing=table(blue=1)) as wire:
        wire.client.sends(data)
        answered: Counter[int] = Counter()
        for _ in range(MANY_TURNS):
            if not _answer(wire, answered, answer, ends=ends):
                break
        wire.later(0.0)
        streams = tuple(bytes(endpoint.transport.arrived) for endpoint in wire.endpoints)
        client = wire.client
        return Passed(streams, bytes(client.transport.arrived), client.closed, client.aborted)


def _answer(wire: Wire, answered: Counter[int], answer: bytes, *, ends: bool) -> bool:
    """Answer what is whole and unanswered; whether there was any."""
    found = False
    for number, endpoint in enumerate(wire.endpoints):
        if endpoint.closed or endpoint.transport.is_closing():
            continue
        count = len(read_requests(bytes(endpoint.transport.arrived)).messages)
        if count > answered[number]:
            answered[number] += 1
            endpoint.sends(answer)
            if ends and not endpoint.closed:
                endpoint.ends()
            found = True
    return found


def wrong_with(data: bytes, passed: Passed, by_nginx: NginxReader | None = None) -> list[str]:
    """Why it is not safe to have sent this on; empty if it is.

    Every reader behind must read the same requests, and each of them must be one that the
    strict reading finds in what the client sent. So nothing smuggled is ever a request.
    """
    found = [
        told
        for stream in passed.streams
        for told in disagreements(stream, by_nginx)
        if not _is_harmless(told)
    ]
    asked = Counter(map(_asked, read_requests(data, repairs=True).messages))
    if len(passed.streams) > 1:  # it may have been repeated on a fresh connection, once
        asked += Counter({each: count for each, count in asked.items() if _is_repeatable(each)})
    extra = Counter(map(_sent, passed.requests)) - asked
    found.extend(f"no client asked for {each}" for each in extra)
    return found


def wrong_with_answers(data: bytes, passed: Passed, answer: bytes, *, ends: bool) -> list[str]:
    """Why it is not safe to have answered so; empty if it is.

    The client can read all that it got, and what was relayed whole is what the strict reading
    finds in the endpoint's bytes.
    """
    methods = [each.method for each in read_requests(data, repairs=True).messages]
    reading = read_answers(
        passed.client, [*methods, b"GET"], ended=passed.ended, reset=passed.reset
    )
    found = [f"the client can't read it: {reading.fault}"] if reading.fault else []
    given = {
        (each.status, each.body)
        for method in (b"GET", b"HEAD")
        for each in read_answers(answer, [method], ended=ends, repairs=True).messages
        if each.whole
    }
    for each in reading.messages:
        relayed = each.status >= 200 and each.all("X-Turnout-Slot") and each.whole
        if relayed and (each.status, each.body) not in given:
            found.append(f"no endpoint answered {each.status} {each.body!r:.60}")
    return found


def _is_harmless(told: str) -> bool:
    """A method is any token, which llhttp doesn't know; what nginx refuses it reads as nothing."""
    return told.startswith(f"nginx{REFUSES}") or f"llhttp{REFUSES}Invalid method" in told


def _asked(message: Message) -> tuple[bytes, bytes, bytes]:
    return message.method, _origin(message.target), message.body


def _is_repeatable(asked: tuple[bytes, bytes, bytes]) -> bool:
    return asked[0] in {b"GET", b"HEAD", b"OPTIONS"} and not asked[2]


def _sent(message: Message) -> tuple[bytes, bytes, bytes]:
    return message.method, message.target, message.body


def _origin(target: bytes) -> bytes:
    """Absolute-form as it is sent to an origin (RFC 9112 §3.2.2)."""
    scheme, found, rest = target.partition(b"://")
    if not found or scheme.lower() not in {b"http", b"https"}:
        return target
    ends = [place for place in (rest.find(b"/"), rest.find(b"?")) if place >= 0]
    path = rest[min(ends) :] if ends else b""
    return path if path.startswith(b"/") else b"/" + path
