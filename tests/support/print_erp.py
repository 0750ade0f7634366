"""The example ERP in tests: real instances, and a client that speaks as a tenant to each."""

import io
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from tests.support.processes import Child, Children

ROOT = Path(__file__).parents[2]


@dataclass
class Erp:
    """One instance: its process, and a client that speaks as tenant acme unless told otherwise."""

    child: Child
    url: str
    ready: dict[str, Any]
    client: aiohttp.ClientSession

    async def ask(
        self, method: str, path: str, *, tenant: str | None = "acme", **options: Any
    ) -> tuple[int, Any, Mapping[str, str]]:
        """(status, decoded JSON or else the bytes, headers)."""
        headers = {**options.pop("headers", {}), **({"X-Tenant-ID": tenant} if tenant else {})}
        if isinstance(options.get("data"), bytes):
            options["data"] = io.BytesIO(options["data"])  # aiohttp warns of large bytes
        async with self.client.request(method, self.url + path, headers=headers, **options) as got:
            body = await got.read()
            is_json = "json" in got.content_type and body
            return got.status, json.loads(body) if is_json else body, got.headers

    async def made(self, path: str, **body: Any) -> Any:
        status, document, _ = await self.ask("POST", path, json=body)
        assert status in (201, 202), document
        return document

    def socket(self, path: str, tenant: str = "acme") -> Any:
        return self.client.ws_connect(self.url + path, headers={"X-Tenant-ID": tenant})


Starter = Callable[..., Awaitable[Erp]]


@asynccontextmanager
async def starter(spawn: Children, database_url: str, folder: Path) -> AsyncIterator[Starter]:
    """Starts instances: start(slot, version, *options, **environment); ready when it returns."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(30)) as client:

        async def start(slot: str, version: str, *options: str, **environment: str) -> Erp:
            command = (sys.executable, "-m", "examples.print_erp", "--slot", slot)
            given = ("--version", version, "--files", str(folder / "files"), *options)
            env = {"ERP_DATABASE_URL": database_url, **environment}
            child = spawn(*command, *given, env=env, cwd=ROOT, name=f"erp-{slot}")
            line = await child.line(r'^\{"event": ?"ready".*\}$')
            ready = json.loads(line[0])
            return Erp(child, f"http://{ready['address']}", ready, client)

        yield start
