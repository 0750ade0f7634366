"""Which device a connection is of, by the rules; and what settings say no to."""

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from proxy.census.rules import Devices
from proxy.census.settings import CensusRule
from proxy.config import Settings
from proxy.http1.head import RequestHead
from tests.support.tokens import token

HEADER = {"name": "printer", "header": "X-Device"}
QUERY = {"name": "screen", "query": "device"}


def devices(*of: dict[str, Any], secret: bytes = b"secret") -> Devices:
    return Devices([msgspec.convert(each, CensusRule) for each in of], secret)


def head(target: bytes = b"/", lines: Sequence[bytes] = ()) -> RequestHead:
    made = RequestHead()
    made.target, made.lines = target, list(lines)
    return made


@pytest.mark.parametrize(
    ("lines", "device"),
    [
        ([b"X-Device: press-4"], "press-4"),
        ([b"x-device:press-4 "], "press-4"),
        ([b"X-Device: press-4", b"X-Device: press-4"], "press-4"),
        ([b"X-Device: press-4", b"X-Device: press-5"], ""),
        ([b"X-Device: "], ""),
        ([b"X-Device: " + b"p" * 65], ""),
        ([b"X-Device: pr\xc3\xa9sse"], ""),
        ([b"X-Devices: press-4"], ""),
        ([], ""),
    ],
)
def test_a_header_names_it(lines: list[bytes], device: str) -> None:
    assert devices(HEADER).of_request(head(lines=lines)) == device


@pytest.mark.parametrize(
    ("target", "device"),
    [
        (b"/ws?device=press-4", "press-4"),
        (b"/ws?a=1&device=press%204&b", "press 4"),
        (b"/ws?device=press+4", "press 4"),
        (b"/ws?device=a&device=a", "a"),
        (b"/ws?device=a&device=b", ""),
        (b"/ws?devices=a", ""),
        (b"/ws?device=%0a", ""),
        (b"/ws/device=a", ""),
        (b"/ws?device", ""),
    ],
)
def test_a_parameter_names_it(target: bytes, device: str) -> None:
    assert devices(QUERY).of_request(head(target)) == device


def test_a_segment_of_the_path_names_it() -> None:
    of = devices({"name": "path", "path": "/devices/{key}/events"})
    assert of.of_request(head(b"/devices/press%2D4/events?x=1")) == "press-4"
    assert of.of_request(head(b"/devices/press-4")) == ""


def test_a_cookie_is_told_as_a_hash_only() -> None:
    of = devices({"name": "station", "cookie": "sid"})
    seen = head(lines=[b"Cookie: a=b; sid=secret-value"])
    name = of.of_request(seen)
    assert len(name) == 16
    assert "secret" not in name
    assert name == of.of_request(seen)
    other = devices({"name": "station", "cookie": "sid"}, secret=b"x" * 100)
    assert other.of_request(seen) not in {name, ""}


def test_a_secret_of_any_length_may_be_told_as_a_hash() -> None:
    of = devices({**HEADER, "digest": True})
    names = {of.of_request(head(lines=[b"X-Device: " + b"k" * size])) for size in (1, 64, 900)}
    assert {len(name) for name in names} == {16}
    assert len(names) == 3
    assert of.of_request(head()) == ""


def test_a_claim_of_the_token_names_it() -> None:
    of = devices({"name": "machine", "claim": "sub"})
    seen = head()
    for authorization, device in (
        (b"Bearer " + token(sub="press-4"), "press-4"),
        (b"bearer  " + token(sub="press-4"), "press-4"),
        (b"Bearer " + token(sub=4), ""),
        (b"Bearer " + token(), ""),
        (b"Bearer junk", ""),
        (b"Basic cHJlc3M6NA==", ""),
        (None, ""),
    ):
        seen.authorization = authorization
        assert of.of_request(seen) == device


