import json
import re
import tomllib
from pathlib import Path

import pytest

from bench import credentials, endpoint, nginx
from bench.catalogue import SCENARIOS
from bench.credentials import Certificate
from bench.load import Load
from bench.machine import Cores
from bench.peers import caddy, envoy, haproxy, traefik
from bench.peers import nginx as nginx_peer
from bench.peers import turnout as turnout_peer
from bench.peers.peer import Site, Work
from bench.scenarios.scenario import TENANTS, pins
from bench.scenarios.small import SMALL, body
from config.load import load
from proxy.config import Settings
from proxy.routing.codec import decode_table, encode_table
from proxy.routing.decision import Forward, Policy, decide
from proxy.routing.model import Slot

URL = "redis://127.0.0.1:7000/0"
LOADS = [scenario for scenario in SCENARIOS.values() if isinstance(scenario, Load)]


def site_of(folder: Path, work: Work = Work()) -> Site:  # noqa: B008 - frozen
    pair = Certificate(folder / "chain.pem", folder / "key.pem", folder / "both.pem")
    endpoints = {Slot.BLUE: 9001, Slot.GREEN: 9002}
    return Site(folder, Cores(0, 1), endpoints, pins(), work, pair if work.tls else None)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return site_of(tmp_path)


@pytest.fixture
def secure(tmp_path: Path) -> Site:
    return site_of(tmp_path, Work(tls=True))


def braces_match(text: str) -> bool:
    depth = 0
    for sign in re.sub(r"'[^']*'", "", text):
        depth += {"{": 1, "}": -1}.get(sign, 0)
        if depth < 0:
            return False
    return depth == 0


def test_every_other_tenant_goes_to_green() -> None:
    slots = list(pins().values())
    assert len(slots) == TENANTS
    assert slots.count(Slot.GREEN) == TENANTS // 2


@pytest.mark.parametrize("slot", Slot)
def test_the_answer_has_110_bytes_for_either_slot(slot: Slot) -> None:
    assert len(body(slot).encode()) == 110


def test_the_endpoint_stands_for_both_slots() -> None:
    text = endpoint.configuration(SMALL.location, {Slot.BLUE: 9001, Slot.GREEN: 9002})
    assert braces_match(text)
    blue, green = text.split("server {")[1:]
    assert "listen 127.0.0.1:9001;" in blue
    assert body(Slot.BLUE) in blue
    assert "listen 127.0.0.1:9002;" in green
    assert body(Slot.GREEN) in green


@pytest.mark.parametrize("scenario", LOADS, ids=lambda scenario: scenario.name)
def test_each_scenarios_endpoint_has_whole_directives(scenario: Load) -> None:
    text = endpoint.configuration(scenario.location, {Slot.BLUE: 9001, Slot.GREEN: 9002})
    assert braces_match(text)


def test_nginx_looks_all_tenants_up_and_adds_what_the_others_add(site: Site) -> None:
    text = nginx_peer.configuration(site, 8000)
    assert braces_match(text)
    looked_up = dict(re.findall(r"^ +(tenant-\d+) (blue|green);$", text, re.MULTILINE))
    assert looked_up == {tenant: str(slot) for tenant, slot in site.pins.items()}
    for line in (
        "map $http_x_tenant_id $slot {",
        "listen 127.0.0.1:8000;",
        "server 127.0.0.1:9002;",
        "keepalive 64;",
        "proxy_http_version 1.1;",
        "proxy_set_header Connection $upgraded;",
        "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;",
        "proxy_set_header X-Request-ID $request_id;",
    ):
        assert line in text
    assert "buffering" not in text


def test_nginx_streams_and_speaks_tls_where_the_work_says_so(tmp_path: Path) -> None:
    text = nginx_peer.configuration(site_of(tmp_path, Work(tls=True, streamed=True)), 8000)
    assert braces_match(text)
    for line in (
        "listen 127.0.0.1:8000 ssl;",
        f"ssl_certificate {tmp_path}/chain.pem;",
        "proxy_buffering off;",
        "proxy_request_buffering off;",
    ):
        assert line in text


def test_every_path_of_nginx_lies_in_its_own_folder() -> None:
    text = nginx.configuration("", 4_000)
    assert braces_match(text)
    assert "access_log off;" in text
    assert "worker_processes 1;" in text
    assert "worker_connections 4000;" in text
    assert "/" not in text


def test_haproxy_has_one_thread_and_its_map_has_all_tenants(site: Site) -> None:
    text = haproxy.configuration(site, 8000)
    for line in (
        "nbthread 1",
        "bind 127.0.0.1:8000\n",
        "use_backend %[req.hdr(X-Tenant-ID),map_str(tenants.map,blue)]",
        "http-request set-header X-Request-ID %[uuid]",
        "option forwardfor",
        "server green 127.0.0.1:9002",
    ):
        assert line in text
    assert "jwt_verify" not in text
    site = site_of(site.folder / "own")
    site.folder.parent.mkdir(exist_ok=True)
    with haproxy.HAProxy().prepared(site):
        lines = (site.folder / "tenants.map").read_text(encoding="utf-8").splitlines()
    assert dict(line.split() for line in lines) == {key: str(slot) for key, slot in pins().items()}


def test_haproxy_verifies_tokens_before_it_believes_their_tenant(tmp_path: Path) -> None:
    text = haproxy.configuration(site_of(tmp_path, Work(token=True, tls=True)), 8000)
    order = [text.index(word) for word in ("jwt_verify", "'$.iss'", "'$.exp'", "'$.tenant'")]
    assert order == sorted(order)
    assert text.index("'$.tenant'") < text.index("use_backend")
    assert f"bind 127.0.0.1:8000 ssl crt {tmp_path}/both.pem" in text


