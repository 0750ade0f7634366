"""What a chat is told of a release, through apprise; and that a chat that is away holds nothing up."""

import asyncio
from collections.abc import Callable
from typing import Any

import asyncpg
import pytest

from admin.gates.config import Drill, Gates
from admin.notify.config import Notify, Target
from admin.releases import drills
from admin.releases.config import Settings
from admin.releases.plan import PatchPlan
from tests.integration.admin.conftest import Client, Start, published
from tests.integration.admin.test_releases import begun, database, say, until
from tests.integration.gates.test_notify_delivery import Chat, chatting

__all__ = ["database"]
CHAT = Target("chat", "env:NEWS_CHAT")
AWAY = Target("away", "env:NEWS_AWAY")


@pytest.fixture
async def chat(monkeypatch: pytest.MonkeyPatch, unused_tcp_port: int) -> Any:
    async with chatting() as chat:
        monkeypatch.setenv("NEWS_CHAT", chat.url)
        monkeypatch.setenv("NEWS_AWAY", f"json://127.0.0.1:{unused_tcp_port}/away")
        yield chat


@pytest.fixture
async def call(start: Start, chat: Chat, follow: Callable[..., Any]) -> Client:
    notify = Notify((CHAT, AWAY), link="https://t.example/{release}", timeout_s=30.0)
    drill = PatchPlan(window_s=0.0, gates=(), cutover_gates=(), checklist=(), drain_per_s=0.0)
    call: Client = await start(
        releasing=Settings(
            environment="test", notify=notify, gates_s=0.1, patch=drill, switch_s=1.0
        )
    )
    await published(call)
    for slot in ("blue", "green"):
        await call("PUT", f"/v1/slots/{slot}/endpoints", {"endpoints": ["127.0.0.1:1"]})
    await call("PUT", "/v1/slots/blue/version", {"version": "1.2.0"})
    await (await follow()).until(await call.version())
    return call


async def heard(chat: Chat, until: str) -> list[tuple[str, str]]:
    """All titles and texts, to the first with this title."""
    found: list[tuple[str, str]] = []
    while not found or found[-1][0] != until:
        told = await chat.seen.get()
        found.append((told["title"], told["message"]))
    return found


async def test_what_is_told_of_a_release(call: Client, chat: Chat):
    plan = {"signers": ["qa"], "checklist": []}
    name = await begun(call, plan=plan, note="invoices in colour")
    told = await heard(chat, f"{name} waits for signatures")
    status, _, _ = await call("POST", f"/v1/releases/{name}/sign", {"signer": "qa", "note": "fine"})
    assert status == 200
    told += await heard(chat, "Release of 1.3.0 is done")
    assert [title for title, _ in told] == [
        "Release of 1.3.0 is planned",
        "1.3.0 is being deployed to green",
        "1.3.0 is being validated on green",
        f"{name} waits for signatures",
        f"{name}: qa signed",
        "1.3.0: 5 % of traffic is on green",
        "1.3.0: 50 % of traffic is on green",
        "Traffic goes to green, 1.3.0",
        "1.3.0 serves all traffic",
        "1.3.0 is being finalised",
        "Release of 1.3.0 is done",
    ]
    texts = dict(told)
    assert texts["Release of 1.3.0 is planned"].splitlines() == [
        f"{name}: 1.2.0 on blue → 1.3.0 on green (minor)",
        *("By tester", "invoices in colour", f"https://t.example/{name}"),
    ]
    assert texts[f"{name} waits for signatures"].splitlines()[1] == "Missing: qa"
    assert texts[f"{name}: qa signed"].splitlines()[1:3] == ["By tester", "fine"]


async def test_what_is_told_of_one_that_goes_back(call: Client, chat: Chat):
    name = await begun(call, plan={"dwell_s": 3600, "steps": [5]})
    await until(call, name, "canary")
    await say(call, name, "pause", "a look")
    await say(call, name, "resume")
    await say(call, name, "rollback", "invoices are wrong")
    told = (await heard(chat, "1.3.0 was rolled back"))[-4:]
    assert [title for title, _ in told] == [
        f"{name} is paused",
        f"{name} goes on",
        "1.3.0 is being rolled back: traffic returns to blue",
        "1.3.0 was rolled back",
    ]
    assert "Reason: tester: invoices are wrong" in told[-1][1]


async def test_a_way_back_that_fails_is_told_and_tried_again(
    call: Client, chat: Chat, follow: Callable[..., Any]
):
    name = await begun(call, plan={"window_s": 3600, "steps": [], "rollback": "fenced"})
    await until(call, name, "stabilising")
    # It takes no table: nobody can be held, so the fence is undone.
    deaf = await follow("w2", deaf=True)
    await say(call, name, "rollback")
    told = await heard(chat, f"{name} stands still")
    assert "the way back failed, and is tried again" in told[-1][1]
    deaf.listen()
    await heard(chat, "1.3.0 was rolled back")


async def test_a_drill_is_told_as_a_drill(call: Client, chat: Chat):
    await call("PUT", "/v1/slots/green/version", {"version": "1.2.1"})
    status, _, _ = await call("POST", "/v1/drills", {"window_s": 0})
    assert status == 202
    told = await heard(chat, "Drill: over: everybody is back on blue")
    assert told[0][0] == "Drill: begun: blue → green and back"
    assert not any("rolled back" in title for title, _ in told)


async def test_of_two_admins_one_reminds_of_a_drill_once(
    call: Client, database: asyncpg.Connection
):
    assert await drills.due(database, 0.0) is None, "there was no release yet"
    await until(call, await begun(call), "done")
    assert await drills.due(database, 1.0) is None
    looks = [await drills.due(database, 0.0) for _ in range(2)]
    assert looks == [
        {"detail": "No drill was ever done, and 0 are allowed: turnout release drill"},
        None,
    ]
    await database.execute("UPDATE turnout.told SET at = at - interval '25 hours'")
    assert await drills.due(database, 0.0) is not None


async def test_an_admin_with_targets_reminds(start: Start, chat: Chat, call: Client):
    await until(call, await begun(call), "done")
    gates = Gates(drill=Drill(days=1e-9))
    await start(releasing=Settings(notify=Notify((CHAT,)), gates=gates))
    async with asyncio.timeout(60):
        await heard(chat, "A drill is due")
