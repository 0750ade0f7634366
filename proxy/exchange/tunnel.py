"""Tunnels: two joined connections, bytes relayed both ways, whatever they mean.

Rules:
1. Each side reads only as fast as the other writes. The end of one direction is passed on and
   leaves the other open. When one connection is gone the other ends after its last byte; a client
   that still sends is read on for a while: closing would reset the connection under bytes that it
   has not read yet (RFC 9112 §9.6 says so of HTTP).
2. `TRANSITIONS` is a tunnel's whole life; nothing but `_advance` changes its state.
3. Frames are looked at only between WebSockets, and only for where they end. In their place a
   Close frame is put in only where two frames meet, once a direction; nothing is relayed after
   it, but what comes is still read, for the peer's own Close frame may be in it.
"""

import asyncio
import secrets
from collections.abc import Callable
from enum import IntEnum
from typing import Final

from proxy.exchange.services import Services
from proxy.last_words import unread
from proxy.observability import telemetry
from proxy.observability.telemetry import Group
from proxy.parties import Upgraded
from proxy.websocket import FrameTracker, close_frame, text_frame


class State(IntEnum):
    """Where a tunnel stands."""

    OPEN = 0
    ENDING = 1  # both peers say goodbye, or are asked to; the time for it runs
    CLOSING = 2  # both connections are closed after their last byte; the time for it runs
    GONE = 3  # both connections are lost


class Event(IntEnum):
    """What happens to a tunnel."""

    END = 0  # Close frames are put in, or both peers have sent theirs
    CLOSE = 1  # a connection is gone, or closing was asked for, or goodbye was said or took long
    LOST = 2  # the second connection is gone


TRANSITIONS: Final = {
    (State.OPEN, Event.END): State.ENDING,
    (State.OPEN, Event.CLOSE): State.CLOSING,
    (State.OPEN, Event.LOST): State.GONE,
    (State.ENDING, Event.END): State.ENDING,
    (State.ENDING, Event.CLOSE): State.CLOSING,
    (State.ENDING, Event.LOST): State.GONE,
    (State.CLOSING, Event.END): State.CLOSING,
    (State.CLOSING, Event.CLOSE): State.CLOSING,
    (State.CLOSING, Event.LOST): State.GONE,
}
_NEXT: Final = tuple(
    tuple(int(TRANSITIONS.get((state, event), -1)) for event in Event) for state in State
)
_OPEN: Final = int(State.OPEN)
_CLOSING: Final = int(State.CLOSING)
_END: Final = int(Event.END)
_CLOSE: Final = int(Event.CLOSE)
_LOST: Final = int(Event.LOST)


