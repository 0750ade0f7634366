"""Sessions: their end, at every admin; their bounds; the live feed; without PostgreSQL."""

import asyncio
import time
from functools import partial

from admin.login import local
from admin.login.config import Login
from config import Shared
from tests.integration.admin.conftest import is_problem, published
from tests.integration.admin.login.conftest import ask, last, reads, token
from tests.support.browser import Browser

# ── the end of sessions ───────────────────────────────────────────────────────────────────────


async def test_a_session_ends_when_it_is_not_used(browser, sql):
    await browser.log_in(token())
    back = "UPDATE turnout.sessions SET seen_at = now() - interval '3599 s'"
    await sql(back)
    for path, headers in (
        ("/v1/routing", {"X-Turnout-Background": "1"}),
        ("/v1/events?types=x", {}),
    ):
        await browser.send("GET", path, headers)
    assert (await sql("SELECT now() - seen_at AS age FROM turnout.sessions"))[0]["age"].seconds > 60
    assert await reads(browser) == 200  # and this is a use
    assert (await sql("SELECT now() - seen_at AS age FROM turnout.sessions"))[0]["age"].seconds < 60
    await sql(back.replace("3599", "3601"))
    assert await reads(browser) == 401


async def test_a_session_ends_however_much_it_is_used(browser, sql):
    await browser.log_in(token(ttl_s=10 * 86_400))
    (row,) = await sql("SELECT ends_at - began_at AS length FROM turnout.sessions")
    assert row["length"].total_seconds() == 43_200
    await sql("UPDATE turnout.sessions SET ends_at = now()")
    assert await reads(browser) == 401


async def test_a_session_ends_with_its_token(browser, sql):
    await browser.log_in(token(ttl_s=600))
    (row,) = await sql("SELECT extract(epoch FROM ends_at)::float8 AS ends FROM turnout.sessions")
    assert 590 < row["ends"] - time.time() <= 601


async def test_an_admin_ends_a_session_at_every_admin(call, browser, other):
    await browser.log_in(token())
    page = (await call("GET", "/v1/sessions"))[1]
    (item,) = page["items"]
    assert (item["subject"], item["role"], item["method"]) == ("anna", "operator", "token")
    assert (item["tenants"], item["address"]) == (None, "127.0.0.1")
    assert browser.session_id not in str(page)
    name = item["session"]
    assert (await call("DELETE", f"/v1/sessions/{name}"))[1] == {"ended": [name]}
    assert await reads(browser) == await reads(browser.at(other.address)) == 401
    is_problem(await call("DELETE", f"/v1/sessions/{name}"), 404, "not-found")
    assert (await call("GET", "/v1/sessions"))[1]["items"] == []
    row = await last(call, "end-session")
    assert (row["actor"], row["from"]) == ("tester", {"sessions": [name], "subject": "anna"})


async def test_all_sessions_of_a_person_end_at_once(call, browser):
    others = [Browser(call.session, call.address) for _ in range(3)]
    for each in (browser, *others[:2]):
        await each.log_in(token())
    await others[2].log_in(token("bert"))
    ended = (await call("DELETE", "/v1/sessions?subject=anna"))[1]["ended"]
    assert len(ended) == 3
    assert [await reads(each) for each in (browser, *others)] == [401, 401, 401, 200]
    assert (await call("DELETE", "/v1/sessions?subject=anna"))[1] == {"ended": []}
    is_problem(await call("DELETE", "/v1/sessions"), 400, "invalid-query")


async def test_sessions_are_for_admins_to_see(call):
    operator = call.with_token("operator")
    for method, path in (
        ("GET", "/v1/sessions"),
        ("DELETE", "/v1/sessions?subject=anna"),
        ("DELETE", "/v1/sessions/0123456789abcdef"),
    ):
        is_problem(await operator(method, path), 403, "forbidden-role")


