"""Where an exchange goes: past the switch that holds its tenant, into its slot, to an endpoint.

Rules:
1. What was claimed is given back in one place, `_release`; but the endpoint itself as soon as it
   has failed, for another is claimed then.
2. A request is sent at most twice, and a second time only within the slot's retry budget: if its
   connection could not be made, for then nothing was sent; or if it is repeatable (GET, HEAD,
   OPTIONS without a body) and its reused connection ended before a byte of answer.
"""

from typing import Final

from proxy import parties
from proxy.exchange.parking import FULL as PARKING_FULL
from proxy.exchange.services import Services
from proxy.exchange.states import IDLE, NEXT, PARK, QUEUE, RETRY, SENT, TURN, UNPARK, Event, State
from proxy.http1 import reply as replies
from proxy.http1.head import RequestHead
from proxy.http1.reply import LocalReply
from proxy.observability.telemetry import LOCAL
from proxy.parties import Client
from proxy.router import NOWHERE, Held, Route
from proxy.upstream.admission import ADMITTED, WAIT, Place
from proxy.upstream.cluster import Cluster
from proxy.upstream.connection import EndpointConnection
from proxy.upstream.pool import Claim, Pool

_MAX_ATTEMPTS: Final = 2
NO_HEAD: Final = RequestHead()


