"""The judge: the strict reading, its comparison with other readers, and the vectors' verdicts."""

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from conformance import catalogue, options, report, vectors
from conformance.client import Saw
from conformance.peers.turnout import Turnout
from conformance.readers import disagreements
from conformance.reading import read_answers, read_requests
from conformance.rows.row import CHUNKED, Expect, Got, get, one, post
from conformance.run import Result
from conformance.vectors import Judged, Vector

GOOD = {
    "get": get(),
    "length": post(b"Content-Length: 5", body=b"hello"),
    "chunked": post(CHUNKED, body=b'5;a="b"\r\nhello\r\n0\r\nX-Trailed: a\r\n\r\n'),
    "http-1.0": b"GET / HTTP/1.0\r\n\r\n",
    "two": get(target=b"/1") + get(target=b"/2"),
}
BAD = {
    "two-lengths": post(b"Content-Length: 5", b"Content-Length: 5", body=b"hello"),
    "length-and-coding": post(b"Content-Length: 5", CHUNKED, body=b"0\r\n\r\n"),
    "signed-length": post(b"Content-Length: +5", body=b"hello"),
    "coding": post(b"Transfer-Encoding: gzip, chunked", body=b"0\r\n\r\n"),
    "chunk-size": post(CHUNKED, body=b"00000000000000005\r\nhello\r\n0\r\n\r\n"),
    "chunk-lf": post(CHUNKED, body=b"5\nhello\r\n0\r\n\r\n"),
    "chunk-end": post(CHUNKED, body=b"5\r\nhello!!0\r\n\r\n"),
    "no-host": get(host=b""),
    "two-hosts": get(b"Host: other.test"),
    "fold": get(b"X-A: a\r\n b"),
    "bare-lf": get(b"X-A: a\nX-B: b"),
    "bare-cr": get(b"X-A: a\rb"),
    "nul": get(b"X-A: a\0"),
    "name": get(b"X A: a"),
    "version": b"GET / HTTP/1.2\r\nHost: a\r\n\r\n",
    "spaces": b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
    "empty-line": b"\r\n" + get(),
}


@pytest.mark.parametrize("name", GOOD)
def test_valid_requests_are_read_alike(name: str) -> None:
    assert not read_requests(GOOD[name]).fault
    assert disagreements(GOOD[name], None) == []


@pytest.mark.parametrize("name", BAD)
def test_what_two_readers_could_take_differently_is_a_fault(name: str) -> None:
    assert read_requests(BAD[name]).fault
    assert disagreements(BAD[name], None)


def test_a_message_that_is_not_whole_is_left() -> None:
    for data in (
        get()[:-1],
        post(b"Content-Length: 5", body=b"hell"),
        post(CHUNKED, body=b"5\r\nhel"),
    ):
        reading = read_requests(get() + data)
        assert (len(reading.messages), reading.rest, reading.fault) == (1, data, "")


def test_what_a_recipient_may_repair_can_be_allowed() -> None:
    assert len(read_requests(BAD["two-lengths"], repairs=True).messages) == 1
    assert read_requests(BAD["length-and-coding"], repairs=True).fault
    assert len(read_requests(b"\r\n\r\n" + get() + b"\r\n" + get(), repairs=True).messages) == 2


@pytest.mark.parametrize(
    ("data", "method", "reset", "whole"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", b"GET", False, True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok", b"GET", False, False),
        (b"HTTP/1.1 200 OK\r\n\r\nok", b"GET", False, True),
        (b"HTTP/1.1 200 OK\r\n\r\nok", b"GET", True, False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", b"HEAD", True, True),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n", b"GET", False, False),
    ],
)
def test_whether_an_answer_came_to_its_end(
    data: bytes, method: bytes, reset: bool, whole: bool
) -> None:
    (answer,) = read_answers(data, [method], ended=True, reset=reset).messages
    assert answer.whole is whole


def got(*streams: bytes, statuses: tuple[int, ...] = (200,), fate: str = "kept") -> Got:
    answers = b"".join(b"HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n" % each for each in statuses)
    reading = read_answers(answers, [b"GET"], ended=False)
    reached = tuple(message for stream in streams for message in read_requests(stream).messages)
    return Got(Saw(reading.messages, fate, 0.0, answers), reached, streams)


