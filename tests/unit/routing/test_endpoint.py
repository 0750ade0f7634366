"""Endpoint.parse: what is an address, what is not, and that it is written as it is read."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.routing.model import Endpoint
from tests.support.routing_strategies import endpoints


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("10.0.0.7:8000", "10.0.0.7", 8000),
        ("localhost:1", "localhost", 1),
        ("erp-blue.svc.cluster.local:65535", "erp-blue.svc.cluster.local", 65535),
        ("ERP.Example.com:80", "erp.example.com", 80),
        ("[::1]:8000", "::1", 8000),
        ("[0:0:0:0:0:0:0:1]:8000", "::1", 8000),
        ("[2001:DB8::A]:443", "2001:db8::a", 443),
        ("7:7", "7", 7),
    ],
)
def test_a_good_address_is_read_in_its_canonical_form(text: str, host: str, port: int) -> None:
    assert Endpoint.parse(text) == Endpoint(host, port)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":",
        "host",
        "host:",
        ":80",
        "host:0",
        "host:65536",
        "host:000080",
        "host:-1",
        "host:+1",
        "host: 80",
        "host:80 ",
        "host:8_0",
        "host:0x50",
        "host:８０",  # noqa: RUF001 - digits that int() takes and no peer does
        "host:80/path",
        "http://host:80",
        "user@host:80",
        "ho st:80",
        "host\n:80",
        "host\0:80",
        "höst:80",
        "-host:80",
        "host.:80",
        "a" * 254 + ":80",
        "::1:80",
        "[::1]",
        "[::1]80",
        "[]:80",
        "[:80",
        "[10.0.0.7]:80",
        "[host]:80",
        "[::g]:80",
        "[::1%a%b]:80",
        "[[::1]]:80",
    ],
)
def test_a_bad_address_is_refused_with_a_short_reason(text: str) -> None:
    with pytest.raises(ValueError, match=r"^(an endpoint|a port|the host|the brackets)") as caught:
        Endpoint.parse(text)
    assert len(str(caught.value)) < 80


def test_the_longest_name_is_taken() -> None:
    assert Endpoint.parse("a" * 253 + ":80").host == "a" * 253


@settings(deadline=None)
@given(endpoints)
def test_an_endpoint_is_written_as_it_is_read(endpoint: Endpoint) -> None:
    assert Endpoint.parse(str(endpoint)) == endpoint


@settings(deadline=None)
@given(
    st.text(max_size=30)
    | st.builds("{}:{}".format, st.text("[]:.-01afZ", max_size=8), st.integers(-2, 70_000))
)
def test_any_text_is_an_endpoint_or_a_value_error(text: str) -> None:
    try:
        endpoint = Endpoint.parse(text)
    except ValueError:
        return
    assert Endpoint.parse(str(endpoint)) == endpoint
