"""Log-ins by a token: in and out, forgery, https, failures."""

from secrets import token_urlsafe

import pytest

from admin.login import local
from admin.login.config import Login
from admin.tokens import create_token
from tests.integration.admin.login.conftest import last, reads, token
from tests.support.browser import Browser

HTTPS = "https://turnout.example"


# ── in and out ────────────────────────────────────────────────────────────────────────────────


async def test_the_page_works_without_scripts(browser):
    page = await browser.get("/ui/login?next=/ui/tenants%3Fslot=blue")
    assert page.status == 200
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "<script" not in page.text
    assert "style=" not in page.text
    assert '<label for="token">' in page.text
    assert 'name="next" value="/ui/tenants?slot=blue"' in page.text
    assert "single sign-on" not in page.text
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert page.headers["Referrer-Policy"] == "same-origin"
    assert page.headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert page.headers["Cache-Control"] == "no-store"
    assert "Strict-Transport-Security" not in page.headers


async def test_with_a_token_one_is_in(call, browser):
    assert await reads(browser) == 401
    page = await browser.log_in(token(), "/ui/tenants?slot=blue")
    assert (page.status, page.place) == (303, "/ui/tenants?slot=blue")
    (line,) = page.cookies
    assert line == f"turnout={browser.session_id}; Path=/; HttpOnly; SameSite=Lax"
    assert await reads(browser) == 200
    row = await last(call, "log-in")
    assert (row["actor"], row["role"], row["outcome"]) == ("anna", "operator", "committed")
    assert row["to"]["method"] == "token"


async def test_only_a_digest_of_the_session_is_stored(browser, sql):
    await browser.log_in(token())
    (row,) = await sql("SELECT * FROM turnout.sessions")
    assert browser.session_id not in repr(row)
    assert browser.csrf not in repr(row)
    assert row["digest"] == local.session_digest(browser.session_id)
    assert browser.session_id not in repr(await sql("SELECT * FROM turnout.audit"))


async def test_the_session_is_worth_what_its_token_is(call, browser):
    await browser.log_in(token(role="viewer"))
    change = {"X-CSRF-Token": browser.csrf, "Origin": browser.origin}
    page = await browser.send("PUT", "/v1/canary", change, json={"percent": 5})
    assert (page.status, "forbidden-role" in page.text) == (403, True)
    await browser.log_in(token(tenants=["acme"]))
    change["X-CSRF-Token"] = browser.csrf
    for tenant, status in (("acme", 200), ("other", 403)):
        path = f"/v1/tenants/{tenant}/pin"
        assert (await browser.send("PUT", path, change, json={"slot": "green"})).status == status
    row = await last(call, "pin")
    assert (row["actor"], row["code"]) == ("anna", "forbidden-scope")


BAD = {
    "nothing": "",
    "no token": "hello",
    "another secret": create_token("another secret, also of 32 bytes or more", "anna", "admin", 60),
    "cut": token()[:-3],
    "an ID token": "eyJhbGciOiJub25lIn0.e30.",
}


@pytest.mark.parametrize("name", BAD)
async def test_with_a_bad_token_one_stays_out(call, browser, name):
    page = await browser.log_in(BAD[name])
    assert page.status == 401
    assert page.cookies == []
    assert 'role="alert"' in page.text
    assert not BAD[name] or BAD[name] not in page.text
    row = await last(call, "log-in")
    # Who a token that isn't believed says it is for is nobody's name.
    assert (row["actor"], row["outcome"], row["code"]) == ("anonymous", "refused", "invalid-token")


async def test_the_next_place_is_ours(browser):
    for place in ("https://evil.example", "//evil.example", "/\\evil", "/v1/routing", "/ui/login"):
        assert (await browser.log_in(token(), place)).place == "/ui"
        page = await browser.get(f"/ui/login?next={place}")
        assert "evil" not in page.text
    page = await browser.get("/ui/login?next=/ui/%22%3E%3Cscript%3E")
    assert "<script" not in page.text


