"""`redis_url`: what it says, and what it may not."""

import dataclasses
import re
import ssl
from pathlib import Path

import pytest

from proxy.store.address import Address, parse
from tests.support.certificates import Authority

LOCAL = Address("127.0.0.1", 6379, "", (), 0, None)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://127.0.0.1:6379/0", {}),
        ("redis://127.0.0.1", {}),
        ("redis://", {"host": "localhost"}),
        ("redis://127.0.0.1:6380/15", {"port": 6380, "database": 15}),
        ("redis://127.0.0.1?db=3", {"database": 3}),
        ("redis://[::1]:6379", {"host": "::1"}),
        ("redis://:p%40ss%2F@127.0.0.1", {"login": ("p@ss/",)}),
        ("redis://proxy:secret@127.0.0.1", {"login": ("proxy", "secret")}),
        ("unix:///run/redis%20a.sock", {"host": "localhost", "path": "/run/redis a.sock"}),
        (
            "unix://proxy:secret@/run/r.sock?db=2",
            {"host": "localhost", "path": "/run/r.sock", "login": ("proxy", "secret"), "database": 2},
        ),
    ],
)  # fmt: skip
def test_what_it_says(url: str, expected: dict[str, object]) -> None:
    assert parse(url) == dataclasses.replace(LOCAL, **expected)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1",
        "redis://:secret@127.0.0.1:port",
        "redis://:sec/ret@127.0.0.1",
        "redis://:secret@[::1",
        "redis://secret@127.0.0.1",
        "redis://:secret@127.0.0.1/one",
        "redis://:secret@127.0.0.1/-1",
        "redis://:secret@127.0.0.1/²",
        "redis://:secret@127.0.0.1?ssl_ca_certs=ca.pem",
        "redis://:secret@127.0.0.1?timeout=1",
        "rediss://:secret@127.0.0.1?ssl_cert_reqs=none",
        "rediss://:secret@127.0.0.1?ssl_ca_certs=/absent/ca.pem",
        "unix://secret/run/redis.sock",
        "unix://",
    ],
)
def test_what_it_may_not_say(url: str) -> None:
    with pytest.raises(ValueError) as refused:
        parse(url)
    assert not re.search(r"secret|ret@|absent|127", str(refused.value))


def test_tls_checks_certificate_and_name(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    certificate, key = authority.issue("proxy", "proxy.test")
    for query in ("", f"?ssl_ca_certs={authority.ca}&ssl_certfile={certificate}&ssl_keyfile={key}"):
        context = parse(f"rediss://127.0.0.1{query}").context
        assert context is not None
        assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)


def test_an_encrypted_key_is_refused(tmp_path: Path) -> None:
    certificate, key = Authority(tmp_path).issue("proxy", "proxy.test", passphrase=b"x")
    with pytest.raises(ValueError, match="files of TLS"):
        parse(f"rediss://127.0.0.1?ssl_certfile={certificate}&ssl_keyfile={key}")


def test_it_is_shown_without_its_password() -> None:
    assert repr(parse("redis://proxy:secret@127.0.0.1/3")) == "<Address 127.0.0.1:6379>"
    assert repr(parse("unix://:secret@/run/r.sock")) == "<Address /run/r.sock>"
