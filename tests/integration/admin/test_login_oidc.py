"""Log-ins at an OpenID provider on loopback that behaves, and one that misbehaves in every way."""

import asyncio
import base64
import hmac
import json
import time
from dataclasses import fields
from typing import Any
from urllib.parse import urlencode

import aiohttp
import jwt
import pytest
from aiohttp import web

from admin.bootstrap import running
from admin.config import Settings
from admin.login import local
from admin.login.config import Login, Oidc
from admin.tokens import Role
from config import Shared
from tests.integration.admin.conftest import SECRET, Client, published
from tests.support.browser import Browser, query
from tests.support.certificates import Authority
from tests.support.oidc_provider import (
    CLIENT,
    CLIENT_SECRET,
    OidcProvider,
    oidc_provider,
    public_jwk,
)
from tests.support.servers import emptied_redis, empty_database
from tests.support.tokens import private_key, public_pem

ROLES = {
    "production": {"release-managers": Role.OPERATOR, "owners": Role.ADMIN},
    "staging": {"staging-only": Role.ADMIN},
}
AT_ONCE = {"refresh_s": 1e-6, "retry_s": 1e-6, "unknown_key_s": 1e-6, "keep_s": 1e-6}
"""Nothing is remembered of the provider: each log-in meets it as it is by then."""


def oidc(provider: OidcProvider, **more) -> Oidc:
    secret = "env:TURNOUT_TEST_CLIENT_SECRET"
    given = {"client_id": CLIENT, "client_secret": secret, "name": "Example ID", "roles": ROLES}
    return Oidc(issuer=provider.url, **{**given, **more})


@pytest.fixture(scope="module", autouse=True)
def client_secret():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TURNOUT_TEST_CLIENT_SECRET", CLIENT_SECRET)
        yield


@pytest.fixture(scope="module")
async def place():
    async with oidc_provider() as made:
        yield made


@pytest.fixture
def provider(place):
    """The module's provider, well behaved again."""
    fresh = OidcProvider(url=place.url)
    for each in fields(fresh):
        setattr(place, each.name, getattr(fresh, each.name))
    return place


@pytest.fixture(scope="module")
async def admins(place, redis_server, postgres_server):
    """Two admins of one installation, which ask the provider anew for each log-in."""
    with empty_database(postgres_server) as url:
        shared = Shared(emptied_redis(redis_server), "oidc", url, "")
        settings = Settings(
            listen="127.0.0.1:0",
            token_secret=SECRET,
            login=Login(failed_per_minute=10_000, failed_per_minute_account=10_000),
            oidc=oidc(place, **AT_ONCE),
        )
        async with (
            running(shared, settings) as one,
            running(shared, settings) as two,
            aiohttp.ClientSession() as session,
        ):
            clients = [Client(session, one), Client(session, two)]
            await published(clients[0])
            yield clients


@pytest.fixture
def call(admins):
    return admins[0]


@pytest.fixture
def browser(call, provider) -> Browser:
    return Browser(call.session, call.address)


async def reads(browser: Browser) -> int:
    return (await browser.send("GET", "/v1/routing", {})).status


async def last_row(call) -> dict[str, Any]:
    row: dict[str, Any] = (await call("GET", "/v1/audit?action=log-in&limit=1"))[1]["items"][0]
    return row


def is_out(page, browser: Browser, status: int) -> None:
    """Nobody came in, and the page says so."""
    assert page.status == status, page.text
    assert 'role="alert"' in page.text
    assert "turnout" not in browser.cookies
    assert "turnout-login" not in browser.cookies
    assert page.headers["Content-Security-Policy"]


# ── a provider that behaves ───────────────────────────────────────────────────────────────────


