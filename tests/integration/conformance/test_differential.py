"""What Turnout sends on, read by a real nginx behind it, by llhttp, and by the strict reading.

Most requests go through a worker in memory, a bounded number through a real process.
"""

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conformance import scene
from conformance.cutting import byte_by_byte, whole
from conformance.peers.turnout import Turnout
from conformance.readers import NginxReader, nginx_reader, strict
from conformance.rows.row import CHUNKED, PLAIN, one, post
from conformance.run import Lane, lane
from tests.support.request_strategies import CANARY, SEEDS, streams
from tests.support.through import Passed, through, wrong_with

IN_MEMORY = 150
REAL = 60
CUTS = st.sampled_from([whole, byte_by_byte])


@pytest.fixture(scope="module")
def by_nginx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NginxReader]:
    with nginx_reader(tmp_path_factory.mktemp("nginx") / "reader") as reader:
        if reader is None:
            pytest.skip("nginx is not installed: nothing to read by")
        yield reader


@pytest.fixture(scope="module")
def turnout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lane]:
    with lane(Turnout(), tmp_path_factory.mktemp("turnout"), PLAIN) as at:
        yield at


def test_nginx_reads_what_it_is_told_to(by_nginx: NginxReader) -> None:
    stream = post(b"Content-Length: 5", b"X-Tenant-ID: acme", body=b"hello") + post(
        CHUNKED, body=b"2\r\nok\r\n0\r\n\r\n"
    )
    account = by_nginx.read(stream)
    assert account.seen == strict(stream).seen
    assert account.seen[0] == (b"POST", b"/", b"hello", b"acme")


def test_a_smuggled_request_would_be_seen(by_nginx: NginxReader) -> None:
    """The check itself: bytes that no proxy may send on."""
    stream = post(
        b"Content-Length: 5", b"X: a\nTransfer-Encoding: chunked", body=b"0\r\n\r\n" + CANARY
    )
    assert wrong_with(stream, Passed((stream,), b""), by_nginx)
    plain = post(b"Content-Length: 0", body=CANARY)
    assert any("no client asked" in told for told in wrong_with(b"", Passed((plain,), b"")))


def test_every_seed_is_read_alike(by_nginx: NginxReader) -> None:
    for data in SEEDS:
        assert wrong_with(data, through(data), by_nginx) == [], data


@settings(max_examples=IN_MEMORY, deadline=None)
@given(data=streams(), cut=CUTS, trusted=st.booleans())
def test_random_requests_are_read_alike(by_nginx: NginxReader, data, cut, trusted) -> None:
    assert wrong_with(data, through(data, cut=cut, trusted=trusted), by_nginx) == []


@settings(max_examples=REAL, deadline=None)
@given(data=streams())
def test_random_requests_through_a_process_are_read_alike(
    by_nginx: NginxReader, turnout: Lane, data
) -> None:
    row = one("random", "differential", data)
    got = scene.run(row, turnout.port, turnout.recorder, whole, 0.3)
    streams_ = tuple(stream.partition(b"GET /conformance-probe")[0] for stream in got.streams)
    assert wrong_with(data, Passed(streams_, got.saw.raw), by_nginx) == []
