"""One exchange: identify → decide → claim → send → relay → release.

Rules:
1. `states.TRANSITIONS` is its whole life; nothing but `_advance` changes `state`.
2. A request is sent at most once, but for a repeatable one (GET, HEAD, OPTIONS without a body)
   whose reused connection ended before a byte of answer, and but for any whose connection
   could not be made, for then nothing was sent. Even those are tried at most twice.
3. What was claimed is released in one place, `_release`.
4. An answer that breaks off is never made to look whole: the client's connection is cut.
One object serves all exchanges of a client's connection, one after the other.
"""

from time import monotonic
from typing import Final

from proxy import parties
from proxy.exchange.services import Services
from proxy.exchange.states import (
    ANSWER,
    ANSWERED,
    AWAITING,
    CLOSE,
    IDLE,
    NEXT,
    NEXT_REQUEST,
    QUEUE,
    QUEUED,
    RELAYING,
    REQUEST,
    RETRY,
    SENT,
    SWITCH,
    TURN,
    UNANSWERED,
    UNDER_WAY,
    Event,
    State,
)
from proxy.http1 import reply as replies
from proxy.http1 import rewrite, trace
from proxy.http1.framing import is_request_id
from proxy.http1.head import RequestHead, ResponseHead
from proxy.http1.reply import LocalReply, render
from proxy.observability.notes import BROKEN_OFF, CLIENT_LEFT, COMPLETE, CUT, TUNNEL
from proxy.observability.telemetry import ABORTED, LOCAL
from proxy.parties import Client
from proxy.router import NOWHERE, Memo, Route
from proxy.upstream.admission import ADMITTED, WAIT, Place
from proxy.upstream.cluster import Cluster
from proxy.upstream.connection import EndpointConnection
from proxy.upstream.pool import Claim, Pool

_REPEATABLE: Final = frozenset({b"GET", b"HEAD", b"OPTIONS"})
_NO_HEAD: Final = RequestHead()
_NO_MEMO: Final = Memo()