async def test_one_logs_in_there(call, browser, provider):
    page = await browser.get("/ui/login?next=/ui/tenants")
    assert '<a class="button" href="/ui/login/oidc?next=/ui/tenants">' in page.text
    assert "Log in with Example ID" in page.text
    page = await browser.log_in_there("/ui/tenants")
    assert (page.status, page.place) == (303, "/ui/tenants"), page.text
    assert await reads(browser) == 200
    row = await last_row(call)
    assert (row["actor"], row["role"], row["outcome"]) == ("anna", "operator", "committed")
    assert row["to"]["method"] == "oidc"
    assert "turnout-login" not in browser.cookies
    (asked,) = provider.authorizations
    assert asked["redirect_uri"] == f"http://{call.address}/ui/login/return"
    (form,) = provider.exchanges
    assert form["code_verifier"] not in str(asked)
    assert "client_secret" not in form


async def test_a_change_is_made_in_ones_name(call, browser):
    await browser.log_in_there()
    headers = {"Origin": browser.origin, "X-CSRF-Token": browser.csrf}
    page = await browser.send("PUT", "/v1/canary", headers, json={"percent": 5})
    assert page.status == 200, page.text
    rows = (await call("GET", "/v1/audit?action=canary&limit=1"))[1]["items"]
    assert rows[0]["actor"] == "anna"


@pytest.mark.parametrize("kind", ["RS256", "ES256"])
async def test_keys_of_either_kind_are_believed(browser, provider, kind):
    provider.kind = kind
    assert (await browser.log_in_there()).status == 303


async def test_the_cookie_of_the_way_there(browser):
    page = await browser.get(f"{local.START}?next=/ui/x")
    (line,) = page.cookies
    name, _, rest = line.partition("=")
    assert name == "turnout-login"
    assert rest.endswith("; Path=/; HttpOnly; SameSite=Lax; Max-Age=600")
    asked = query(page.place)
    for secret in ("state", "nonce", "code_challenge"):
        assert asked[secret] not in line


async def test_one_leaves_at_one_admin_and_returns_to_the_other(admins, browser, provider):
    one, two = admins
    back = await browser.consent(await browser.leave_for())
    elsewhere = browser.at(two.address)
    provider.codes[query(back)["code"]].redirect_uri = f"http://{two.address}/ui/login/return"
    page = await elsewhere.return_by(back)
    assert page.status == 303, page.text
    assert await reads(elsewhere) == await reads(browser.at(one.address)) == 200


async def test_the_session_one_had_is_over_after_a_log_in(browser):
    await browser.log_in_there()
    old = Browser(browser.session, browser.address, "", dict(browser.cookies))
    await browser.log_in_there()
    assert old.session_id != browser.session_id
    assert (await reads(old), await reads(browser)) == (401, 200)


async def test_a_client_without_a_secret(start, provider):
    provider.secret = None
    call = await start(oidc=oidc(provider, client_secret=""))
    assert (await Browser(call.session, call.address).log_in_there()).status == 303


async def test_a_client_secret_in_the_form_and_from_a_file(start, provider, tmp_path):
    (tmp_path / "secret").write_text(CLIENT_SECRET + "\n")
    provider.metadata = {"token_endpoint_auth_methods_supported": ["client_secret_post"]}
    call = await start(oidc=oidc(provider, client_secret=f"file:{tmp_path}/secret"))
    assert (await Browser(call.session, call.address).log_in_there()).status == 303


async def test_behind_what_ends_tls(start, provider):
    call = await start(oidc=oidc(provider), public_url="https://turnout.example")
    browser = Browser(call.session, call.address, "https://turnout.example")
    page = await browser.log_in_there("/ui/workers")
    assert (page.status, page.place) == (303, "/ui/workers"), page.text
    (session,) = [line for line in page.cookies if line.startswith("__Host-turnout=")]
    assert session.endswith("; Path=/; HttpOnly; SameSite=Lax; Secure")
    (asked,) = provider.authorizations
    assert asked["redirect_uri"] == "https://turnout.example/ui/login/return"
    assert await reads(browser) == 200


# ── who may come in ───────────────────────────────────────────────────────────────────────────