@pytest.mark.parametrize(
    ("line", "device"),
    [
        (b"X-Client-Cert-Subject: CN=press-4,O=Acme", "press-4"),
        (b"X-Client-Cert-Subject: O=Acme,CN=press 4", "press 4"),
        (b"X-Client-Cert-Subject: CN=a\\,b,O=Acme", "a,b"),
        (b"X-Client-Cert-Subject: CN=a,CN=b", ""),
        (b"X-Client-Cert-Subject: OCN=a", ""),
        (b"", ""),
    ],
)
def test_the_clients_certificate_names_it(line: bytes, device: str) -> None:
    assert devices({"name": "press", "certificate": True}).of_request(head(), line) == device


@pytest.mark.parametrize(
    ("source", "device"),
    [("peer", "192.0.2.7"), ("sni", "rip.acme.example"), ("port", "0.0.0.0:9100")],
)
def test_a_plain_connection_is_named_by_where_it_is_from(source: str, device: str) -> None:
    of = devices({"name": "rip", "tcp": source})
    assert of.of_tcp("192.0.2.7", "rip.acme.example", "0.0.0.0:9100") == device
    assert of.of_request(head(b"/?device=a")) == ""


def test_the_first_rule_that_finds_a_name_decides() -> None:
    of = devices(HEADER, QUERY, {"name": "sni", "tcp": "sni"}, {"name": "peer", "tcp": "peer"})
    assert of.of_request(head(b"/?device=q", [b"X-Device: h"])) == "h"
    assert of.of_request(head(b"/?device=q", [b"X-Device:  "])) == "q"
    assert of.of_tcp("192.0.2.7", "", "") == "192.0.2.7"


@pytest.mark.parametrize(
    ("census", "said"),
    [
        ([{"name": "A b", "header": "X-A"}], "`name` of a census rule"),
        ([{"name": "a"}], "has one of"),
        ([{"name": "a", "header": "X-A", "query": "a"}], "has one of"),
        ([{"name": "a", "header": "X-A", "certificate": True}], "has one of"),
        ([{"name": "a", "header": "Host"}], "`header` is the name of a header"),
        ([{"name": "a", "query": "a&b"}], "`query` is the name of a query"),
        ([{"name": "a", "cookie": "a;b"}], "`cookie` is the name of a cookie"),
        ([{"name": "a", "path": "/x"}], "`path` has {key} in it once"),
        ([{"name": "a", "path": "/x{key}"}], "`path` is a path of whole segments"),
        ([{"name": "a", "claim": "sub"}], "needs tokens that are verified"),
        ([{"name": "a", "certificate": True}], "needs `tls.verify_clients`"),
        ([{"name": "a", "header": "X-A"}, {"name": "a", "query": "a"}], "each with its own `name`"),
        ([{"name": f"a{n}", "query": "a"} for n in range(17)], "at most 16 rules"),
    ],
)
def test_settings_that_mean_nothing_are_refused(census: list[dict[str, Any]], said: str) -> None:
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.convert({"census": census}, Settings)
    assert said in str(caught.value)


def test_a_claim_is_read_where_tokens_are_verified() -> None:
    issuer = {
        "issuer": "https://id",
        "audiences": ["erp"],
        "algorithms": ["HS256"],
        "key": "k" * 32,
    }
    census = [{"name": "a", "claim": "sub"}]
    good = {"census": census, "identity": {"jwt": issuer}}
    assert msgspec.convert(good, Settings).census[0].claim == "sub"
    unread = {"census": census, "identity": {"jwt": issuer, "order": ["header"]}}
    with pytest.raises(msgspec.ValidationError, match="needs tokens"):
        msgspec.convert(unread, Settings)


@pytest.mark.parametrize(
    "report", [{"look_s": 0.01}, {"look_s": 6.0}, {"keep_s": 9e9}, {"devices": 0}]
)
def test_reports_lie_within_bounds(report: dict[str, float]) -> None:
    with pytest.raises(msgspec.ValidationError, match="census_report"):
        msgspec.convert({"census_report": report}, Settings)
