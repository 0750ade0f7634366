"""From a request's head to its route, by the current table.

Rules: the table is swapped in one assignment, so no request sees half a change; everything
remembered was decided by the current table and is forgotten with it. What is remembered is
bounded.
"""

from collections.abc import Mapping
from time import time as wall_clock  # noqa: TID251 - a token's end is a date
from types import MappingProxyType
from typing import Final

from proxy.http1.head import RequestHead
from proxy.http1.reply import NO_TABLE, LocalReply
from proxy.observability.telemetry import CANARY, COHORTS, PILOT, REST, TenantCount, group_of
from proxy.routing.decision import Forward, Park, Policy, Reason, decide, routed
from proxy.routing.identity import Identity, IdentityRules, Rejected, Source, identify
from proxy.routing.model import RoutingTable, Slot, Unit
from proxy.tokens.bearer import BearerError, BearerVerifier, KeysMissingError

_NEVER: Final = float("inf")
_MAX_REMEMBERED = 100_000
_SLOT_NUMBERS: Final[Mapping[Slot, int]] = {slot: number for number, slot in enumerate(Slot)}
_COHORTS: Final[Mapping[Reason, int]] = {
    Reason.AFFINITY: REST,
    Reason.PIN: PILOT,
    Reason.CANARY: CANARY,
    Reason.ACTIVE: REST,
    Reason.UNIDENTIFIED: REST,
}


class Route:
    """Where a request goes, with the field lines that say so.

    slot_number: 0 blue, 1 green. group: where its requests are counted, of telemetry.GROUPS.
    tenant_line: names the tenant to the endpoint; empty without one. request_line, answer_line:
    what the endpoint and the client are told, each ended by the request's id. body_bytes: of a
    request of this tenant; 0: as of all. labels: tenant, slot, cohort and reason, as logs name them. count:
    of its tenant in this slot; None if tenants aren't counted.
    """

    __slots__ = (
        "answer_line",
        "body_bytes",
        "count",
        "group",
        "labels",
        "reason",
        "request_line",
        "slot",
        "slot_number",
        "tenant_line",
    )

    def __init__(
        self,
        slot: Slot,
        reason: Reason,
        tenant_line: bytes,
        tenant: str = "",
        count: TenantCount | None = None,
        body_bytes: int = 0,
    ) -> None:
        self.slot = slot
        self.slot_number = _SLOT_NUMBERS[slot]
        self.reason = reason
        self.group = group_of(self.slot_number, _COHORTS[reason])
        self.tenant_line = tenant_line
        self.labels = (tenant, slot.value, COHORTS[_COHORTS[reason]], reason.value)
        self.count = count
        self.body_bytes = body_bytes
        named = tenant_line + b"\r\n" if tenant_line else b""
        self.request_line = named + b"Via: 1.1 turnout\r\nX-Request-ID: "
        self.answer_line = f"X-Turnout-Slot: {slot}\r\nX-Request-ID: ".encode()


class WithoutLease:
    """What becomes of requests while this worker's lease is over.

    parks: whether they wait. tenants: those of whom something else holds.
    """

    __slots__ = ("parks", "tenants")

    def __init__(self, parks: bool, tenants: Mapping[str, bool]) -> None:
        self.parks = parks
        self.tenants = tenants

    def park(self, tenant: str | None) -> bool:
        """Whether this tenant's requests wait. None: those that name nobody."""
        return self.parks if tenant is None else self.tenants.get(tenant, self.parks)


class Held:
    """A request that waits: for a switch, for a lease, or behind others of its tenant."""

    __slots__ = ("tenant",)

    def __init__(self, tenant: str | None) -> None:
        self.tenant = tenant


NOWHERE: Final = Route(Slot.BLUE, Reason.ACTIVE, b"")
"""Of a request that was refused before it had a route: for comparing only."""


class Memo:
    """What the last request of a client's connection said of itself, and its route.

    A connection's requests mostly come from one client. It is the only place where a token is
    kept as it came, and ends with its connection. expires: seconds since the epoch. certified: the
    tenant that the client's certificate names, the same for all its requests.
    """

    __slots__ = (
        "authorization",
        "certified",
        "expires",
        "generation",
        "host",
        "route",
        "table",
        "tenant",
    )

    def __init__(self, certified: str | None = None) -> None:
        self.certified = certified
        self.route: Route | None = None
        self.table = 0
        self.generation = 0
        self.expires = 0.0
        self.tenant: bytes | None = None
        self.authorization: bytes | None = None
        self.host = b""


