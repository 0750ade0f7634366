"""Frame boundaries, found in bytes that come as they like; against a reader of whole frames."""

import random
import struct
from itertools import pairwise

import pytest

from proxy.websocket import MAX_REASON_BYTES, FrameTracker, close_frame, is_close_code
from tests.support.frames import CLOSE, CONTINUATION, PING, PONG, TEXT, frame

KEY = b"\x11\x22\x33\x44"
SIZES = (0, 1, 2, 125, 126, 127, 255, 256, 1000, 65535, 65536, 70_000)


def cuts(data: bytes, source: random.Random) -> list[bytes]:
    places = sorted(source.randrange(len(data) + 1) for _ in range(source.randrange(12)))
    return [data[a:b] for a, b in pairwise([0, *places, len(data)])]


def follow(tracker: FrameTracker, pieces: list[bytes]) -> int:
    return sum(tracker.feed(piece) for piece in pieces)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("size", SIZES)
def test_a_frame_ends_where_its_header_says(size: int, masked: bool) -> None:
    data = frame(TEXT, b"x" * size, mask=KEY if masked else b"")
    tracker = FrameTracker(masked=masked)
    for index in range(len(data)):
        if index < 40 or index > len(data) - 40:
            assert tracker.at_boundary is (index == 0)
            assert tracker.left <= len(data) - index
        if index >= 16 and not tracker.at_boundary:
            assert tracker.left == len(data) - index
        assert tracker.feed(data[index : index + 1]) == 1
        assert len(tracker._head) <= 9
    assert tracker.at_boundary
    assert tracker.opcode == TEXT
    assert tracker.left == 0


@pytest.mark.parametrize("masked", [False, True])
def test_many_frames_cut_anywhere_are_followed(masked: bool, seeded_random: random.Random) -> None:
    for _ in range(200):
        tracker = FrameTracker(masked=masked)
        frames, in_message = [], False
        for _ in range(seeded_random.randrange(1, 9)):
            if seeded_random.random() < 0.3:
                control = seeded_random.choice((PING, PONG))
                payload, fin = seeded_random.randbytes(seeded_random.randrange(126)), True
                frames.append(frame(control, payload, mask=KEY if masked else b""))
                continue
            fin = seeded_random.random() < 0.6
            opcode = CONTINUATION if in_message else TEXT
            payload = seeded_random.randbytes(seeded_random.choice(SIZES[:-3]))
            rsv = seeded_random.randrange(8)
            frames.append(frame(opcode, payload, mask=KEY if masked else b"", fin=fin, rsv=rsv))
            in_message = not fin
        data = b"".join(frames)
        assert follow(tracker, cuts(data, seeded_random)) == len(data)
        assert tracker.at_boundary, data
        assert tracker.in_message is in_message
        # And one by one: the next boundary is where the frame under way ends.
        again, begun = FrameTracker(masked=masked), seeded_random.randrange(1, len(frames[0]))
        assert again.feed(data[:begun]) == begun
        assert again.feed(data[begun:], one_frame=True) == len(frames[0]) - begun
        assert again.at_boundary


def test_the_first_boundary_is_found_from_a_header_that_was_cut() -> None:
    data = frame(TEXT, b"x" * 70_000) + frame(TEXT, b"y")
    for begun in range(1, 12):
        tracker = FrameTracker(masked=False)
        tracker.feed(data[:begun])
        assert tracker.feed(data[begun:], one_frame=True) == 70_010 - begun


def test_a_close_frame_ends_what_is_taken(seeded_random: random.Random) -> None:
    for _ in range(50):
        first, goodbye = frame(TEXT, b"a", fin=False), frame(CLOSE, b"\x03\xe8bye")
        data = first + goodbye + frame(TEXT, b"after")
        tracker = FrameTracker(masked=False)
        taken = follow(tracker, cuts(data, seeded_random))
        assert taken == len(first + goodbye)
        assert tracker.closed
        assert not tracker.lost
        assert tracker.feed(b"more") == 0


def test_a_close_frame_without_a_payload() -> None:
    tracker = FrameTracker(masked=False)
    assert tracker.feed(b"\x88\x00\x81") == 2
    assert tracker.closed
    again = FrameTracker(masked=False)
    assert (again.feed(b"\x88"), again.feed(b"\x00"), again.feed(b"\x81")) == (1, 1, 0)
    assert again.closed


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param(bytes((0x80 | opcode, 0x00)), id=f"opcode {opcode}")
        for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)
    ]
    + [
        pytest.param(b"\x82\x7f\x80" + bytes(7), id="64-bit length with the top bit"),
        pytest.param(b"\x89\x7e\x00\x7e", id="control frame over 125"),
        pytest.param(b"\x88\x7f" + bytes(8), id="close with a long length"),
        pytest.param(b"\x09\x00", id="control frame in fragments"),
        pytest.param(b"\x08\x00", id="close in fragments"),
    ],
)
@pytest.mark.parametrize("masked", [False, True])
def test_what_breaks_the_framing_loses_the_boundary(wrong: bytes, masked: bool) -> None:
    if masked:
        wrong = bytes((wrong[0], wrong[1] | 0x80)) + wrong[2:]
    good = frame(TEXT, b"good", mask=KEY if masked else b"")
    for pieces in ([good + wrong + b"on"], [good, *(bytes((byte,)) for byte in wrong), b"on"]):
        tracker = FrameTracker(masked=masked)
        assert follow(tracker, pieces) == len(good + wrong) + 2, "it stays transparent"
        assert tracker.lost
        assert not tracker.at_boundary
        assert tracker.feed(b"\x88\x00more") == 6
        assert not tracker.closed


@pytest.mark.parametrize("masked", [False, True])
def test_a_mask_in_the_wrong_direction_loses_the_boundary(masked: bool) -> None:
    tracker = FrameTracker(masked=not masked)
    assert tracker.feed(frame(TEXT, b"x", mask=KEY if masked else b"")) > 0
    assert tracker.lost


def test_nothing_of_a_payload_is_kept() -> None:
    tracker = FrameTracker(masked=False)
    tracker.feed(b"\x82\x7f" + struct.pack("!Q", (1 << 63) - 1))
    for _ in range(1000):
        tracker.feed(b"x" * 65536)
    assert tracker.left == (1 << 63) - 1 - 65_536_000
    assert not tracker._head


def test_close_frames_are_written_for_each_direction() -> None:
    assert close_frame(1001, "going away") == b"\x88\x0c\x03\xe9going away"
    masked = close_frame(1001, "bye", KEY)
    assert masked[:6] == b"\x88\x85" + KEY
    assert bytes(b ^ KEY[i % 4] for i, b in enumerate(masked[6:])) == b"\x03\xe9bye"
    for data, is_masked in ((close_frame(4000, "x" * MAX_REASON_BYTES), False), (masked, True)):
        tracker = FrameTracker(masked=is_masked)
        assert tracker.feed(data) == len(data)
        assert tracker.closed


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65536])
def test_codes_that_no_frame_carries_are_refused(code: int) -> None:
    assert not is_close_code(code)
    with pytest.raises(ValueError):
        close_frame(code, "")


def test_a_reason_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError):
        close_frame(1001, "ü" * 62)