async def test_without_a_role_here_one_stays_outside(call, browser, provider):
    for groups in (None, [], ["staging-only"], ["admin"]):
        provider.person = {"sub": "mallory", "groups": groups}
        is_out(await browser.log_in_there(), browser, 403)
        row = await last_row(call)
        assert (row["actor"], row["outcome"], row["code"]) == ("mallory", "refused", "no-role")


async def test_the_role_is_that_of_the_environment(start, provider):
    provider.person = {"sub": "anna", "groups": ["staging-only"]}
    call = await start(oidc=oidc(provider), environment="staging")
    browser = Browser(call.session, call.address)
    assert (await browser.log_in_there()).status == 303
    assert (await call("GET", "/v1/sessions"))[1]["items"][0]["role"] == "admin"


async def test_tenants_are_those_of_the_token(start, provider):
    provider.claims = {"tenants": ["acme"]}
    call = await start(oidc=oidc(provider, tenants_claim="tenants"))
    browser = Browser(call.session, call.address)
    assert (await browser.log_in_there()).status == 303
    headers = {"Origin": browser.origin, "X-CSRF-Token": browser.csrf}
    for tenant, status in (("acme", 200), ("other", 403)):
        path = f"/v1/tenants/{tenant}/pin"
        page = await browser.send("PUT", path, headers, json={"slot": "green"})
        assert page.status == status
    provider.claims = {}
    assert (await browser.log_in_there()).status == 403


# ── tokens that can't be believed ─────────────────────────────────────────────────────────────


def unsigned(algorithm: str, claims: dict[str, Any]) -> str:
    header = json.dumps({"alg": algorithm, "kid": "one"}).encode()
    parts = (header, json.dumps(claims).encode(), b"x")
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


def by_the_public_key(claims: dict[str, Any]) -> str:
    head = unsigned("HS256", claims).rpartition(".")[0]
    mark = hmac.digest(public_pem(private_key("RS256")), head.encode(), "sha256")
    return f"{head}.{base64.urlsafe_b64encode(mark).rstrip(b'=').decode()}"


def of_another_key(claims: dict[str, Any]) -> str:
    return jwt.encode(claims, private_key("RS256", 1), "RS256", headers={"kid": "one"})


BAD: dict[str, dict[str, Any]] = {
    "wrong nonce": {"claims": {"nonce": "n" * 43}},
    "no nonce": {"claims": {"nonce": None}},
    "wrong aud": {"claims": {"aud": "another"}},
    "more audiences": {"claims": {"aud": [CLIENT, "another"]}},
    "wrong azp": {"claims": {"azp": "another"}},
    "wrong iss": {"claims": {"iss": "https://evil.example"}},
    "no iss": {"claims": {"iss": None}},
    "expired": {"claims": {"exp": int(time.time()) - 61}},
    "no exp": {"claims": {"exp": None}},
    "in the future": {"claims": {"iat": int(time.time()) + 3600}},
    "no sub": {"claims": {"sub": None}},
    "alg none": {"signer": lambda claims: unsigned("none", claims)},
    "HS256 with the public key": {"signer": by_the_public_key},
    "another's key": {"signer": of_another_key},
    "no token": {"signer": lambda _: "nonsense"},
    "unknown key": {"header": {"kid": "two"}},
    "no kid among several": {
        "header": {"kid": None},
        "jwks": [public_jwk("RS256", "one"), public_jwk("RS256", "two", 1)],
    },
    "crit": {"header": {"crit": ["exp"]}},
    "RS512": {"kind": "RS512"},
    "a key for encryption": {"jwks": [public_jwk("RS256", "one", use="enc")]},
    "one id for two keys": {
        "jwks": [public_jwk("RS256", "one"), public_jwk("RS256", "one", 1)],
    },
}


