"""HAProxy: one thread, a map file of the tenants, idle upstream connections shared.

Where tokens name the tenant it verifies each request's anew; it keeps none in memory.
"""

import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from bench.credentials import ALGORITHM, AUDIENCE, CLAIM, ISSUER, KEY
from bench.machine import find_command
from bench.peers.peer import Launch, Site, Work
from bench.processes import free_ports
from bench.scenarios.scenario import TENANT_HEADER
from proxy.routing.model import Slot


def configuration(site: Site, port: int) -> str:
    """haproxy.cfg; its map file lies beside it, under the name tenants.map."""
    rules = _token_rules() if site.work.token else ""
    backends = "\n".join(
        f"backend {slot}\n    server {slot} 127.0.0.1:{at}" for slot, at in site.endpoints.items()
    )
    bundle = f" ssl crt {site.certificate.both}" if site.certificate else ""
    return f"""global
    nbthread 1
    maxconn {site.work.connections + 20}
    tune.bufsize 65536
defaults
    mode http
    timeout connect 3s
    timeout client 75s
    timeout server 60s
    timeout tunnel 1h
    http-reuse always
    option forwardfor
frontend door
    bind 127.0.0.1:{port}{bundle}
{rules}    http-request set-header X-Request-ID %[uuid]
    use_backend %[req.hdr({TENANT_HEADER}),map_str(tenants.map,{Slot.BLUE})]
{backends}
"""


def _token_rules() -> str:
    claims = {"iss": ISSUER, "aud": AUDIENCE}
    checks = "".join(
        f"    http-request deny deny_status 401 unless {{ http_auth_bearer,"
        f"jwt_payload_query('$.{name}') -m str {value} }}\n"
        for name, value in claims.items()
    )
    return (
        "    http-request deny deny_status 401 unless "
        f'{{ http_auth_bearer,jwt_verify("{ALGORITHM}","{KEY}") 1 }}\n'
        f"{checks}"
        "    http-request set-var(txn.exp) http_auth_bearer,jwt_payload_query('$.exp','int')\n"
        "    http-request set-var(txn.now) date()\n"
        "    http-request deny deny_status 401 if { var(txn.exp),sub(txn.now) -m int lt 0 }\n"
        f"    http-request set-header {TENANT_HEADER} "
        f"%[http_auth_bearer,jwt_payload_query('$.{CLAIM}')]\n"
    )


class HAProxy:
    """HAProxy as Debian packages it."""

    name = "haproxy"
    title = "HAProxy"
    tools: Mapping[str, str] = {"haproxy": "haproxy"}

    def missing(self) -> str | None:
        """Nothing but its tools."""
        return None

    def unable(self, _work: Work) -> str | None:
        """All of it."""
        return None

    def version(self) -> str:
        """As in "2.6.12-1+deb12u3"."""
        argv = [find_command("haproxy") or "haproxy", "-v"]
        said = subprocess.run(argv, capture_output=True, text=True, timeout=10, check=False)
        return said.stdout.split()[2]

    @contextmanager
    def prepared(self, site: Site) -> Iterator[Launch]:
        """Its configuration and its map, written."""
        (port,) = free_ports(1)
        # The configuration holds the key of the run's tokens.
        site.folder.mkdir(mode=0o700)
        lines = (f"{tenant} {slot}\n" for tenant, slot in site.pins.items())
        (site.folder / "tenants.map").write_text("".join(lines), encoding="utf-8")
        path = site.folder / "haproxy.cfg"
        path.write_text(configuration(site, port), encoding="utf-8")
        argv = [find_command("haproxy") or "haproxy", "-db", "-f", str(path)]
        yield Launch(argv, port, cwd=site.folder)
