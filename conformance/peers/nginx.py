"""nginx as a reverse proxy with keep-alive, WebSockets, and nothing believed of clients."""

from collections.abc import Iterator
from contextlib import contextmanager

from bench import nginx
from bench.machine import find_command
from bench.processes import free_ports, wait_until_listening
from conformance.peers.peer import DEAD, DOMAIN, NOBODY, Site
from conformance.peers.process import running
from conformance.rows.row import PLAIN, PROXIED, QUICK

_TIMES = """    client_header_timeout 500ms;
    client_body_timeout 600ms;
    send_timeout 800ms;
    keepalive_timeout 800ms;
    proxy_connect_timeout 500ms;
    proxy_read_timeout 700ms;
    proxy_send_timeout 700ms;
"""
_PROXIED = """ proxy_protocol;
        set_real_ip_from 127.0.0.0/8;
        real_ip_header proxy_protocol"""
_DEFAULTS = """    client_header_timeout 10s;
    client_body_timeout 30s;
    send_timeout 60s;
    keepalive_timeout 75s;
    proxy_connect_timeout 3s;
    proxy_read_timeout 30s;
"""


def configuration(site: Site, port: int) -> str:
    """The http section."""
    return f"""    map $host $tenant {{
        default "";
        ~^(?<sub>[a-z0-9-]+)\\.{DOMAIN.replace(".", "[.]")}$ $sub;
    }}
    map $tenant $slot {{
        default blue;
        {DEAD} dead;
        {NOBODY} nobody;
    }}
    map "$server_protocol $request_method $http_upgrade $http_connection" $upgrade {{
        default "";
        "~*^HTTP/1[.]1 GET websocket .*upgrade" websocket;
    }}
    map $upgrade $upgrade_connection {{
        default "";
        websocket upgrade;
    }}
    upstream blue {{ server 127.0.0.1:{site.endpoint}{" max_conns=4" if site.quick else ""}; keepalive 8; }}
    upstream dead {{ server 127.0.0.1:{site.dead}; keepalive 8; }}
    upstream nobody {{ server 127.0.0.1:1 down; }}
{_TIMES if site.quick else _DEFAULTS}
    client_max_body_size 10m;
    large_client_header_buffers 4 8k;
    server_tokens off;
    server {{
        listen 127.0.0.1:{port}{_PROXIED if site.proxied else ""};
        location / {{
            proxy_pass http://$slot;
            proxy_http_version 1.1;
            proxy_set_header Host $host;
            proxy_set_header Connection $upgrade_connection;
            proxy_set_header Upgrade $upgrade;
            proxy_set_header TE "";
            proxy_set_header HTTP2-Settings "";
            proxy_set_header Keep-Alive "";
            proxy_set_header Proxy-Connection "";
            proxy_set_header Proxy-Authorization "";
            proxy_set_header X-Forwarded-For $remote_addr;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_set_header X-Forwarded-Host $host;
            proxy_set_header X-Forwarded-Port "";
            proxy_set_header X-Real-IP "";
            proxy_set_header Forwarded "";
            proxy_set_header X-Request-ID $request_id;
            proxy_set_header X-Tenant-ID $tenant;
        }}
    }}
"""


class Nginx:
    """See the module."""

    name = "nginx"
    title = "nginx"
    limit_s = 0.5
    sites = (PLAIN, QUICK, PROXIED)

    def missing(self) -> str | None:
        """Whether it is installed."""
        return None if find_command("nginx") else "nginx is not installed"

    def version(self) -> str:
        """As nginx says it."""
        return nginx.version()

    @contextmanager
    def serving(self, site: Site) -> Iterator[int]:
        """Nginx, listening."""
        (port,) = free_ports(1)
        site.folder.mkdir()
        text = nginx.configuration(configuration(site, port))
        (site.folder / "nginx.conf").write_text(text, encoding="utf-8")
        argv = [nginx.binary(), "-e", "stderr", "-p", f"{site.folder}/", "-c", "nginx.conf"]
        with running(argv, site.folder) as process:
            wait_until_listening(process, port, site.folder)
            yield port
