"""What every exchange of one worker shares. Made by the worker, read by the parts."""

from dataclasses import dataclass

from proxy.config import Settings
from proxy.http1.fields import FieldKinds
from proxy.router import Router
from proxy.telemetry import Block
from proxy.upstream.slots import Slots


@dataclass(slots=True)
class Services:
    """The parts, the settings, and the little state that exchanges share.

    now: monotonic seconds, renewed by the worker's sweep, for deadlines that need no better.
    draining: this worker takes no new connections and ends the kept ones. request_id_prefix:
    makes this worker's request ids unlike any other's. requests: how many ids it has given.
    """

    settings: Settings
    router: Router
    slots: Slots
    block: Block
    kinds: FieldKinds
    request_id_prefix: bytes
    now: float
    draining: bool = False
    requests: int = 0

    def next_request_id(self) -> bytes:
        """A request id that no other request of this installation has."""
        self.requests += 1
        return b"%b%010x" % (self.request_id_prefix, self.requests)