class Exchange(parties.Exchange):
    """See the module. All arguments and times are of one worker."""

    __slots__ = (
        "_admitted",
        "_attempts",
        "_bounds",
        "_chunked_answer",
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
        "_keep_alive",
        "_memo",
        "_notes",
        "_out",
        "_place",
        "_pool",
        "_received",
        "_repeatable",
        "_request_bytes",
        "_request_done",
        "_request_id",
        "_route",
        "_sent_whole",
        "_services",
        "_slot",
        "_started",
        "_status",
        "state",
    )

    def __init__(self, services: Services, client: Client) -> None:
        self._services = services
        self._client = client
        self._bounds = services.bounds
        self.state = IDLE
        self._connection: EndpointConnection | None = None
        self._claim: Claim | None = None
        self._pool: Pool | None = None
        self._failed: Pool | None = None  # the one claimed before
        self._slot: Cluster
        self._place: Place | None = None
        self._admitted = False
        self._notes = services.observing.notes(client)
        self._head = _NO_HEAD
        self._memo = Memo(None if client.secure is None else client.secure.tenant)
        self._route = NOWHERE
        self._request_bytes = b""
        self._request_id = b""
        self._held: list[bytes] = []
        self._out = b""
        self._request_done = False
        self._sent_whole = False
        self._endpoint_paused = False
        self._endpoint_full = False
        self._chunked_answer = False
        self._keep_alive = True
        self._group = services.block.groups[LOCAL]
        self._repeatable = False
        self._received = 0
        self._attempts = 0
        self._status = 0
        self._started = 0.0
        self._ended = 0.0

    def __repr__(self) -> str:
        return f"<Exchange {State(self.state).name} {self._head.method!r} {self._pool}>"

    def _advance(self, event: int) -> None:
        following = NEXT[self.state][event]
        if following < 0:
            state, taken = State(self.state).name, Event(event).name
            raise RuntimeError(f"an exchange in {state} can't take {taken}")
        self.state = following

    # ── the client's side ─────────────────────────────────────────────────────────────────────

    def begin(self, head: RequestHead) -> None:  # noqa: C901 - straight down, for every request
        """A request's head is here."""
        services, client = self._services, self._client
        self._advance(REQUEST)
        self._started = monotonic()
        self._head = head
        has_body = head.has_body
        self._request_done = self._sent_whole = not has_body
        self._attempts = 0
        request_id = head.request_id
        if request_id is None or not client.trusted or not is_request_id(request_id):
            request_id = services.next_request_id()
        self._request_id = request_id
        self._keep_alive = head.keep_alive and not services.draining
        notes = self._notes
        if notes is not None:
            notes.begin(head, request_id, self._started)
        found = self._route_or_refuse(head)
        if isinstance(found, LocalReply):
            self._route = NOWHERE
            self._group = services.block.groups[LOCAL]
            self._group.in_flight += 1
            self._reply(found)
            return
        self._route = found
        group = self._group = services.block.groups[found.group]
        group.in_flight += 1
        self._repeatable = not has_body and head.method in _REPEATABLE
        bounds = self._bounds
        client.deadline = services.now + (bounds.body_idle_s if has_body else bounds.first_byte_s)
        if client.trusted:
            if head.forwarded_for is None and head.forwarded is None:
                lines = [head.line, head.host_lines, client.peer_lines]
            else:
                lines = rewrite.forwarded_lines(head, client.peer, client.peer_lines)
            if head.traceparent is not None:
                lines += trace.passed_on(head.traceparent, head.tracestate)
        else:
            lines = [head.line, head.host_lines, client.peer_lines]
        if found.tenant_line:
            lines.append(found.tenant_line)
        if client.secure is not None and client.secure.certificate_line:
            lines.append(client.secure.certificate_line)
        lines.append(_OWN_LINES + request_id)
        if notes is not None:
            notes.route = found
            if notes.trace_line:
                lines.append(notes.trace_line)
        self._request_bytes = rewrite.request(head, lines)
        self._enter()

    def request_body(self, data: bytes) -> None:
        """A piece of the request's body."""
        if self.state in ANSWERED:
            return  # answered already: the rest is not passed on
        self._received += len(data)
        if self._received > self._bounds.body_bytes:
            self._reply(replies.BODY_TOO_LARGE)
            return
        if self._head.chunked:
            data = b"%x\r\n%b\r\n" % (len(data), data)
        self._client.deadline = self._services.now + self._bounds.body_idle_s
        if self._connection is not None:
            self._connection.transport.write(data)
        else:
            self._held.append(data)
            self._client.hold()

    def request_end(self) -> None:
        """The request has been read to its end."""
        self._request_done = True
        if self.state not in UNANSWERED:
            return
        self._sent_whole = True
        if self._head.chunked:
            if self._connection is not None:
                self._connection.transport.write(rewrite.LAST_CHUNK)
            else:
                self._held.append(rewrite.LAST_CHUNK)
        if self._received:
            self._client.deadline = self._services.now + self._bounds.first_byte_s

    def request_broken(self, refusal: LocalReply) -> None:
        """The rest of the request can't be read: refuse it if that can still be said."""
        if self.state in UNANSWERED:
            self._keep_alive = False
            self._reply(refusal)
        elif self.state == RELAYING:
            self._keep_alive = False

    def expire(self) -> None:
        """Nothing came in time."""
        if self.state == RELAYING:
            self._client.abort()
        elif self.state == QUEUED:
            self._reply(replies.QUEUE_TIMEOUT)
        elif not self._request_done:
            # A 408 invites to send it again: not where the endpoint is the one that stopped.
            stopped = replies.BODY_TIMEOUT
            if self._endpoint_full:
                self._blame()
                stopped = replies.ANSWER_TIMEOUT
            self.request_broken(stopped)
        elif self.state == AWAITING:
            self._blame()
            self._keep_alive = False
            self._reply(replies.ANSWER_TIMEOUT)

    def client_lost(self) -> None:
        """The client is gone: nothing more is sent on its behalf."""
        if self.state == IDLE:
            self._advance(CLOSE)
        elif self.state in UNDER_WAY:
            self._group.values[ABORTED] += 1
            self._note_end(
                self._status if self.state == RELAYING else 0,
                CUT if self._client.cut else CLIENT_LEFT,
            )
            self._release(False)
            self._advance(CLOSE)

    def client_writable(self, writable: bool) -> None:
        """The client takes more of the answer, or no more for now."""
        connection = self._connection
        if connection is None or connection.closed:
            return
        now = self._services.now
        if writable:
            self._client.deadline = now + self._bounds.answer_idle_s
            self._let_endpoint_go_on(connection)
        elif connection.owes_answer:
            self._client.deadline = now + self._bounds.write_idle_s
            self._endpoint_paused = True
            connection.transport.pause_reading()

    def _let_endpoint_go_on(self, connection: EndpointConnection) -> None:
        if self._endpoint_paused:
            self._endpoint_paused = False
            connection.transport.resume_reading()

    # ── claiming and sending ──────────────────────────────────────────────────────────────────

    def _route_or_refuse(self, head: RequestHead) -> Route | LocalReply:
        router, bounds = self._services.router, self._bounds
        refusal, secure = head.refusal, self._client.secure
        if refusal is None and secure is not None and not secure.serves(head.host):
            refusal = replies.MISDIRECTED
        if refusal is not None:
            return refusal
        if len(head.target) > bounds.request_line_bytes:
            return replies.LINE_TOO_LONG
        if head.content_length > bounds.body_bytes:
            return replies.BODY_TOO_LARGE
        if head.target == b"*":
            return replies.OPTIONS
        if router.table is None:
            return replies.NO_TABLE
        if not self._client.trusted:
            head.tenant = None
        return router.route(head, self._request_id, self._memo)

    def _enter(self) -> None:
        """Be let into the slot, stand in line for it, or be refused by a limit."""
        self._slot = slot = self._services.slots.groups[self._route.slot_number]
        slot.budget.requests += 1
        verdict = slot.admission.admit(self._route.tenant_line)
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
        if self._attempts < 2 and self._slot.may_retry(failed):
            self._advance(RETRY)
            self._send(failed)
        else:
            self._reply(replies.CONNECT_FAILED)

    # ── the endpoint's side ───────────────────────────────────────────────────────────────────

    def interim(self, head: ResponseHead) -> None:
        """100 Continue, 103 Early Hints: passed on to clients that know them."""
        if self._head.minor == 1 and self.state == AWAITING:
            lines = [head.line, *head.lines, b"\r\n"]
            self._client.write(b"\r\n".join(lines))

    def response_head(self, head: ResponseHead, body: bytes) -> None:
        """The final answer begins. body: what is here of it already, if it has a length."""
        self._advance(ANSWER)
        self._status = head.status
        pool = self._pool
        if pool is not None and (pool.health.suspect or head.status >= 500):
            self._slot.answered(pool, head.status, self._services.now)
        end = rewrite.body_end(self._head, head)
        self._chunked_answer = end == rewrite.BY_CHUNKS
        if not self._request_done or self._services.draining or end == rewrite.BY_CLOSE:
            self._keep_alive = False
        own_lines = self._route.slot_line + self._request_id
        notes = self._notes
        if notes is not None:
            notes.sent = len(body)
            own_lines += notes.answered(self._route)
        self._out = rewrite.response(self._head, head, own_lines, end, body, self._keep_alive)

    def response_body(self, data: bytes) -> None:
        """A piece of the answer's body."""
        if self._notes is not None:
            self._notes.sent += len(data)
        if self._chunked_answer:
            data = b"%x\r\n%b\r\n" % (len(data), data)
        self._out = self._out + data if self._out else data

    def flush(self) -> None:
        """Write what a read from the endpoint has given, in one piece."""
        if self._out:
            client = self._client
            client.write(self._out)
            self._out = b""
            client.deadline = self._services.now + self._bounds.answer_idle_s

    def response_end(self) -> None:
        """The answer is complete."""
        if self._chunked_answer:
            self._out += rewrite.LAST_CHUNK
        self._finish(self._sent_whole)

    def switched(self, head: ResponseHead, rest: bytes) -> None:
        """101 came: to a request that asked for it, a tunnel begins; else it is a fault."""
        connection, asked = self._connection, self._head.upgrade
        offered = b"" if head.upgrade is None else head.upgrade.lower()
        if connection is None or asked is None or offered != asked.lower():
            self.upstream_fault("a switch of protocols that was not asked for")
            return
        self._advance(SWITCH)
        own_lines = self._route.slot_line + self._request_id
        if self._notes is not None:
            own_lines += self._notes.answered(self._route)
        switch = b"Connection: Upgrade\r\nUpgrade: %b\r\n\r\n" % asked
        lines = [b"HTTP/1.1 101 Switching Protocols", *head.lines, own_lines, switch]
        self._client.write(b"\r\n".join(lines))
        micros = int((monotonic() - self._started) * 1_000_000)
        self._group.finished(101, micros)
        if self._route.count is not None:
            self._route.count.finished(101, micros)
        self._group.in_flight -= 1
        connection.holder = self._connection = None
        self._head, self._request_bytes, self._memo = _NO_HEAD, b"", _NO_MEMO
        if self._notes is not None:
            self._notes.keep_little()
        self._client.open_tunnel(connection, self._group, rest, offered == b"websocket")

    def tunnel_closed(self, received: int, sent: int) -> None:
        """Both sides of the tunnel are gone. received, sent: bytes, of the client's side."""
        if self._notes is not None:
            self._received = received
            self._notes.sent = sent
            self._note_end(101, TUNNEL)
        self._unclaim()
        self._admitted = False
        self._slot.leave(self._route.tenant_line)
        self._advance(CLOSE)

    def upstream_lost(self) -> None:
        """The endpoint's connection ended before the answer did."""
        connection, self._connection = self._connection, None
        if self.state == RELAYING:
            self._broken_off()
        elif self._repeatable and connection is not None and connection.may_be_repeated:
            # RFC 9110 §9.2.2: the endpoint may have closed it before it saw the request.
            self._unclaim()
            self._advance(RETRY)
            if self._attempts < 2 and self._slot.may_retry(None):
                self._send(None, fresh=True)
            else:
                self._reply(replies.NO_ANSWER)
        else:
            # Of a connection that had idled nobody knows whose fault it was.
            if connection is None or not connection.may_be_repeated:
                self._blame()
            self._keep_alive = self._keep_alive and self._request_done
            self._reply(replies.NO_ANSWER)

    def upstream_fault(self, reason: str) -> None:
        """The endpoint's bytes can't be passed on."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if self.state == RELAYING:
            self._broken_off(reason)
        else:
            self._blame()
            self._keep_alive = self._keep_alive and self._request_done
            self._reply(replies.BAD_ANSWER, reason)

    def upstream_writable(self, writable: bool) -> None:
        """The endpoint takes more of the request, or no more for now."""
        self._endpoint_full = not writable
        if writable:
            self._client.resume()
        else:
            self._client.pause()

    # ── ending ────────────────────────────────────────────────────────────────────────────────

    def _reply(self, refusal: LocalReply, why: str = "") -> None:
        """Answer here instead of an endpoint. why: what is to be logged beside it."""
        if not self._request_done and self._head.has_body:
            self._keep_alive = False
        if refusal.status in {400, 431, 501}:
            self._keep_alive = False
        if refusal.status >= 502:
            self._warn(refusal.code, why)
        if self._notes is not None:
            self._notes.code = refusal.code
        self._advance(ANSWER)
        self._status = refusal.status
        with_body = self._head.method != b"HEAD"
        self._client.write(
            render(refusal, self._request_id, keep_alive=self._keep_alive, body=with_body)
        )
        self._finish(False)

    def _broken_off(self, why: str = "the connection ended") -> None:
        self._group.values[ABORTED] += 1
        self._warn("an answer broke off", why)
        self._note_end(self._status, BROKEN_OFF)
        self._out = b""
        self._release(False)
        self._advance(CLOSE)
        self._client.abort()

    def _finish(self, reusable: bool) -> None:
        self.flush()
        now = self._ended = monotonic()
        micros = int((now - self._started) * 1_000_000)
        self._group.finished(self._status, micros)
        count = self._route.count
        if count is not None:
            count.finished(self._status, micros)
        if self._notes is not None:
            self._note_end(self._status, COMPLETE)
        self._release(reusable)
        self._advance(NEXT_REQUEST)
        self._client.exchange_done(self._keep_alive)

    def _note_end(self, status: int, end: str) -> None:
        if self._notes is not None:
            micros = int((monotonic() - self._started) * 1_000_000)
            self._notes.end(status, micros, self._received, end)

    def _warn(self, what: str, why: str) -> None:
        """Tell in the log what came of an endpoint, or of a slot without one."""
        services, route = self._services, self._route
        pool = self._pool
        if pool is None and self._attempts:
            pool = self._failed
        if route is not NOWHERE:
            tenant, slot = route.labels[:2]
            where = f"slot {slot}" if pool is None else f"endpoint {pool.endpoint} of {slot}"
            services.faults.say(where, what, why, self._request_id, tenant, services.now)

    def _release(self, reusable: bool) -> None:
        """Give back what was claimed. reusable: the connection's request was sent whole."""
        if self._claim is not None:
            self._claim.cancel()
            self._claim = None
        connection, self._connection = self._connection, None
        if connection is not None:
            left = 0
            if self._received:
                # An early answer may leave bytes of a body behind that nobody waits for.
                left = connection.transport.get_write_buffer_size()
            if reusable and self._pool is not None and not connection.closed and not left:
                self._let_endpoint_go_on(connection)
                self._pool.give_back(connection, self._ended)
            else:
                connection.close()
            self._endpoint_paused = False
        if self._received:
            self._received = 0
            self._endpoint_full = False
        if self._held:
            self._held.clear()
            self._client.release()
        if self._pool is not None:
            self._pool.in_flight -= 1
            self._pool = None
        if self._admitted:
            self._admitted = False
            self._slot.leave(self._route.tenant_line)
        elif self._place is not None:
            self._slot.give_up(self._place)
            self._place = None
        self._group.in_flight -= 1

    def _unclaim(self) -> None:
        if self._pool is not None:
            self._failed = self._pool
            self._pool.in_flight -= 1
            self._pool = None

    def _blame(self) -> None:
        """The endpoint failed this request."""
        if self._pool is not None:
            self._slot.failed(self._pool, self._services.now)


_OWN_LINES: Final = b"Via: 1.1 turnout\r\nX-Request-ID: "
