"""nginx: the baseline. One worker, a `map` of the tenants, keep-alive to both upstreams."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from bench import nginx
from bench.cpu import tree
from bench.peers.peer import Proxy, Site
from bench.processes import free_ports
from bench.scenarios.scenario import TENANT_HEADER
from proxy.routing.model import Slot

KEEP_ALIVE = 64
"""Idle connections kept to each upstream: as many as wrk has open."""


def configuration(site: Site, port: int) -> str:
    """The http section."""
    variable = TENANT_HEADER.lower().replace("-", "_")
    tenants = "\n".join(f"        {tenant} {slot};" for tenant, slot in site.pins.items())
    upstreams = "\n".join(_upstream(slot, at) for slot, at in site.endpoints.items())
    return f"""    map_hash_max_size 8192;
    map $http_{variable} $slot {{
        default {Slot.BLUE};
{tenants}
    }}
{upstreams}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://$slot;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Request-ID $request_id;
        }}
    }}
"""


def _upstream(slot: Slot, port: int) -> str:
    return f"""    upstream {slot} {{
        server 127.0.0.1:{port};
        keepalive {KEEP_ALIVE};
        keepalive_requests 1000000000;
    }}"""


class Nginx:
    """An nginx. name: another one for the self-test's second instance."""

    tools: Mapping[str, str] = {"nginx": "nginx"}

    def __init__(self, name: str = "nginx", title: str = "nginx") -> None:
        self.name = name
        self.title = title

    def missing(self) -> str | None:
        """Nothing but its tools."""
        return None

    def version(self) -> str:
        """As nginx says it."""
        return nginx.version()

    @contextmanager
    def serving(self, site: Site) -> Iterator[Proxy]:
        """nginx, listening, until the block ends."""
        (port,) = free_ports(1)
        http = configuration(site, port)
        with nginx.serving(http, site.folder, site.cores.proxy, port) as process:
            yield Proxy(self.name, port, lambda: tree(process.pid))
