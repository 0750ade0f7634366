"""What a hostile or broken writer might send, and what a settings file might hold."""

import json
from pathlib import Path
from typing import Any, Literal

import msgspec
import pytest

from config import ConfigError, load
from proxy.routing.ack import decode_status
from proxy.routing.change import ContractError
from proxy.routing.codec import decode_change, decode_table, encode_table
from proxy.routing.identity import Identity, IdentityRules, Source, identify
from proxy.routing.model import Endpoint, RoutingTable
from proxy.routing.values import decode_percent


# F1
@pytest.mark.parametrize("value", [10**400, -(10**400)])
def test_a_percentage_too_large_for_a_float_is_refused(value: int) -> None:
    with pytest.raises(ContractError):
        decode_percent(value)


# F2
@pytest.mark.parametrize(
    "text", ["[::1%a\r\nX-Tenant-ID: b]:80", "[::1%\x1b[2J]:80", "[::1%" + "x" * 9_000 + "]:80"]
)
def test_a_zone_can_not_carry_controls_or_any_length(text: str) -> None:
    with pytest.raises(ValueError):
        Endpoint.parse(text)


# F3
@pytest.mark.parametrize("schema", ["true", "1.0"])
def test_the_schema_is_the_number_one(schema: str) -> None:
    with pytest.raises(ContractError):
        decode_change(b'{"schema":%b,"version":1,"operations":[]}' % schema.encode())


# F4
def table_with(**changes: Any) -> bytes:
    return json.dumps(json.loads(encode_table(RoutingTable())) | changes).encode()


def test_a_table_s_canary_has_no_field_called_op() -> None:
    canary = {"op": "pin", "percent": 0, "unit": "tenant", "salt": "s"}
    with pytest.raises(ContractError):
        decode_table(table_with(canary=canary))


def test_a_table_lists_no_tenant_twice() -> None:
    with pytest.raises(ContractError):
        decode_table(table_with(tenants=["acme", "acme"]))


# F5
@pytest.mark.parametrize(
    "field",
    [
        {"version": -7},
        {"version": 2**53},
        {"pid": -1},
        {"in_flight": -1},
        {"state": "nonsense"},
        {"node": "\x1b[2J"},
        {"node": "n" * 10_000},
        {"state": "s" * 10_000},
        {"error": "\x1b[2J"},
    ],
)
def test_a_status_is_bounded_and_printable(field: dict[str, Any]) -> None:
    good = {"worker": "a", "node": "n", "pid": 1, "version": 7, "state": "serving"}
    with pytest.raises(ContractError):
        decode_status(json.dumps(good | field).encode())


# F6
@pytest.mark.parametrize("host", ["acme.example.com:", "acme.example.com.:"])
def test_an_empty_port_hides_no_tenant(host: str) -> None:
    rules = IdentityRules(domains=("example.com",))
    assert identify(rules, host=host) == Identity("acme", Source.SUBDOMAIN)


def test_the_longest_domain_names_the_tenant_whatever_the_order() -> None:
    for domains in (("example.com", "eu.example.com"), ("eu.example.com", "example.com")):
        rules = IdentityRules(domains=domains)
        assert identify(rules, host="acme.eu.example.com") == Identity("acme", Source.SUBDOMAIN)


# F7
class Inner(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    x: int = 1


class Plane(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    workers: int = 4
    mode: Literal["on", "off"] = "on"
    inner: Inner = Inner()


@pytest.mark.parametrize("text", ["proxy = 5\n", "proxy = 'x'\n", "[[proxy]]\nworkers = 1\n"])
@pytest.mark.parametrize("environ", [{}, {"TURNOUT_PROXY_WORKERS": "2"}])
def test_a_section_that_is_no_table_is_a_config_error(
    tmp_path: Path, text: str, environ: dict[str, str]
) -> None:
    path = tmp_path / "turnout.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match="proxy"):
        load(path, "proxy", Plane, environ)


# F8
def test_a_wrong_choice_is_not_repeated(tmp_path: Path) -> None:
    path = tmp_path / "turnout.toml"
    path.write_text("[proxy]\nmode = 'hunter2'\n")
    with pytest.raises(ConfigError) as caught:
        load(path, "proxy", Plane, {})
    assert "hunter2" not in str(caught.value)


# F9
def test_a_bad_variable_is_named_beside_a_good_file(tmp_path: Path) -> None:
    path = tmp_path / "turnout.toml"
    path.write_text("[proxy]\nworkers = 4\n")
    with pytest.raises(ConfigError, match="TURNOUT_PROXY_WORKERS"):
        load(path, "proxy", Plane, {"TURNOUT_PROXY_WORKERS": "x"})


# F10
@pytest.mark.parametrize("text", ["workers = " + "9" * 5_000, "workers = " + "[" * 5_000])
def test_a_monstrous_file_is_a_config_error(tmp_path: Path, text: str) -> None:
    path = tmp_path / "turnout.toml"
    path.write_text(f"[proxy]\n{text}\n")
    with pytest.raises(ConfigError, match="not valid TOML"):
        load(path, "proxy", Plane, {})
