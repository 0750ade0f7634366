"""Settings of tokens: what is refused at the start, and that no error repeats a value."""

import re
from pathlib import Path
from typing import Any

import pytest

from config import ConfigError, load
from proxy.config import Settings
from proxy.observability.telemetry import KEY_SETS_BYTES, WORKER_CELLS
from proxy.tokens.bearer import BearerError
from proxy.tokens.issuers import key_sources, verifier_of
from proxy.tokens.keyset import KeySetError
from proxy.tokens.settings import MAX_ISSUERS, Issuer
from tests.support.tokens import AUDIENCE, ISSUER, SECRET, key_text, token

GOOD: dict[str, Any] = {
    "issuer": ISSUER,
    "audiences": [AUDIENCE],
    "algorithms": ["HS256"],
    "key": SECRET,
}
JWKS = {"key": None, "algorithms": ["ES256"]}


def toml(heading: str, **values: Any) -> str:
    lines = [f"{name} = {value!r}\n" for name, value in values.items() if value is not None]
    return f"{heading}\n{''.join(lines)}"


def loaded(folder: Path, text: str, environ: dict[str, str] | None = None) -> Settings:
    path = folder / "turnout.toml"
    path.write_text(text, "utf-8")
    return load(path, "proxy", Settings, environ or {})[1]


def area() -> "memoryview[int]":
    return memoryview(bytearray(KEY_SETS_BYTES))


def cells() -> "memoryview[int]":
    return memoryview(bytearray(8 * WORKER_CELLS)).cast("q")


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "no issuer": ({"issuer": ""}, "needs `issuer`"),
    "no audience": ({"audiences": []}, "needs `audiences`"),
    "an empty audience": ({"audiences": [""]}, "needs `audiences`"),
    "no claim": ({"claim": ""}, "a `claim`"),
    "no algorithm": ({"algorithms": []}, "`algorithms`"),
    "none": ({"algorithms": ["none"]}, "Not one of HS256, HS384"),
    "an unknown algorithm": ({"algorithms": ["ES256K"]}, "Not one of HS256, HS384"),
    "an algorithm, no list": ({"algorithms": "HS256"}, "Expected `array`"),
    "secrets and key pairs": ({"algorithms": ["HS256", "RS256"]}, "or none is"),
    "no key": ({"key": None}, "one of `key`, `key_file` and `jwks_url`"),
    "two keys": ({"key_file": "/key"}, "one of `key`, `key_file` and `jwks_url`"),
    "a secret that is fetched": ({"key": None, "jwks_url": "https://h/k"}, "is not fetched"),
    "http": ({**JWKS, "jwks_url": "http://keys.example.com/"}, "`jwks_url` is https://"),
    "http to a look-alike": ({**JWKS, "jwks_url": "http://127.0.0.1.example.com/"}, "https://"),
    "ftp": ({**JWKS, "jwks_url": "ftp://h/k"}, "`jwks_url` is https://"),
    "a path": ({**JWKS, "jwks_url": "/etc/keys"}, "`jwks_url` is https://"),
    "no host": ({**JWKS, "jwks_url": "https:///k"}, "`jwks_url` is https://"),
    "a file elsewhere": ({**JWKS, "jwks_url": "file://host/k"}, "`jwks_url` is https://"),
    "a user": ({**JWKS, "jwks_url": "https://user:hunter2@h/k"}, "no user name"),
    "leeway": ({"leeway_s": 61.0}, "`leeway_s` lies between 0 and 60"),
    "a pattern that is none": ({"tenant_pattern": "("}, "regular expression"),
    "an unknown key": ({"algorithm": "HS256"}, "unknown field `algorithm`"),
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("heading", ["[proxy.identity.jwt]", "[[proxy.identity.issuers]]"])
def test_an_issuer_that_can_t_be_used_is_an_error(tmp_path: Path, heading: str, name: str) -> None:
    changes, said = BAD[name]
    with pytest.raises(ConfigError, match=re.escape(said)) as caught:
        loaded(tmp_path, toml(heading, **{**GOOD, **changes}))
    assert SECRET not in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_the_settings_shown_hide_the_key() -> None:
    assert SECRET not in repr(Issuer(ISSUER, (AUDIENCE,), ("HS256",), SECRET))


def test_two_issuers_of_one_name_are_an_error(tmp_path: Path) -> None:
    one = toml("[[proxy.identity.issuers]]", **GOOD)
    for other in (one, toml("[proxy.identity.jwt]", **GOOD)):
        with pytest.raises(ConfigError, match="each with its own `issuer`"):
            loaded(tmp_path, one + other)


