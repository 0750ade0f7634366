"""Upgraded connections: bytes relayed both ways, whatever they mean.

Rules: each side reads only as fast as the other writes; the end of one direction is passed on
and leaves the other open; when one connection is gone the other is closed after its last byte.
"""

import asyncio
from collections.abc import Callable

from proxy import telemetry
from proxy.parties import Upgraded
from proxy.services import Services
from proxy.telemetry import Group


class Side(asyncio.Protocol):
    """One end of a tunnel; what arrives here is written to the other."""

    __slots__ = ("_tunnel", "ended", "other", "transport")

    def __init__(self, tunnel: "Tunnel", transport: asyncio.Transport) -> None:
        self._tunnel = tunnel
        self.transport = transport
        self.other: Side = self
        self.ended = False

    def data_received(self, data: bytes) -> None:
        self.other.transport.write(data)
        self._tunnel.touch()

    def eof_received(self) -> bool:
        """Half-closed: the other direction goes on, if it has not ended before."""
        self.ended = True
        if self.other.ended or not self._half_closes:
            self._tunnel.close()
            return False
        if not self.other.transport.is_closing():
            self.other.transport.write_eof()
        return True

    @property
    def _half_closes(self) -> bool:
        """TLS transports end both directions at once."""
        return self.transport.can_write_eof() and self.other.transport.can_write_eof()

    def connection_lost(self, error: Exception | None) -> None:
        self._tunnel.side_lost(self, error)

    def pause_writing(self) -> None:
        if not self.other.transport.is_closing():
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if not self.other.transport.is_closing():
            self.other.transport.resume_reading()


class Tunnel:
    """Two joined connections. deadline: monotonic seconds; past it both are closed.

    endpoint: hears of the end of its connection as if it were still its protocol. on_close:
    called once when both sides are gone.
    """

    def __init__(
        self,
        services: Services,
        client: asyncio.Transport,
        endpoint: Upgraded,
        group: Group,
        on_close: Callable[[], None],
    ) -> None:
        self._services = services
        self._on_close = on_close
        self._upgraded = endpoint
        self._open = 2
        self._closing = False
        self._counts = group.values
        self.client, self.endpoint = Side(self, client), Side(self, endpoint.transport)
        self.client.other, self.endpoint.other = self.endpoint, self.client
        client.set_protocol(self.client)
        endpoint.transport.set_protocol(self.endpoint)
        self._counts[telemetry.TUNNELS] += 1
        self._counts[telemetry.TUNNELS_OPENED] += 1
        self.touch()

    def touch(self) -> None:
        """Something was relayed: not idle."""
        if not self._closing:
            self.deadline = self._services.now + self._services.bounds.tunnel_idle_s

    def side_lost(self, side: Side, error: Exception | None) -> None:
        """One connection is gone: flush and close the other."""
        if side is self.endpoint:
            self._upgraded.connection_lost(error)
        self._open -= 1
        if self._open:
            self._close_within_limit(side.other)
        else:
            self._counts[telemetry.TUNNELS] -= 1
            self._on_close()

    def close(self) -> None:
        """Close both sides after their last bytes."""
        self._close_within_limit(self.client, self.endpoint)

    def sweep(self, now: float) -> None:
        """Act on a deadline that has passed. now: monotonic seconds."""
        if now < self.deadline:
            return
        if self._closing:
            # Who takes no bytes never lets the flush end.
            self.client.transport.abort()
            self.endpoint.transport.abort()
        else:
            self.close()

    def _close_within_limit(self, *sides: Side) -> None:
        self._closing = True
        self.deadline = self._services.now + self._services.bounds.linger_s
        for side in sides:
            side.transport.close()
