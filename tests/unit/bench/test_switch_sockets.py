"""WebSockets of a turn: who survived, who was told goodbye, who came back where."""

from bench.switch.frames import CLOSE, TEXT, code_of, frame, take
from bench.switch.history import Drain, History, SocketEvent, Switch, What
from bench.switch.survival import survival
from proxy.routing.model import Slot
from tests.support.frames import frame as other_frame
from tests.support.frames import goodbye

BLUE, GREEN = Slot.BLUE, Slot.GREEN
SWITCHES = (Switch(1.0, 1.1, GREEN),)


def event(what: What, at: float, number: int = 0, slot: Slot = BLUE, code: int = 0) -> SocketEvent:
    return SocketEvent(what, at, number, "acme", slot, code)


def history(*events: SocketEvent, drain: Drain | None = None) -> History:
    return History({"acme": BLUE}, SWITCHES, (), events, drain)


def test_who_is_open_all_along_has_survived() -> None:
    found = survival(history(event(What.OPENED, 0.5), event(What.OPENED, 0.6, 1)))
    assert (found.opened, found.survived, found.away) == (2, 2, 0)
    assert (found.drained, found.left) == (None, None)
    assert not found.closes


def test_ends_are_counted_by_their_code_and_by_how_long_until_they_were_back() -> None:
    found = survival(
        history(
            event(What.OPENED, 0.5),
            event(What.CLOSED, 1.2, code=1012),
            event(What.REFUSED, 1.21),
            event(What.OPENED, 1.25, slot=GREEN),
            event(What.OPENED, 0.5, 1),
            event(What.LOST, 1.3, 1),
        )
    )
    assert found.closes == {1012: 1, 0: 1}
    assert [round(ms) for ms in found.reconnect_ms] == [50]
    assert (found.opened, found.survived, found.away, found.astray) == (2, 0, 1, 0)


def test_who_comes_back_to_the_old_slot_after_the_ack_is_astray() -> None:
    ended = event(What.CLOSED, 1.2, code=1012)
    assert survival(history(event(What.OPENED, 0.5), ended, event(What.OPENED, 1.3))).astray == 1
    during = event(What.CLOSED, 1.05, code=1012)
    assert survival(history(event(What.OPENED, 0.5), during, event(What.OPENED, 1.3))).astray == 0


def test_what_the_drain_ended_has_survived_the_switches() -> None:
    drain = Drain(BLUE, 2.0, 3.0, left=1)
    found = survival(
        history(
            event(What.OPENED, 0.5),
            event(What.CLOSED, 2.1, code=1001),
            event(What.OPENED, 2.2, slot=GREEN),
            drain=drain,
        )
    )
    assert (found.survived, found.drained, found.left) == (1, 1, 1)


def test_frames_are_taken_whole_wherever_they_are_cut() -> None:
    wire = other_frame(TEXT, b"hi" * 300) + goodbye(1012, b"moved", mask=b"\x01\x02\x03\x04")
    for cut in range(len(wire)):
        buffer, found = bytearray(), []
        for part in (wire[:cut], wire[cut:]):
            buffer += part
            found += take(buffer)
        assert [opcode for opcode, _ in found] == [TEXT, CLOSE]
        assert found[0][1] == b"hi" * 300
        assert code_of(found[1][1]) == 1012
        assert not buffer


def test_a_masked_frame_reads_as_it_was_written() -> None:
    assert take(bytearray(frame(TEXT, b"hi", masked=True))) == [(TEXT, b"hi")]
    assert code_of(b"") == 1005