def test_envoy_finds_tenants_in_a_hash_table(site: Site) -> None:
    read = json.loads(json.dumps(envoy.configuration(site, 8000)))["static_resources"]
    (chain,) = read["listeners"][0]["filter_chains"]
    manager = chain["filters"][0]["typed_config"]
    (host,) = manager["route_config"]["virtual_hosts"]
    found = host["matcher"]["matcher_tree"]["exact_match_map"]["map"]
    assert {key: each["action"]["name"] for key, each in found.items()} == {
        key: str(slot) for key, slot in site.pins.items()
    }
    assert manager["use_remote_address"] is True
    assert [each["name"] for each in read["clusters"]] == ["blue", "green"]
    assert "transport_socket" not in chain


def test_envoy_speaks_tls_where_the_work_says_so(secure: Site) -> None:
    text = json.dumps(envoy.configuration(secure, 8000))
    assert f"{secure.folder}/chain.pem" in text
    assert f"{secure.folder}/key.pem" in text


def test_traefik_has_a_router_a_tenant_each_with_a_request_id(site: Site) -> None:
    http = json.loads(json.dumps(traefik.dynamic(site)))["http"]
    routers = dict(http["routers"])
    rest = routers.pop("rest")
    assert {key: each["service"] for key, each in routers.items()} == {
        key: str(slot) for key, slot in site.pins.items()
    }
    assert routers["tenant-0007"]["rule"] == "Header(`X-Tenant-ID`, `tenant-0007`)"
    assert all(each["middlewares"] == ["id"] for each in (*routers.values(), rest))
    assert rest["priority"] == 1
    assert http["middlewares"]["id"] == {"plugin": {traefik.PLUGIN: {}}}


def test_traefik_asks_nobody_outside_and_speaks_tls(secure: Site) -> None:
    fixed = traefik.static(8000, secure.folder / "dynamic.yml")
    assert fixed["global"] == {"checkNewVersion": False, "sendAnonymousUsage": False}
    written = traefik.dynamic(secure)
    assert f"{secure.folder}/chain.pem" in json.dumps(written["tls"])
    assert '"tls": {}' in json.dumps(written["http"])


def test_caddy_maps_each_tenant_to_its_port_and_adds_a_request_id(site: Site) -> None:
    text = caddy.configuration(site, 8000)
    assert braces_match(text)
    ports = dict(re.findall(r"^ +(tenant-\d+) (\d+)$", text, re.MULTILINE))
    assert ports == {key: str(site.endpoints[slot]) for key, slot in site.pins.items()}
    for line in (
        "http://:8000 {",
        "bind 127.0.0.1",
        "header_up X-Request-ID {http.request.uuid}",
        "admin off",
        "auto_https off",
    ):
        assert line in text


def test_caddy_speaks_tls_where_the_work_says_so(secure: Site) -> None:
    text = caddy.configuration(secure, 8000)
    assert "https://:8000 {" in text
    assert f"tls {secure.folder}/chain.pem {secure.folder}/key.pem" in text


def test_turnouts_settings_have_one_worker_and_trust_loopback_only(site: Site) -> None:
    text = turnout_peer.configuration(URL, site, 8000, 8001)
    proxy = tomllib.loads(text)["proxy"]
    assert {name: proxy[name] for name in ("listen", "management_listen", "workers")} == {
        "listen": "127.0.0.1:8000",
        "management_listen": "127.0.0.1:8001",
        "workers": 1,
    }
    assert proxy["trusted_networks"] == ["127.0.0.0/8"]
    assert "identity" not in proxy


@pytest.mark.parametrize("work", [Work(), Work(token=True), Work(tls=True)], ids=str)
def test_turnout_accepts_its_settings(tmp_path: Path, work: Work) -> None:
    reason = turnout_peer.Turnout().unable(work)
    if reason:
        pytest.skip(reason)
    path = tmp_path / "turnout.toml"
    text = turnout_peer.configuration(URL, site_of(tmp_path, work), 8000, 8001)
    path.write_text(text, encoding="utf-8")
    shared, settings = load(path, "proxy", Settings, environ={})
    assert settings.worker_count() == 1
    assert bool(settings.identity.jwt.issuer) is work.token
    assert (shared.redis_url, shared.redis_prefix) == (URL, turnout_peer.PREFIX)


def test_the_table_written_for_turnout_routes_as_nginxs_map_does(site: Site) -> None:
    table = decode_table(encode_table(turnout_peer.routing_table(site)))
    assert table.pins == site.pins
    assert {slot: each[0].port for slot, each in table.endpoints.items()} == site.endpoints
    assert table.version == 1


def test_with_a_canary_the_unpinned_reach_the_same_slots(tmp_path: Path) -> None:
    site = site_of(tmp_path, Work(token=True, canary=True))
    table = turnout_peer.routing_table(site)
    assert len(table.pins) == TENANTS // 2
    policy = Policy(route_unidentified=True, route_unknown=True)
    for tenant, slot in site.pins.items():
        decision = decide(table, policy, tenant, request_key="")
        assert isinstance(decision, Forward)
        assert decision.slot is slot


def test_the_runs_key_is_in_no_configuration_without_tokens(site: Site) -> None:
    texts = [
        haproxy.configuration(site, 8000),
        turnout_peer.configuration(URL, site, 8000, 8001),
    ]
    assert not any(credentials.KEY in text for text in texts)
