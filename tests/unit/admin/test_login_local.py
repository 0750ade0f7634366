"""Paths, cookies, origins, trips: what is ours."""

import base64
import ipaddress
import json
from secrets import token_urlsafe

import pytest
from hypothesis import given
from hypothesis import strategies as st

from admin.login import local
from admin.login.transaction import Trip, Trips
from tests.support.examples import examples

NETWORKS = [ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("::1/128")]


@pytest.mark.parametrize(
    "path", ["/ui", "/ui/", "/ui/tenants?prefix=a&cursor=b%2F", "/ui?x", "/ui/a-b_c~d/1", "/ui/x#y"]
)
def test_a_path_of_our_own_is_returned_to(path):
    assert local.own_path(path) == path


@pytest.mark.parametrize(
    "path",
    [
        None,
        "",
        "/",
        "/v1/routing",
        "/uix",
        "//evil.example/ui",
        "///evil.example",
        "/\\evil.example",
        "/ui\\..\\",
        "/ui/..//evil.example",
        "/ui/../v1/x",
        "/ui/%2e%2e/v1",
        "/ui/%2E%2e/v1",
        "/ui/%5cevil",
        "/ui//evil.example",
        "/ui/%2f%2fevil",
        "https://evil.example/ui",
        "javascript:alert(1)",
        "ui",
        " /ui",
        "/ui/a b",
        "/ui/\r\nSet-Cookie: a=b",
        "/ui/\t",
        "/ui/ä",
        "/ui/login",
        "/ui/login?next=/ui/login",
        "/ui/%6Cogin/oidc",
        "/ui/logout",
        "/ui/" + "x" * 1000,
    ],
)
def test_any_other_place_becomes_home(path):
    assert local.own_path(path) == "/ui"


@examples()
@given(st.text(max_size=60))
def test_whatever_is_given_the_place_is_ours(text):
    for path in (text, "/" + text, "/ui" + text, "/ui/" + text):
        found = local.own_path(path)
        assert found.startswith("/ui")
        assert found.isascii()
        assert found.isprintable()
        assert "\\" not in found


def test_a_cookie_over_https_is_bound_to_the_host():
    line = local.cookie_line(local.cookie_name(https=True), "x", https=True)
    assert line == "__Host-turnout=x; Path=/; HttpOnly; SameSite=Lax; Secure"


def test_a_cookie_on_this_host_alone_needs_no_https():
    line = local.cookie_line(local.cookie_name(https=False), "", https=False, max_age_s=0)
    assert line == "turnout=; Path=/; HttpOnly; SameSite=Lax; Max-Age=0"


@pytest.mark.parametrize(
    ("fields", "value"),
    [
        (["turnout=a"], "a"),
        (["x=1; turnout=a; y"], "a"),
        (["x=1", "turnout=a"], "a"),
        (["turnout=a; turnout=b"], None),
        (["turnout=a", "turnout=a"], None),
        (["Turnout=a; xturnout=b"], None),
        ([], None),
        (["turnout"], None),
    ],
)
def test_a_cookie_that_stands_twice_is_none(fields, value):
    assert local.cookie(fields, "turnout") == value


def test_only_ids_of_our_form_are_looked_up():
    good = token_urlsafe(32)
    assert len(local.session_digest(good) or b"") == 32
    for bad in (None, "", good[:-1], good + "a", good[:-1] + "=", good[:-1] + "ä"):
        assert local.session_digest(bad) is None


def test_the_token_of_a_session_is_its_own():
    one, other = token_urlsafe(32), token_urlsafe(32)
    assert local.is_csrf_token(one, local.csrf_token(one))
    for given_ in (local.csrf_token(other), "", None, one, "ä", b"x", local.csrf_token(one) + "="):
        assert not local.is_csrf_token(one, given_)
    assert one not in local.csrf_token(one)


OWN = "https://turnout.example"


@pytest.mark.parametrize(
    ("origins", "sites", "good"),
    [
        ([OWN], ["same-origin"], True),
        ([OWN], [], True),
        ([], ["same-origin"], True),
        ([], [], False),
        (["null"], ["same-origin"], False),
        (["https://evil.example"], [], False),
        (["https://evil.example"], ["same-origin"], False),
        ([OWN], ["cross-site"], False),
        ([OWN], ["same-site"], False),
        ([], ["none"], False),
        ([OWN, OWN], ["same-origin"], False),
        ([OWN], ["same-origin", "same-origin"], False),
        ([OWN.upper()], [], False),
    ],
)
def test_what_changes_something_comes_from_our_page(origins, sites, good):
    assert local.from_own_page(OWN, origins, sites) is good


