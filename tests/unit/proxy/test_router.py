"""From a head to a route: what is read, what is remembered, and when it is forgotten."""

from dataclasses import replace
from types import MappingProxyType

import jwt
import pytest

from proxy.http1.head import RequestHead
from proxy.http1.reply import LocalReply
from proxy.observability.telemetry import GROUPS
from proxy.router import Held, Memo, Route, Router
from proxy.routing.decision import Policy
from proxy.routing.identity import IdentityRules, Source
from proxy.routing.model import Canary, RoutingTable, Slot, Unit
from proxy.tokens.bearer import BearerVerifier, Issuer
from proxy.tokens.jwk import read_keys

RULES = IdentityRules()
EVERYWHERE = IdentityRules(domains=("example.com",), path_prefix="/t/")
SECRET = "k" * 32


def tokens() -> BearerVerifier:
    return BearerVerifier(
        [Issuer("i", ("a",), ("HS256",), read_keys(SECRET.encode(), ("HS256",), 1))]
    )


def token(tenant: str) -> bytes:
    claims = {"iss": "i", "aud": "a", "exp": 4_000_000_000, "tenant": tenant}
    return jwt.encode(claims, SECRET, "HS256").encode()


def pinned(**pins: Slot) -> RoutingTable:
    return RoutingTable(version=1, pins=MappingProxyType(pins))


def router(
    rules: IdentityRules = RULES,
    routing: RoutingTable | None = None,
    policy: Policy | None = None,
    bearer: BearerVerifier | None = None,
) -> Router:
    made = Router(rules, policy or Policy(), "X-Tenant-ID", bearer)
    made.swap(routing or pinned(acme=Slot.GREEN))
    return made


def head(
    tenant: bytes | None = None,
    host: bytes = b"h",
    target: bytes = b"/",
    token: bytes | None = None,
) -> RequestHead:
    made = RequestHead()
    made.target = target
    made.host = host
    made.tenant = tenant
    made.authorization = None if token is None else b"Bearer " + token
    return made


def slot(found: Route | Held | LocalReply) -> Slot:
    assert isinstance(found, Route), found
    return found.slot


def status(found: Route | Held | LocalReply) -> int:
    assert isinstance(found, LocalReply), found
    return found.status


def test_a_route_says_where_and_for_whom() -> None:
    found = router().route(head(b"acme"), b"1")
    assert isinstance(found, Route)
    assert (found.slot, found.slot_number, found.reason) == (Slot.GREEN, 1, "pin")
    assert GROUPS[found.group] == ("green", "pilot")
    assert found.tenant_line == b"X-Tenant-ID: acme"
    assert found.answer_line == b"X-Turnout-Slot: green\r\nX-Request-ID: "


def test_without_a_tenant_it_is_the_active_slot_and_no_tenant_is_told() -> None:
    found = router().route(head(), b"1")
    assert isinstance(found, Route)
    assert (found.slot, found.reason, found.tenant_line) == (Slot.BLUE, "unidentified", b"")


@pytest.mark.parametrize(
    "asked",
    [
        head(b"acme"),
        head(host=b"acme.example.com"),
        head(host=b"ACME.example.com:8080"),
        head(target=b"/t/acme/jobs?x"),
        head(token=token("acme")),
        head(b"acme", b"acme.example.com", b"/t/acme", token("acme")),
    ],
)
def test_each_source_names_the_tenant(asked: RequestHead) -> None:
    assert slot(router(EVERYWHERE, bearer=tokens()).route(asked, b"1")) is Slot.GREEN


@pytest.mark.parametrize(
    "asked",
    [
        head(b"acme", token=token("bravo")),
        head(b"bravo", token=token("acme")),
        head(b"acme", b"bravo.example.com"),
        head(host=b"acme.example.com", target=b"/t/bravo"),
        head(target=b"/t/acme", token=token("bravo")),
    ],
)
def test_sources_that_disagree_are_refused_both_ways_round(asked: RequestHead) -> None:
    routes = router(EVERYWHERE, bearer=tokens())
    assert [status(routes.route(asked, b"1")) for _ in range(2)] == [403, 403]


def test_one_header_with_two_hosts_is_not_one_route() -> None:
    routes = router(EVERYWHERE)
    assert slot(routes.route(head(b"acme"), b"1")) is Slot.GREEN
    assert status(routes.route(head(b"acme", b"bravo.example.com"), b"1")) == 403
    assert slot(routes.route(head(None, b"bravo.example.com"), b"1")) is Slot.BLUE
    assert slot(routes.route(head(None, b"acme.example.com"), b"1")) is Slot.GREEN


def test_one_header_with_two_tokens_is_not_one_route() -> None:
    routes = router(bearer=tokens())
    assert slot(routes.route(head(b"acme", token=token("acme")), b"1")) is Slot.GREEN
    assert status(routes.route(head(b"acme", token=token("bravo")), b"1")) == 403


def test_a_connection_s_token_is_read_once_while_it_holds() -> None:
    bearer, memo, asked = tokens(), Memo(), head(token=token("acme"))
    routes = router(bearer=bearer)
    assert slot(routes.route(asked, b"1", memo)) is Slot.GREEN
    bearer.issuers.clear()
    bearer._remembered.clear()
    assert slot(routes.route(asked, b"1", memo)) is Slot.GREEN, "nobody has to be asked"


