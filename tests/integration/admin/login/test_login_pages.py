"""What the dashboard builds on: a page's way through session, role and forgery; its headers."""

import aiohttp
import asyncpg
import pytest
from aiohttp import web

from admin.api.auth import Authenticator
from admin.api.guard import guard, set_headers
from admin.api.metrics import Metrics
from admin.bootstrap import wait_for_database
from admin.config import Settings
from admin.login import local
from admin.login.door import Logins, Visitor
from admin.login.pages import Pages
from admin.routing.database import Database
from admin.schema import migrate, migrations
from admin.tokens import Role, create_token
from tests.integration.admin.conftest import SECRET
from tests.support.browser import Browser
from tests.support.servers import database_with_schema


@pytest.fixture(scope="module")
async def dashboard(postgres_server):
    """A dashboard of three pages, in front of a real database; its address, and a session."""
    settings = Settings(token_secret=SECRET)
    with database_with_schema(postgres_server) as url:
        connection = await asyncpg.connect(url)
        await migrate(connection, migrations(), 5.0)
        await connection.close()
        database = Database(await wait_for_database(url, settings), 3.0)
        logins = Logins(settings, database, Authenticator(settings))

        async def show(_: web.Request, visitor: Visitor) -> web.Response:
            return web.Response(text=f"{visitor.principal.subject} {visitor.csrf}")

        async def act(request: web.Request, visitor: Visitor) -> web.Response:
            names = (await logins.form(request)).getall("tenant")
            return web.Response(text=f"{visitor.session} {','.join(names)}")

        app = web.Application(middlewares=[guard(settings, Metrics())])
        app.on_response_prepare.append(set_headers)
        Pages(logins).add_to(app)
        app.router.add_get("/ui/show", logins.page(show))
        app.router.add_get("/ui/owners", logins.page(show, Role.ADMIN))
        app.router.add_post("/ui/act", logins.page(act, Role.OPERATOR))
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        address = f"127.0.0.1:{runner.addresses[0][1]}"
        async with aiohttp.ClientSession() as session:
            yield session, address
        await runner.cleanup()
        await database.close()


@pytest.fixture
async def browser(dashboard) -> Browser:
    made = Browser(*dashboard)
    await made.log_in(create_token(SECRET, "anna", "operator", 600))
    return made


async def test_a_page_knows_who_looks(browser):
    page = await browser.get("/ui/show")
    assert (page.status, page.text) == (200, f"anna {browser.csrf}")
    assert page.headers["Content-Security-Policy"].startswith("default-src 'none'; script-src")
    assert page.headers["X-Content-Type-Options"] == "nosniff"


async def test_a_stranger_is_sent_to_the_log_in_and_back(dashboard):
    stranger = Browser(*dashboard)
    page = await stranger.get("/ui/show?tenant=a%26b&c=d")
    assert (page.status, page.place) == (303, "/ui/login?next=/ui/show%3Ftenant%3Da%2526b%26c%3Dd")
    page = await stranger.get(page.place)
    assert 'value="/ui/show?tenant=a%26b&amp;c=d"' in page.text
    page = await stranger.post("/ui/act", {})
    assert (page.status, page.place) == (303, "/ui/login?next=/ui")


async def test_a_fragment_sends_the_whole_page_to_the_log_in(dashboard):
    headers = {"HX-Request": "true", "HX-Current-URL": "http://127.0.0.1/ui/tenants?slot=blue"}
    page = await Browser(*dashboard).get("/ui/show", **headers)
    place = "/ui/login?next=/ui/tenants%3Fslot%3Dblue"
    assert (page.status, page.headers["HX-Redirect"]) == (401, place)
    headers["HX-Current-URL"] = "https://evil.example//evil.example"
    page = await Browser(*dashboard).get("/ui/show", **headers)
    assert page.headers["HX-Redirect"] == "/ui/login?next=/ui"


async def test_a_role_that_is_not_enough(browser):
    page = await browser.get("/ui/owners")
    assert (page.status, "forbidden-role" in page.text) == (403, True)


async def test_a_page_is_not_for_embedding_or_fetching(browser):
    for mode in ("no-cors", "cors", "websocket"):
        page = await browser.get("/ui/show", site="cross-site", **{"Sec-Fetch-Mode": mode})
        assert page.status == 403
    assert (await browser.get("/ui/show", site="cross-site")).status == 200  # a link


async def test_a_form_shows_its_session_s_token(dashboard, browser):
    other = Browser(*dashboard)
    await other.log_in(create_token(SECRET, "anna", "operator", 600))
    for form, headers, status in (
        ({"csrf": browser.csrf, "tenant": "acme"}, {}, 200),
        ({"tenant": "acme"}, {"X-CSRF-Token": browser.csrf}, 200),
        ({"tenant": "acme"}, {}, 403),
        ({"csrf": other.csrf, "tenant": "acme"}, {}, 403),
        ({"csrf": browser.csrf, "tenant": "acme"}, {"X-CSRF-Token": other.csrf}, 403),
        ({"csrf": browser.csrf, "tenant": "acme"}, {"Sec-Fetch-Site": "same-site"}, 403),
        ({"csrf": browser.csrf, "tenant": "acme"}, {"Origin": "https://evil.example"}, 403),
    ):
        page = await browser.post("/ui/act", form, **headers)
        assert page.status == status, page.text
    headers = {"Origin": browser.origin, "Content-Type": "application/x-www-form-urlencoded"}
    doubled = f"csrf={browser.csrf}&csrf={browser.csrf}&tenant=acme"
    page = await browser.send("POST", "/ui/act", headers, data=doubled)
    assert page.status == 403
    several = f"csrf={browser.csrf}&tenant=acme&tenant=bodoni"
    page = await browser.send("POST", "/ui/act", headers, data=several)
    assert page.text.endswith(" acme,bodoni")


async def test_a_form_may_wait_to_be_asked_for(browser):
    headers = {"Origin": browser.origin, "Expect": "100-continue"}
    page = await browser.send("POST", local.LOGIN, headers, data={"token": "x"})
    assert page.status == 401
