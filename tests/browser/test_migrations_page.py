"""A plan of migrations on its page: tried in numbers, made, begun by its name, seen wave by wave."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from admin.bootstrap import running
from admin.config import Settings
from admin.tokens import create_token
from config import Shared
from tests.browser.conftest import OUT
from tests.browser.test_story import confirm
from tests.integration.admin.conftest import SECRET, Client, published
from tests.integration.migrations.conftest import book, works
from tests.support.chromium import PHONE, WIDE, Browser, chromium
from tests.support.migrations import Ledger, of_tenants, settings

Works = Callable[..., Awaitable[Any]]
TENANTS = of_tenants(12)
TABLE = "CREATE TABLE jobs (id bigint PRIMARY KEY);\n"
COLUMN = "ALTER TABLE jobs ADD COLUMN priority integer;\n"
__all__ = ["book", "works"]


def made(browser: Browser) -> None:
    """Try a plan, read its numbers, make it."""
    browser.look(WIDE)
    browser.open("/ui/migrations")
    browser.says("There is no plan yet.")
    browser.one("#pilots").send_keys("c1 c2")
    browser.follow(browser.button("Try it"))
    browser.says("V1.2.0__jobs.sql (expand), V1.3.0__priority.sql (expand)")
    browser.says("24 jobs on 12 schemas; 0 have them already.")
    browser.picture("confirm-plan")
    assert browser.faults() == []
    confirm(browser, "plan")
    browser.follow(browser.one("tbody a"))
    browser.says("planned")


def begun(browser: Browser) -> None:
    """Begin it by its name, and see it come to its end without loading the page again."""
    name = browser.driver.current_url.rpartition("/")[2]
    browser.follow(browser.button("Run"))
    browser.says("24 jobs of 24 jobs are given out to the workers, for 12 schemas in")
    confirm(browser, "run")
    browser.says(f"Type {name} to go on; nothing was done.")
    confirm(browser, name)


def ended(browser: Browser) -> None:
    browser.until(lambda: browser.one(".card .level").text == "done")
    done = [row.text.split() for row in browser.all("[aria-label=Waves] tbody tr")]
    assert all("done" in row for row in done)
    for look, size, dark in (("", WIDE, False), ("-dark", WIDE, True), ("-phone", PHONE, False)):
        browser.look(size, dark=dark)
        browser.picture("plan" + look)
        assert browser.faults() == []
        assert browser.overflow() == []


async def test_a_plan_goes_through_its_waves(
    book: Ledger,
    works: Works,
    redis_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in book.environ.items():
        monkeypatch.setenv(name, value)
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "V1.2.0__jobs.sql").write_text(TABLE)
    (folder / "V1.3.0__priority.sql").write_text(COLUMN)
    await book.schemas(TENANTS)
    migrating = settings(folder=str(folder))
    own = Settings(listen="127.0.0.1:0", token_secret=SECRET, shutdown_timeout_s=1.0)
    async with contextlib.AsyncExitStack() as stack:
        shared = Shared(redis_url, "browser", book.url, "")
        address = await stack.enter_async_context(running(shared, own, migrating))
        client = Client(await stack.enter_async_context(aiohttp.ClientSession()), address)
        await published(client)
        operations = [{"op": "register", "tenant": each.name} for each in TENANTS]
        await client("POST", "/v1/routing/changes", {"operations": operations})
        browser = stack.enter_context(chromium(f"http://{address}", OUT))
        browser.authorize(create_token(SECRET, "grace", "operator", 3600))
        await asyncio.to_thread(made, browser)
        await asyncio.to_thread(begun, browser)
        await works(book.worker(migrating))
        await asyncio.to_thread(ended, browser)