@pytest.mark.parametrize("name", BAD)
async def test_a_token_that_can_not_be_believed(call, browser, provider, name):
    for attribute, value in BAD[name].items():
        setattr(provider, attribute, value)
    page = await browser.log_in_there()
    assert page.status in {401, 403, 503}
    # Two keys under one id: the set is refused, and so there are none.
    is_out(page, browser, page.status)
    assert (page.status == 503) == (name == "one id for two keys")
    if page.status != 503:
        row = await last_row(call)
        assert (row["actor"], row["outcome"]) == ("anonymous", "refused")
    assert await reads(browser) == 401


# ── the way back, abused ──────────────────────────────────────────────────────────────────────


async def test_a_return_counts_once(admins, browser, provider):
    """State replay and code replay: the same way back with the same cookie, at either admin."""
    provider.codes_last = True
    back = await browser.consent(await browser.leave_for())
    trip = browser.cookies["turnout-login"]
    assert (await browser.return_by(back)).status == 303
    for admin in admins:
        again = Browser(browser.session, admin.address, "", {"turnout-login": trip})
        page = await again.return_by(back)
        is_out(page, again, 400)
        assert "used before" in page.text
    assert len(provider.exchanges) == 1


async def test_of_two_returns_at_once_one_counts(browser, provider):
    provider.codes_last = True
    back = await browser.consent(await browser.leave_for())
    jar = dict(browser.cookies)
    each = [Browser(browser.session, browser.address, "", dict(jar)) for _ in range(5)]
    pages = await asyncio.gather(*(one.return_by(back) for one in each))
    assert sorted(page.status for page in pages) == [303] + [400] * 4


async def test_a_code_counts_once_at_the_provider(browser, provider):
    first = await browser.consent(await browser.leave_for())
    await browser.return_by(first)
    other = Browser(browser.session, browser.address)
    second = await other.consent(await other.leave_for())
    told = {**query(second), "code": query(first)["code"]}
    is_out(await other.return_by(f"{local.RETURN}?{urlencode(told)}"), other, 401)


async def test_another_browser_s_way_back_is_none(call, browser):
    """Log-in forgery: a victim is led to the way back of somebody else's log-in."""
    back = await browser.consent(await browser.leave_for())
    victim = Browser(call.session, call.address)
    is_out(await victim.return_by(back), victim, 400)
    await victim.leave_for()
    is_out(await victim.return_by(back), victim, 400)


@pytest.mark.parametrize("checks_pkce", [True, False])
async def test_another_s_code_is_worth_nothing_here(browser, provider, call, checks_pkce):
    """Code injection: by PKCE at a provider that checks it, else by the nonce."""
    provider.checks_pkce = checks_pkce
    thief = Browser(call.session, call.address)
    stolen = query(await browser.consent(await browser.leave_for()))["code"]
    own = query(await thief.consent(await thief.leave_for()))
    page = await thief.return_by(f"{local.RETURN}?{urlencode({**own, 'code': stolen})}")
    is_out(page, thief, 401)


async def test_an_answer_of_another_server_is_none(browser, provider):
    """Mix-up (RFC 9207): `iss` has to be there if it was promised, and to be the one."""
    for named in ("https://evil.example", provider.url + "/", "", None):
        provider.iss = named
        is_out(await browser.log_in_there(), browser, 401)
    assert provider.exchanges == []
    provider.metadata = {"authorization_response_iss_parameter_supported": None}
    assert (await browser.log_in_there()).status == 303
    provider.iss = "https://evil.example"
    await browser.post(local.LOGOUT, {"csrf": browser.csrf})
    is_out(await browser.log_in_there(), browser, 401)