def test_there_are_at_most_16_issuers(tmp_path: Path) -> None:
    tables = [
        toml("[[proxy.identity.issuers]]", **{**GOOD, "issuer": str(number)})
        for number in range(MAX_ISSUERS + 1)
    ]
    assert len(loaded(tmp_path, "".join(tables[1:])).identity.issuers) == MAX_ISSUERS
    with pytest.raises(ConfigError, match="at most 16"):
        loaded(tmp_path, "".join(tables))


@pytest.mark.parametrize(
    ("table", "setting"),
    [
        *(("jwks", name) for name in ("refresh_s", "timeout_s", "max_bytes", "max_keys", "keep_s")),
        *(("tokens", name) for name in ("max_bytes", "max_depth", "remembered", "refused_s")),
    ],
)
def test_limits_are_above_0(tmp_path: Path, table: str, setting: str) -> None:
    with pytest.raises(ConfigError, match=f"`{table}.{setting}` is above 0"):
        loaded(tmp_path, f"[proxy.identity.{table}]\n{setting} = 0\n")


def test_without_an_issuer_no_token_is_read(tmp_path: Path) -> None:
    settings = loaded(tmp_path, "").identity
    assert verifier_of(settings, cells()) is None
    assert key_sources(None, settings, area()) == []


def test_one_issuer_can_come_from_the_environment(tmp_path: Path) -> None:
    prefix = "TURNOUT_PROXY_IDENTITY_JWT_"
    environ = {
        f"{prefix}ISSUER": ISSUER,
        f"{prefix}AUDIENCES": f"other, {AUDIENCE}",
        f"{prefix}ALGORITHMS": "HS512,HS256",
        f"{prefix}KEY": SECRET,
    }
    made = verifier_of(loaded(tmp_path, "", environ).identity, cells())
    assert made is not None
    assert made.tenant(b"Bearer " + token()) == "acme"
    assert made.tenant(b"Bearer " + token("HS512")) == "acme"


def test_several_issuers_and_limits_reach_the_verifier(tmp_path: Path) -> None:
    (tmp_path / "public.pem").write_bytes(key_text("ES256"))
    second = {
        **GOOD,
        "issuer": "second",
        "algorithms": ["ES256"],
        "key": None,
        "key_file": str(tmp_path / "public.pem"),
        "claim": "org",
        "tenant_pattern": "b.*",
        "leeway_s": 0.0,
    }
    text = toml("[proxy.identity.jwt]", **GOOD) + toml("[[proxy.identity.issuers]]", **second)
    text += "[proxy.identity.tokens]\nmax_bytes = 500\n"
    settings = loaded(tmp_path, text).identity
    made = verifier_of(settings, cells())
    assert made is not None
    assert made.tenant(b"Bearer " + token()) == "acme"
    assert made.tenant(b"Bearer " + token("ES256", iss="second", org="bravo")) == "bravo"
    for bad in (
        token(iss="second", org="bravo"),
        token("ES256", iss="second", org="acme"),
        token("ES256", iss="second", org="bravo", exp=1),
        token(extra="x" * 500),
    ):
        with pytest.raises(BearerError):
            made.tenant(b"Bearer " + bad)
    assert key_sources(made, settings, area()) == []


def test_a_key_of_no_use_is_told_by_its_issuer(tmp_path: Path) -> None:
    short = loaded(tmp_path, toml("[proxy.identity.jwt]", **{**GOOD, "key": "hunter2"})).identity
    with pytest.raises(KeySetError, match=re.escape(f"the key of {ISSUER}: ")) as caught:
        verifier_of(short, cells())
    assert "hunter2" not in str(caught.value)


def test_only_issuers_with_an_address_have_sources(tmp_path: Path) -> None:
    fetched = {**GOOD, **JWKS, "issuer": "second", "jwks_url": "file:///keys.json"}
    text = toml("[proxy.identity.jwt]", **GOOD) + toml("[[proxy.identity.issuers]]", **fetched)
    settings = loaded(tmp_path, text).identity
    made = verifier_of(settings, cells())
    assert made is not None
    (source,) = key_sources(made, settings, area())
    assert source.issuer is made.issuers["second"]
    for url in ("https://h/k", "http://127.0.0.1:1/k", "http://[::1]/k", "http://localhost/k"):
        assert Issuer("i", ("a",), ("ES256",), jwks_url=url).jwks_url == url