class Side(asyncio.Protocol):
    """One end of a tunnel; what arrives here is written to the other.

    other: the other end, until both are gone. ended: no more will arrive. muted: what arrives is
    not written any more. frames: None unless this is a WebSocket. goodbye: the Close frame that
    is to be put in before the next frame. last_message: a frame that goes before it, unless a
    message is under way. taken: bytes that arrived.
    """

    __slots__ = (
        "_tunnel",
        "ended",
        "frames",
        "goodbye",
        "last_message",
        "muted",
        "other",
        "taken",
        "transport",
    )
    __deletable__ = ("_tunnel", "other")  # mypyc's

    def __init__(
        self, tunnel: "Tunnel", transport: asyncio.Transport, frames: FrameTracker | None
    ) -> None:
        self._tunnel = tunnel
        self.transport = transport
        self.frames = frames
        self.goodbye = b""
        self.last_message = b""
        self.other: Side = self
        self.ended = False
        self.muted = False
        self.taken = 0

    def data_received(self, data: bytes) -> None:
        self.taken += len(data)
        self._tunnel.touch()
        frames = self.frames
        if self.muted or self.goodbye:
            self._last_data(data)
        elif frames is None:
            self.other.transport.write(data)
        else:
            taken = frames.feed(data)
            self.other.transport.write(data if taken == len(data) else data[:taken])
            if frames.closed:
                self._tunnel.heard_close(self)

    def _last_data(self, data: bytes) -> None:
        """Relay what belongs to the frame under way; then say goodbye, and only listen."""
        frames = self.frames
        if frames is None:
            return
        if not self.muted:
            taken = frames.feed(data, one_frame=True)
            self.other.transport.write(data[:taken])
            data = data[taken:]
            self.say_goodbye()
        if self.muted:
            frames.feed(data)
        if frames.closed:
            self._tunnel.heard_close(self)

    def say_goodbye(self) -> None:
        """Put the Close frame in, if frames meet here. Never after the peer's own, or its end."""
        frames, other = self.frames, self.other.transport
        if frames is None or not frames.at_boundary or self.ended or self.muted:
            return
        if not frames.closed and not other.is_closing():
            # RFC 6455 §5.4: within a message in fragments only control frames may stand.
            other.write(self.goodbye if frames.in_message else self.last_message + self.goodbye)
        self.mute()

    def mute(self) -> None:
        """Relay nothing more; read on, whatever the other takes."""
        self.muted = True
        if not self.ended and not self.transport.is_closing() and not self.transport.is_reading():
            self.transport.resume_reading()

    @property
    def is_done(self) -> bool:
        """Whether nothing more is waited for from here."""
        return self.ended or self.frames is None or self.frames.closed or self.frames.lost

    def eof_received(self) -> bool:
        """Half-closed: the other direction goes on, if it has not ended before."""
        self.ended = True
        if self.other.ended or not self._half_closes:
            self._tunnel.close()
            return False
        # After our own goodbye it would only hurry the peer's answer.
        if not (self.muted and self.goodbye) and not self.other.transport.is_closing():
            self.other.transport.write_eof()
        self._tunnel.side_done()
        return True

    @property
    def _half_closes(self) -> bool:
        """TLS transports end both directions at once."""
        return self.transport.can_write_eof() and self.other.transport.can_write_eof()

    def connection_lost(self, error: Exception | None) -> None:
        if error is not None and not self.ended and not self.other.transport.is_closing():
            for data in unread(self.transport):
                self.data_received(data)
        self.ended = True
        self._tunnel.side_lost(self, error)

    def part(self) -> None:
        """Both ends are gone: they know each other no more, so that nothing waits for the collector."""
        del self._tunnel, self.other

    def pause_writing(self) -> None:
        if not self.other.muted and not self.other.transport.is_closing():
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if not self.other.muted and not self.other.transport.is_closing():
            self.other.transport.resume_reading()