async def test_odd_ways_back(browser, provider):
    good = query(await browser.consent(await browser.leave_for()))
    trip = browser.cookies["turnout-login"]
    for told in (
        {**good, "state": "x" * 43},
        {**good, "state": ""},
        {**good, "state": "ä"},
        {name: value for name, value in good.items() if name != "state"},
        {name: value for name, value in good.items() if name != "code"},
        {},
    ):
        browser.cookies["turnout-login"] = trip
        page = await browser.return_by(f"{local.RETURN}?{urlencode(told)}")
        is_out(page, browser, 403 if "code" not in told and "state" in told else 400)
    browser.cookies["turnout-login"] = trip
    doubled = f"{local.RETURN}?{urlencode(good)}&code=x"
    is_out(await browser.return_by(doubled), browser, 400)
    assert provider.exchanges == []
    for forged in ("", "x", trip[:-3] + "AAA", trip + "A"):
        browser.cookies["turnout-login"] = forged
        is_out(await browser.return_by(f"{local.RETURN}?{urlencode(good)}"), browser, 400)


async def test_the_provider_s_refusal_is_told_without_its_words(call, browser, provider):
    provider.error = "access_denied"
    page = await browser.log_in_there()
    is_out(page, browser, 403)
    assert (await last_row(call))["code"] == "provider-refused"
    provider.error = "<script>alert(1)</script>"
    assert "alert(1)" not in (await browser.log_in_there()).text


async def test_another_site_can_not_begin_a_log_in(browser, provider):
    page = await browser.get(local.START, site="cross-site")
    assert (page.status, page.place, page.cookies) == (303, "/ui/login", [])
    assert provider.asked == []


async def test_the_next_place_is_ours(browser):
    page = await browser.log_in_there("https://evil.example")
    assert (page.status, page.place) == (303, "/ui")
    page = await browser.log_in_there("//evil.example")
    assert page.place == "/ui"


async def test_who_fails_too_often_waits_and_the_provider_is_spared(start, provider):
    provider.claims = {"nonce": "x"}
    call = await start(oidc=oidc(provider), login=Login(failed_per_minute=2))
    browser = Browser(call.session, call.address)
    assert [(await browser.log_in_there()).status for _ in range(2)] == [401, 401]
    back = await browser.consent(await browser.leave_for())
    before = len(provider.exchanges)
    page = await browser.return_by(back)
    assert page.status == 429
    assert 0 < int(page.headers["Retry-After"]) <= 60
    assert len(provider.exchanges) == before


async def test_returns_that_are_remembered_are_bounded(start, provider):
    call = await start(oidc=oidc(provider), login=Login(returns=2))
    browser = Browser(call.session, call.address)
    statuses = [(await browser.log_in_there()).status for _ in range(3)]
    assert statuses == [303, 303, 503]


# ── a provider in trouble ─────────────────────────────────────────────────────────────────────


async def test_new_keys_are_fetched_when_a_token_names_one(start, provider):
    call = await start(oidc=oidc(provider, unknown_key_s=0.05))
    browser = Browser(call.session, call.address)
    assert (await browser.log_in_there()).status == 303
    assert (await browser.log_in_there()).status == 303
    assert provider.asked.count("/keys") == 1
    assert provider.asked.count("/.well-known/openid-configuration") == 1
    provider.kid, provider.number = "two", 1
    await asyncio.sleep(0.06)  # so long no keys are fetched for an unknown one
    assert (await browser.log_in_there()).status == 303
    assert provider.asked.count("/keys") == 2
    # What the old key has signed is worth nothing any more.
    provider.header, provider.signer = {}, of_another_key
    provider.jwks = [public_jwk("RS256", "two", 1)]
    assert (await browser.log_in_there()).status == 401


async def test_tokens_with_unknown_keys_cause_few_fetches(start, provider):
    call = await start(oidc=oidc(provider), login=Login(failed_per_minute=100))
    provider.header = {"kid": "two"}
    browser = Browser(call.session, call.address)
    for _ in range(5):
        assert (await browser.log_in_there()).status == 401
    assert provider.asked.count("/keys") == 1


async def test_old_keys_stay_while_new_ones_can_not_be_had(start, provider):
    call = await start(oidc=oidc(provider, **{**AT_ONCE, "keep_s": 60.0}))
    browser = Browser(call.session, call.address)
    assert (await browser.log_in_there()).status == 303
    provider.replies["/keys"] = lambda: web.Response(status=503)
    assert (await browser.log_in_there()).status == 303
    assert provider.asked.count("/keys") >= 2