class Placing(parties.Exchange):
    """See the module. `Exchange` is the rest of it: what is sent and what comes back.

    state: of `states.State`.
    """

    __slots__ = (
        "_admitted",
        "_attempts",
        "_bounds",
        "_claim",
        "_client",
        "_connection",
        "_ended",
        "_endpoint_full",
        "_endpoint_paused",
        "_failed",
        "_group",
        "_head",
        "_held",
        "_notes",
        "_parked",
        "_place",
        "_pool",
        "_received",
        "_repeatable",
        "_request_bytes",
        "_request_done",
        "_request_id",
        "_route",
        "_services",
        "_slot",
        "_tenant",
        "state",
    )

    def __init__(self, services: Services, client: Client) -> None:
        self._services = services
        self._client = client
        self._bounds = services.bounds
        self._notes = services.observing.notes(client)
        self.state = IDLE
        # The request that is under way.
        self._head = NO_HEAD
        self._route = NOWHERE
        self._request_id = b""
        self._request_bytes = b""
        self._request_done = False
        self._repeatable = False
        self._received = 0  # bytes of its body
        self._held: list[bytes] = []  # that wait for a connection
        self._group = services.block.groups[LOCAL]  # where it is counted
        # What it holds.
        self._parked = False
        self._tenant: str | None = None  # as which it is parked
        self._slot: Cluster
        self._place: Place | None = None
        self._admitted = False
        self._attempts = 0
        self._pool: Pool | None = None
        self._failed: Pool | None = None  # the one claimed before
        self._claim: Claim | None = None
        self._connection: EndpointConnection | None = None
        self._endpoint_paused = False
        self._endpoint_full = False
        self._ended = 0.0

    def __repr__(self) -> str:
        return f"<Exchange {State(self.state).name} {self._head.method!r} {self._pool}>"

    def _advance(self, event: int) -> None:
        following = NEXT[self.state][event]
        if following < 0:
            state, taken = State(self.state).name, Event(event).name
            raise RuntimeError(f"an exchange in {state} can't take {taken}")
        self.state = following

    def _reply(self, refusal: LocalReply, why: str = "") -> None:
        """Answer here instead of an endpoint. why: what is to be logged beside it."""
        raise NotImplementedError

    def _carry_out(self, found: Route) -> None:
        """Send it where it belongs."""
        raise NotImplementedError

    def under_way(self) -> Route | None:
        """Where it is under way, or stands in line; None: nowhere."""
        return self._route if self._admitted or self._place is not None else None

    def _unparked(self, found: Route) -> None:
        """Go on with it: a switch is over."""
        raise NotImplementedError

    # ── a switch ──────────────────────────────────────────────────────────────────────────────

    def _park(self, tenant: str | None) -> None:
        """Wait for the switch that holds the tenant to end."""
        parking = self._services.parking
        size = sum([len(data) for data in (*self._head.lines, *self._held)])
        if not parking.takes(size):
            self._reply(PARKING_FULL)
            return
        self._advance(PARK)
        self._parked = True
        self._tenant = tenant
        self._client.deadline = self._services.now + parking.limits.wait_s
        parking.park(self, tenant, size)

    def _park_more(self, data: bytes) -> None:
        """A piece of its body has come meanwhile."""
        parking = self._services.parking
        if not parking.grow(self, self._tenant, len(data)):
            self._reply(PARKING_FULL)
            return
        self._held.append(data)
        if self._received > parking.limits.body_bytes:
            self._client.hold()

    def unpark(self) -> bool:
        """Go on, as the table has it now. False: there is no room in the slot yet."""
        services = self._services
        found = services.router.route_parked(self._tenant, self._request_id)
        if isinstance(found, Held):
            return False
        if isinstance(found, LocalReply):
            self._reply(found)
            return True
        if not services.slots.groups[found.slot_number].has_room_for(found.tenant_line):
            return False
        services.parking.leave(self, self._tenant)
        self._parked = False
        self._advance(UNPARK)
        self._group.in_flight -= 1
        self._unparked(found)
        return True

    # ── the slot ──────────────────────────────────────────────────────────────────────────────

    def _enter(self) -> None:
        """Be let into the slot, stand in line for it, or be refused by a limit."""
        route = self._route
        self._slot = slot = self._services.slots.groups[route.slot_number]
        slot.budget.requests += 1
        verdict = slot.admission.admit(route.tenant_line)
        if verdict == ADMITTED:
            self._admitted = True
            self._send(None)
        elif verdict == WAIT:
            self._stand_in_line()
        else:
            self._reply(slot.refused(verdict))

    def _stand_in_line(self) -> None:
        """The body, if there is one, is not read meanwhile: see `request_body`."""
        tenant = self._route.tenant_line
        if self._admitted:
            self._admitted = False
            self._slot.admission.leave(tenant)
        place = self._slot.wait(self, tenant)
        if isinstance(place, LocalReply):
            self._reply(place)
        else:
            self._place = place
            self._advance(QUEUE)

    def turn(self) -> None:
        """There is room in the slot."""
        self._place = None
        self._admitted = True
        self._advance(TURN)
        bounds = self._bounds
        limit_s = bounds.first_byte_s if self._request_done else bounds.body_idle_s
        self._client.deadline = self._services.now + limit_s
        self._send(None)

    def waited_too_long(self) -> None:
        """There was none in time."""
        self._place = None
        self._reply(replies.QUEUE_TIMEOUT)

    # ── the endpoint and the connection ───────────────────────────────────────────────────────

    def _send(self, avoid: Pool | None, *, fresh: bool = False) -> None:
        """Claim an endpoint and a connection. fresh: not one that was used before."""
        slot = self._slot
        pool = slot.claim(avoid)
        if pool is None:
            if slot.balance.busy and not self._attempts:
                self._stand_in_line()
            else:
                self._reply(slot.refusal(avoid))
            return
        self._pool = pool
        self._attempts += 1
        if self._notes is not None:
            self._notes.tries(pool.endpoint)
        connection = None
        if not fresh:
            connection = pool.take(self._repeatable)
        if connection is not None:
            self._send_on(connection)
        elif pool.full:
            self._reply(replies.ALL_BUSY)
        else:
            self._claim = pool.connect(self)

    def _send_on(self, connection: EndpointConnection) -> None:
        self._advance(SENT)
        self._connection = connection
        if self._notes is not None:
            self._notes.connected()
        connection.begin(self, self._head.method, self._request_bytes)
        if self._held:
            for data in self._held:
                connection.transport.write(data)
            self._held.clear()
            self._client.release()

    def connected(self, connection: EndpointConnection) -> None:
        """A new connection is made."""
        self._claim = None
        self._send_on(connection)

    def connect_failed(self) -> None:
        """The endpoint can't be reached: nothing was sent, so another may take it."""
        self._claim = None
        failed = self._pool
        self._blame()
        self._unclaim()
        if self._attempts < _MAX_ATTEMPTS and self._slot.may_retry(failed):
            self._advance(RETRY)
            self._send(failed)
        else:
            self._reply(replies.CONNECT_FAILED)

    def _repeat(self) -> None:
        """Send it once more: the connection had idled, and ended without a byte of answer."""
        self._unclaim()
        self._advance(RETRY)
        if self._attempts < _MAX_ATTEMPTS and self._slot.may_retry(None):
            self._send(None, fresh=True)
        else:
            self._reply(replies.NO_ANSWER)

    def _unclaim(self) -> None:
        if self._pool is not None:
            self._failed = self._pool
            self._pool.in_flight -= 1
            self._pool = None

    def _blame(self) -> None:
        """The endpoint failed this request."""
        if self._pool is not None:
            self._slot.failed(self._pool, self._services.now)

    def _let_endpoint_go_on(self, connection: EndpointConnection) -> None:
        if self._endpoint_paused:
            self._endpoint_paused = False
            connection.transport.resume_reading()

    # ── giving back ───────────────────────────────────────────────────────────────────────────

    def _release(self, reusable: bool) -> None:
        """Give back what was claimed. reusable: the connection's request was sent whole."""
        pool, connection = self._pool, self._connection
        if connection is None:
            self._stop_waiting()
        else:
            self._connection = None
            left = 0
            if self._received:
                # An early answer may leave bytes of a body behind that nobody waits for.
                left = connection.transport.get_write_buffer_size()
            if not reusable or pool is None or connection.closed or left:
                connection.close()
            else:
                if self._endpoint_paused:
                    self._let_endpoint_go_on(connection)
                pool.give_back(connection, self._ended)
            self._endpoint_paused = False
        if self._received:
            self._received = 0
            self._endpoint_full = False
        if pool is not None:
            pool.in_flight -= 1
            self._pool = None
        if self._admitted:
            self._admitted = False
            self._slot.leave(self._route.tenant_line)
        self._group.in_flight -= 1

    def _stop_waiting(self) -> None:
        """For a connection, or in line."""
        if self._claim is not None:
            self._claim.cancel()
            self._claim = None
        if self._place is not None:
            self._slot.give_up(self._place)
            self._place = None
        if self._parked:
            self._parked = False
            self._services.parking.leave(self, self._tenant)
        if self._held:
            self._held.clear()
            self._client.release()
