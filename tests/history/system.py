"""What runs: two admins, nodes of workers, Redis with a replica, PostgreSQL; a link before each client.

Rules: every node and every admin has links of its own, so each can be cut off alone. Ports are
chosen at the first start, and stay the same over a restart. All that is started here is ended by `System.close`, by its pid.
"""

import asyncio
import os
import secrets
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import aiohttp
from redis.asyncio import Redis

from admin.embedded import EmbeddedPostgres, EmbeddedRedis
from admin.embedded.ports import free_port
from admin.embedded.server import EmbeddedServer, write_private
from admin.tokens import create_token
from tests.history.links import Link
from tests.history.places import Loopback, Namespaces, Place
from tests.support.clients import fetch
from tests.support.fleet import ROOT, Settings, _toml
from tests.support.processes import Child, Children, wait_gone

SECRET = "a secret of the run, 32 bytes or more"
KEY = "a routing key of the run, long enough"
READY_S = 60.0
"""How long a part may take to come up, on a busy machine."""
_LOOK_S = 0.05
TIMEOUTS = {"drain_idle_s": 0.3, "drain_s": 10.0, "connect_s": 3.0, "first_byte_s": 15.0}


@dataclass
class Store:
    """Redis: who takes writes, and who follows it by a link of its own."""

    primary: EmbeddedRedis
    replica: EmbeddedRedis
    replication: Link

    @classmethod
    def of(cls, folder: Path) -> "Store":
        """Two servers with one password, so that a URL holds for both; not started."""
        password = secrets.token_urlsafe(24)
        servers = []
        for name in ("redis-1", "redis-2"):
            place = folder / name
            place.mkdir(mode=0o700)
            write_private(place / "password", password)
            servers.append(EmbeddedRedis(place))
        primary, replica = servers
        return cls(primary, replica, Link(0))

    async def start(self) -> None:
        """Both, the second following the first."""
        for server in (self.primary, self.replica):
            await started(server)
        self.replication.target = self.primary.port
        await self.replication.open()
        await self.follow()

    async def follow(self) -> None:
        """Have the replica follow the primary; wait until it has all."""
        self.replication.mend()
        self.replication.lead(self.primary.port)
        for server in (self.primary, self.replica):
            await command(server, "CONFIG", "SET", "repl-diskless-sync-delay", "0")
        password = urlsplit(self.primary.url).password or ""
        await command(self.replica, "CONFIG", "SET", "masterauth", password)
        await command(self.replica, "REPLICAOF", "127.0.0.1", str(self.replication.port))
        await until(self._follows, "the replica follows")

    async def _follows(self) -> bool:
        said = await command(self.replica, "INFO", "replication")
        return bool(said["master_link_status"] == "up")

    async def promote(self) -> None:
        """The replica takes writes from now on; the other one is to be its replica."""
        await command(self.replica, "REPLICAOF", "NO", "ONE")
        self.primary, self.replica = self.replica, self.primary

    def close(self) -> None:
        for server in (self.replica, self.primary):
            server.kill()


async def started(server: EmbeddedServer) -> None:
    """Start it; forked by this thread, as it has to be, and waited for in another."""
    server.begin()
    await asyncio.to_thread(server.finish)


async def command(server: EmbeddedRedis, *words: str) -> Any:
    """One command, past all links."""
    async with Redis.from_url(server.url) as client:
        return await client.execute_command(*words)


@dataclass
class Node:
    """A host of workers. policy: what they do without a lease. pids: of its workers, as last seen."""

    name: str
    policy: str
    settings: Settings
    link: Link
    place: Place
    port: int = 0
    management: int = 0
    child: Child | None = None
    pids: set[int] = field(default_factory=set)

    async def workers(self) -> list[dict[str, Any]]:
        """What its management port says of them; none while it doesn't answer."""
        try:
            found: list[dict[str, Any]] = (
                await fetch(self.management, "/readyz", at=self.place.host)
            ).json["workers"]
        except (OSError, EOFError, TimeoutError):
            return []
        self.pids = {each["pid"] for each in found}
        return found

    async def serves(self) -> bool:
        """Whether as many workers serve as are wanted, and no other is left."""
        found = await self.workers()
        serving = [each for each in found if each["state"] == "serving" and each["version"]]
        return len(found) == len(serving) == self.settings.proxy["workers"]


