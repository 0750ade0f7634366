"""The fuzzer's harness: the kept corpus, and random inputs in a bounded number.

`make fuzz` looks for more, guided by coverage. What it finds is kept in tests/corpus.
"""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support import fuzzing, through
from tests.support.fuzzing import BYTES, ENDS, PIECES, TRUSTED, encode, play
from tests.support.request_strategies import answers, streams

CORPUS = sorted((Path(__file__).parents[2] / "corpus").iterdir())


@pytest.mark.parametrize("path", [pytest.param(path, id=path.name) for path in CORPUS])
def test_the_corpus_holds(path: Path) -> None:
    data = path.read_bytes()
    for flags in (0, TRUSTED, ENDS, BYTES, PIECES, TRUSTED | ENDS | BYTES):
        play(bytes([flags]) + data[1:])


@settings(deadline=None)
@given(client=streams(), answer=answers(), flags=st.integers(0, 15))
def test_random_inputs_hold(client: bytes, answer: bytes, flags: int) -> None:
    play(encode(client, answer, flags))


@settings(deadline=None)
@given(data=st.binary(max_size=200))
def test_noise_holds(data: bytes) -> None:
    play(data)


def test_an_input_is_client_and_endpoint() -> None:
    get = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    assert play(encode(get)).client.startswith(b"HTTP/1.1 200 OK\r\n")
    refused = play(encode(get, b"HTTP/1.1 403 No\r\n\r\n", ENDS))
    assert refused.client.startswith(b"HTTP/1.1 403 No\r\n")


def test_a_fault_of_the_data_plane_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The harness itself: with a worker that sends on a smuggled request, or makes up an answer."""
    get = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"

    def twice(data: bytes, **_: object) -> through.Passed:
        return through.Passed((data + data,), b"")

    def made_up(data: bytes, **_: object) -> through.Passed:
        head = b"HTTP/1.1 200 OK\r\nX-Turnout-Slot: blue\r\nContent-Length: 4\r\n\r\n"
        return through.Passed((data,), head + b"evil")

    for worker, told in ((twice, "no client asked"), (made_up, "no endpoint answered")):
        monkeypatch.setattr(fuzzing, "through", worker)
        with pytest.raises(AssertionError, match=told):
            play(encode(get))
