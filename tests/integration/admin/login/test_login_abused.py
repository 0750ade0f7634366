"""Log-ins at a provider, abused: by the provider, and by who meddles with the way there and back."""

import asyncio
import base64
import hmac
import json
import time
from typing import Any
from urllib.parse import urlencode

import pytest

from admin.login import local
from admin.login.config import Login
from tests.integration.admin.login.conftest import is_out, last, oidc, reads
from tests.support.browser import Browser, query
from tests.support.oidc_provider import (
    CLIENT,
    of_another_key,
    public_jwk,
)
from tests.support.tokens import private_key, public_pem


@pytest.fixture
def call(oidc_admins):
    return oidc_admins[0]


@pytest.fixture
def browser(call, provider) -> Browser:
    return Browser(call.session, call.address)


# ── tokens that can't be believed ─────────────────────────────────────────────────────────────


def unsigned(algorithm: str, claims: dict[str, Any]) -> str:
    header = json.dumps({"alg": algorithm, "kid": "one"}).encode()
    parts = (header, json.dumps(claims).encode(), b"x")
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


def by_the_public_key(claims: dict[str, Any]) -> str:
    head = unsigned("HS256", claims).rpartition(".")[0]
    mark = hmac.digest(public_pem(private_key("RS256")), head.encode(), "sha256")
    return f"{head}.{base64.urlsafe_b64encode(mark).rstrip(b'=').decode()}"


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
        row = await last(call, "log-in")
        assert (row["actor"], row["outcome"]) == ("anonymous", "refused")
    assert await reads(browser) == 401


# ── the way back, abused ──────────────────────────────────────────────────────────────────────


async def test_a_return_counts_once(oidc_admins, browser, provider):
    """State replay and code replay: the same way back with the same cookie, at either admin."""
    provider.codes_last = True
    back = await browser.consent(await browser.leave_for())
    trip = browser.cookies["turnout-login"]
    assert (await browser.return_by(back)).status == 303
    for admin in oidc_admins:
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
    assert (await last(call, "log-in"))["code"] == "provider-refused"
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
