"""HAProxy as a reverse proxy with keep-alive, WebSockets, and nothing believed of clients."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from bench.machine import find_command
from bench.processes import free_ports, wait_until_listening
from conformance.peers.peer import DEAD, DOMAIN, NOBODY, Site
from conformance.peers.process import running
from conformance.rows.row import PLAIN, PROXIED, QUICK

_TIMES = """    timeout http-request 500ms
    timeout client 700ms
    timeout http-keep-alive 800ms
    timeout connect 500ms
    timeout server 700ms
    timeout queue 100ms
    timeout tunnel 800ms
"""
_DEFAULTS = """    timeout http-request 10s
    timeout client 60s
    timeout http-keep-alive 75s
    timeout connect 3s
    timeout server 30s
    timeout queue 100ms
    timeout tunnel 1h
"""
_STRANGERS = (
    "X-Forwarded-For",
    "X-Forwarded-Proto",
    "X-Forwarded-Host",
    "X-Forwarded-Port",
    "X-Real-IP",
    "Forwarded",
    "X-Tenant-ID",
    "X-Request-ID",
    "Proxy-Authorization",
    "Proxy-Connection",
    "HTTP2-Settings",
    "Keep-Alive",
    "TE",
)


def configuration(site: Site, port: int) -> str:
    """haproxy.cfg."""
    strangers = "\n".join(f"    http-request del-header {name}" for name in _STRANGERS)
    maxconn = " maxconn 4" if site.quick else ""
    return f"""global
    maxconn 2000
    hard-stop-after 1s
defaults
    mode http
    retries 1
    option redispatch
{_TIMES if site.quick else _DEFAULTS}
frontend clients
    bind 127.0.0.1:{port}{" accept-proxy" if site.proxied else ""}
    http-request deny deny_status 405 if METH_CONNECT
    http-request deny deny_status 405 if METH_TRACE
    http-request deny deny_status 413 if {{ req.hdr_val(content-length) gt 10485760 }}
    http-request del-header _ -m sub
    acl websocket req.hdr(Upgrade) -i websocket
    acl upgrade req.hdr(Connection) -i -m sub upgrade
    http-request del-header Upgrade if !websocket or !upgrade or !METH_GET or HTTP_1.0
{strangers}
    http-request set-var(txn.tenant) req.hdr(host),host_only,lower,regsub(\\.{DOMAIN.replace(".", "[.]")}$,,) if {{ req.hdr(host),host_only -m end .{DOMAIN} }}
    http-request set-header X-Tenant-ID %[var(txn.tenant)] if {{ var(txn.tenant) -m found }}
    http-request set-header X-Forwarded-For %[src]
    http-request set-header X-Forwarded-Proto http
    http-request set-header X-Forwarded-Host %[req.hdr(host)]
    http-request set-header X-Request-ID %[uuid()]
    use_backend dead if {{ var(txn.tenant) -m str {DEAD} }}
    use_backend nobody if {{ var(txn.tenant) -m str {NOBODY} }}
    default_backend blue
backend blue
    server one 127.0.0.1:{site.endpoint}{maxconn}
backend dead
    server one 127.0.0.1:{site.dead}
backend nobody
"""


class Haproxy:
    """See the module."""

    name = "haproxy"
    title = "HAProxy"
    limit_s = 0.5
    sites = (PLAIN, QUICK, PROXIED)

    def missing(self) -> str | None:
        """Whether it is installed."""
        return None if find_command("haproxy") else "HAProxy is not installed"

    def version(self) -> str:
        """As in "2.6.12"."""
        argv = [find_command("haproxy") or "haproxy", "-v"]
        said = subprocess.run(argv, capture_output=True, text=True, timeout=10, check=False)
        words = said.stdout.split()
        return words[2].partition("-")[0] if len(words) > 2 else "unknown"

    @contextmanager
    def serving(self, site: Site) -> Iterator[int]:
        """HAProxy, listening."""
        (port,) = free_ports(1)
        site.folder.mkdir()
        path = site.folder / "haproxy.cfg"
        path.write_text(configuration(site, port), encoding="utf-8")
        argv = [find_command("haproxy") or "haproxy", "-db", "-f", str(path)]
        with running(argv, site.folder) as process:
            wait_until_listening(process, port, site.folder)
            yield port
