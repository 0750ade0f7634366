"""The whole system, as a newcomer starts it: `turnout demo` in a folder of the test's own."""

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from proxy.routing.model import RoutingTable
from tests.support.ports import free_ports
from tests.support.processes import Child, Children
from tests.support.traffic import Acknowledged, table_of


@dataclass
class System:
    """A running demo and its admin API."""

    child: Child
    about: dict[str, Any]
    session: aiohttp.ClientSession
    changes: list[Acknowledged] = field(default_factory=list)

    async def get(self, path: str) -> Any:
        async with self.session.get(self.about["admin"] + path) as answer:
            assert answer.status == 200, await answer.text()
            return await answer.json()

    async def change(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """One change; it must be acknowledged by every worker. Recorded in `changes`."""
        sent = time.monotonic()
        url = self.about["admin"] + path
        async with self.session.request(method, url, json=body) as answer:
            result = await answer.json()
            acked = time.monotonic()
        assert answer.status == 200, result
        assert result["converged"] is True, result
        assert result["pending"] == [], result
        table = await self.table()
        assert table.version == result["version"]
        self.changes.append(Acknowledged(f"{method} {path} {body}", sent, acked, table))
        return result

    async def table(self) -> RoutingTable:
        return table_of(await self.get("/v1/routing"))

    async def converged(
        self, *, workers: int, above: int = -1, without: int = 0, seconds: float = 30.0
    ) -> float:
        """Wait until so many workers serve a version above this one, and this pid is gone.

        Returns the seconds since the admin answered: since the return of the part that was
        missing, or since now.
        """
        answered = None
        began = time.monotonic()
        while True:
            try:
                fleet = await self.get("/v1/workers")
                answered = answered or time.monotonic()
                live = [worker for worker in fleet["workers"] if worker["lease_ms"] > 0]
                pids = [worker["pid"] for worker in live]
                if (
                    fleet["converged"]
                    and fleet["version"] > above
                    and len(live) == workers
                    and without not in pids
                ):
                    return time.monotonic() - answered
            except (aiohttp.ClientError, AssertionError):
                fleet = "the admin does not answer"
            assert time.monotonic() - began < seconds, fleet
            await asyncio.sleep(0.02)


@pytest.fixture
async def system(
    spawn: Children, tmp_path: Path, request: pytest.FixtureRequest
) -> AsyncIterator[System]:
    """The demo with four workers, or as many as the test's `workers` marker says."""
    data = tmp_path / "demo"
    proxy, admin, management = free_ports(3)
    child = spawn(
        *(
            sys.executable,
            "-m",
            "admin.cli",
            "demo",
            "--data",
            data,
            "--workers",
            "4",
            "--rate",
            "0",
        ),
        *("--proxy-port", str(proxy), "--admin-port", str(admin)),
        *("--management-port", str(management)),
        name="demo",
    )
    await child.line("Turnout is ready", seconds=60)
    about = json.loads((data / "demo.json").read_text("utf-8"))
    headers = {"Authorization": f"Bearer {about['token']}"}
    async with aiohttp.ClientSession(headers=headers) as session:
        yield System(child, about, session)