async def test_who_logs_in_anew_gets_a_new_session(browser, sql):
    """Session fixation: an id that somebody planted, or that one had, is none afterwards."""
    planted = token_urlsafe(32)
    browser.cookies["turnout"] = planted
    await browser.log_in(token())
    first = browser.session_id
    assert first != planted
    await browser.log_in(token())
    assert browser.session_id != first
    for old in (planted, first):
        assert await reads(Browser(browser.session, browser.address, "", {"turnout": old})) == 401
    assert len(await sql("SELECT FROM turnout.sessions")) == 1


async def test_a_log_out_ends_the_session_everywhere(call, browser, other):
    await browser.log_in(token())
    elsewhere = browser.at(other.address)
    copy = Browser(browser.session, other.address, "", dict(browser.cookies))
    assert [await reads(each) for each in (browser, elsewhere, copy)] == [200] * 3
    page = await browser.post(local.LOGOUT, {"csrf": browser.csrf})
    assert (page.status, page.place) == (303, "/ui/login?said=out")
    assert page.cookies == ["turnout=; Path=/; HttpOnly; SameSite=Lax; Max-Age=0"]
    assert [await reads(each) for each in (browser, elsewhere, copy)] == [401] * 3
    assert "You are logged out." in (await browser.get(page.place)).text
    row = await last(call, "log-out")
    assert row["actor"] == "anna"


async def test_a_log_out_needs_the_session_s_own_token(browser):
    await browser.log_in(token())
    for form in ({}, {"csrf": local.csrf_token("x" * 43)}):
        page = await browser.post(local.LOGOUT, form)
        assert (page.status, page.cookies) == (403, [])
    page = await browser.post(local.LOGOUT, {"csrf": browser.csrf}, Origin="https://evil.example")
    assert page.status == 403
    assert await reads(browser) == 200
    assert (await browser.get(local.LOGOUT)).status == 405


# ── forgery ───────────────────────────────────────────────────────────────────────────────────


async def test_a_change_needs_the_token_of_this_very_session(call, browser):
    await browser.log_in(token())
    other = Browser(call.session, call.address)
    await other.log_in(token())
    before = await call.version()
    own = {"Origin": browser.origin, "Sec-Fetch-Site": "same-origin"}
    good = {**own, "X-CSRF-Token": browser.csrf}
    for headers in (
        own,
        {**own, "X-CSRF-Token": ""},
        {**own, "X-CSRF-Token": other.csrf},
        {**own, "X-CSRF-Token": browser.session_id},
        {"X-CSRF-Token": browser.csrf},
        {**good, "Origin": "", "Sec-Fetch-Site": "same-site"},
        {**good, "Origin": "", "Sec-Fetch-Site": "cross-site"},
        {**good, "Origin": "", "Sec-Fetch-Site": "none"},
        {**good, "Origin": "null"},
        {**good, "Origin": "https://evil.example"},
        {**good, "Origin": f"https://{call.address}"},
    ):
        page = await browser.send("PUT", "/v1/canary", headers, json={"percent": 5})
        assert page.status == 403, headers
        assert '"forged-request"' in page.text or '"foreign-origin"' in page.text
    assert await call.version() == before
    page = await browser.send("PUT", "/v1/canary", good, json={"percent": 5})
    assert page.status == 200, page.text


async def test_with_a_bearer_token_no_cookie_counts(call, browser):
    await browser.log_in(token(role="admin"))
    headers = {"Authorization": f"Bearer {token('bert', 'viewer')}"}
    page = await browser.send("PUT", "/v1/canary", headers, json={"percent": 5})
    assert (page.status, "forbidden-role" in page.text) == (403, True)
    headers = {"Authorization": f"Bearer {token('bert', 'operator')}"}
    assert (await browser.send("PUT", "/v1/canary", headers, json={"percent": 5})).status == 200
    headers = {"Authorization": "Bearer nonsense"}
    assert (await browser.send("GET", "/v1/routing", headers)).status == 401


async def test_another_site_reads_nothing_with_a_session(browser):
    await browser.log_in(token())
    for site in ("cross-site", "same-site"):
        assert (await browser.send("GET", "/v1/routing", {"Sec-Fetch-Site": site})).status == 403
    assert (await browser.send("GET", "/v1/routing", {"Sec-Fetch-Site": "none"})).status == 200


async def test_a_form_of_another_page_logs_nobody_in(browser):
    """A log-in forged from another page would have people act in somebody else's name."""
    for headers in (
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Origin": "", "Sec-Fetch-Site": ""},
    ):
        page = await browser.post(local.LOGIN, {"token": token()}, **headers)
        assert (page.status, page.cookies) == (403, []), headers


