"""Log-ins at an OpenID provider on loopback that behaves, and at one in trouble."""

import asyncio
import time

import pytest
from aiohttp import web

from admin.login import local
from admin.login.config import Login
from tests.integration.admin.login.conftest import AT_ONCE, is_out, last, oidc, reads
from tests.support.browser import Browser, query
from tests.support.certificates import Authority
from tests.support.oidc_provider import (
    CLIENT_SECRET,
    of_another_key,
    oidc_provider,
    public_jwk,
)


@pytest.fixture
def call(oidc_admins):
    return oidc_admins[0]


@pytest.fixture
def browser(call, provider) -> Browser:
    return Browser(call.session, call.address)


# ── a provider that behaves ───────────────────────────────────────────────────────────────────


async def test_one_logs_in_there(call, browser, provider):
    page = await browser.get("/ui/login?next=/ui/tenants")
    assert '<a class="button" href="/ui/login/oidc?next=/ui/tenants">' in page.text
    assert "Log in with Example ID" in page.text
    page = await browser.log_in_there("/ui/tenants")
    assert (page.status, page.place) == (303, "/ui/tenants"), page.text
    assert await reads(browser) == 200
    row = await last(call, "log-in")
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


async def test_one_leaves_at_one_admin_and_returns_to_the_other(oidc_admins, browser, provider):
    one, two = oidc_admins
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
        row = await last(call, "log-in")
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
