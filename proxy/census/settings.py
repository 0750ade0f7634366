"""Settings of the census: [[proxy.census]] and [proxy.census_report]."""

import re
from typing import Literal

import msgspec

from proxy.affinity.settings import COOKIE, check_header, check_path
from proxy.routing.model import is_name

MAX_RULES = 16
_PARAMETER = re.compile(r"[A-Za-z0-9._~-]{1,64}")  # RFC 3986 §2.3: what stands there as it is
_CLAIM = re.compile(r"[!-~]{1,64}")


class CensusRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a long-lived connection names its device.

    One of header, query, path, cookie, claim (of a verified token), certificate (the client's common
    name) and, for plain TCP, tcp. digest: the name is a secret; a short hash of it is told instead,
    as always of a cookie's.
    """

    name: str
    header: str = ""
    query: str = ""
    path: str = ""
    cookie: str = ""
    claim: str = ""
    certificate: bool = False
    tcp: Literal["", "peer", "sni", "port"] = ""
    digest: bool = False

    def __post_init__(self) -> None:
        if not is_name(self.name):
            raise ValueError("`name` of a census rule is 1 to 64 of a-z, 0-9 and -")
        sources = (self.header, self.query, self.path, self.cookie, self.claim, self.tcp)
        if sum(map(bool, (*sources, self.certificate))) != 1:
            raise ValueError(
                "a census rule has one of `header`, `query`, `path`, `cookie`, `claim`,"
                " `certificate` and `tcp`"
            )
        if self.header:
            check_header("header", self.header)
        if self.path:
            check_path("path", self.path)
        for setting, pattern in (("query", _PARAMETER), ("cookie", COOKIE), ("claim", _CLAIM)):
            value = getattr(self, setting)
            if value and not pattern.fullmatch(value):
                raise ValueError(f"`{setting}` is the name of a {setting}")


class CensusReport(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How each worker tells who is connected. Used with rules only."""

    look_s: float = 1.0
    keep_s: float = 10.0
    devices: int = 20_000

    def __post_init__(self) -> None:
        if not 0.05 <= self.look_s <= 60:
            raise ValueError("`census_report.look_s` lies between 0.05 and 60")
        if not self.look_s * 2 <= self.keep_s <= 3_600:
            raise ValueError("`census_report.keep_s` is at least twice `look_s`, at most an hour")
        if not 1 <= self.devices <= 50_000:
            raise ValueError("`census_report.devices` lies between 1 and 50000")


def check_census(rules: tuple[CensusRule, ...], *, has_issuers: bool) -> None:
    """Whether they go together, and with who signs tokens. ValueError."""
    names = [rule.name for rule in rules]
    if len(names) > MAX_RULES or len(set(names)) < len(names):
        raise ValueError(f"`census` are at most {MAX_RULES} rules, each with its own `name`")
    if not has_issuers and any(rule.claim for rule in rules):
        raise ValueError("`census` by `claim` needs tokens that are verified: an `identity.jwt`")
