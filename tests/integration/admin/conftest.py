"""A real admin in this process, over real servers, called over HTTP; followers beside it."""

import contextlib
import itertools
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from admin.bootstrap import running
from admin.config import Settings
from admin.releases.config import Settings as ReleaseSettings
from admin.tokens import create_token
from config import Shared
from tests.integration.admin.follower import Follower
from tests.support.documented import Seen, faults

SECRET = "a secret of the tests, 32 bytes or more"
_numbers = itertools.count()


class Client:
    """Calls one admin. Each call gives (status, document, headers)."""

    def __init__(self, session: aiohttp.ClientSession, address: str) -> None:
        self.session, self.address, self.seen = session, address, Seen()
        self.token = create_token(SECRET, "tester", "admin", 3600)

    async def __call__(
        self, method: str, path: str, document: Any = None, **more: Any
    ) -> tuple[int, Any, Any]:
        headers = {"Authorization": f"Bearer {self.token}", **more.pop("headers", {})}
        if document is not None:
            more["json"] = document
        url = f"http://{self.address}{path}"
        async with self.session.request(method, url, headers=headers, **more) as response:
            text = await response.text()
            document = await response.json(content_type=None) if text[:1] in "{[" else text
            # No test has to ask for it: whatever the admin answers stands in its OpenAPI document.
            self.seen.add(method, path, response.status)
            assert not faults(method, path, response.status, response.headers, text)
            return response.status, document, response.headers

    def with_token(self, role: str, tenants: list[str] | None = None) -> "Client":
        other = Client(self.session, self.address)
        other.token = create_token(SECRET, f"a-{role}", role, 3600, tenants)
        return other

    async def version(self) -> int:
        version: int = (await self("GET", "/v1/routing"))[1]["version"]
        return version


@pytest.fixture
def shared(redis_url: str, admin_database_url: str) -> Shared:
    """Of this test alone: news channels are seen through all of a server's databases."""
    return Shared(redis_url, f"t{next(_numbers)}", admin_database_url, "a routing key")


@pytest.fixture
def settings() -> Settings:
    return Settings(
        listen="127.0.0.1:0",
        token_secret=SECRET,
        reconcile_interval_s=0.1,
        database_wait_s=5.0,
        shutdown_timeout_s=1.0,
    )


Start = Callable[..., Any]


@pytest.fixture
async def stack() -> AsyncIterator[contextlib.AsyncExitStack]:
    async with contextlib.AsyncExitStack() as stack:
        yield stack


@pytest.fixture
def start(shared: Shared, settings: Settings, stack: contextlib.AsyncExitStack) -> Start:
    """Starts an admin and gives its client; keyword arguments replace settings."""

    async def start(
        of: Shared = shared, releasing: ReleaseSettings | None = None, **changed: Any
    ) -> Client:
        own = msgspec.structs.replace(settings, **changed)
        address = await stack.enter_async_context(running(of, own, None, releasing))
        session = await stack.enter_async_context(aiohttp.ClientSession())
        return Client(session, address)

    return start


@pytest.fixture
async def call(start: Start) -> Client:
    client: Client = await start()
    # It listens before it has published for the first time.
    await published(client)
    return client


async def published(client: Client, at_least: int = 1) -> dict[str, Any]:
    """Wait until Redis has the table, and at least this version of it."""
    while True:
        document: dict[str, Any] = (await client("GET", "/v1/routing"))[1]
        if (document["published_version"] or 0) >= max(at_least, document["version"]):
            return document


def is_problem(answer: tuple[int, Any, Any], status: int, code: str) -> None:
    """The answer is a problem document, whole, of this status and code."""
    got, problem, headers = answer
    assert (got, problem["code"]) == (status, code), problem
    assert headers["Content-Type"].startswith("application/problem+json")
    assert problem.keys() >= {"type", "title", "status", "detail", "code", "request_id"}
    assert problem["status"] == status
    assert problem["request_id"] == headers["X-Request-ID"]


@pytest.fixture
def follow(shared: Shared, stack: contextlib.AsyncExitStack) -> Callable[..., Any]:
    """Starts a follower that serves the published table, or none yet if there is none."""

    async def follow(name: str = "w1", **more: Any) -> Follower:
        return await stack.enter_async_context(Follower(shared, name, **more))

    return follow


@pytest.fixture
def config_file(tmp_path: Path, shared: Shared) -> Path:
    """The same settings for an admin in a process of its own."""
    lines = [f"{name} = '{value}'" for name, value in msgspec.structs.asdict(shared).items()]
    own = ["[admin]", "listen = '127.0.0.1:0'", f"token_secret = '{SECRET}'"]
    path = tmp_path / "turnout.toml"
    path.write_text("\n".join([*lines, *own]) + "\n")
    return path
