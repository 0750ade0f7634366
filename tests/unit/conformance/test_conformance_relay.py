"""The harness itself at a proxy that copies bytes: what it must not let pass turns red."""

from collections.abc import Iterator

import pytest

from conformance import catalogue, scene
from conformance.cutting import CUTS, byte_by_byte, whole
from conformance.recorder import Answer, Recorder
from conformance.rows.row import Expect, Row, get, one
from tests.support.relay import Relay

LIMIT_S = 0.3

# Each stands for a kind of check.
MUST_FAIL = (
    "hop-named",
    "chunk-extensions",
    "chunk-17-digits",
    "trailer-host",
    "forwarded-replaced",
    "tenant-replaced",
    "alias-tenant",
    "absolute-http",
    "options-star",
    "trace",
    "upgrade-h2c",
    "expect-unknown",
    "pipeline-of-three",
    "line-over-8k",
    "answer-101-unasked",
    "answer-two-lengths",
    "answer-chunk-extensions",
    "retry-get",
    "unasked-bytes",
    "early-answer",
)
MUST_PASS = (
    "answer-102",
    "chunk-upper-case",
    "path-dots",
    "answer-chunked",
    "answer-short-of-length",
    "host-port",
)


@pytest.fixture(scope="module")
def relay() -> Iterator[tuple[Relay, Recorder]]:
    recorder = Recorder()
    relay = Relay(recorder.port)
    yield relay, recorder
    relay.close()
    recorder.close()


def played(row: Row, relay: tuple[Relay, Recorder], cut: str = "whole") -> list[str]:
    way = {"whole": whole, "bytes": byte_by_byte}[cut]
    got = scene.run(row, relay[0].port, relay[1], way, LIMIT_S)
    return row.faults(got)


@pytest.mark.parametrize("row_id", MUST_FAIL)
def test_a_row_turns_red_where_nothing_is_checked(
    row_id: str, relay: tuple[Relay, Recorder]
) -> None:
    (row,) = catalogue.rows(frozenset({row_id}))
    assert played(row, relay)


@pytest.mark.parametrize("cut", ["whole", "bytes"])
@pytest.mark.parametrize("row_id", MUST_PASS)
def test_a_row_is_green_where_copying_is_right(
    row_id: str, cut: str, relay: tuple[Relay, Recorder]
) -> None:
    (row,) = catalogue.rows(frozenset({row_id}))
    assert played(row, relay, cut) == []


@pytest.mark.parametrize(
    ("expected", "fault"),
    [
        (Expect(frozenset({400})), "answered [200]"),
        (Expect(fate=frozenset({"closed"})), "the connection is kept"),
        (Expect(reached=0), "1 requests reached the endpoint"),
        (Expect(reached=2), "1 requests reached the endpoint"),
        (Expect(target=b"/other"), "the target became b'/a'"),
        (Expect(body=b"x"), "the body became b''"),
        (Expect(fields=(("X-A", None),)), "X-A is [b'Value']"),
        (Expect(fields=(("X-A", b"other"),)), "X-A is [b'Value']"),
        (Expect(absent=(b"VALUE",)), "b'VALUE' was sent on"),
        (Expect(told=(b"more",)), "the client is not told b'more'"),
        (Expect(untold=(b"OK",)), "the client is told b'OK'"),
        (Expect(answer_body=b"no"), "the answer's body is [b'ok']"),
        (Expect(interims=(103,)), "interim answers []"),
        (Expect(cut=True), "the broken answer looks whole"),
        (Expect(after_s=5.0), "came after"),
        (Expect(within_s=0.0), "took"),
        (Expect(frozenset({200}), also=(200,)), "answered [200]"),
    ],
)
def test_each_part_of_an_expectation_is_looked_at(
    expected: Expect, fault: str, relay: tuple[Relay, Recorder]
) -> None:
    row = one("a-row", "a case", get(b"X-A: Value", target=b"/a"), expected)
    (found,) = played(row, relay)
    assert fault in found


def test_an_answer_cut_short_is_no_whole_answer(relay: tuple[Relay, Recorder]) -> None:
    script = (Answer(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok", then="close"),)
    row = one("a-row", "a case", get(), Expect(frozenset({200})), script=script)
    assert played(row, relay) == ["the answer is not whole"]


def test_one_expectation_of_several_is_enough(relay: tuple[Relay, Recorder]) -> None:
    row = one("a-row", "a case", get(), Expect(frozenset({400})), Expect(frozenset({200})))
    assert played(row, relay) == []


def test_what_reaches_the_endpoint_smuggled_is_seen(relay: tuple[Relay, Recorder]) -> None:
    row = one("a-row", "a case", get(target=b"/1") + get(target=b"/2"), Expect(reached=1))
    assert "2 requests reached the endpoint" in played(row, relay)


def test_rows_have_a_case_and_words() -> None:
    assert all(row.case and row.words for row in catalogue.ROWS)


def test_every_way_of_cutting_gives_all_bytes(seeded_random) -> None:
    data = bytes(range(256)) * 40
    for cut in CUTS.values():
        assert b"".join(cut(seeded_random)(data)) == data


def test_an_unknown_row_and_an_unknown_proxy_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match="no row is called nonsense"):
        catalogue.rows(frozenset({"nonsense"}))
    with pytest.raises(ValueError, match="no proxy is called squid"):
        catalogue.peers(frozenset({"squid"}))
