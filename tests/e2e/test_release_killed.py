"""An admin that carries a release dies by -9 before each row of its trail; another goes on.

A trigger holds the transaction that is to write the row, so that the death comes exactly there:
what the row tells has been done, or has not, and nobody has written it down.
"""

import asyncio
import json
import os
import random
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import msgspec
import pytest

from config import Shared
from tests.integration.admin.conftest import SECRET, Client, published
from tests.integration.admin.follower import Follower
from tests.support.processes import Child, Children

_HOLD = """
CREATE SCHEMA killing;
CREATE TABLE killing.at (row bigint);
CREATE FUNCTION killing.hold() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM killing.at WHERE row = NEW.seq) THEN PERFORM pg_sleep(60); END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER hold BEFORE INSERT ON turnout.release_events FOR EACH ROW EXECUTE FUNCTION killing.hold();
"""
_HELD = (
    "SELECT pid FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()"
)
PLAN = {
    "steps": [50],
    "dwell_s": 0,
    "checklist": [],
    "gates": [],
    "cutover_gates": [],
    "signers": [],
    "cutover_signers": [],
    "drain_per_s": 1000,
    "unmeasured": "go",
}
HOOK = "import json, os, sys; print(json.load(sys.stdin)['hook'], os.environ['TURNOUT_EFFECT'], file=open({path!r}, 'a'))"
HOOKS = """
[[releases.hooks]]
name = "once"
before = "deploying"
command = ["python3", "-c", {hook}]

[[releases.hooks]]
name = "repeatable"
after = "cutting-over"
on_unknown = "repeat"
command = ["python3", "-c", {hook}]

[[releases.hooks]]
name = "after-all"
after = "rolling-back"
command = ["python3", "-c", {hook}]
"""


class Admins:
    """Two admins over the same stores; one is killed and started anew. ran: hook and effect."""

    def __init__(self, spawn: Children, folder: Path, shared: Shared, database: Any) -> None:
        self._spawn, self._folder, self.database = spawn, folder, database
        self._session: aiohttp.ClientSession | None = None
        self._log = folder / "hooks.log"
        hook = json.dumps(HOOK.format(path=str(self._log)))
        lines = [
            f"{name} = {json.dumps(value)}"
            for name, value in msgspec.structs.asdict(shared).items()
        ]
        own = ["[admin]", "listen = '127.0.0.1:0'", f"token_secret = '{SECRET}'"]
        self._config = folder / "turnout.toml"
        self._config.write_text("\n".join([*lines, *own, HOOKS.format(hook=hook)]))
        self.children: list[Child] = []
        self.calls: list[Client] = []

    async def start(self, session: aiohttp.ClientSession) -> None:
        child = self._spawn(
            sys.executable, "-m", "admin", "--config", str(self._config), name="admin"
        )
        line = await child.line(r'\{.*"address": ?"([^"]+)".*\}')
        call = Client(session, line[1])
        await published(call)
        self.children.append(child)
        self.calls.append(call)

    @property
    def ran(self) -> list[tuple[str, str]]:
        lines = self._log.read_text().splitlines() if self._log.exists() else []
        return [tuple(line.split()) for line in lines]  # type: ignore[misc]

    async def seq(self) -> int:
        return int(await self.database.fetchval("SELECT seq FROM turnout.release_chain"))

    async def kill_before(self, row: int, is_over: Callable[[], Any]) -> bool:
        """Kill the first admin once it is about to write this row; False: there was none."""
        while not (held := [each["pid"] for each in await self.database.fetch(_HELD)]):
            if await is_over():
                return False
            await asyncio.sleep(0.01)
        self.children.pop(0).kill()
        self.calls.pop(0)
        await self.database.execute("DELETE FROM killing.at")
        for pid in held:
            await self.database.execute("SELECT pg_terminate_backend($1)", pid)
        return True


@pytest.fixture
async def admins(
    spawn: Children, tmp_path: Path, redis_url: str, database_url: str
) -> AsyncIterator[Admins]:
    shared = Shared(redis_url, "killed", database_url, "a routing key of tests, long enough")
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(aiohttp.ClientSession())
        database = await asyncpg.connect(database_url)
        stack.push_async_callback(database.close)
        admins = Admins(spawn, tmp_path, shared, database)
        await admins.start(session)
        await database.execute(_HOLD)
        await stack.enter_async_context(Follower(shared, "w1"))
        for slot in ("blue", "green"):
            await admins.calls[0](
                "PUT", f"/v1/slots/{slot}/endpoints", {"endpoints": ["127.0.0.1:1"]}
            )
        await admins.calls[0]("PUT", "/v1/slots/blue/version", {"version": "1.0.0"})
        admins._session = session
        yield admins


