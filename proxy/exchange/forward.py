"""One exchange: identify → decide → claim → send → relay → release.

Rules:
1. `states.TRANSITIONS` is its whole life; nothing but `_advance` changes `state`.
2. A request is sent at most once, but for what `placing` says of those that are tried twice.
3. An answer that breaks off is never made to look whole: the client's connection is cut.
One object serves all exchanges of a client's connection, one after the other.
"""

from time import monotonic
from typing import Final

from proxy.exchange import parking
from proxy.exchange.binding import Binding
from proxy.exchange.placing import NO_HEAD
from proxy.exchange.services import Services
from proxy.exchange.states import (
    ANSWER,
    ANSWERED,
    AWAITING,
    CLOSE,
    IDLE,
    NEXT_REQUEST,
    PARKED,
    QUEUED,
    RELAYING,
    REQUEST,
    STORE,
    STORING,
    SWITCH,
    UNANSWERED,
    UNDER_WAY,
)
from proxy.http1 import reply as replies
from proxy.http1 import rewrite
from proxy.http1.events import EventStream, retry_hint
from proxy.http1.framing import is_request_id
from proxy.http1.head import RequestHead, ResponseHead
from proxy.http1.reply import LocalReply, render
from proxy.observability.notes import BROKEN_OFF, CLIENT_LEFT, COMPLETE, CUT, TUNNEL
from proxy.observability.telemetry import ABORTED, ANSWERS_BROKEN, LOCAL
from proxy.parties import Client
from proxy.router import NOWHERE, Held, Memo, Route

_REPEATABLE: Final = frozenset({b"GET", b"HEAD", b"OPTIONS"})
_NO_MEMO: Final = Memo()


