"""What every exchange of one worker shares. Made by the worker, read by the parts."""

from proxy.config import Settings
from proxy.http1.parser import RequestParser
from proxy.router import Router
from proxy.telemetry import Block
from proxy.upstream.slots import Slots

_IDS_IN_A_ROW = 256
_LAST_DIGITS = tuple(b"%02x" % number for number in range(_IDS_IN_A_ROW))


class Services:
    """The parts, the settings, and the little state that exchanges share.

    now: monotonic seconds, renewed by the worker's sweep, for deadlines that need no better.
    draining: this worker takes no new connections and ends the kept ones. request_id_prefix:
    makes this worker's request ids unlike any other's.
    """

    __slots__ = (
        "_first_digits",
        "_ids",
        "block",
        "draining",
        "now",
        "request_id_prefix",
        "requests",
        "router",
        "settings",
        "slots",
    )

    def __init__(
        self,
        settings: Settings,
        router: Router,
        slots: Slots,
        block: Block,
        requests: RequestParser,
        request_id_prefix: bytes,
        now: float,
    ) -> None:
        self.settings = settings
        self.router = router
        self.slots = slots
        self.block = block
        self.requests = requests
        self.request_id_prefix = request_id_prefix
        self.now = now
        self.draining = False
        self._ids = 0
        self._first_digits = b""

    def next_request_id(self) -> bytes:
        """A request id that no other request of this installation has."""
        number = self._ids
        self._ids = number + 1
        last = number % _IDS_IN_A_ROW
        if last == 0:
            self._first_digits = b"%b%08x" % (self.request_id_prefix, number // _IDS_IN_A_ROW)
        return self._first_digits + _LAST_DIGITS[last]
