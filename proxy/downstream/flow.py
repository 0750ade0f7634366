"""Reading from the client stops and goes on for more than one reason at a time."""

import asyncio


class Gate:
    """Pauses a transport's reading while any of its reasons holds. Reasons are single bits."""

    __slots__ = ("_transport", "reasons")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self.reasons = 0

    def close(self, reason: int) -> None:
        """Stop reading for this reason."""
        if not self.reasons and not self._transport.is_closing():
            self._transport.pause_reading()
        self.reasons |= reason

    def open(self, reason: int) -> None:
        """This reason is gone; read on if it was the last."""
        if not self.reasons & reason:
            return
        self.reasons &= ~reason
        if not self.reasons and not self._transport.is_closing():
            self._transport.resume_reading()
