"""What every exchange of one worker shares. Made by the worker, read by the parts."""

from time import monotonic

from proxy.affinity.affinities import Affinities
from proxy.census.rules import Devices
from proxy.config import Limits, Settings, Timeouts
from proxy.exchange.fence import Fence
from proxy.exchange.parking import Parking
from proxy.http1.parser import RequestParser
from proxy.observability.fault_log import FaultLog
from proxy.observability.notes import Observing
from proxy.observability.telemetry import Block
from proxy.router import Router
from proxy.routing.model import RoutingTable
from proxy.upstream.slots import Slots

_IDS_IN_A_ROW = 256
_LAST_DIGITS = tuple(b"%02x" % number for number in range(_IDS_IN_A_ROW))


class Bounds:
    """The time-outs (seconds) and limits that requests meet; see config/turnout.toml.

    A copy of the settings: reading an attribute of this class costs next to nothing when the
    data plane is compiled.
    """

    __slots__ = (
        "answer_idle_s",
        "body_bytes",
        "body_idle_s",
        "chunk_overhead_bytes",
        "first_byte_s",
        "head_bytes",
        "head_s",
        "keep_alive_s",
        "linger_s",
        "request_line_bytes",
        "tunnel_idle_s",
        "write_idle_s",
    )

    def __init__(self, timeouts: Timeouts, limits: Limits) -> None:
        self.head_s = timeouts.head_s
        self.body_idle_s = timeouts.body_idle_s
        self.write_idle_s = timeouts.write_idle_s
        self.keep_alive_s = timeouts.keep_alive_s
        self.linger_s = timeouts.linger_s
        self.first_byte_s = timeouts.first_byte_s
        self.answer_idle_s = timeouts.answer_idle_s
        self.tunnel_idle_s = timeouts.tunnel_idle_s
        self.request_line_bytes = limits.request_line_bytes
        self.head_bytes = limits.head_bytes
        self.chunk_overhead_bytes = limits.chunk_overhead_bytes
        self.body_bytes = limits.body_bytes


class Services:
    """The parts, the settings, and the little state that exchanges share.

    now: monotonic seconds, renewed by the worker's sweep, for deadlines that need no better.
    draining: this worker takes no new connections and ends the kept ones. request_id_prefix:
    makes this worker's request ids unlike any other's. observing: what is noted of requests.
    parking: those that wait for a switch to end. fence: what is under way of whom it holds.
    affinities: where keys belong; None without rules. devices: of whom a census is taken; None
    without rules.
    """

    __slots__ = (
        "_first_digits",
        "_ids",
        "affinities",
        "block",
        "bounds",
        "devices",
        "draining",
        "faults",
        "fence",
        "now",
        "observing",
        "parking",
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
        observing: Observing,
    ) -> None:
        self.settings = settings
        self.bounds = Bounds(settings.timeouts, settings.limits)
        self.router = router
        self.slots = slots
        self.block = block
        self.requests = requests
        self.request_id_prefix = request_id_prefix
        self.now = monotonic()
        self.draining = False
        self.observing = observing
        self.affinities: Affinities | None = None
        self.devices: Devices | None = None
        self.parking = Parking(settings.parking, router)
        self.fence = Fence(tuple([group.admission for group in slots.groups]))
        self.faults = FaultLog()
        self._ids = 0
        self._first_digits = b""

    def use(self, table: RoutingTable) -> None:
        """From the return of this call on every request is decided by this table."""
        self.slots.update(table.endpoints)
        self.router.swap(table)
        self.fence.swap(table)
        self.parking.look()

    def lease(self, leased: bool) -> None:
        """Whether this worker's lease runs, from the return of this call on."""
        self.router.lease(leased)
        self.parking.look()

    def next_request_id(self) -> bytes:
        """A request id that no other request of this installation has."""
        number = self._ids
        self._ids = number + 1
        last = number % _IDS_IN_A_ROW
        if last == 0:
            self._first_digits = b"%b%08x" % (self.request_id_prefix, number // _IDS_IN_A_ROW)
        return self._first_digits + _LAST_DIGITS[last]
