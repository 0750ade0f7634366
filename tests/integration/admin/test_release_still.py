"""What a chat is told of a release that stands still, and of a hook that fails on the way forward."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from admin.hooks.model import Hook
from admin.notify.config import Notify, Target
from admin.releases.config import Settings
from tests.integration.admin.conftest import Client
from tests.integration.admin.test_release_gates import NOTHING, admin
from tests.integration.admin.test_release_news import heard
from tests.integration.admin.test_releases import RELEASES, begun, paused, until
from tests.integration.gates.test_notify_delivery import Chat, chatting

__all__ = ["admin"]
Admin = Callable[..., Awaitable[Client]]
EVENTS = ("stands-still", "hook-failed", "paused", "done")


@pytest.fixture
async def chat(monkeypatch: pytest.MonkeyPatch) -> Any:
    async with chatting() as chat:
        monkeypatch.setenv("STILL_CHAT", chat.url)
        yield chat


def settings(**more: Any) -> Settings:
    notify = Notify((Target("chat", "env:STILL_CHAT", EVENTS),), **more.pop("notify", {}))
    return Settings(gates_s=0.2, gates=NOTHING, notify=notify, **more)


async def test_who_waits_too_long_is_told_of_once(admin: Admin, chat: Chat) -> None:
    call = await admin(settings(notify={"still_s": 1}))
    name = await begun(call, plan={"signers": ["qa"], "steps": []})
    ((title, text),) = await heard(chat, f"{name} stands still")
    assert "Missing: qa has not signed" in text, title
    await call("POST", f"{RELEASES}/{name}/sign", {"signer": "qa"})
    await until(call, name, "done")
    assert len(await heard(chat, "Release of 1.3.0 is done")) == 1


async def test_a_hook_that_fails_going_forward_is_told_of(admin: Admin, chat: Chat) -> None:
    hook = Hook("deploy", before="deploying", command=("/bin/false",), tries=1)
    call = await admin(settings(hooks=(hook,)))
    name = await begun(call)
    await paused(call, name)
    told = await heard(chat, f"{name} is paused")
    assert [title for title, _ in told] == [f"A hook of {name} failed", f"{name} is paused"]
    assert "deploy: " in told[0][1]