async def test_sessions_come_in_pages(call, browser):
    for name in ("anna", "bert", "carl"):
        await Browser(call.session, call.address).log_in(token(name))
    first = (await call("GET", "/v1/sessions?limit=2"))[1]
    second = (await call("GET", f"/v1/sessions?limit=2&cursor={first['next']}"))[1]
    found = [item["subject"] for page in (first, second) for item in page["items"]]
    assert (found, second["next"]) == (["carl", "bert", "anna"], None)
    assert len((await call("GET", "/v1/sessions?subject=bert"))[1]["items"]) == 1
    for cursor in ("x", "1.2", "999999999999999999.0123456789abcdef"):
        answer = await call("GET", f"/v1/sessions?cursor={cursor}")
        is_problem(answer, 400, "invalid-query")


# ── bounds ────────────────────────────────────────────────────────────────────────────────────


async def test_a_person_has_so_many_sessions(start):
    call = await start(login=Login(sessions_per_person=2))
    browsers = [Browser(call.session, call.address) for _ in range(3)]
    for each in browsers:
        await each.log_in(token())
    assert [await reads(each) for each in browsers] == [401, 200, 200]


async def test_a_hundred_thousand_sessions_are_cut_to_the_limit(start, shared):
    call = await start(login=Login(sessions=5000))
    sql = partial(ask, shared.database_url)
    await sql(
        """INSERT INTO turnout.sessions
               (digest, name, subject, role, method, address, agent, seen_at, ends_at)
           SELECT sha256(n::text::bytea), lpad(to_hex(n), 16, '0'), 'p' || n, 'viewer', 'token',
                  '', '', now() - n * interval '1 ms', now() + interval '1 h'
             FROM generate_series(1, 100000) AS n"""
    )
    browser = Browser(call.session, call.address)
    began = time.monotonic()
    assert (await browser.log_in(token())).status == 303
    took_s = time.monotonic() - began
    assert await reads(browser) == 200
    (count,) = (await sql("SELECT count(*) FROM turnout.sessions"))[0]
    assert count == 5000
    # Those that were used last are still there.
    assert await sql("SELECT FROM turnout.sessions WHERE subject = 'p4999'")
    assert not await sql("SELECT FROM turnout.sessions WHERE subject = 'p5000'")
    began = time.monotonic()
    assert (await browser.log_in(token())).status == 303
    print(
        f"100 000 sessions cut in {took_s:.2f} s; the next log-in {time.monotonic() - began:.3f} s"
    )


# ── what lasts, and what goes away ────────────────────────────────────────────────────────────


async def test_the_live_feed_takes_a_session_and_ends_with_it(start):
    call = await start(events_heartbeat_s=0.1)
    await published(call)
    browser = Browser(call.session, call.address)
    await browser.log_in(token())
    headers = {"Cookie": f"turnout={browser.session_id}", "Sec-Fetch-Site": "same-origin"}
    url = f"http://{call.address}/v1/events"
    async with call.session.get(url, headers=headers) as feed, asyncio.timeout(15):
        assert feed.status == 200
        await feed.content.readuntil(b": heartbeat\n\n")
        await call("PUT", "/v1/canary", {"percent": 5})
        await feed.content.readuntil(b"event: change\n")
        await call("DELETE", "/v1/sessions?subject=anna")
        while await feed.content.readany():
            pass


async def test_without_postgresql_nobody_is_in(fresh_postgres, redis_url, start):
    call = await start(Shared(redis_url, "without", fresh_postgres.url, ""))
    await published(call)
    browser = Browser(call.session, call.address)
    await browser.log_in(token())
    fresh_postgres.stop()
    page = await browser.send("GET", "/v1/workers", {})
    assert (page.status, "database-unavailable" in page.text) == (503, True)
    page = await browser.log_in(token())
    assert (page.status, page.cookies) == (503, [])
    assert page.headers["Retry-After"]
    assert (await browser.log_in("x")).status == 401
    page = await browser.post(local.LOGOUT, {"csrf": browser.csrf})
    assert page.status == 503
    fresh_postgres.start()
    assert await reads(browser) == 200