@pytest.mark.parametrize(
    ("expect", "given", "passed"),
    [
        ("reject", got(statuses=(400,), fate="closed"), True),
        ("reject", got(statuses=(), fate="closed"), True),
        ("reject", got(statuses=(), fate="open"), False),
        ("reject-or-wait", got(statuses=(), fate="open"), True),
        ("reject", got(get()), False),
        ("reject", got(get(), statuses=(400,)), False),
        ("reject-or-wait", got(), False),
        ("safe", got(get()), True),
        ("safe", got(statuses=(400,)), True),
        ("safe", got(BAD["length-and-coding"]), False),
        ("safe", got(BAD["two-hosts"]), False),
    ],
)
def test_a_vector_is_judged(expect: str, given: Got, passed: bool) -> None:
    assert (vectors.judge(Vector("an-id", "", expect), given, None) == []) is passed


def test_places_are_filled_in_and_bytes_stay_bytes() -> None:
    vector = Vector("an-id", "GET /\xff HTTP/1.1\r\n%H%X: %HOST%\r\n\r\n", "safe")
    assert (
        vector.data
        == b"GET /\xff HTTP/1.1\r\nHost: erp.test\r\nX-Tenant-ID: acme\r\nX: erp.test\r\n\r\n"
    )


def test_only_a_refusal_can_be_explained() -> None:
    vector = Vector("MAL-URL-PERCENT-NULL", "", "safe")
    refused = Judged("f", vector, "turnout", "", ("nginx refuses it: answered 400",))
    misread = Judged("f", vector, "turnout", "", ("nginx reads 2, not 1",))
    other = Judged("f", Vector("other", "", "safe"), "turnout", "", refused.faults)
    assert [each.passed for each in (refused, misread, other)] == [True, False, False]


def test_a_folder_without_vectors_is_said(tmp_path: Path) -> None:
    (tmp_path / "else.json").write_text('{"keys": []}')
    with pytest.raises(ValueError, match="holds no file of vectors"):
        vectors.load(tmp_path)
    (tmp_path / "some.json").write_text(json.dumps([{"id": "a", "raw": "GET", "expect": "safe"}]))
    assert [vector.id for vector in vectors.load(tmp_path)["some"]] == ["a"]
    with pytest.raises(ValueError, match="with these ids"):
        vectors.load(tmp_path, frozenset({"b"}))


def outcome() -> report.Outcome:
    row = one("a-row", "a | case", get(), Expect(frozenset({200})))
    runs = {
        "whole": (got(get()), ()),
        "bytes": (got(statuses=(400,)), ("answered [400]",)),
    }
    return report.Outcome(
        [Turnout()], {"nginx": "nginx is not installed"}, 7, 1.0, [Result(row, "turnout", runs)]
    )


def test_a_run_that_fails_says_where_and_by_which_cut(tmp_path: Path) -> None:
    failed = outcome()
    assert not failed.passed
    assert failed.scores() == {"turnout": {"rows": "0/1"}}
    written, page = report.write(failed, tmp_path)
    document = json.loads(written.read_text())
    assert document["passed"] is False
    assert document["rows"][0]["got"] == {
        "whole": "200, kept; 1 reached",
        "bytes": "400, kept; 0 reached",
    }
    text = page.read_text()
    assert "✗ whole: 200, kept; 1 reached \\| bytes: 400" in text
    assert "nginx is left out: nginx is not installed" in text
    assert "a \\| case" in text


def test_the_table_shows_row_expected_and_got() -> None:
    console = Console(record=True, width=160, file=io.StringIO())
    report.show(outcome(), console, everything=False)
    shown = console.export_text()
    for text in ("a-row", "200", "✗ whole: 200", "Turnout: rows 0/1", "seed 7"):
        assert text in shown


def test_options() -> None:
    asked = options.parse(
        ["--only", "turnout,nginx", "--row", "cl-te", "--row", "te-cl", "--seed", "3"]
    )
    assert asked.only == {"turnout", "nginx"}
    assert [row.id for row in catalogue.rows(asked.rows)] == ["cl-te", "te-cl"]
    assert (asked.seed, asked.vectors, asked.as_json) == (3, None, False)


def test_a_connection_to_the_endpoint_that_must_go_and_stays_is_a_fault() -> None:
    kept = Got(got().saw, left=1)
    assert Expect(dropped=True).faults(kept) == ["the connection to the endpoint is kept"]
    assert Expect(dropped=True).faults(got()) == []


def test_the_page_counts_by_case() -> None:
    assert report.by_case(outcome()) == [("a | case", "1", "0/1: not a-row")]
