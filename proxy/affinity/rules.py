"""Which keys a request carries, which are born with an answer, and which an answer ends. PURE.

Rules:
1. A key is the hash of its rule, its tenant and its value: values are never kept (they are
   sessions' secrets), and one tenant's keys are never another's.
2. What two readers could take differently is no key: a header that stands there twice and says
   two things. Such a request goes as if it had none.
3. The order of the rules is the order in which keys decide.
"""

import re
from collections.abc import Sequence
from hashlib import blake2b
from typing import Final

from proxy.affinity.settings import KEY, AffinityRule

_DIGEST_BYTES: Final = 16
_MAX_SECRET: Final = 64  # bytes: blake2b's limit
_ORIGIN: Final = re.compile(rb"[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*|//[^/?#]*")


class Key:
    """A key as it is looked up. digest: its hash, in hexadecimal. rule: whose it is."""

    __slots__ = ("digest", "rule")

    def __init__(self, digest: str, rule: "Rule") -> None:
        self.digest = digest
        self.rule = rule

    def __repr__(self) -> str:
        return f"<Key {self.rule.name} {self.digest}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Key) and other.digest == self.digest

    def __hash__(self) -> int:
        return hash(self.digest)


class Rule:
    """One rule, ready for use. is_born: its keys come with answers; others bind at first sight."""

    def __init__(self, of: AffinityRule, secret: bytes) -> None:
        self.name = of.name
        self.ttl_s = of.ttl_s
        self.draws = of.canary
        self.is_born = bool(of.born.header)
        self._cookie = of.cookie.encode()
        self._header = b"cookie" if of.cookie else of.header.lower().encode()
        self._path = path_pattern(of.path) if of.path else None
        self._born, self._ends = of.born, of.ends_on
        self._born_header = of.born.header.lower().encode()
        self._born_pattern = value_pattern(of.born.pattern) if self.is_born else None
        self._ends_header = of.ends_on.header.lower().encode()
        hashed = blake2b(secret).digest() if len(secret) > _MAX_SECRET else secret
        self._hash = blake2b(digest_size=_DIGEST_BYTES, key=hashed)
        self._hash.update(f"{of.name}\0".encode())

    def key(self, tenant: str, value: bytes) -> Key:
        """The key of this value. tenant: empty for nobody's."""
        digest = self._hash.copy()
        digest.update(b"%b\0%b" % (tenant.encode(), value))
        return Key(digest.hexdigest(), self)

    def carried(self, target: bytes, lines: Sequence[bytes]) -> bytes:
        """The value that a request carries; empty without one. lines: its fields."""
        if self._path is not None:
            found = self._path.match(target)
            return b"" if found is None else found[1]
        value = b""
        for other in values_of(self._header, lines):
            if self._cookie:
                # RFC 6265 §5.4: of two cookies of one name the first is the more specific.
                value = value or cookie(self._cookie, other)
            elif value and other != value:
                return b""
            else:
                value = other
        return value

    def born(self, status: int, lines: Sequence[bytes]) -> bytes:
        """The value that is born with this answer; empty without one."""
        pattern = self._born_pattern
        if pattern is None or status not in self._born.status:
            return b""
        found = {
            match[1]
            for value in values_of(self._born_header, lines)
            if (match := pattern.fullmatch(_ORIGIN.sub(b"", value, count=1))) is not None
        }
        return found.pop() if len(found) == 1 else b""

    def ended(self, status: int, lines: Sequence[bytes]) -> bool:
        """Whether this answer, to a request that carried a key, ends it."""
        ends = self._ends
        if not (ends.status or ends.header) or (ends.status and status not in ends.status):
            return False
        if not ends.header:
            return True
        values = values_of(self._ends_header, lines)
        return bool(values) if not ends.value else ends.value.encode() in values


class Rules:
    """All of them, in order. secret: keys the hashes; empty: they are not keyed."""

    def __init__(self, rules: Sequence[AffinityRule], secret: bytes) -> None:
        self._rules = [Rule(rule, secret) for rule in rules]
        self._bearing = [rule for rule in self._rules if rule.is_born]

    def carried(self, tenant: str, target: bytes, lines: Sequence[bytes]) -> list[Key]:
        """The keys that a request carries, in the rules' order."""
        found = []
        for rule in self._rules:
            value = rule.carried(target, lines)
            if value:
                found.append(rule.key(tenant, value))
        return found

    def born(self, tenant: str, status: int, lines: Sequence[bytes]) -> list[Key]:
        """The keys that are born with an answer."""
        found = []
        for rule in self._bearing:
            value = rule.born(status, lines)
            if value:
                found.append(rule.key(tenant, value))
        return found


def values_of(name: bytes, lines: Sequence[bytes]) -> list[bytes]:
    """The values of a field, in order. name: lower case. lines: each `name: value`."""
    end = len(name)
    return [
        line[end + 1 :].strip(b" \t")
        for line in lines
        if line[end : end + 1] == b":" and line[:end].lower() == name
    ]


def cookie(name: bytes, value: bytes) -> bytes:
    """The value of a cookie in a Cookie field; empty without it. RFC 6265 §4.2.1."""
    for pair in value.split(b";"):
        found, equals, own = pair.partition(b"=")
        if equals and found.strip(b" \t") == name:
            return own.strip(b" \t").strip(b'"')
    return b""


def path_pattern(path: str) -> re.Pattern[bytes]:
    """What the targets match that begin with these segments; * is any one, {key} is the key's."""
    return re.compile(_segments(path) + rb"(?:[/?].*)?\Z", re.DOTALL)


def value_pattern(pattern: str) -> re.Pattern[bytes]:
    """What a whole value matches. Of a path: its query may follow it."""
    if pattern.startswith("/"):
        return re.compile(_segments(pattern) + rb"(?:[/?#].*)?", re.DOTALL)
    before, _, after = (re.escape(part).encode() for part in pattern.partition(KEY))
    return re.compile(before + rb"([^\s;,]+)" + after)


def _segments(path: str) -> bytes:
    parts = re.split(r"(\{key\}|\*)", path)
    known = {KEY: rb"([^/?#]+)", "*": rb"[^/?#]+"}
    return b"".join(known.get(part) or re.escape(part).encode() for part in parts)
