"""Where the events of a text/event-stream end (WHATWG HTML §9.2.6).

An event ends with an empty line; a line with CR LF, LF or CR, and a stream may mix them. Nothing is
kept of it but its last bytes.
"""

import re
from typing import Final

# Two ends of lines; a CR before an LF is not one by itself.
_EVENT_END: Final = re.compile(rb"(?:\r\n|\n|\r(?!\n))(?:\r\n|\n|\r)")
_TAIL: Final = 4  # of the longest end of an event
_BOUNDARY: Final = re.compile(_EVENT_END.pattern + rb"\Z")


class EventStream:
    """One answer's events. ending: it is to end where the event under way does.

    device: who listens, by the census; None: not asked yet.
    """

    __slots__ = ("_tail", "device", "ending")

    def __init__(self) -> None:
        self._tail = b""
        self.ending = False
        self.device: str | None = None

    @property
    def at_boundary(self) -> bool:
        """Whether no event is under way."""
        return not self._tail or _BOUNDARY.search(self._tail) is not None

    def feed(self, data: bytes) -> None:
        """This is relayed."""
        self._tail = (self._tail + data)[-_TAIL:] if len(data) < _TAIL else data[-_TAIL:]

    def end_in(self, data: bytes) -> int:
        """How much of these bytes belongs to the event under way; -1 if it does not end in them."""
        before = len(self._tail)
        for found in _EVENT_END.finditer(self._tail + data):
            if found.end() > before:
                return found.end() - before
        return -1


def is_event_stream(content_type: bytes) -> bool:
    """Whether a Content-Type's value names one."""
    return content_type.partition(b";")[0].strip(b" \t").lower() == b"text/event-stream"


def retry_hint(millis: int) -> bytes:
    """What tells a client how soon to come back: no event, only a field. Empty for 0."""
    return b"retry: %d\n\n" % millis if millis else b""