@pytest.mark.parametrize(
    ("sites", "modes", "good"),
    [
        ([], [], True),
        (["same-origin"], ["cors"], True),
        (["none"], ["navigate"], True),
        (["cross-site"], ["navigate"], True),
        (["cross-site"], ["no-cors"], False),
        (["same-site"], ["cors"], False),
        (["cross-site"], [], False),
    ],
)
def test_who_may_read(sites, modes, good):
    assert local.may_read(sites, modes) is good


@pytest.mark.parametrize(
    ("host", "is_here"),
    [
        ("localhost", True),
        ("LOCALHOST.:1", True),
        ("127.0.0.9:80", True),
        ("[::1]:80", True),
        ("turnout.example", False),
        ("127.0.0.1.evil.example", False),
        ("", False),
    ],
)
def test_this_host_is_known(host, is_here):
    assert local.is_loopback(host) is is_here


@pytest.mark.parametrize(
    ("peer", "told", "address"),
    [
        ("192.0.2.1", "", "192.0.2.1"),
        ("192.0.2.1", "198.51.100.7", "192.0.2.1"),
        ("10.0.0.1", "198.51.100.7", "198.51.100.7"),
        ("10.0.0.1", "1.2.3.4, 198.51.100.7", "198.51.100.7"),
        ("10.0.0.1", "nonsense", "10.0.0.1"),
        ("::ffff:10.0.0.1", "198.51.100.7", "198.51.100.7"),
        ("::1", "2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("2001:db8::1", "", "2001:db8::"),
        ("", "", ""),
    ],
)
def test_whom_a_failed_log_in_is_counted_by(peer, told, address):
    assert local.client_address(peer, [told] if told else [], NETWORKS) == address


@pytest.mark.parametrize(
    ("fields", "address"),
    [
        # A proxy may add a field of its own after the one that the client wrote.
        (["198.51.100.99", "203.0.113.7"], "203.0.113.7"),
        (["198.51.100.99, 198.51.100.98", "203.0.113.7"], "203.0.113.7"),
        # Behind two proxies: the inner one names the outer one last.
        (["198.51.100.99, 203.0.113.7, 10.0.0.9"], "203.0.113.7"),
        (["203.0.113.7", "10.0.0.9"], "203.0.113.7"),
        # All of them are our own: the farthest.
        (["10.0.0.8, 10.0.0.9"], "10.0.0.8"),
        # Some proxies add the port.
        (["198.51.100.99, 203.0.113.7:50001"], "203.0.113.7"),
        (["[2001:db8:1:2::3]:50001"], "2001:db8:1:2::"),
        # What can't be read ends the walk: what is left of it anybody may have written.
        (["198.51.100.99, unknown, 10.0.0.9"], "10.0.0.9"),
    ],
)
def test_only_what_our_own_proxies_saw_counts(fields, address):
    assert local.client_address("10.0.0.5", fields, NETWORKS) == address


# ── trips ─────────────────────────────────────────────────────────────────────────────────────

SECRET = "a secret of the tests, 32 bytes or more"


def trips(secret: str = SECRET, issuer: str = OWN, client: str = "turnout") -> Trips:
    return Trips(secret, issuer, client, 600)


def test_a_trip_is_known_again_at_another_admin():
    trip = Trip(token_urlsafe(32), "/ui/tenants", 1000.0)
    assert trips().open(trips().seal(trip), 1500.0) == trip
    parts = {f(trip) for f in (trips().state, trips().nonce, trips().verifier, trips().challenge)}
    assert len(parts) == 4
    assert all(len(part) == 43 for part in parts)
    assert not any(part in trips().seal(trip) for part in parts)


def test_a_trip_has_its_time():
    sealed = trips().seal(Trip(token_urlsafe(32), "/ui", 1000.0))
    assert trips().open(sealed, 1600.0)
    assert trips().open(sealed, 1600.1) is None
    assert trips().open(sealed, 999.0) is None


@pytest.mark.parametrize(
    "other",
    [trips(secret="x" * 40), trips(issuer="https://other.example"), trips(client="another")],
    ids=["secret", "issuer", "client"],
)
def test_a_trip_of_another_admin_provider_or_client_is_none(other):
    assert other.open(trips().seal(Trip(token_urlsafe(32), "/ui", 1000.0)), 1000.0) is None


def test_a_trip_that_was_changed_is_none():
    made = trips()
    trip = Trip(token_urlsafe(32), "/ui", 1000.0)
    body, _, mark = made.seal(trip).partition(".")
    longer = json.dumps([trip.id, "https://evil.example", 1000.0]).encode()
    forged = base64.urlsafe_b64encode(longer).rstrip(b"=").decode()
    for sealed in (
        None,
        "",
        ".",
        body,
        f"{forged}.{mark}",
        f"{body}.{mark[:-2]}AA",
        f"{body}.{'ä' * 43}",
    ):
        assert made.open(sealed, 1000.0) is None