async def test_keys_are_not_believed_for_ever(browser, provider):
    assert (await browser.log_in_there()).status == 303
    await browser.post(local.LOGOUT, {"csrf": browser.csrf})
    back = await browser.consent(await browser.leave_for())
    provider.replies["/keys"] = lambda: web.Response(status=503)
    is_out(await browser.return_by(back), browser, 503)


@pytest.mark.parametrize(
    "reply",
    [
        lambda: web.Response(status=503),
        lambda: web.Response(status=302, headers={"Location": "http://127.0.0.1:1/"}),
        lambda: web.Response(text="<html>"),
        lambda: web.Response(text="[]"),
        lambda: web.Response(text='{"a": 1, "a": 2}'),
        lambda: web.Response(body=b"x" * 300_000),
        lambda: web.Response(text="{}", headers={"Content-Encoding": "gzip"}),
    ],
    ids=["503", "redirect", "html", "list", "doubled", "large", "encoded"],
)
@pytest.mark.parametrize("path", ["/.well-known/openid-configuration", "/keys", "/token"])
async def test_an_answer_that_can_not_be_used(browser, provider, path, reply):
    provider.replies[path] = reply
    page = await browser.get(local.START)
    if path == "/.well-known/openid-configuration":
        is_out(page, browser, 503)
    else:
        page = await browser.return_by(await browser.consent(page.place))
        is_out(page, browser, 503)
    del provider.replies[path]
    assert (await browser.log_in_there()).status == 303


@pytest.mark.parametrize(
    "changed",
    [
        {"issuer": "https://evil.example"},
        {"code_challenge_methods_supported": ["plain"]},
        {"token_endpoint": "http://evil.example/token"},
        {"jwks_uri": "file:///etc/passwd"},
        {"authorization_endpoint": "javascript:alert(1)"},
    ],
    ids=str,
)
async def test_a_provider_that_can_not_be_trusted_is_not_gone_to(browser, provider, changed):
    provider.metadata = changed
    is_out(await browser.get(local.START), browser, 503)


async def test_a_slow_provider_holds_nobody_up(start, provider):
    provider.delay_s = 3.0
    call = await start(oidc=oidc(provider, timeout_s=0.2))
    browser = Browser(call.session, call.address)
    began = time.monotonic()
    pages = await asyncio.gather(*(browser.get(local.START) for _ in range(10)))
    assert [page.status for page in pages] == [503] * 10
    assert time.monotonic() - began < 2  # those who waited do not try again one by one
    assert len(provider.asked) == 1
    assert (await browser.get(local.LOGIN)).status == 200


async def test_a_provider_over_https_is_who_its_certificate_says(start, tmp_path):
    """By an authority of the settings; the system's don't know this one."""
    authority = Authority(tmp_path)
    tls = authority.server(authority.issue("provider", "127.0.0.1"))
    trusted = authority.trusted()
    async with oidc_provider(tls) as provider:
        call = await start(oidc=oidc(provider, ca_file=str(authority.ca)))
        browser = Browser(call.session, call.address)
        there = await browser.leave_for()
        async with call.session.get(there, allow_redirects=False, ssl=trusted) as answer:
            back = answer.headers["Location"].removeprefix(browser.origin)
        assert (await browser.return_by(back)).status == 303
        for ca_file in ("", str(tmp_path / "none.pem")):
            stranger = await start(oidc=oidc(provider, ca_file=ca_file))
            page = await Browser(stranger.session, stranger.address).get(local.START)
            assert page.status == 503


async def test_without_the_client_s_secret_nobody_gets_in(start, provider):
    call = await start(oidc=oidc(provider, client_secret="env:TURNOUT_TEST_NOT_SET"))
    browser = Browser(call.session, call.address)
    is_out(await browser.log_in_there(), browser, 503)
    assert provider.exchanges == []