class Tunnel:
    """Two joined connections. deadline: monotonic seconds; past it both are closed.

    endpoint: hears of the end of its connection as if it were still its protocol. on_close:
    called once when both sides are gone. idle_s: how long both may be silent. framed: these are
    WebSockets.
    """

    __slots__ = (
        "_counts",
        "_idle_s",
        "_left",
        "_on_close",
        "_services",
        "_upgraded",
        "client",
        "deadline",
        "endpoint",
        "state",
    )

    def __init__(
        self,
        services: Services,
        client: asyncio.Transport,
        endpoint: Upgraded,
        group: Group,
        on_close: Callable[[], None],
        *,
        idle_s: float,
        framed: bool = False,
    ) -> None:
        self._services = services
        self._on_close = on_close
        self._upgraded = endpoint
        self._left = 2
        self._idle_s = idle_s
        self._counts = group.values
        self.state = _OPEN
        self.deadline = services.now + idle_s
        self.client = Side(self, client, FrameTracker(masked=True) if framed else None)
        self.endpoint = Side(
            self, endpoint.transport, FrameTracker(masked=False) if framed else None
        )
        self.client.other, self.endpoint.other = self.endpoint, self.client
        client.set_protocol(self.client)
        endpoint.transport.set_protocol(self.endpoint)
        self._counts[telemetry.TUNNELS] += 1
        self._counts[telemetry.TUNNELS_OPENED] += 1

    def __repr__(self) -> str:
        return f"<Tunnel {State(self.state).name} {self.client.frames} {self.endpoint.frames}>"

    def _advance(self, event: int) -> None:
        following = _NEXT[self.state][event]
        if following < 0:
            raise RuntimeError(f"a tunnel in {State(self.state).name} can't take {event}")
        self.state = following

    def touch(self) -> None:
        """Something was relayed: not idle."""
        if self.state == _OPEN:
            self.deadline = self._services.now + self._idle_s

    @property
    def is_framed(self) -> bool:
        """Whether these are WebSockets."""
        return self.client.frames is not None

    @property
    def is_open(self) -> bool:
        """Whether nothing has begun to end it."""
        return self.state == _OPEN

    @property
    def idle_since(self) -> float:
        """When the last byte went by, if it is open; monotonic seconds."""
        return self.deadline - self._idle_s

    def close_frames(self, code: int, reason: str, last_message: str = "") -> None:
        """Say goodbye to both WebSockets with this code, each where its frames meet.

        last_message: a text that the client gets before; without one if it is empty.
        Ends when both have answered, or after `timeouts.linger_s`. What isn't a WebSocket, or
        no longer in frames, is closed.
        """
        if self.state != _OPEN:
            return
        if self.client.is_done and self.endpoint.is_done:
            self.close()
            return
        self._end_within_limit()
        # What the endpoint sends reaches the client: there a server speaks, and a client here.
        self.endpoint.goodbye = close_frame(code, reason)
        self.endpoint.last_message = text_frame(last_message) if last_message else b""
        self.client.goodbye = close_frame(code, reason, secrets.token_bytes(4))
        self.endpoint.say_goodbye()
        self.client.say_goodbye()

    def heard_close(self, side: Side) -> None:
        """This side's Close frame has gone by: RFC 6455 §7.1.1, the server ends the connection."""
        side.mute()
        self.side_done()

    def side_done(self) -> None:
        """If nothing more is waited for from either side, the end is near."""
        if not (self.client.is_done and self.endpoint.is_done):
            return
        if self.client.goodbye or self._left < 2:
            self.close()
        elif self.client.frames is not None and self.state == _OPEN:
            self._end_within_limit()

    def _end_within_limit(self) -> None:
        self._advance(_END)
        self.deadline = self._services.now + self._services.bounds.linger_s

    def side_lost(self, side: Side, error: Exception | None) -> None:
        """One connection is gone: flush and close the other."""
        if side is self.endpoint:
            self._upgraded.connection_lost(error)
        self._left -= 1
        if not self._left:
            self._advance(_LOST)
            self._counts[telemetry.TUNNELS] -= 1
            self._on_close()
            self.client.part()
            self.endpoint.part()
        elif side is self.client or side.other.ended or self.state == _CLOSING:
            self._close_within_limit(side.other)
        else:
            self._linger()

    def _linger(self) -> None:
        """The endpoint is gone, and its last bytes may not have reached the client."""
        self._end_within_limit()
        client = self.client
        if client.transport.is_closing():
            return
        if client.transport.can_write_eof():
            client.transport.write_eof()
            client.mute()
        else:
            client.transport.close()  # TLS has no half-close; close_notify follows the last byte

    def close(self) -> None:
        """Close both sides after their last bytes."""
        self._close_within_limit(self.client, self.endpoint)

    def sweep(self, now: float) -> None:
        """Act on a deadline that has passed. now: monotonic seconds."""
        if now < self.deadline:
            return
        if self.state == _CLOSING:
            # Who takes no bytes never lets the flush end.
            self.client.transport.abort()
            self.endpoint.transport.abort()
        else:
            self.close()

    def _close_within_limit(self, *sides: Side) -> None:
        self._advance(_CLOSE)
        self.deadline = self._services.now + self._services.bounds.linger_s
        for side in sides:
            side.transport.close()