@dataclass
class Admin:
    """One admin process. store, database: its links."""

    name: str
    config: Path
    store: Link
    database: Link
    place: Place
    port: int = 0
    child: Child | None = None

    @property
    def url(self) -> str:
        return f"http://{self.place.host}:{self.port}"


class System:
    """All of it. tree: whose sources run. endpoints: slot → address. policies: one for each node."""

    def __init__(
        self,
        folder: Path,
        *,
        policies: Sequence[str],
        workers: int,
        lease_s: float,
        wait_s: float,
        tree: Path = ROOT,
        places: Loopback | Namespaces | None = None,
    ) -> None:
        self.folder, self.tree = folder, tree
        self.places = Loopback() if places is None else places
        self.store = Store.of(folder)
        self.database = EmbeddedPostgres(folder / "postgres", settings={"fsync": "off"})
        self.children = Children(folder)
        self._stack = AsyncExitStack()
        self._policies, self._workers = policies, workers
        self._lease_s, self._wait_s = lease_s, wait_s
        self.nodes: list[Node] = []
        self.admins: list[Admin] = []
        self.session: aiohttp.ClientSession

    @property
    def store_links(self) -> list[Link]:
        """All that lead to Redis."""
        return [each.link for each in self.nodes] + [each.store for each in self.admins]

    async def start(self, step_port: int) -> None:
        """Everything, as far as it comes up without a table. step_port: where steps are asked for."""
        self.session = await self._stack.enter_async_context(aiohttp.ClientSession())
        self._stack.callback(self.store.close)
        await self.store.start()
        self._stack.callback(self.database.stop)
        await started(self.database)
        self._stack.callback(self._end_processes)
        for number in (1, 2):
            self.admins.append(await self._admin(f"admin-{number}", step_port))
        for number, policy in enumerate(self._policies):
            self.nodes.append(await self._node("abcdefgh"[number], policy))
        for admin in self.admins:
            await self.start_admin(admin)
        for node in self.nodes:
            await self.start_node(node)

    async def close(self) -> None:
        for link in (*self.store_links, *(each.database for each in self.admins)):
            await link.close()
        await self.store.replication.close()
        await self._stack.aclose()

    def _end_processes(self) -> None:
        """Also those that are stopped, and workers whose supervisor is dead."""
        for pid in [pid for node in self.nodes for pid in node.pids]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        for child in self.children:
            child.kill()

    # ── parts ─────────────────────────────────────────────────────────────────────────────────

    async def _link(self, target: int) -> Link:
        link = Link(target)
        await link.open(self.places.stores)
        return link

    async def _admin(self, name: str, step_port: int) -> Admin:
        store = await self._link(self.store.primary.port)
        database = await self._link(self.database.port)
        settings = {
            "redis_url": self._through(self.store.primary.url, store),
            "database_url": self._through(self.database.url, database),
            "routing_key": KEY,
            "admin": {
                "token_secret": SECRET,
                "redis_timeout_s": 0.8,
                "reconcile_interval_s": 0.3,
                "database_connect_timeout_s": 1.5,
                "database_lock_timeout_s": 2.0,
                "database_statement_timeout_s": 3.0,
                "switch_silent_s": 1.0,
                "worker_forget_s": 20.0,
                "log_entries": 100_000,
                "shutdown_timeout_s": 1.0,
                "step_urls": [f"http://{self.places.traffic}:{step_port}/"],
            },
        }
        config = self.folder / f"{name}.toml"
        write_private(config, _toml(settings))
        place = self.places.place(name.replace("admin-", ""))
        return Admin(name, config, store, database, place)

    async def _node(self, name: str, policy: str) -> Node:
        link = await self._link(self.store.primary.port)
        folder = self.folder / f"node-{name}"
        folder.mkdir()
        proxy: Mapping[str, object] = {
            "workers": self._workers,
            "node": name,
            "trusted_networks": ["127.0.0.0/8", "10.0.0.0/8"],
            "timeouts": TIMEOUTS,
            "parking": {"wait_s": self._wait_s},
            "follow": {
                "lease_s": self._lease_s,
                "renew_s": self._lease_s / 4,
                "store_timeout_s": 0.8,
                "reconnect_s": 0.1,
                "state_dir": str(folder / "state"),
                "without_lease": policy,
            },
        }
        shared = {"redis_url": self._through(self.store.primary.url, link), "routing_key": KEY}
        settings = Settings(folder / "turnout.toml", shared, proxy)
        return Node(name, policy, settings, link, self.places.place(name))

    def _through(self, url: str, link: Link) -> str:
        return through(url, link.port, self.places.stores)

    # ── processes ─────────────────────────────────────────────────────────────────────────────

    async def start_admin(self, admin: Admin) -> None:
        """Start it, and wait until it listens."""
        is_first = not admin.port

        async def start() -> Child:
            if is_first:
                admin.port = free_port()
            more = ("--listen", f"{admin.place.host}:{admin.port}")
            admin.child = child = self._spawn("admin", admin.config, admin, *more)
            await child.line('"listening"', READY_S)
            return child

        await _started(start)

    async def start_node(self, node: Node) -> None:
        """Start its supervisor, and wait until it listens."""
        is_first = not node.port

        async def start() -> Child:
            if is_first:
                node.port, node.management = free_port(), free_port()
                ports = {"listen": node.port, "management_listen": node.management}
                places = {name: f"{node.place.host}:{port}" for name, port in ports.items()}
                node.settings = replace(node.settings, proxy={**node.settings.proxy, **places})
                node.settings.write()
            node.child = child = self._spawn("proxy", node.settings.path, node)
            await child.line(r"management on \S+:(\d+)$", READY_S)
            return child

        await _started(start)

    def _spawn(self, package: str, config: Path, of: Admin | Node, *more: str) -> Child:
        return self.children(
            *of.place.before,
            *(sys.executable, "-m", package, "--config", str(config), *more),
            cwd=self.tree,
            name=f"{package}-{of.name}",
        )

    # ── the API ───────────────────────────────────────────────────────────────────────────────

    async def call(
        self,
        admin: Admin,
        method: str,
        path: str,
        body: object = None,
        *,
        author: str = "runner",
        key: str = "",
        limit_s: float = 10.0,
    ) -> tuple[int, Any]:
        """Status and document. key: an idempotency key. aiohttp.ClientError, TimeoutError."""
        headers = {"Authorization": f"Bearer {create_token(SECRET, author, 'admin', 3600)}"}
        headers |= {"Idempotency-Key": key} if key else {}
        timeout = aiohttp.ClientTimeout(total=limit_s)
        async with self.session.request(
            method, admin.url + path, json=body, headers=headers, timeout=timeout
        ) as answer:
            return answer.status, await answer.json(content_type=None)


async def _started(start: Callable[[], Awaitable[object]]) -> None:
    """Start it again for as long as its port is taken: by those who end, or by another's test."""
    deadline = time.monotonic() + READY_S
    while True:
        try:
            await start()
        except AssertionError as error:
            if "in use" not in str(error) or time.monotonic() > deadline:
                raise
            await asyncio.sleep(_LOOK_S)
        else:
            return


async def until(condition: Any, what: str, seconds: float = READY_S) -> None:
    """Wait until a condition is met; a coroutine function."""
    deadline = time.monotonic() + seconds
    while not await condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"never: {what}")
        await asyncio.sleep(_LOOK_S)


def through(url: str, port: int, host: str = "127.0.0.1") -> str:
    """The URL with another port, and host."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=f"{parts.netloc.rpartition('@')[0]}@{host}:{port}"))


async def kill(pid: int) -> None:
    """kill -9; return when it is gone."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    await asyncio.to_thread(wait_gone, pid)
