"""Read the settings of one plane: file, then environment, then one strict conversion."""

import copy
import ipaddress
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin

import msgspec

from config.redis_url import Kind, RedisUrl, parse_redis_url

Section = TypeVar("Section", bound=msgspec.Struct)

_WRONG_CHOICE = re.compile(r"Invalid enum value .*( - at `[^`]*`)$", re.DOTALL)
SECTIONS = frozenset({"proxy", "admin", "migrations", "monitor", "releases"})


class ConfigError(Exception):
    """The settings can't be used; the message names the file or variable and what to change."""


class Shared(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What all processes of one installation agree on: the keys at the top of the file."""

    redis_url: str = "redis://127.0.0.1:6379/0"
    redis_prefix: str = "turnout"
    database_url: str = "postgresql://turnout@127.0.0.1:5432/turnout"
    routing_key: str = ""
    redis_password_file: str = ""
    redis_ca_file: str = ""
    redis_certificate_file: str = ""
    redis_key_file: str = ""
    redis_check_name: bool = True
    redis_sentinel_user: str = ""
    redis_sentinel_password: str = ""
    redis_recheck_s: float = 1.0

    def __repr__(self) -> str:
        """Without URLs and key: they hold secrets."""
        return f"<Shared redis_prefix={self.redis_prefix!r}>"

    def __post_init__(self) -> None:
        try:
            url = self.redis()
        except ValueError as error:
            raise ValueError(f"`redis_url` {error}") from None
        if not self.redis_prefix or not self.redis_prefix.isascii():
            raise ValueError("`redis_prefix` must be a short ASCII name")
        if set(self.redis_prefix) & set("{} \r\n"):
            raise ValueError("`redis_prefix` may hold no braces and no white space")
        if not 0 < self.redis_recheck_s <= 3_600:
            raise ValueError("`redis_recheck_s` lies above 0 and at most an hour")
        self._check_redis(url)

    def redis(self) -> RedisUrl:
        """What `redis_url` says. ValueError."""
        return parse_redis_url(self.redis_url)

    def _check_redis(self, url: RedisUrl) -> None:
        """What goes with which form of `redis_url`."""
        if url.password and self.redis_password_file:
            raise ValueError("`redis_password_file` and a password in `redis_url`: give one")
        if bool(self.redis_certificate_file) != bool(self.redis_key_file):
            raise ValueError("`redis_certificate_file` and `redis_key_file` go together")
        if (self.redis_ca_file or self.redis_certificate_file) and not url.tls:
            raise ValueError(
                "`redis_ca_file` and `redis_certificate_file` are for a `redis_url` that begins"
                " with rediss"
            )
        of_sentinels = self.redis_sentinel_user or self.redis_sentinel_password
        if of_sentinels and url.kind is not Kind.SENTINEL:
            raise ValueError(
                "`redis_sentinel_user` and `redis_sentinel_password` are for a `redis_url` with"
                " +sentinel"
            )
        if self.redis_sentinel_user and not self.redis_sentinel_password:
            raise ValueError("`redis_sentinel_user` needs `redis_sentinel_password`")


def load(
    path: Path | None,
    section: str,
    of: type[Section],
    environ: Mapping[str, str] | None = None,
) -> tuple[Shared, Section]:
    """The shared settings and one plane's section.

    path: the TOML file, or None for the defaults. environ: where TURNOUT_* is looked up
    (`TURNOUT_REDIS_URL`, `TURNOUT_PROXY_TIMEOUTS_CONNECT_S`, …; lists are comma-separated).
    Raises ConfigError; no message carries a value, for values may be secrets.
    """
    document = _read(path)
    source = "the environment" if path is None else str(path)
    for key, value in document.items():
        if isinstance(value, dict) and key not in SECTIONS:
            known = ", ".join(sorted(SECTIONS))
            raise ConfigError(f"{source}: no section is called [{key}]; there are {known}")
    for name in SECTIONS & document.keys():
        if not isinstance(document[name], dict):
            raise ConfigError(f"{source}: [{name}] is a section, not a value")
    own = document.get(section, {})
    shared = {key: value for key, value in document.items() if key not in SECTIONS}
    variables = os.environ if environ is None else environ
    return (
        _settle(shared, Shared, "TURNOUT", variables, source),
        _settle(own, of, f"TURNOUT_{section.upper()}", variables, f"{source}: [{section}]"),
    )


def split_address(address: str) -> tuple[str, int]:
    """`host:port` or `[IPv6]:port` → (host, port); port 0 asks for a free one. ValueError."""
    host, colon, port = address.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = str(ipaddress.IPv6Address(host[1:-1]))
    elif ":" in host:
        raise ValueError(f"{address!r}: an IPv6 address is written [::1]:8080")
    if not colon or not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ValueError(f"{address!r} is not host:port")
    return host, int(port)


def _read(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path} can't be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from error


def _settle(
    values: dict[str, Any],
    of: type[Section],
    prefix: str,
    environ: Mapping[str, str],
    source: str,
) -> Section:
    """File and environment together; who of the two is to blame if they can't be used."""
    merged = copy.deepcopy(values)
    taken = _override(merged, of, prefix, environ)
    try:
        return _convert(merged, of)
    except ConfigError as error:
        if not taken or _fails(values, of):
            raise ConfigError(f"{source}: {error}") from None
        raise ConfigError(f"the environment ({', '.join(taken)}): {error}") from None


def _override(
    into: dict[str, Any], of: type[msgspec.Struct], prefix: str, environ: Mapping[str, str]
) -> list[str]:
    """Put the variables in place; their names."""
    taken = []
    for field in msgspec.structs.fields(of):
        name = f"{prefix}_{field.encode_name.upper()}"
        if isinstance(field.type, type) and issubclass(field.type, msgspec.Struct):
            inner = into.setdefault(field.encode_name, {})
            if isinstance(inner, dict):
                taken += _override(inner, field.type, name, environ)
        elif name in environ:
            text = environ[name]
            is_list = str(field.type).startswith(("tuple", "list"))
            into[field.encode_name] = items(text) if is_list else text
            taken.append(name)
    return taken


def items(text: str) -> list[str]:
    """The items of a list in the environment."""
    return [item.strip() for item in text.split(",") if item.strip()]


def _convert(values: dict[str, Any], of: type[Section]) -> Section:
    try:
        # strict=False lets "8" from the environment stand for 8; a wrong type still fails.
        return msgspec.convert(values, of, strict=False)
    except (msgspec.ValidationError, ValueError) as error:
        # msgspec repeats the value of a wrong choice, which may be a secret put in a wrong place.
        message = _WRONG_CHOICE.sub(
            lambda found: f"Not one of {choices(_at(of, found[1]))}{found[1]}", str(error)
        )
        raise ConfigError(message) from None


def _at(of: Any, place: str) -> Any:
    """The type of what stands at a place of the settings: " - at `$.identity.jwt.algorithm`"."""
    for name in re.findall(r"\.([a-z_0-9]+)", place):
        while get_origin(of) is tuple:
            of = get_args(of)[0]
        of = {field.encode_name: field.type for field in msgspec.structs.fields(of)}[name]
    return of


def choices(of: Any) -> str:
    """What values of this type, or its items, there are to choose from."""
    while get_origin(of) not in {None, Literal}:
        of = get_args(of)[-1 if get_origin(of) is dict else 0]
    known = [str(choice) for choice in (get_args(of) or of)]
    return ", ".join(choice or "(empty)" for choice in known)


def _fails(values: dict[str, Any], of: type[msgspec.Struct]) -> bool:
    try:
        _convert(values, of)
    except ConfigError:
        return True
    return False


def is_field_name(name: str) -> bool:
    """Of letters, digits and dashes, as all that Turnout reads by configuration."""
    return name.isascii() and name.replace("-", "").isalnum()
