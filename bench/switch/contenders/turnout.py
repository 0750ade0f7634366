"""Turnout as it is run: supervisor, workers, management, admin, Redis and PostgreSQL.

Each is a process of its own with its default settings, PostgreSQL's commits on disk (fsync). A switch
is a call of the API by a client that keeps its connection; its ack is the answer, which comes when
every worker has said that it serves the new version.
"""

import http.client
import json
import secrets
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

from admin.embedded import EmbeddedPostgres, EmbeddedRedis, EmbeddedServerError, start_all
from admin.tokens import Role, create_token
from bench import trees
from bench.peers.turnout import Turnout as Peer
from bench.processes import StartError, check_alive, free_ports, running, tail
from bench.switch.contenders.contender import BEGIN, Site, SwitchError, as_start_error
from proxy.routing.model import Slot

READY_S = 30.0
LOOK_S = 0.02
ANSWER_S = 65.0
"""Longer than a switch may take."""
KEPT_S = 10.0
"""An idle connection that is older may be closed by the admin; a new one is opened."""
TOKEN_S = 12 * 3600.0
DRAIN_PER_S = 1_000.0
DRAIN_LIMIT_S = 20.0


def configuration(
    site: Site, ports: tuple[int, int, int], redis: str, database: str, secret: str
) -> str:
    """turnout.toml: defaults but for addresses, workers, and trust in loopback."""
    port, management, admin = ports
    return f"""redis_url = "{redis}"
database_url = "{database}"
routing_key = "{secrets.token_hex(32)}"

[proxy]
listen = "127.0.0.1:{port}"
management_listen = "127.0.0.1:{management}"
workers = {site.workers}
trusted_networks = ["127.0.0.0/8"]

[admin]
listen = "127.0.0.1:{admin}"
token_secret = "{secret}"
"""


class Api:
    """The admin's API, as a script would use it: one kept connection, one call at a time."""

    def __init__(self, port: int, token: str) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_S)
        self._fields = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        self._used = 0.0

    def call(self, method: str, path: str, body: object = None) -> tuple[int, dict[str, Any]]:
        """(status, document) of the answer. SwitchError when there is none."""
        if time.monotonic() - self._used > KEPT_S:
            self._connection.close()
        text = None if body is None else json.dumps(body)
        try:
            self._connection.request(method, path, text, self._fields)
            answer = self._connection.getresponse()
            found: dict[str, Any] = json.loads(answer.read())
        except (OSError, http.client.HTTPException, ValueError) as error:
            self._connection.close()
            raise SwitchError(f"{method} {path}: {error!r}") from error
        self._used = time.monotonic()
        return answer.status, found

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


