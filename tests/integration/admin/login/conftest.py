"""Admins of one installation, for log-ins by token and at a provider; what their tests share."""

from dataclasses import fields
from functools import partial
from typing import Any

import aiohttp
import asyncpg
import pytest

from admin.bootstrap import running
from admin.config import Settings
from admin.login.config import Login, Oidc
from admin.tokens import Role, create_token
from config import Shared
from tests.integration.admin.conftest import SECRET, Client, published
from tests.support.browser import Browser
from tests.support.oidc_provider import CLIENT, CLIENT_SECRET, OidcProvider, oidc_provider
from tests.support.servers import database_with_schema, emptied_redis


def token(subject: str = "anna", role: str = "operator", ttl_s: float = 3600, tenants=None) -> str:
    return create_token(SECRET, subject, role, ttl_s, tenants)


@pytest.fixture(scope="module")
async def admins(redis_server, postgres_server):
    """Two admins of one installation, and its database's address."""
    with database_with_schema(postgres_server) as url:
        shared = Shared(emptied_redis(redis_server), "login", url, "")
        settings = Settings(
            listen="127.0.0.1:0", token_secret=SECRET, login=Login(failed_per_minute=10_000)
        )
        async with (
            running(shared, settings) as one,
            running(shared, settings) as two,
            aiohttp.ClientSession() as session,
        ):
            clients = [Client(session, one), Client(session, two)]
            await published(clients[0])
            yield clients, url


@pytest.fixture
async def call(admins):
    """One admin, where nobody is logged in."""
    (first, _), url = admins
    await ask(url, "DELETE FROM turnout.sessions")
    return first


@pytest.fixture
def other(admins) -> Client:
    """The other admin."""
    client: Client = admins[0][1]
    return client


@pytest.fixture
def browser(call) -> Browser:
    return Browser(call.session, call.address)


@pytest.fixture
def sql(admins):
    """Asks the database of both."""
    return partial(ask, admins[1])


async def ask(url: str, statement: str) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetch(statement)
    finally:
        await connection.close()


async def reads(browser: Browser, path: str = "/v1/routing") -> int:
    """The status of a call that the dashboard makes."""
    return (await browser.send("GET", path, {"Sec-Fetch-Site": "same-origin"})).status


async def last(call, action: str) -> dict[str, Any]:
    """The newest row of this action."""
    row: dict[str, Any] = (await call("GET", f"/v1/audit?action={action}&limit=1"))[1]["items"][0]
    return row


# ── at a provider ─


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


@pytest.fixture(scope="module")
def client_secret():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TURNOUT_TEST_CLIENT_SECRET", CLIENT_SECRET)
        yield


@pytest.fixture(scope="module")
async def place(client_secret):
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
async def oidc_admins(place, redis_server, postgres_server):
    """Two admins of one installation with that provider, which ask the provider anew for each log-in."""
    with database_with_schema(postgres_server) as url:
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


def is_out(page, browser: Browser, status: int) -> None:
    """Nobody came in, and the page says so."""
    assert page.status == status, page.text
    assert 'role="alert"' in page.text
    assert "turnout" not in browser.cookies
    assert "turnout-login" not in browser.cookies
    assert page.headers["Content-Security-Policy"]
