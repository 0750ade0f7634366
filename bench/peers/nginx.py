"""nginx: the baseline. One worker, a `map` of the tenants, keep-alive to both upstreams.

Where bodies are streamed its buffers are raised to 64 KB: with those of its defaults it costs
several times as much, which nobody who sends such bodies would leave so.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from bench import nginx
from bench.peers.peer import Launch, Site, Work
from bench.processes import free_ports
from bench.scenarios.scenario import TENANT_HEADER
from proxy.routing.model import Slot

KEEP_ALIVE = 64
"""Idle connections kept to each upstream: as many as wrk has open."""
_STREAMED = """
            proxy_buffering off;
            proxy_request_buffering off;
            proxy_buffer_size 64k;
            proxy_buffers 8 64k;
            proxy_busy_buffers_size 128k;
            client_body_buffer_size 64k;"""


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
    map $http_upgrade $upgraded {{
        default "";
        websocket upgrade;
    }}
{upstreams}
    server {{
        {_listen(site, port)}
        location / {{
            proxy_pass http://$slot;
            proxy_http_version 1.1;
            proxy_set_header Connection $upgraded;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Request-ID $request_id;
            proxy_read_timeout 3600s;{_STREAMED if site.work.streamed else ""}
        }}
    }}
"""


def _listen(site: Site, port: int) -> str:
    if site.certificate is None:
        return f"listen 127.0.0.1:{port};"
    return f"""listen 127.0.0.1:{port} ssl;
        ssl_certificate {site.certificate.chain};
        ssl_certificate_key {site.certificate.key};
        ssl_protocols TLSv1.2 TLSv1.3;"""


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

    def unable(self, work: Work) -> str | None:
        """Tokens: only the commercial edition verifies them."""
        return "can't verify tokens" if work.token else None

    def version(self) -> str:
        """As nginx says it."""
        return nginx.version()

    @contextmanager
    def prepared(self, site: Site) -> Iterator[Launch]:
        """Its configuration, written."""
        (port,) = free_ports(1)
        connections = 2 * site.work.connections + nginx.CONNECTIONS
        yield Launch(nginx.prepare(configuration(site, port), site.folder, connections), port)