async def test_a_cookie_that_stands_twice_is_none(browser):
    await browser.log_in(token())
    twice = f"turnout={browser.session_id}; turnout={browser.session_id}"
    browser.cookies.clear()
    assert (await browser.send("GET", "/v1/routing", {"Cookie": twice})).status == 401


# ── https, and the way there ──────────────────────────────────────────────────────────────────


async def test_over_https_the_cookie_is_bound_to_the_host(start):
    call = await start(public_url=HTTPS)
    browser = Browser(call.session, call.address, HTTPS)
    page = await browser.log_in(token())
    assert page.status == 303, page.text
    line = f"__Host-turnout={browser.session_id}; Path=/; HttpOnly; SameSite=Lax; Secure"
    assert page.cookies == [line]
    assert page.headers["Strict-Transport-Security"] == "max-age=31536000"
    assert await reads(browser) == 200
    good = {"Origin": HTTPS, "X-CSRF-Token": browser.csrf}
    assert (await browser.send("PUT", "/v1/canary", good, json={"percent": 5})).status == 200
    good["Origin"] = "http://turnout.example"
    assert (await browser.send("PUT", "/v1/canary", good, json={"percent": 5})).status == 403
    plain = Browser(call.session, call.address, HTTPS, {"turnout": browser.session_id})
    assert await reads(plain) == 401


async def test_over_a_network_without_https_nobody_logs_in(start):
    call = await start(allowed_hosts=("turnout.example",))
    browser = Browser(call.session, call.address, "http://turnout.example")
    for page in (await browser.get(local.LOGIN), await browser.log_in(token())):
        assert (page.status, page.cookies) == (403, [])
        assert "https" in page.text
    here = Browser(call.session, call.address)
    await here.log_in(token())
    browser.cookies["turnout"] = here.session_id
    assert await reads(browser) == 401


# ── failed log-ins ────────────────────────────────────────────────────────────────────────────


async def test_who_fails_too_often_waits(start):
    limited = await start(login=Login(failed_per_minute=3, failed_rows_per_minute=2))
    browser = Browser(limited.session, limited.address)
    assert [(await browser.log_in("x")).status for _ in range(5)] == [401] * 3 + [429] * 2
    page = await browser.log_in("x")
    assert 0 < int(page.headers["Retry-After"]) <= 60
    rows = (await limited("GET", "/v1/audit?action=log-in"))[1]["items"]
    assert [row["code"] for row in rows] == ["invalid-token"] * 2
    # A good token is good all the same: one who guesses must not lock out their neighbours.
    assert (await browser.log_in(token())).status == 303


async def test_guesses_at_one_name_count_together(start):
    trusted = ("127.0.0.0/8",)
    call = await start(login=Login(trusted_networks=trusted, failed_per_minute_account=2))
    browser = Browser(call.session, call.address)
    guess = create_token("another secret, also of 32 bytes or more", "anna", "admin", 60)

    async def from_address(number: int, shown: str) -> int:
        told = {"X-Forwarded-For": f"203.0.113.9, 198.51.100.{number}"}
        return (await browser.post(local.LOGIN, {"token": shown}, **told)).status

    assert [await from_address(number, guess) for number in range(4)] == [401, 401, 429, 429]
    bert = create_token("another secret, also of 32 bytes or more", "bert", "admin", 60)
    assert await from_address(5, bert) == 401


async def test_odd_requests_are_refused(call, browser):
    form = {"Origin": browser.origin, "Content-Type": "application/x-www-form-urlencoded"}
    large = "token=" + "x" * 70_000
    for data, headers, status in (
        (large, form, 413),
        ("token=%ff", form, 400),
        ("token=\xe4".encode("latin-1"), form, 400),
        ("&".join(["a=b"] * 2000), form, 400),
        ('{"token": "x"}', {**form, "Content-Type": "application/json"}, 401),
    ):
        page = await browser.send("POST", local.LOGIN, headers, data=data)
        assert (page.status, page.cookies) == (status, []), data[:20]
        assert page.headers["Content-Security-Policy"]
    page = await browser.get("/ui/login/oidc")
    assert page.status == 404
