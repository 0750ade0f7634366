"""The life of an exchange, as a table.

`TRANSITIONS` is all of it. `Exchange` looks each step up in `NEXT`, the same table as rows of
plain integers, for looking up a member of an enum costs more than the step itself.
"""

from enum import IntEnum
from typing import Final


class State(IntEnum):
    """Where an exchange stands."""

    IDLE = 0  # no request
    CLAIMING = 1  # a request; no connection to an endpoint yet
    AWAITING = 2  # its head was sent; no final answer yet
    RELAYING = 3  # an answer is being sent to the client
    TUNNEL = 4  # the protocol was switched; the tunnel has both sides
    ENDED = 5  # the client's connection is closing
    QUEUED = 6  # a request; the slot is full, and it waits its turn
    PARKED = 7  # a request; a switch holds its tenant
    BINDING = 8  # a request; where its keys belong is being asked
    STORING = 9  # an answer has begun; the keys that it bears are being stored


class Event(IntEnum):
    """What happens to an exchange."""

    REQUEST = 0  # a request's head was read
    SENT = 1  # it was sent on a connection
    RETRY = 2  # that came to nothing, and it may be sent again
    ANSWER = 3  # an answer begins, the endpoint's or our own
    SWITCH = 4  # the endpoint agreed to another protocol
    NEXT = 5  # the answer is complete
    CLOSE = 6  # a side is gone, or the answer broke off
    QUEUE = 7  # the slot is full
    TURN = 8  # there is room in it
    PARK = 9  # a switch holds its tenant
    UNPARK = 10  # the switch is over
    BIND = 11  # its keys are not known here
    BOUND = 12  # where they belong is known
    STORE = 13  # an answer begins that bears keys


TRANSITIONS: Final = {
    (State.IDLE, Event.REQUEST): State.CLAIMING,
    (State.IDLE, Event.CLOSE): State.ENDED,
    (State.CLAIMING, Event.SENT): State.AWAITING,
    (State.CLAIMING, Event.RETRY): State.CLAIMING,
    (State.CLAIMING, Event.ANSWER): State.RELAYING,
    (State.CLAIMING, Event.CLOSE): State.ENDED,
    (State.CLAIMING, Event.QUEUE): State.QUEUED,
    (State.CLAIMING, Event.PARK): State.PARKED,
    (State.PARKED, Event.UNPARK): State.CLAIMING,
    (State.PARKED, Event.ANSWER): State.RELAYING,
    (State.PARKED, Event.CLOSE): State.ENDED,
    (State.CLAIMING, Event.BIND): State.BINDING,
    (State.BINDING, Event.BOUND): State.CLAIMING,
    (State.BINDING, Event.ANSWER): State.RELAYING,
    (State.BINDING, Event.CLOSE): State.ENDED,
    (State.QUEUED, Event.TURN): State.CLAIMING,
    (State.QUEUED, Event.ANSWER): State.RELAYING,
    (State.QUEUED, Event.CLOSE): State.ENDED,
    (State.AWAITING, Event.RETRY): State.CLAIMING,
    (State.AWAITING, Event.ANSWER): State.RELAYING,
    (State.AWAITING, Event.STORE): State.STORING,
    (State.STORING, Event.ANSWER): State.RELAYING,
    (State.STORING, Event.CLOSE): State.ENDED,
    (State.AWAITING, Event.SWITCH): State.TUNNEL,
    (State.AWAITING, Event.CLOSE): State.ENDED,
    (State.RELAYING, Event.NEXT): State.IDLE,
    (State.RELAYING, Event.CLOSE): State.ENDED,
    (State.TUNNEL, Event.CLOSE): State.ENDED,
}

NEXT: Final = tuple(
    tuple(int(TRANSITIONS.get((state, event), -1)) for event in Event) for state in State
)
"""NEXT[state][event]: the state that follows; -1 where the table has none."""

IDLE: Final = int(State.IDLE)
CLAIMING: Final = int(State.CLAIMING)
AWAITING: Final = int(State.AWAITING)
RELAYING: Final = int(State.RELAYING)
TUNNEL: Final = int(State.TUNNEL)
ENDED: Final = int(State.ENDED)
QUEUED: Final = int(State.QUEUED)
PARKED: Final = int(State.PARKED)
BINDING: Final = int(State.BINDING)
STORING: Final = int(State.STORING)

REQUEST: Final = int(Event.REQUEST)
SENT: Final = int(Event.SENT)
RETRY: Final = int(Event.RETRY)
ANSWER: Final = int(Event.ANSWER)
SWITCH: Final = int(Event.SWITCH)
NEXT_REQUEST: Final = int(Event.NEXT)
CLOSE: Final = int(Event.CLOSE)
QUEUE: Final = int(Event.QUEUE)
TURN: Final = int(Event.TURN)
PARK: Final = int(Event.PARK)
UNPARK: Final = int(Event.UNPARK)
BIND: Final = int(Event.BIND)
BOUND: Final = int(Event.BOUND)
STORE: Final = int(Event.STORE)

UNANSWERED: Final = frozenset({CLAIMING, PARKED, BINDING, QUEUED, AWAITING})
"""A request is under way and nothing of its answer was sent."""
ANSWERED: Final = frozenset({STORING, RELAYING, ENDED})
OVER: Final = frozenset({IDLE, ENDED})
UNDER_WAY: Final = frozenset({CLAIMING, PARKED, BINDING, QUEUED, AWAITING, STORING, RELAYING})