@pytest.mark.parametrize("why", ["expired", "keys changed", "table changed", "another token"])
def test_a_connection_s_token_is_read_again_when_it_may_not_hold(why: str) -> None:
    bearer, memo, asked = tokens(), Memo(), head(token=token("acme"))
    routes = router(bearer=bearer)
    assert slot(routes.route(asked, b"1", memo)) is Slot.GREEN
    bearer.issuers.clear()
    bearer._remembered.clear()
    if why == "expired":
        memo.expires = 1.0
    elif why == "keys changed":
        bearer.generation += 1
    elif why == "table changed":
        routes.swap(pinned())
    else:
        asked = head(token=token("bravo"))
    assert status(routes.route(asked, b"1", memo)) == 401


@pytest.mark.parametrize(
    "other",
    [head(), head(b"bravo", token=token("acme")), head(host=b"bravo.example.com")],
    ids=["no token", "another header", "another host"],
)
def test_what_a_connection_said_before_names_no_other_request(other: RequestHead) -> None:
    memo = Memo()
    routes = router(IdentityRules(domains=("example.com",)), bearer=tokens())
    first = routes.route(head(token=token("acme")), b"1", memo)
    assert slot(first) is Slot.GREEN
    found = routes.route(other, b"1", memo)
    assert isinstance(found, LocalReply) or slot(found) is Slot.BLUE


def test_a_certificate_beside_a_token_must_agree_with_it() -> None:
    rules = IdentityRules(order=(Source.CLAIM, Source.CERTIFICATE))
    routes = router(rules, bearer=tokens())
    asked = head(token=token("acme"))
    first = routes.route(asked, b"1", Memo())
    assert slot(first) is Slot.GREEN
    for certified, outcome in (("bravo", 403), ("acme", Slot.GREEN)):
        found = routes.route(asked, b"1", Memo(certified))
        given = found.status if isinstance(found, LocalReply) else slot(found)
        assert given == outcome


def test_tokens_are_not_read_unless_the_order_names_claims() -> None:
    routes = router(IdentityRules(order=(Source.HEADER,)), bearer=tokens())
    assert slot(routes.route(head(token=token("acme")), b"1")) is Slot.BLUE


def test_a_source_that_the_order_leaves_out_is_not_read() -> None:
    rules = IdentityRules(order=(Source.HEADER,), domains=("example.com",), path_prefix="/t/")
    routes = router(rules)
    assert slot(routes.route(head(host=b"acme.example.com", target=b"/t/acme"), b"1")) is Slot.BLUE


def test_swapping_the_table_forgets_all_that_was_remembered() -> None:
    for rules, asked in ((RULES, head(b"acme")), (EVERYWHERE, head(host=b"acme.example.com"))):
        routes = router(rules)
        assert slot(routes.route(asked, b"1")) is Slot.GREEN
        routes.swap(pinned(acme=Slot.BLUE))
        assert slot(routes.route(asked, b"1")) is Slot.BLUE
        routes.swap(pinned())
        assert slot(routes.route(asked, b"1")) is Slot.BLUE
        routes.swap(pinned(acme=Slot.GREEN))
        assert slot(routes.route(asked, b"1")) is Slot.GREEN


def test_a_refusal_is_forgotten_with_its_table() -> None:
    routes = router(policy=Policy(route_unknown=False))
    assert status(routes.route(head(b"bravo"), b"1")) == 403
    routes.swap(pinned(bravo=Slot.BLUE))
    assert slot(routes.route(head(b"bravo"), b"1")) is Slot.BLUE


def test_an_unidentified_request_is_refused_where_that_is_asked_for() -> None:
    routes = router(policy=Policy(route_unidentified=False))
    assert status(routes.route(head(), b"1")) == 401
    assert slot(routes.route(head(b"acme"), b"1")) is Slot.GREEN


@pytest.mark.parametrize("rules", [RULES, EVERYWHERE])
def test_a_canary_by_request_draws_each_request(rules: IdentityRules) -> None:
    canary = Canary(basis_points=5_000, unit=Unit.REQUEST)
    routes = router(rules, replace(pinned(), canary=canary))
    drawn = [slot(routes.route(head(b"bravo"), b"%d" % number)) for number in range(400)]
    assert 120 < drawn.count(Slot.GREEN) < 280
    again = [slot(routes.route(head(b"bravo"), b"%d" % number)) for number in range(400)]
    assert drawn == again


def test_a_canary_by_tenant_is_sticky() -> None:
    routes = router(routing=replace(pinned(), canary=Canary(basis_points=5_000)))
    for tenant in (b"bravo", b"c-3", b"d"):
        found = {slot(routes.route(head(tenant), b"%d" % number)) for number in range(50)}
        assert len(found) == 1


@pytest.mark.parametrize("rules", [RULES, EVERYWHERE])
def test_what_is_remembered_is_bounded(
    rules: IdentityRules, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proxy.router._MAX_REMEMBERED", 10)
    routes = router(rules)
    for number in range(100):
        assert slot(routes.route(head(b"t-%d" % number), b"1")) is Slot.BLUE
        assert len(routes._by_header) <= 10
        assert len(routes._by_tenant) <= 10
    assert slot(routes.route(head(b"acme"), b"1")) is Slot.GREEN


@pytest.mark.parametrize("tenant", [b"", b"Acme", b"a_b", b"a b", b"\xe4", b"x" * 64, b"a\tb"])
def test_a_name_that_no_tenant_can_have_is_refused(tenant: bytes) -> None:
    routes = router()
    assert [status(routes.route(head(tenant), b"1")) for _ in range(2)] == [400, 400]
