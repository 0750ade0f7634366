"""The board's feed: figures again and again, events between them, and an end when the session has one."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import ClientResponse

from tests.integration.admin.conftest import Client, Start, published
from tests.integration.admin.test_dashboard import ends
from tests.support.browser import Browser

FEED = "/ui/board/feed"
STEP_S = 30.0


@pytest.fixture
async def call(start: Start) -> Client:
    client: Client = await start(board_look_s=0.1, events_heartbeat_s=0.2)
    await published(client)
    await ends(client)
    return client


@asynccontextmanager
async def listening(
    call: Client, headers: dict[str, str] | None = None
) -> AsyncIterator[ClientResponse]:
    sent = {"Authorization": f"Bearer {call.token}"} if headers is None else headers
    async with call.session.get(f"http://{call.address}{FEED}", headers=sent) as answer:
        assert answer.status == 200
        assert answer.content_type == "text/event-stream"
        yield answer


async def told(answer: ClientResponse, kind: str) -> Any:
    """The next event of this kind."""
    async with asyncio.timeout(STEP_S):
        async for line in answer.content:
            if line == f"event: {kind}\n".encode():
                return json.loads((await answer.content.readline()).removeprefix(b"data: "))
    raise AssertionError("the feed has ended")


async def test_figures_come_again_and_again_and_events_between_them(call: Client) -> None:
    async with listening(call) as answer:
        for _ in range(2):
            figures = await told(answer, "figures")
            assert "Error rate" in figures["html"]
            assert figures["plots"].keys() == {"errors", "latency", "requests"}
        await call("PUT", "/v1/tenants/acme/pin", {"slot": "green"})
        assert (await told(answer, "change"))["actor"] == "tester"
        await call("POST", "/v1/cutover", {"to": "green"})
        while 'Active <span class="slot green">' not in (await told(answer, "figures"))["html"]:
            pass


async def test_a_signal_s_reading_is_pushed_with_its_threshold(call: Client) -> None:
    async with listening(call) as answer:
        assert (
            "no reading yet: PUT /v1/signals/database-cpu"
            in (await told(answer, "figures"))["html"]
        )
        await call("PUT", "/v1/signals/database-cpu", {"value": 91})
        while "91\u202f%" not in (html := (await told(answer, "figures"))["html"]):
            pass
        row = html[html.index("Database CPU") :]
        assert row.index("&gt;\u202f85\u202f%") < row.index("critical")


async def test_the_feed_ends_with_the_session_and_does_not_keep_it(call: Client) -> None:
    browser = Browser(call.session, call.address)
    await browser.log_in(call.token)
    headers = {"Cookie": "; ".join(f"{k}={v}" for k, v in browser.cookies.items())}
    async with listening(call, headers) as answer:
        await told(answer, "figures")
        session = (await call("GET", "/v1/sessions"))[1]["items"][0]["session"]
        await call("DELETE", f"/v1/sessions/{session}")
        async with asyncio.timeout(STEP_S):
            await answer.content.read()
    url = f"http://{call.address}{FEED}"
    async with call.session.get(url, headers=headers, allow_redirects=False) as answer:
        assert answer.status == 303


async def test_another_site_gets_no_feed(call: Client) -> None:
    headers = {
        "Authorization": f"Bearer {call.token}",
        "Sec-Fetch-Site": "cross-site",
        "Sec-Fetch-Mode": "cors",
    }
    url = f"http://{call.address}{FEED}"
    async with call.session.get(url, headers=headers) as answer:
        assert answer.status == 403
