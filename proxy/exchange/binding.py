"""Which slot an exchange belongs to by its keys, and the keys that its answer is born with.

Rules:
1. Keys are looked at after the table: who is held is parked first, whatever its keys say.
2. A request whose keys are not known here waits in BINDING, before any slot has let it in; if the
   table changes meanwhile, it is decided anew.
3. An answer that bears keys waits in STORING until they are stored, within the same time: who is
   told of a job finds it on its slot, through every worker. Its endpoint is paused meanwhile.
4. What waits for nobody any more is carried out in the store all the same.
"""

from proxy.affinity.question import Question
from proxy.affinity.rules import Key
from proxy.exchange.placing import Placing
from proxy.exchange.services import Services
from proxy.exchange.states import ANSWER, BIND, BOUND
from proxy.http1.head import ResponseHead
from proxy.http1.reply import LocalReply
from proxy.observability.telemetry import LOCAL
from proxy.parties import Client
from proxy.router import NOWHERE, Held, Route
from proxy.routing.model import RoutingTable, Slot


class Binding(Placing):
    """See the module. None of it runs without rules of affinity."""

    __slots__ = (
        "_affinity",
        "_answer_whole",
        "_base",
        "_carried",
        "_client_full",
        "_question",
        "_table",
    )

    def __init__(self, services: Services, client: Client) -> None:
        super().__init__(services, client)
        self._affinity = services.affinities
        self._carried: list[Key] = []
        self._question: Question | None = None
        self._base: Route = NOWHERE  # where it goes without its keys
        self._table: RoutingTable = RoutingTable()  # that said so
        self._answer_whole = False
        self._client_full = False

    # ── the request ───────────────────────────────────────────────────────────────────────────

    def _bind(self, found: Route) -> None:
        """Send it where its keys belong. found: where the table sends it."""
        self._read_keys(found)
        if self._carried:
            self._find(found)
        else:
            self._carry_out(found)

    def _read_keys(self, found: Route) -> None:
        head, affinity = self._head, self._affinity
        table = self._services.router.table
        if affinity is None or table is None:
            raise RuntimeError("keys are read by rules, after a table")
        self._table = table
        self._carried = affinity.rules.carried(found.labels[0], head.target, head.lines)

    def _find(self, found: Route) -> None:
        affinity, services = self._affinity, self._services
        if affinity is None:
            raise RuntimeError("keys are found by rules")
        for key in self._carried:
            if key.rule.draws:
                found = services.router.drawn(found, key.digest, self._request_id)
                break
        table = self._table
        since = table.affinity_counts_since(found.labels[0])
        dead = self._dead_beside(found)
        answer = affinity.find(self._carried, found.slot, table.version, since, dead, self._bound)
        if isinstance(answer, Slot):
            self._carry_out(services.router.bound(found, answer))
            return
        self._question = answer
        self._base = found
        self._route = NOWHERE
        self._group = services.block.groups[LOCAL]
        self._group.in_flight += 1
        self._client.deadline = services.now + self._bounds.first_byte_s
        self._advance(BIND)

    def _dead_beside(self, found: Route) -> str:
        """The other slot, if nothing can be sent there and something can where it goes."""
        groups = self._services.slots.groups
        if groups[1 - found.slot_number].balance.eligible:
            return ""
        return str(found.slot.other) if groups[found.slot_number].balance.eligible else ""

    def _bound(self, slot: Slot) -> None:
        """The store has said where its keys belong, or the worker has for it."""
        services = self._services
        router, tenant = services.router, self._base.labels[0] or None
        self._question = None
        self._advance(BOUND)
        if router.table is self._table:
            self._group.in_flight -= 1
            self._carry_out(router.bound(self._base, slot))
            return
        found = router.route_parked(tenant, self._request_id)
        if isinstance(found, Held):
            self._park(tenant)
        elif isinstance(found, LocalReply):
            self._reply(found)
        else:
            self._group.in_flight -= 1
            self._bind(found)

    def _unparked(self, found: Route) -> None:
        if self._affinity is None:
            self._carry_out(found)
        else:
            self._bind(found)

    def _stop_waiting(self) -> None:
        self._ask_no_more()
        super()._stop_waiting()

    def _ask_no_more(self) -> None:
        if self._question is not None and self._affinity is not None:
            self._affinity.forget(self._question)
            self._question = None

    # ── the answer ────────────────────────────────────────────────────────────────────────────

    def _bears(self, head: ResponseHead) -> bool:
        """Whether the answer bears keys that are being stored now. Keys that it ends are ended."""
        affinity, route = self._affinity, self._route
        if affinity is None:
            return False
        status, lines = head.status, head.lines
        ended = [key for key in self._carried if key.rule.ended(status, lines)]
        if ended:
            affinity.end(ended, route.slot)
        keys = affinity.rules.born(route.labels[0], status, lines)
        if not keys:
            return False
        self._question = affinity.bear(keys, route.slot, self._table.version, self._stored)
        if self._question is None:
            return False
        self._answer_whole = self._client_full = False
        if self._connection is not None:
            self._endpoint_paused = True
            self._connection.transport.pause_reading()
        return True

    def _stored(self, slot: Slot) -> None:  # noqa: ARG002 - it is this one's
        """The keys are stored, or their time is over: the answer goes on."""
        self._question = None
        self._advance(ANSWER)
        if self._answer_whole:
            self.response_end()
            return
        self.flush()
        if self._connection is not None and not self._client_full:
            self._let_endpoint_go_on(self._connection)
