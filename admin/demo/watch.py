"""What the admin says while the load runs: the table, the workers, the live feed.

Rule: an admin that is away is noted and asked again; the load goes on without it.
"""

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from admin.cli.client import Event
from admin.cli.fleet import event_line

EVENTS_SHOWN = 8
PAUSE_S = 0.5
REFRESH_S = 2.0
ANSWER_S = 5.0
SILENCE_S = 45.0


@dataclass(slots=True)
class Control:
    """The control plane as last heard. serving: workers that serve the version as it is."""

    reachable: bool = False
    version: int = 0
    active: str = "-"
    canary: float = 0
    serving: int = 0
    workers: int = 0
    events: deque[str] = field(default_factory=lambda: deque(maxlen=EVENTS_SHOWN))


class Watch:
    """Keeps a Control up to date. Ended by cancelling `run`."""

    def __init__(self, admin: str, token: str, control: Control) -> None:
        self._admin, self._token, self._control = admin, token, control
        self._changed = asyncio.Event()

    async def run(self) -> None:
        """Until cancelled."""
        timeout = aiohttp.ClientTimeout(total=ANSWER_S)
        headers = {"Authorization": f"Bearer {self._token}"}
        async with (
            aiohttp.ClientSession(self._admin, headers=headers, timeout=timeout) as session,
            asyncio.TaskGroup() as group,
        ):
            group.create_task(self._refresh(session), name="refresh")
            group.create_task(self._follow(session), name="follow events")

    async def _refresh(self, session: aiohttp.ClientSession) -> None:
        """Ask at each change, and every REFRESH_S."""
        while True:
            self._changed.clear()
            try:
                self._take(await _get(session, "/v1/routing"), await _get(session, "/v1/workers"))
            except (aiohttp.ClientError, OSError, TimeoutError, ValueError, KeyError):
                self._control.reachable = False
            try:
                async with asyncio.timeout(REFRESH_S):
                    await self._changed.wait()
            except TimeoutError:
                continue

    def _take(self, table: dict[str, Any], fleet: dict[str, Any]) -> None:
        control = self._control
        control.version, control.active = table["version"], table["active"]
        control.canary = table["canary"]["percent"]
        control.workers = len(fleet["workers"])
        control.serving = sum(bool(worker["current"]) for worker in fleet["workers"])
        control.reachable = True

    async def _follow(self, session: aiohttp.ClientSession) -> None:
        while True:
            try:
                async for event in _events(session):
                    self._control.events.append(event_line(event))
                    self._changed.set()
            except (aiohttp.ClientError, OSError, TimeoutError):
                self._control.reachable = False
            await asyncio.sleep(PAUSE_S)


async def _get(session: aiohttp.ClientSession, path: str) -> dict[str, Any]:
    async with session.get(path) as response:
        response.raise_for_status()
        document = await response.json()
        if not isinstance(document, dict):
            raise TypeError(f"{path} is answered with no object")
        return document


async def _events(session: aiohttp.ClientSession) -> AsyncIterator[Event]:
    """The live feed until it ends."""
    timeout = aiohttp.ClientTimeout(total=None, sock_read=SILENCE_S)
    query = {"types": "change,converged,worker-lost,republished,store"}
    async with session.get("/v1/events", params=query, timeout=timeout) as response:
        response.raise_for_status()
        kind = ""
        async for raw in response.content:
            line = raw.decode("utf-8", "replace").rstrip("\r\n")
            if line.startswith("event:"):
                kind = line[6:].strip()
            elif line.startswith("data:"):
                yield Event(kind, json.loads(line[5:]))