async def state(admins: Admins, name: str) -> dict[str, Any]:
    """How it stands, by the admin that lives."""
    status, found, _ = await admins.calls[-1]("GET", f"/v1/releases/{name}")
    assert status == 200, found
    return dict(found)


async def one(admins: Admins, number: int, kill_at: int, *, back: bool) -> bool:
    """One release, whose admin dies before that row of it; whether there was such a row."""
    session = admins._session
    assert session is not None
    if len(admins.calls) < 2:
        await admins.start(session)
    before, ran, call = await admins.seq(), len(admins.ran), admins.calls[0]
    await admins.database.execute("INSERT INTO killing.at VALUES ($1)", before + kill_at)
    table = (await call("GET", "/v1/routing"))[1]
    was, wanted = table["active"], {"window_s": 3600 if back else 0}
    document = {"version": f"1.{number}.0", "plan": {**PLAN, **wanted}}
    begun = asyncio.create_task(
        call("POST", "/v1/releases", document, headers={"Idempotency-Key": str(number)})
    )
    name, killed, told_back = "", False, False
    words: list[asyncio.Task[Any]] = []

    async def over() -> bool:
        nonlocal name, told_back
        if not name:
            row = await admins.database.fetchrow(
                "SELECT name FROM turnout.releases WHERE version = $1", f"1.{number}.0"
            )
            name = row["name"] if row else ""
            return False
        found = await state(admins, name)
        if found["paused"]:
            # A hook that isn't to be repeated: somebody looked, and says go on.
            await admins.calls[-1]("POST", f"/v1/releases/{name}/resume", {})
        if back and found["state"] == "stabilising" and not told_back:
            told_back = True
            words.append(
                asyncio.create_task(admins.calls[0]("POST", f"/v1/releases/{name}/rollback", {}))
            )
        return bool(found["ended_at"])

    killed = await admins.kill_before(before + kill_at, over)
    await asyncio.gather(begun, *words, return_exceptions=True)
    if killed and not name:
        await over()
    if not name:
        # It died before the release was written down: the same request begins it, once.
        answer = await admins.calls[-1](
            "POST", "/v1/releases", document, headers={"Idempotency-Key": str(number)}
        )
        assert answer[0] == 202, answer
    if killed and back:
        told_back = False  # the word may have died with the admin: say it again if so
    while not await over():
        await asyncio.sleep(0.05)
    await check(admins, name, was, ran, back=back)
    await admins.database.execute("DELETE FROM killing.at")
    return killed


async def check(admins: Admins, name: str, was: str, ran: int, *, back: bool) -> None:
    """It ended as it should, and each effect was done once."""
    found, call = await state(admins, name), admins.calls[-1]
    assert found["state"] == ("rolled-back" if back else "done"), found
    table = (await call("GET", "/v1/routing"))[1]
    assert (table["active"] == was) is back
    assert table["canary"]["percent"] == 0
    rows = await admins.database.fetch(
        "SELECT action, to_state FROM turnout.audit WHERE version IS NOT NULL AND action LIKE 'release-%'"
        " AND at >= (SELECT begun_at FROM turnout.releases WHERE name = $1) ORDER BY version",
        name,
    )
    moves = Counter(row["action"].split("-")[-2] for row in rows)
    assert moves == {"weight": 1, "cutover": 1, **({"return": 1} if back else {})}, rows
    effects = Counter(admins.ran[ran:])
    again = [hook for (hook, _), count in effects.items() if count > 1]
    assert set(again) <= {"repeatable"}, effects
    assert {hook for hook, _ in effects} == {"once", "repeatable", *(["after-all"] if back else [])}
    assert (await call("GET", "/v1/audit/verify"))[1]["holds"]


@pytest.mark.timeout(600)
@pytest.mark.parametrize("back", [False, True], ids=["goes on", "goes back"])
async def test_killed_before_rows_of_its_trail(admins: Admins, back: bool) -> None:
    """Every fourth row, from a random one on; all of them with TURNOUT_KILL_EVERY=1."""
    every = int(os.environ.get("TURNOUT_KILL_EVERY", "4"))
    number, first = 1, random.randint(1, every)
    print(f"every {every} rows from {first} on")
    row = first
    while await one(admins, number, row, back=back):
        number, row = number + 1, row + every
    assert row > 15
    print(f"killed before {number - 1} rows of the trail, the last of them {row - every}")