class Exchange(Binding):
    """See the module. All arguments and times are of one worker."""

    __slots__ = (
        "_chunked_answer",
        "_device",
        "_events",
        "_keep_alive",
        "_memo",
        "_out",
        "_sent_whole",
        "_started",
        "_status",
    )

    def __init__(self, services: Services, client: Client) -> None:
        super().__init__(services, client)
        self._memo = Memo(None if client.secure is None else client.secure.tenant)
        self._started = 0.0
        self._sent_whole = False
        self._keep_alive = True
        self._status = 0
        self._chunked_answer = False
        self._events: EventStream | None = None  # of an answer in chunks that is one
        self._device = ""  # that a tunnel is from
        self._out = b""  # of the answer, not written yet

    # ── the client's side ─────────────────────────────────────────────────────────────────────

    def begin(self, head: RequestHead) -> None:
        """A request's head is here."""
        services, client = self._services, self._client
        self._advance(REQUEST)
        self._started = monotonic()
        self._head = head
        has_body = head.has_body
        self._request_done = self._sent_whole = not has_body
        self._attempts = 0
        request_id = head.request_id if head.told and client.trusted else None
        if request_id is None or not is_request_id(request_id):
            request_id = services.next_request_id()
        self._request_id = request_id
        self._keep_alive = head.keep_alive and not services.draining
        notes = self._notes
        if notes is not None:
            notes.begin(head, request_id, self._started)
        bounds = self._bounds
        found: Route | Held | LocalReply | None = None
        if (
            head.special
            or has_body
            or client.secure
            or len(head.target) > bounds.request_line_bytes
        ):
            found = self._refusal(head)
        if found is None:
            if not client.trusted:
                head.tenant = None
            found = services.router.route(head, request_id, self._memo)
        if isinstance(found, Route):
            if self._affinity is None:
                self._carry_out(found)
            else:
                self._bind(found)
            return
        self._route = NOWHERE
        self._group = services.block.groups[LOCAL]
        self._group.in_flight += 1
        if isinstance(found, Held):
            self._park(found.tenant)
        else:
            self._reply(found)

    def _carry_out(self, found: Route) -> None:
        """Send it where it belongs. It may have waited for a switch to end before."""
        services, client, head = self._services, self._client, self._head
        bounds, notes, has_body = self._bounds, self._notes, self._head.has_body
        self._route = found
        if notes is not None:
            notes.route = found
        group = self._group = services.block.groups[found.group]
        group.in_flight += 1
        if has_body and head.content_length > self._body_limit():
            self._reply(replies.BODY_TOO_LARGE)
            return
        self._repeatable = not has_body and head.method in _REPEATABLE
        client.deadline = services.now + (
            bounds.first_byte_s if self._request_done else bounds.body_idle_s
        )
        if head.told and client.trusted:
            lines = rewrite.told_lines(head, client.peer, client.peer_lines)
        else:
            lines = [head.line, head.host_lines, client.peer_lines]
        if client.secure is not None and client.secure.certificate_line:
            lines.append(client.secure.certificate_line)
        lines.append(found.request_line + self._request_id)
        if notes is not None and notes.trace_line:
            lines.append(notes.trace_line)
        self._request_bytes = rewrite.request(head, lines)
        self._enter()

    def _refusal(self, head: RequestHead) -> LocalReply | None:
        """Why this request is not even routed."""
        refusal, secure, bounds = head.refusal, self._client.secure, self._bounds
        if refusal is None and secure is not None and not secure.serves(head.host):
            refusal = replies.MISDIRECTED
        if refusal is not None:
            return refusal
        if len(head.target) > bounds.request_line_bytes:
            return replies.LINE_TOO_LONG
        return replies.OPTIONS if head.target == b"*" else None

    def request_body(self, data: bytes) -> None:
        """A piece of the request's body."""
        if self.state in ANSWERED:
            return  # answered already: the rest is not passed on
        self._received += len(data)
        if self._received > self._body_limit():
            self._reply(replies.BODY_TOO_LARGE)
            return
        if self._head.chunked:
            data = b"%x\r\n%b\r\n" % (len(data), data)
        if self.state == PARKED:
            self._park_more(data)
            return
        self._client.deadline = self._services.now + self._bounds.body_idle_s
        if self._connection is not None:
            self._connection.transport.write(data)
        else:
            self._held.append(data)
            self._client.hold()

    def _body_limit(self) -> int:
        return self._route.body_bytes or self._bounds.body_bytes

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
        if self._received and self.state != PARKED:
            self._client.deadline = self._services.now + self._bounds.first_byte_s

    def request_broken(self, refusal: LocalReply) -> None:
        """The rest of the request can't be read: refuse it if that can still be said."""
        if self.state in UNANSWERED:
            self._keep_alive = False
            self._reply(refusal)
        elif self.state in ANSWERED:
            self._keep_alive = False

    def expire(self) -> None:
        """Nothing came in time."""
        if self.state == RELAYING:
            self._client.abort()
        elif self.state == QUEUED:
            self._reply(replies.QUEUE_TIMEOUT)
        elif self.state == PARKED:
            self._reply(parking.TOO_LONG)
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

    def may_be_answered(self) -> bool:
        """Whether a client that ends its side may still wait. One that is parked has left."""
        return self.state != PARKED

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
            self._ask_no_more()
            self._out = b""
            self._release(False)
            self._advance(CLOSE)

    def client_writable(self, writable: bool) -> None:
        """The client takes more of the answer, or no more for now."""
        connection = self._connection
        if connection is None or connection.closed:
            return
        now = self._services.now
        if self.state == STORING:
            self._client_full = not writable
        elif writable:
            self._client.deadline = now + self._bounds.answer_idle_s
            self._let_endpoint_go_on(connection)
        elif connection.owes_answer:
            self._client.deadline = now + self._bounds.write_idle_s
            self._endpoint_paused = True
            connection.transport.pause_reading()

    # ── the endpoint's side ───────────────────────────────────────────────────────────────────

    def interim(self, head: ResponseHead) -> None:
        """100 Continue, 103 Early Hints: passed on to clients that know them."""
        if self._head.minor == 1 and self.state == AWAITING:
            lines = [head.line, *head.lines, b"\r\n"]
            self._client.write(b"\r\n".join(lines))

    def response_head(self, head: ResponseHead, body: bytes) -> None:
        """The final answer begins. body: what is here of it already, if it has a length."""
        self._advance(ANSWER if self._affinity is None or not self._bears(head) else STORE)
        self._status = head.status
        pool = self._pool
        if pool is not None and (pool.health.suspect or head.status >= 500):
            self._slot.answered(pool, head.status, self._services.now)
        end = rewrite.body_end(self._head, head)
        self._chunked_answer = end == rewrite.BY_CHUNKS
        if end == rewrite.BY_CHUNKS:
            self._events = EventStream() if rewrite.relays_events(head) else None
        if not self._request_done or self._services.draining or end == rewrite.BY_CLOSE:
            self._keep_alive = False
        own_lines = self._route.answer_line + self._request_id
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
            if self._events is not None:
                self._relay_events(self._events, data)
                return
            data = b"%x\r\n%b\r\n" % (len(data), data)
        self._out = self._out + data if self._out else data

    def _relay_events(self, stream: EventStream, data: bytes) -> None:
        """A piece of a stream of events: its last, if it is to end and the event under way does."""
        end = stream.end_in(data) if stream.ending else -1
        stream.feed(data)
        if end >= 0:
            data = data[:end]
        self._out += b"%x\r\n%b\r\n" % (len(data), data)
        if end >= 0:
            self._end_of_events()

    def events(self) -> EventStream | None:
        """The stream of events that is being relayed, if it is one."""
        return self._events if self.state == RELAYING and self._chunked_answer else None

    def device(self) -> str:
        """The device that a tunnel or a stream of events is from."""
        stream = self.events()
        if stream is None:
            return self._device
        if stream.device is None:
            stream.device = self._read_device()
        return stream.device

    def _read_device(self) -> str:
        devices, secure = self._services.devices, self._client.secure
        if devices is None:
            return ""
        return devices.of_request(self._head, b"" if secure is None else secure.certificate_line)

    def end_events(self) -> None:
        """End the stream of events where no event is under way."""
        stream = self.events()
        if stream is None:
            return
        stream.ending = True
        if stream.at_boundary:
            self._end_of_events()

    def _end_of_events(self) -> None:
        """Tell the client when to come back, and end its answer; drop the endpoint's connection."""
        services = self._services
        hint = retry_hint(services.settings.tunnels.events_retry_ms)
        if hint:
            self._out += b"%x\r\n%b\r\n" % (len(hint), hint)
        self._out += rewrite.LAST_CHUNK
        if services.draining:
            self._keep_alive = False
        self._finish(False)

    def flush(self) -> None:
        """Write what a read from the endpoint has given, in one piece."""
        if self._out and self.state != STORING:
            client = self._client
            client.write(self._out)
            self._out = b""
            client.deadline = self._services.now + self._bounds.answer_idle_s

    def response_end(self) -> None:
        """The answer is complete."""
        if self.state == STORING:
            self._answer_whole = True
            return
        pool = self._pool
        if pool is not None and pool.health.suspect:
            self._slot.completed(pool, self._status)
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
        if self._pool is not None:
            self._pool.tunnels += 1
            self._slot.joined(self._pool, self._services.now)
        own_lines = self._route.answer_line + self._request_id
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
        self._device = self._read_device()
        self._head, self._request_bytes, self._memo = NO_HEAD, b"", _NO_MEMO
        if self._notes is not None:
            self._notes.keep_little()
        self._client.open_tunnel(connection, self._group, rest, offered == b"websocket")

    def tunnel_closed(self, received: int, sent: int) -> None:
        """Both sides of the tunnel are gone. received, sent: bytes, of the client's side."""
        if self._notes is not None:
            self._received = received
            self._notes.sent = sent
            self._note_end(101, TUNNEL)
        if self._pool is not None:
            self._pool.tunnels -= 1
        self._unclaim()
        self._admitted = False
        self._slot.leave(self._route.tenant_line)
        self._advance(CLOSE)

    def upstream_lost(self) -> None:
        """The endpoint's connection ended before the answer did."""
        connection, self._connection = self._connection, None
        if self.state == STORING:
            if self._answer_whole:
                return
            self._drop_answer()
        if self.state == RELAYING:
            self._broken_off()
        elif self._repeatable and connection is not None and connection.may_be_repeated:
            # RFC 9110 §9.2.2: the endpoint may have closed it before it saw the request.
            self._repeat()
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
        if self.state == STORING:
            self._drop_answer()
        if self.state == RELAYING:
            self._broken_off(reason)
        else:
            self._blame()
            self._keep_alive = self._keep_alive and self._request_done
            self._reply(replies.BAD_ANSWER, reason)

    def _drop_answer(self) -> None:
        """Nothing of it was sent yet, and it can't be whole."""
        self._ask_no_more()
        self._out = b""
        self._endpoint_paused = False

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
        if not self._endpoint_paused:  # else the client took nothing, which may have worn it out
            self._blame()
        self._group.values[ABORTED] += 1
        self._group.values[ANSWERS_BROKEN] += 1
        self._warn("an answer broke off", why)
        self._note_end(self._status, BROKEN_OFF)
        self._out = b""
        self._release(False)
        self._advance(CLOSE)
        self._client.abort()

    def _finish(self, reusable: bool) -> None:
        if self._out:
            self._client.write(self._out)
            self._out = b""
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