class Running:
    """A Turnout that runs."""

    def __init__(self, site: Site, port: int, api: Api) -> None:
        self.port = port
        self._site = site
        self._api = api

    def switch(self, to: Slot, tenant: str | None) -> float | None:
        """A cutover of all or of the tenant; gives the API's ack_ms."""
        tenants: object = "all" if tenant is None else [tenant]
        mode = "fenced" if self._site.fenced else "instant"
        body = {"to": str(to), "tenants": tenants, "mode": mode}
        status, found = self._api.call("POST", "/v1/cutover", body)
        change = found.get("change", found) or {}
        if status != 200 or not change.get("converged"):
            raise SwitchError(f"answered {status}: {json.dumps(found)[:500]}")
        ack_ms: float | None = change.get("ack_ms")
        return ack_ms

    def drain(self, slot: Slot) -> int | None:
        """Begin a drain, and wait until it has ended."""
        path = f"/v1/slots/{slot}/drain"
        body = {"per_second": DRAIN_PER_S, "limit_s": DRAIN_LIMIT_S}
        status, found = self._api.call("POST", path, body)
        deadline = time.monotonic() + 2 * DRAIN_LIMIT_S
        while status in {200, 202} and found["ended_at"] is None:
            if time.monotonic() > deadline:
                raise SwitchError(f"the drain does not end: {json.dumps(found)[:500]}")
            time.sleep(LOOK_S)
            status, found = self._api.call("GET", path)
        if status not in {200, 202}:
            raise SwitchError(f"the drain: {json.dumps(found)[:500]}")
        return 0 if found["outcome"] == "empty" else found["left"] or 1

    def set_up(self) -> None:
        """Wait for all workers, and give the slots their endpoints. SwitchError."""
        deadline = time.monotonic() + READY_S
        while not self._is_whole():
            if time.monotonic() > deadline:
                raise SwitchError(f"not all workers are there after {READY_S:.0f} s")
            time.sleep(LOOK_S)
        for slot, port in self._site.endpoints.items():
            body = {"endpoints": [f"127.0.0.1:{port}"]}
            self._change("PUT", f"/v1/slots/{slot}/endpoints", body)
        self._change("POST", "/v1/cutover", {"to": str(BEGIN)})
        if self._site.moved_alone:
            pins = [
                {"op": "pin", "tenant": tenant, "slot": str(BEGIN)} for tenant in self._site.tenants
            ]
            self._change("POST", "/v1/routing/changes", {"operations": pins})

    def _is_whole(self) -> bool:
        try:
            status, found = self._api.call("GET", "/v1/workers")
        except SwitchError:
            return False
        if status != 200:
            return False
        live = [worker for worker in found["workers"] if worker["lease_ms"] > 0]
        return found["converged"] is True and len(live) == self._site.workers

    def _change(self, method: str, path: str, body: object) -> None:
        status, found = self._api.call(method, path, body)
        if status != 200:
            raise SwitchError(f"{method} {path}: {json.dumps(found)[:500]}")


class Turnout:
    """Turnout from this source tree, its data plane plain or compiled."""

    ack = "every worker serves the new version; in PostgreSQL"
    tools: Mapping[str, str] = MappingProxyType({})

    def __init__(self, *, compiled: bool = False) -> None:
        self._peer = Peer(compiled=compiled)
        self.name, self.title = self._peer.name, self._peer.title

    def missing(self) -> str | None:
        """What the proxy lacks to run."""
        return self._peer.missing()

    def version(self) -> str:
        """The package's."""
        return self._peer.version()

    @contextmanager
    def serving(self, site: Site) -> Iterator[Running]:
        """The whole system, from nothing."""
        site.folder.mkdir(mode=0o700)  # the settings hold secrets
        tree = trees.copy(site.folder / "tree", trees.build() if self._peer.compiled else None)
        redis, postgres = (
            EmbeddedRedis(site.folder / "redis"),
            EmbeddedPostgres(site.folder / "postgres"),
        )
        try:
            with as_start_error(EmbeddedServerError):
                start_all(redis, postgres)
                database = postgres.create_database("turnout")
            with self._started(site, tree, redis.url, database) as door:
                yield door
        finally:
            for server in (redis, postgres):
                server.stop()

    @contextmanager
    def _started(self, site: Site, tree: Path, redis: str, database: str) -> Iterator[Running]:
        ports, secret = free_ports(3), secrets.token_hex(32)
        settings = site.folder / "turnout.toml"
        text = configuration(site, (ports[0], ports[1], ports[2]), redis, database, secret)
        settings.write_text(text, encoding="utf-8")
        api = Api(ports[2], create_token(secret, "bench", str(Role.ADMIN), TOKEN_S))
        door = Running(site, ports[0], api)
        with (
            _process("admin", settings, tree) as admin,
            _process("proxy", settings, tree) as proxy,
        ):
            try:
                door.set_up()
            except SwitchError as error:
                for name, process in (("admin", admin), ("proxy", proxy)):
                    check_alive(process, site.folder / name)
                logs = tail(site.folder / "admin") + tail(site.folder / "proxy")
                raise StartError(f"{self.title}: {error}{logs}") from error
            try:
                yield door
            finally:
                api.close()


@contextmanager
def _process(module: str, settings: Path, tree: Path) -> Iterator[Any]:
    folder = settings.parent / module
    folder.mkdir()
    argv = [sys.executable, "-m", module, "--config", str(settings)]
    with running(argv, None, folder, cwd=tree) as process:
        yield process
