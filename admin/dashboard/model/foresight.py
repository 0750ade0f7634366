"""What a change will do, in numbers, for the page that asks whether it is meant."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from admin.api.canary_messages import MoveItem, WhatIfState
from admin.api.messages import CensusPage
from admin.dashboard.model.words import counted, percent, thousands

SHOWN = 20
"""Moves that are listed."""


@dataclass(frozen=True, slots=True)
class Foresight:
    """What is said before a change. version: of the table it was made from. refusal: why it would
    be refused, empty if it wouldn't. moves: the first tenants that would move; more: how many more.
    """  # noqa: D205 - one sentence a field

    version: int | None
    says: list[str]
    refusal: str = ""
    moves: list[MoveItem] = field(default_factory=list)
    more: int = 0


@dataclass(frozen=True, slots=True)
class Connections:
    """Long connections of those who would move, on the slot that they leave. None: not measured."""

    devices: int
    connections: int
    is_all: bool


def connections_of(census: CensusPage, moves: Sequence[MoveItem]) -> Connections | None:
    """Those of a census' page. None if no worker tells who is connected."""
    if not census.taken:
        return None
    leaving = {move.tenant: move.from_slot for move in moves}
    here = [each for each in census.items if leaving.get(each.tenant) == each.slot]
    is_all = census.next is None and not census.unknown
    return Connections(len(here), sum(each.connections for each in here), is_all)


def foresee(found: WhatIfState, connections: Connections | None, says: Iterable[str]) -> Foresight:
    """The what-if and the census as sentences."""
    sentences = [*says, _moving(found), _traffic(found)]
    if found.moving:
        sentences.append(_connected(connections))
    return Foresight(
        found.version,
        sentences,
        found.refusal or "",
        found.moves[:SHOWN],
        max(0, found.moving - SHOWN),
    )


def _moving(found: WhatIfState) -> str:
    if not found.moving:
        return f"None of {counted(found.known, 'known tenant')} moves."
    directions: dict[tuple[str, str], int] = {}
    for move in found.moves:
        way = (move.from_slot, move.to_slot)
        directions[way] = directions.get(way, 0) + 1
    text = f"{counted(found.moving, 'tenant')} of {thousands(found.known)} known"
    if len(directions) == 1:
        before, after = next(iter(directions))
        verb = "moves" if found.moving == 1 else "move"
        return f"{text} {verb} from {before} to {after}."
    return f"{text} {'is' if found.moving == 1 else 'are'} routed differently."


def _traffic(found: WhatIfState) -> str:
    if not found.requests:
        return "Traffic of the last hour: not measured."
    text = f"They made {percent(found.moving_percent)} of the last hour's"
    text += f" {counted(found.requests, 'request')}"
    if found.moving_others_percent:
        text += f"; {percent(found.moving_others_percent)} of tenants without figures may move too"
    return f"{text}."


def _connected(connections: Connections | None) -> str:
    if connections is None:
        return "Their open device connections: not measured; no worker names devices."
    least = "" if connections.is_all else "at least "
    if not connections.devices:
        return f"None of their devices is connected{', as far as is known' if least else ''}."
    stays = "stays where it is" if connections.connections == 1 else "stay where they are"
    return (
        f"{least}{counted(connections.connections, 'connection')} of"
        f" {counted(connections.devices, 'device')} {stays} until a drain."
    ).capitalize()
