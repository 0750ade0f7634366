import re
import tomllib
from pathlib import Path

import pytest

from bench import endpoint, nginx
from bench.machine import Cores
from bench.peers import nginx as nginx_peer
from bench.peers import turnout as turnout_peer
from bench.peers.peer import Site
from bench.scenarios.scenario import TENANTS, pins
from bench.scenarios.small import SMALL, body
from config.load import load
from proxy.config import Settings
from proxy.routing.codec import decode_table, encode_table
from proxy.routing.model import Slot


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path, Cores(0, 1), {Slot.BLUE: 9001, Slot.GREEN: 9002}, pins())


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
    text = endpoint.configuration(SMALL, {Slot.BLUE: 9001, Slot.GREEN: 9002})
    assert braces_match(text)
    blue, green = text.split("server {")[1:]
    assert "listen 127.0.0.1:9001;" in blue
    assert body(Slot.BLUE) in blue
    assert "listen 127.0.0.1:9002;" in green
    assert body(Slot.GREEN) in green


def test_nginx_looks_all_tenants_up_and_adds_what_the_others_add(site: Site) -> None:
    text = nginx_peer.configuration(site, 8000)
    assert braces_match(text)
    looked_up = dict(re.findall(r"^ +(tenant-\d+) (blue|green);$", text, re.MULTILINE))
    assert looked_up == {tenant: str(slot) for tenant, slot in site.pins.items()}
    for line in (
        "map $http_x_tenant_id $slot {",
        "server 127.0.0.1:9002;",
        "keepalive 64;",
        "proxy_http_version 1.1;",
        'proxy_set_header Connection "";',
        "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;",
        "proxy_set_header X-Request-ID $request_id;",
    ):
        assert line in text


def test_every_path_of_nginx_lies_in_its_own_folder() -> None:
    text = nginx.configuration("")
    assert braces_match(text)
    assert "access_log off;" in text
    assert "worker_processes 1;" in text
    assert "/" not in text


def test_turnouts_settings_have_one_worker_and_trust_loopback_only() -> None:
    text = turnout_peer.configuration("redis://127.0.0.1:7000/0", 8000, 8001)
    assert tomllib.loads(text)["proxy"] == {
        "listen": "127.0.0.1:8000",
        "management_listen": "127.0.0.1:8001",
        "workers": 1,
        "trusted_networks": ["127.0.0.0/8"],
    }


def test_turnout_accepts_its_settings(tmp_path: Path) -> None:
    path = tmp_path / "turnout.toml"
    text = turnout_peer.configuration("redis://127.0.0.1:7000/0", 8000, 8001)
    path.write_text(text, encoding="utf-8")
    shared, settings = load(path, "proxy", Settings, environ={})
    assert settings.worker_count() == 1
    assert (shared.redis_url, shared.redis_prefix) == (
        "redis://127.0.0.1:7000/0",
        turnout_peer.PREFIX,
    )


def test_the_table_written_for_turnout_routes_as_nginxs_map_does(site: Site) -> None:
    table = decode_table(encode_table(turnout_peer.routing_table(site)))
    assert table.pins == site.pins
    assert {slot: each[0].port for slot, each in table.endpoints.items()} == site.endpoints
    assert table.version == 1