class Router:
    """Identify and decide. tenant_header: the name of the header, as sent on.

    bearer: None if claims are no source. tenants: of the worker's block; None: not counted.
    body_bytes: tenant → how large its requests' bodies may be, where it isn't as for all.
    lingering: tenants that have requests waiting, for whom others have to wait too.
    without_lease: what becomes of requests then; None: they are served.
    """

    def __init__(
        self,
        rules: IdentityRules,
        policy: Policy,
        tenant_header: str,
        bearer: BearerVerifier | None = None,
        tenants: list[TenantCount] | None = None,
        body_bytes: Mapping[str, int] = MappingProxyType({}),
    ) -> None:
        self.table: RoutingTable | None = None
        self.lingering: set[str | None] = set()
        self.without_lease: WithoutLease | None = None
        self._leased = True
        self._rules = rules
        self._policy = policy
        self._tenant_header = tenant_header
        self._tenants = tenants
        self._body_bytes = body_bytes
        self.bearer = bearer if Source.CLAIM in rules.order else None
        self._reads_host = bool(rules.domains) and Source.SUBDOMAIN in rules.order
        self._reads_path = bool(rules.path_prefix) and Source.PATH in rules.order
        reads_certificate = Source.CERTIFICATE in rules.order
        self._token_alone = not (self._reads_host or self._reads_path or reads_certificate)
        # With nothing else to read, the header's value alone names the route.
        self._by_header_only = self._token_alone and self.bearer is None
        self._by_header: dict[bytes | None, Route] = {}
        self._by_tenant: dict[str | None, Route] = {}
        self._by_affinity: dict[tuple[str, Slot], Route] = {}
        self._remember = True
        self._draws_keys = False
        self._swaps = 0
        self._expires = _NEVER  # of the token that was read last

    def swap(self, table: RoutingTable) -> None:
        """Decide by this table from now on."""
        self.table = table
        self._forget()
        self._draws_keys = table.canary.unit is Unit.AFFINITY and table.canary.basis_points > 0
        self._remember = table.canary.unit is Unit.TENANT or table.canary.basis_points == 0

    def lease(self, leased: bool) -> None:
        """Whether this worker's lease runs, from now on."""
        self._leased = leased
        self._forget()

    def holds(self, tenant: str | None) -> bool:
        """Whether its requests have to wait, by table and lease."""
        table = self.table
        return table is not None and (bool(table.held_by(tenant)) or self._is_parked(tenant))

    def _is_parked(self, tenant: str | None) -> bool:
        if self._leased or self.without_lease is None:
            return False
        return self.without_lease.park(tenant)

    def _forget(self) -> None:
        """What is remembered holds no more."""
        self._swaps += 1
        self._by_header = {}
        self._by_tenant = {}
        self._by_affinity = {}

    def route(
        self, head: RequestHead, request_id: bytes, memo: Memo | None = None
    ) -> Route | Held | LocalReply:
        """The route, or the answer that refuses the request.

        memo: of the connection that the request came on.
        """
        if not self._by_header_only:
            if memo is None or self._reads_path or not self._remember:
                certified = None if memo is None else memo.certified
                return self._identify_and_decide(head, request_id, certified)
            return self._route_by_memo(head, request_id, memo)
        known = self._by_header.get(head.tenant)
        if known is not None:
            return known
        found = self._identify_and_decide(head, request_id)
        if self._remember and isinstance(found, Route):
            if len(self._by_header) >= _MAX_REMEMBERED:
                self._by_header.clear()
            self._by_header[head.tenant] = found
        return found

    def _route_by_memo(
        self, head: RequestHead, request_id: bytes, memo: Memo
    ) -> Route | Held | LocalReply:
        """As the request before, if it says the same of itself and that still holds."""
        bearer = self.bearer
        if (
            memo.route is not None
            and memo.table == self._swaps
            and memo.tenant == head.tenant
            and memo.host == head.host
            and memo.authorization == head.authorization
            and (bearer is None or memo.generation == bearer.generation)
            and wall_clock() < memo.expires
        ):
            return memo.route
        generation = 0 if bearer is None else bearer.generation
        found = self._identify_and_decide(head, request_id, memo.certified)
        if isinstance(found, Route):
            memo.route, memo.table, memo.generation = found, self._swaps, generation
            memo.tenant, memo.authorization, memo.host = head.tenant, head.authorization, head.host
            memo.expires = self._expires
        return found

    def route_parked(self, tenant: str | None, key: bytes) -> Route | Held | LocalReply:
        """The route of a request that has waited. key: its id."""
        return self._ask_table(tenant, key)

    def drawn(self, route: Route, key: str, request_id: bytes) -> Route:
        """The route of a request with a key that a canary may draw by. route: by its tenant."""
        if not self._draws_keys or self.table is None or not route.labels[0]:
            return route
        request_key = request_id.decode("latin-1")
        found = routed(self.table, route.labels[0], affinity_key=key, request_key=request_key)
        if found.reason is route.reason:
            return route
        return _another(route, found.slot, found.reason)

    def bound(self, route: Route, slot: Slot) -> Route:
        """The route of a request that belongs to this slot. route: where the table sends it.

        One that goes there anyway keeps its reason and its cohort.
        """
        if route.slot is slot:
            return route
        at = (route.labels[0], slot)
        known = self._by_affinity.get(at)
        if known is None:
            known = _another(route, slot, Reason.AFFINITY)
            if len(self._by_affinity) >= _MAX_REMEMBERED:
                self._by_affinity.clear()
            self._by_affinity[at] = known
        return known

    def route_tenant(self, tenant: str | None, key: bytes) -> Route | Held | LocalReply:
        """The route of a connection that names its tenant otherwise: by its port, its TLS name.

        key: what a canary of single requests draws by.
        """
        if self.table is None:
            return NO_TABLE
        return self._decide(None if tenant is None else Identity(tenant, Source.SUBDOMAIN), key)

    def _identify_and_decide(
        self, head: RequestHead, request_id: bytes, certified: str | None = None
    ) -> Route | Held | LocalReply:
        if self.table is None:
            return NO_TABLE
        claim = None
        self._expires = _NEVER
        if self.bearer is not None and head.authorization is not None:
            try:
                verified = self.bearer.verified(head.authorization)
            except KeysMissingError as missing:
                return LocalReply(503, "no-token-keys", str(missing), 5)
            except BearerError as error:
                return LocalReply(401, "bad-token", str(error))
            claim, self._expires = verified.tenant, verified.expires
            alone = self._token_alone and head.tenant is None and certified is None
            if alone and claim is not None:
                known = self._by_tenant.get(claim)
                if known is not None:
                    return known
        identity = identify(
            self._rules,
            certificate=certified,
            claim=claim,
            header=None if head.tenant is None else head.tenant.decode("latin-1"),
            host=head.host.decode("latin-1"),
            path=head.target.decode("latin-1"),
        )
        if isinstance(identity, Rejected):
            return LocalReply(identity.status, identity.code, identity.detail)
        return self._decide(identity, request_id)

    def _decide(self, identity: Identity | None, request_id: bytes) -> Route | Held | LocalReply:
        tenant = None if identity is None else identity.tenant
        found: Route | Held | LocalReply | None = self._by_tenant.get(tenant)
        if found is None and tenant in self.lingering:
            return Held(tenant)
        if found is None:
            found = self._ask_table(tenant, request_id)
            if self._remember and isinstance(found, Route):
                if len(self._by_tenant) >= _MAX_REMEMBERED:
                    self._by_tenant.clear()
                self._by_tenant[tenant] = found
        return found

    def _ask_table(self, tenant: str | None, request_id: bytes) -> Route | Held | LocalReply:
        if self.table is None:
            raise RuntimeError("no table has been swapped in")
        decision = decide(
            self.table, self._policy, tenant, request_key=request_id.decode("latin-1")
        )
        if isinstance(decision, Park):
            return Held(tenant)
        if not isinstance(decision, Forward):
            return LocalReply(decision.status, decision.code, decision.detail)
        if self._is_parked(tenant):
            return Held(tenant)
        if tenant is None:
            return Route(decision.slot, decision.reason, b"")
        tenant_line = f"{self._tenant_header}: {tenant}".encode()
        number = _SLOT_NUMBERS[decision.slot]
        count = None if self._tenants is None else TenantCount(tenant, number, self._tenants)
        body_bytes = self._body_bytes.get(tenant, 0)
        return Route(decision.slot, decision.reason, tenant_line, tenant, count, body_bytes)


def _another(route: Route, slot: Slot, reason: Reason) -> Route:
    """The same tenant's, to this slot for this reason."""
    count = route.count
    if count is not None and slot is not route.slot:
        count = TenantCount(count.tenant, _SLOT_NUMBERS[slot], count.touched)
    return Route(slot, reason, route.tenant_line, route.labels[0], count, route.body_bytes)
