"""What became of the WebSockets of a turn. Pure."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bench.switch.history import History, SocketEvent, What


@dataclass(frozen=True, slots=True)
class Survival:
    """opened: how many there were before the first switch.

    survived: of them, those that the switches left alone. closes: code of the close frame → how
    often; 0: without one. reconnect_ms: from each end to the next opening, of those that were opened
    again. astray: opened again in another slot than the last switch named. away: not back at the end.
    drained, left: what the drain after the switches ended, and what it left; None without one.
    """

    opened: int
    survived: int
    closes: Mapping[int, int]
    reconnect_ms: Sequence[float] = field(repr=False)
    astray: int = 0
    away: int = 0
    drained: int | None = None
    left: int | None = None


def survival(history: History) -> Survival:
    """What became of them, by what their own clients saw."""
    first = min((switch.asked for switch in history.switches), default=0.0)
    by_number: dict[int, list[SocketEvent]] = {}
    for event in sorted(history.events, key=lambda each: each.at):
        by_number.setdefault(event.number, []).append(event)
    early = [own for own in by_number.values() if own[0].what is What.OPENED and own[0].at < first]
    drain = history.drain
    until = drain.begun if drain else float("inf")
    ends = [event for event in history.events if event.what in {What.CLOSED, What.LOST}]
    again = [pair for own in by_number.values() for pair in _reopened(own)]
    return Survival(
        opened=len(early),
        survived=sum(all(e.what is What.OPENED or e.at >= until for e in own) for own in early),
        closes=Counter(event.code for event in ends),
        reconnect_ms=[(back.at - end.at) * 1000 for end, back in again],
        astray=sum(_is_astray(history, end, back) for end, back in again),
        away=sum(own[-1].what is not What.OPENED for own in by_number.values()),
        drained=None if drain is None else sum(event.at >= drain.begun for event in ends),
        left=None if drain is None else drain.left,
    )


def _reopened(own: Sequence[SocketEvent]) -> list[tuple[SocketEvent, SocketEvent]]:
    """(its end, its next opening) of one WebSocket."""
    pairs: list[tuple[SocketEvent, SocketEvent]] = []
    ended: SocketEvent | None = None
    for event in own:
        if event.what is What.OPENED:
            pairs.extend([(ended, event)] if ended else [])
            ended = None
        elif ended is None:
            ended = event
    return pairs


def _is_astray(history: History, ended: SocketEvent, opened: SocketEvent) -> bool:
    """Elsewhere than the last switch says, although it was opened anew after its ack."""
    concerning = [each for each in history.switches if each.tenant in {None, opened.tenant}]
    if not concerning or ended.at <= concerning[-1].acked:
        return False
    return opened.slot is not concerning[-1].to
