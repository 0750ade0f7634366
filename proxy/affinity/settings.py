"""Settings of affinity: [[proxy.affinity]] and [proxy.affinity_store]."""

import re

import msgspec

from config import is_field_name
from proxy.routing.model import is_name

MAX_RULES = 16
KEY = "{key}"
_PATTERN = re.compile(r"[!-~]{1,256}")  # printable ASCII
COOKIE = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}")  # RFC 6265 §4.1.1: a token
_NOT_PASSED_ON = frozenset(
    {"connection", "content-length", "expect", "host", "keep-alive", "te", "trailer"}
    | {"transfer-encoding", "upgrade", "x-forwarded-for", "x-request-id"}
)
"""Fields that the proxy lifts out of a head: no rule sees them."""


def check_header(setting: str, name: str) -> None:
    """Whether a rule may read this header. ValueError."""
    if not is_field_name(name) or name.lower() in _NOT_PASSED_ON:
        raise ValueError(f"`{setting}` is the name of a header that the proxy passes on")


def _check_pattern(setting: str, pattern: str) -> None:
    if pattern.count(KEY) != 1 or not _PATTERN.fullmatch(pattern):
        raise ValueError(f"`{setting}` has {KEY} in it once, where the key stands")


def check_path(setting: str, pattern: str) -> None:
    """Whether it is a path that a key stands in. ValueError."""
    _check_pattern(setting, pattern)
    if f"/{KEY}" not in pattern or not re.fullmatch(r"(/[^/?#*{}]+|/\*|/\{key\})+", pattern):
        raise ValueError(
            f"`{setting}` is a path of whole segments, * or {{key}}: /api/jobs/{{key}}"
        )


def _check_statuses(setting: str, statuses: tuple[int, ...]) -> None:
    if any(not 200 <= status <= 599 for status in statuses):
        raise ValueError(f"`{setting}` are final statuses, 200 to 599")


class Born(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The answer that a key is born with. header, pattern: where in it; off without `header`."""

    status: tuple[int, ...] = (201, 202)
    header: str = ""
    pattern: str = ""

    def __post_init__(self) -> None:
        if not self.header:
            if self.pattern:
                raise ValueError("`born.pattern` is read in a `born.header`")
            return
        check_header("born.header", self.header)
        _check_pattern("born.pattern", self.pattern)
        _check_statuses("born.status", self.status)
        if not self.status:
            raise ValueError("`born.status` names at least one status")


class Ends(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The answer that ends it: one of these statuses (none: any), and this header (empty: any)
    with this value (empty: any). Off without a status and a header.
    """  # noqa: D205 - one sentence

    status: tuple[int, ...] = ()
    header: str = ""
    value: str = ""

    def __post_init__(self) -> None:
        _check_statuses("ends_on.status", self.status)
        if self.header:
            check_header("ends_on.header", self.header)
        elif self.value:
            raise ValueError("`ends_on.value` is that of an `ends_on.header`")


class AffinityRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One kind of what belongs together: where its key stands, how long it holds.

    One of cookie, header and path. ttl_s: from its last use. canary: whether a canary whose unit
    is `affinity` draws by this key.
    """

    name: str
    cookie: str = ""
    header: str = ""
    path: str = ""
    born: Born = Born()
    ends_on: Ends = Ends()
    ttl_s: float = 3600.0
    canary: bool = True

    def __post_init__(self) -> None:
        if not is_name(self.name):
            raise ValueError("`name` of an affinity is 1 to 64 of a-z, 0-9 and -")
        if sum(map(bool, (self.cookie, self.header, self.path))) != 1:
            raise ValueError("an affinity has one of `cookie`, `header` and `path`")
        if self.cookie and not COOKIE.fullmatch(self.cookie):
            raise ValueError("`cookie` is the name of a cookie")
        if self.header:
            check_header("header", self.header)
        if self.path:
            check_path("path", self.path)
        if not 1 <= self.ttl_s <= 30 * 86_400:
            raise ValueError("`ttl_s` lies between 1 and 2592000, thirty days")


class AffinityStore(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How each worker keeps affinities: what it remembers, and how it asks Redis."""

    wait_ms: float = 100.0
    trust_s: float = 5.0
    remembered: int = 100_000
    waiting: int = 10_000
    unwritten: int = 10_000
    first_per_s: float = 2_000.0

    def __post_init__(self) -> None:
        if not 1 <= self.wait_ms <= 10_000:
            raise ValueError("`affinity_store.wait_ms` lies between 1 and 10000")
        if not 0 <= self.trust_s <= 3_600:
            raise ValueError("`affinity_store.trust_s` lies between 0 and 3600")
        if not 1 <= self.remembered <= 10_000_000:
            raise ValueError("`affinity_store.remembered` lies between 1 and 10000000")
        if not (0 <= self.waiting <= 1_000_000 and 0 <= self.unwritten <= 1_000_000):
            raise ValueError(
                "`affinity_store.waiting` and `affinity_store.unwritten` lie between 0 and 1000000"
            )
        if not 1 <= self.first_per_s <= 1_000_000:
            raise ValueError("`affinity_store.first_per_s` lies between 1 and 1000000")


def check_rules(rules: tuple[AffinityRule, ...]) -> None:
    """Whether they go together. ValueError."""
    names = [rule.name for rule in rules]
    if len(names) > MAX_RULES or len(set(names)) < len(names):
        raise ValueError(f"`affinity` are at most {MAX_RULES} rules, each with its own `name`")
