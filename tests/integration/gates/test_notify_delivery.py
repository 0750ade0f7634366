"""Notifications through apprise to real servers: sent, failed, late, dropped; and never waited for."""

import asyncio
import json
import logging
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from admin.notify.config import Notify, Target
from admin.notify.notifier import Notifier
from admin.notify.templates import load

ABOUT = {"release": "r-1", "version": "1.3.0", "standby": "green", "active": "blue"}
SECRET = "s3cret-path"


@dataclass
class Chat:
    """A chat's webhook. status: what it answers; held: it answers once this is set."""

    status: int = 200
    url: str = ""
    seen: "asyncio.Queue[Any]" = field(default_factory=asyncio.Queue)
    held: asyncio.Event | None = None

    async def answer(self, request: web.Request) -> web.Response:
        self.seen.put_nowait(json.loads(await request.read()))
        if self.held:
            await self.held.wait()
        return web.Response(status=self.status)


@asynccontextmanager
async def chatting(**given: Any) -> AsyncIterator[Chat]:
    chat = Chat(**given)
    app = web.Application()
    app.router.add_post(f"/{SECRET}", chat.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    chat.url = f"json://127.0.0.1:{runner.addresses[0][1]}/{SECRET}"
    try:
        yield chat
    finally:
        if chat.held:
            chat.held.set()
        await runner.cleanup()


class Counts:
    """What became of messages, and a way to wait for it."""

    def __init__(self) -> None:
        self.of: Counter[tuple[str, str]] = Counter()
        self._changed, self._loop = asyncio.Event(), asyncio.get_running_loop()

    def __call__(self, target: str, outcome: str) -> None:
        self.of[target, outcome] += 1
        self._loop.call_soon_threadsafe(self._changed.set)

    async def come_to(self, **wanted: int) -> None:
        """Wait until each outcome was had so often, by any target."""
        async with asyncio.timeout(60):
            while not self._has(wanted):
                self._changed.clear()
                await self._changed.wait()

    def _has(self, wanted: dict[str, int]) -> bool:
        found = Counter[str]()
        for (_, outcome), count in self.of.items():
            found[outcome] += count
        return all(found[outcome] >= count for outcome, count in wanted.items())


Make = Callable[..., Notifier]


@pytest.fixture
async def counts() -> Counts:
    return Counts()


@pytest.fixture
async def make(counts: Counts) -> AsyncIterator[Make]:
    made: list[Notifier] = []

    def notifier(urls: dict[str, str], **given: Any) -> Notifier:
        targets = tuple(
            Target(name, f"env:URL_{name.upper()}", given.pop(f"{name}_events", ()))
            for name in urls
        )
        environ = {f"URL_{name.upper()}": url for name, url in urls.items() if url}
        settings = Notify(targets=targets, **{"timeout_s": 5.0, "close_s": 0.2, **given})
        made.append(Notifier(settings, load(), counts, environ))
        return made[-1]

    yield notifier
    for each in made:
        await each.close()


async def test_a_target_is_told(make: Make, counts: Counts) -> None:
    async with chatting() as chat:
        notifier = make({"chat": chat.url}, link="https://t.example/{release}")
        notifier.tell("rolling-back", {**ABOUT, "reason": "5 % errors"})
        told = await chat.seen.get()
        await counts.come_to(sent=1)
    assert told["title"] == "1.3.0 is being rolled back: traffic returns to blue"
    assert told["message"] == "r-1\nReason: 5 % errors\nhttps://t.example/r-1"
    assert told["type"] == "failure"
    assert counts.of == {("chat", "sent"): 1}


async def test_targets_hear_of_their_events_alone(make: Make, counts: Counts) -> None:
    async with chatting() as one, chatting() as other:
        notifier = make({"one": one.url, "other": other.url}, one_events=("rolled-back",))
        notifier.tell("deploying", ABOUT)
        notifier.tell("rolled-back", ABOUT)
        await counts.come_to(sent=3)
    assert counts.of == {("one", "sent"): 1, ("other", "sent"): 2}


@pytest.mark.parametrize(
    "url",
    [
        "json://127.0.0.1:1/s3cret-path",  # nobody listens
        "nonsense://s3cret-path",
        "s3cret-path",
        "",  # the variable is not set
    ],
)
async def test_what_fails_is_counted_and_logged_without_its_url(
    make: Make, counts: Counts, caplog: pytest.LogCaptureFixture, url: str
) -> None:
    caplog.set_level(logging.DEBUG)
    with capture_logs() as logged:
        notifier = make({"chat": url})
        notifier.tell("done", ABOUT)
        await counts.come_to(failed=1)
    assert counts.of == {("chat", "failed"): 1}
    assert [entry["event"] for entry in logged] == ["a notification is lost"]
    assert logged[0]["target"] == "chat"
    assert SECRET not in repr(logged) + caplog.text


async def test_an_answer_that_tells_of_a_fault_is_a_loss(make: Make, counts: Counts) -> None:
    async with chatting(status=500) as chat:
        make({"chat": chat.url}).tell("done", ABOUT)
        await counts.come_to(failed=1)
    assert counts.of == {("chat", "failed"): 1}


async def test_one_that_hangs_costs_nobody_else_anything(make: Make, counts: Counts) -> None:
    async with chatting(held=asyncio.Event()) as stuck, chatting() as good:
        notifier = make({"stuck": stuck.url, "good": good.url}, timeout_s=0.3, queue=2)
        before = threading.active_count()
        longest = 0.0
        for number in range(6):
            began = monotonic()
            notifier.tell("deploying", ABOUT)
            longest = max(longest, monotonic() - began)
            await counts.come_to(sent=number + 1)
        print(f"longest tell: {longest * 1000:.2f} ms")
        assert longest < 0.25  # less than the time-out, whatever the machine does besides
        # One is under way, and two wait; what is more is lost at once.
        assert counts.of["stuck", "dropped"] >= 1
        await counts.come_to(late=1)
        assert threading.active_count() - before <= 4
        await stuck.seen.get()
        total = 6
        await counts.come_to(late=total - counts.of["stuck", "dropped"])
    assert counts.of["good", "sent"] == 6
    assert counts.of["stuck", "late"] + counts.of["stuck", "dropped"] == total
    assert not counts.of["stuck", "sent"]


async def test_one_that_hung_is_told_again_once_it_answers(make: Make, counts: Counts) -> None:
    async with chatting(held=asyncio.Event()) as chat:
        notifier = make({"chat": chat.url}, timeout_s=0.5)
        notifier.tell("deploying", ABOUT)
        await counts.come_to(late=1)
        assert chat.held
        chat.held.set()
        notifier.tell("done", ABOUT)
        await counts.come_to(sent=1)
    assert counts.of == {("chat", "late"): 1, ("chat", "sent"): 1}


async def test_the_end_does_not_wait_for_one_that_hangs(make: Make, counts: Counts) -> None:
    async with chatting(held=asyncio.Event()) as stuck, chatting() as good:
        notifier = make({"stuck": stuck.url, "good": good.url}, timeout_s=60.0, close_s=0.3)
        notifier.tell("done", ABOUT)
        await stuck.seen.get()
        began = monotonic()
        await notifier.close()
        took = monotonic() - began
    await counts.come_to(sent=1)
    assert took < 30.0, took  # far below its time-out
    assert counts.of["good", "sent"] == 1


async def test_nothing_that_it_is_given_makes_it_raise(make: Make, counts: Counts) -> None:
    class Odd:
        def __str__(self) -> str:
            raise RuntimeError("no words")

    async with chatting() as chat:
        notifier = make({"chat": chat.url})
        notifier.tell("done", {"release": Odd()})
        notifier.tell("an-event-without-a-template", {"version": None, "unknown": object()})
        await counts.come_to(sent=1, failed=1)
    make({}).tell("done", ABOUT)
    assert counts.of == {("chat", "sent"): 1, ("chat", "failed"): 1}
