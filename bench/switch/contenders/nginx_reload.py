"""nginx, switched as most operators do: its map file is rewritten, then `nginx -s reload`.

Its ack is what an operator can see: the command has returned. nginx' master then starts new workers
and tells the old ones to finish; until they have, both answer.
"""

import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from bench import nginx
from bench.processes import free_ports, running, wait_until_listening
from bench.scenarios.scenario import TENANT_HEADER
from bench.switch.contenders.contender import ALL, Site, SwitchError, written
from proxy.routing.model import Slot

MAP = "routes.map"
RELOAD_S = 30.0
KEEP_ALIVE = 64
"""Idle connections that each worker keeps to each slot."""
VARIABLE = TENANT_HEADER.lower().replace("-", "_")
PROXYING = """proxy_pass http://$slot;
            proxy_http_version 1.1;
            proxy_set_header Connection $upgraded;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Host $http_host;
            proxy_read_timeout 3600s;"""
UPGRADED = """    map $http_upgrade $upgraded {
        default "";
        websocket upgrade;
    }"""


def upstreams(site: Site) -> str:
    """A group a slot, connections kept."""
    return "\n".join(
        f"    upstream {slot} {{\n        server 127.0.0.1:{port};\n"
        f"        keepalive {KEEP_ALIVE};\n        keepalive_requests 1000000000;\n    }}"
        for slot, port in site.endpoints.items()
    )


def configuration(site: Site, port: int) -> str:
    """The http section."""
    return f"""    map_hash_max_size 32768;
    map $http_{VARIABLE} $slot {{
        include {MAP};
    }}
{UPGRADED}
{upstreams(site)}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            {PROXYING}
        }}
    }}
"""


def map_text(routes: Mapping[str, Slot]) -> str:
    """The map file: everybody's line is the default."""
    return "".join(
        f"{'default' if name == ALL else name} {slot};\n" for name, slot in routes.items()
    )


class Running:
    """An nginx that runs."""

    def __init__(self, site: Site, port: int) -> None:
        self.port = port
        self._site = site
        self._routes = site.routes()

    def switch(self, to: Slot, tenant: str | None) -> None:
        """Rewrite the map, reload, and wait for the command."""
        self._routes[tenant or ALL] = to
        written(self._site.folder / MAP, map_text(self._routes))
        argv = [*nginx.command(self._site.folder), "-s", "reload"]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=RELOAD_S, check=False)
        if done.returncode != 0:
            raise SwitchError(f"nginx -s reload: {done.stderr.strip()}")

    def drain(self, slot: Slot) -> None:
        """Old workers keep their WebSockets; there is no word to end them in good order."""


class NginxReload:
    """nginx and its reload."""

    name = "nginx-reload"
    title = "nginx -s reload"
    ack = "the command has returned"
    tools: Mapping[str, str] = {"nginx": "nginx"}

    def missing(self) -> str | None:
        """Nothing but its tools."""
        return None

    def version(self) -> str:
        """As nginx says it."""
        return nginx.version()

    @contextmanager
    def serving(self, site: Site) -> Iterator[Running]:
        """Its configuration and its map, written; the master, running."""
        (port,) = free_ports(1)
        connections = 2 * site.connections + nginx.CONNECTIONS
        argv = nginx.prepare(configuration(site, port), site.folder, connections, site.workers)
        written(site.folder / MAP, map_text(site.routes()))
        with running(argv, None, site.folder) as process:
            wait_until_listening(process, port, site.folder)
            yield Running(site, port)
