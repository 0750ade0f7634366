"""Where events end: whatever the line ends, however the stream is cut."""

import random

import pytest

from proxy.http1.events import EventStream, is_event_stream, retry_hint
from proxy.http1.fields import PLAIN, response_fields
from proxy.http1.parser import ResponseParser
from proxy.http1.rewrite import relays_events

ENDS = (b"\n", b"\r\n", b"\r")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"", True),
        (b"data: x", False),
        (b"data: x\n", False),
        (b"data: x\r\n", False),
        (b"data: x\r", False),
        (b"data: x\n\n", True),
        (b"data: x\r\n\r\n", True),
        (b"data: x\r\r", True),
        (b"data: x\r\n\n", True),
        (b"data: x\n\r\n", True),
        (b"data: x\r\n\r", True),
        (b"data: x\n\r", True),
        (b": a comment\n\ndata: y", False),
        (b"\n\n\n", True),
    ],
)
def test_a_boundary_is_an_empty_line(text: bytes, expected: bool) -> None:
    whole, cut = EventStream(), EventStream()
    whole.feed(text)
    for index in range(len(text)):
        cut.feed(text[index : index + 1])
    assert (whole.at_boundary, cut.at_boundary) == (expected, expected)


def test_the_event_under_way_ends_where_its_empty_line_does(seeded_random: random.Random) -> None:
    for _ in range(300):
        end = seeded_random.choice(ENDS) + seeded_random.choice(ENDS)
        if end == b"\r\n":
            continue  # one end of a line
        rest = b"data: the end" + end
        after = seeded_random.choice([b"", b"data: dropped\n\n", b"id: 7"])
        stream = EventStream()
        begun = b"data: before\n\ndata: begun " + seeded_random.choice([b"", b"\n", b"\r\ndata"])
        stream.feed(begun)
        taken, data = b"", rest + after
        while data:
            size = seeded_random.randrange(1, len(data) + 1)
            piece, data = data[:size], data[size:]
            found = stream.end_in(piece)
            stream.feed(piece)
            if found >= 0:
                taken += piece[:found]
                break
            taken += piece
        assert rest.startswith(taken)
        # Of CR LF the LF may come later; the event has ended with the CR.
        assert rest[len(taken) :] in {b"", b"\n"}
        assert taken.endswith((b"\n", b"\r"))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"text/event-stream", True),
        (b"Text/Event-Stream; charset=utf-8", True),
        (b"text/event-stream\t ;x", True),
        (b"text/event-streams", False),
        (b"text/plain; text/event-stream", False),
    ],
)
def test_a_stream_of_events_says_so(value: bytes, expected: bool) -> None:
    assert is_event_stream(value) is expected
    head = ResponseParser(response_fields()).head(b"HTTP/1.1 200 OK\r\nContent-Type: " + value)
    assert head.events is expected
    assert head.lines == [b"Content-Type: " + value]


def test_other_types_cost_an_answer_nothing() -> None:
    reader = response_fields()
    for line in (b"Content-Type: text/html", b"Content_Type: text/event-stream"):
        assert reader.read(line).kind == PLAIN
        assert line in reader.plain


def test_what_is_compressed_can_not_be_read_as_events() -> None:
    text = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-encoding: gzip"
    head = ResponseParser(response_fields()).head(text)
    assert head.events
    assert not relays_events(head)


def test_the_hint_is_no_event() -> None:
    assert (retry_hint(1_000), retry_hint(0)) == (b"retry: 1000\n\n", b"")
