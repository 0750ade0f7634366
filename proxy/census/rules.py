"""Which device a long-lived connection is of. PURE.

Rules:
1. The first rule, in their order, that finds a name decides; without one the device has none.
2. A name is told as it stands, for people look for their equipment by it: what may be a secret
   is told as a short keyed hash.
3. What two readers could take differently names nothing, nor does what is no name by
   `census.is_device`. Nothing here is believed: a client can call itself as it likes, within its
   tenant. Only of a token that the router has verified a claim is read.
"""

import re
from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import Final
from urllib.parse import unquote_to_bytes

from proxy.affinity.rules import cookie, path_pattern, values_of
from proxy.census.settings import CensusRule
from proxy.http1.head import RequestHead
from proxy.routing.census import is_device
from proxy.tokens.jws import read_object, take_apart

_DIGEST_BYTES: Final = 8
_MAX_SECRET: Final = 64  # bytes: blake2b's limit
_TOKEN_DEPTH: Final = 32
_COMMON_NAME: Final = re.compile(rb"(?:\A|[,+])CN=((?:[^,+\\]|\\.)+)")

Read = Callable[[RequestHead, bytes], bytes]
"""What a rule finds in a request. The second: the subject of the client's certificate."""


class Devices:
    """The rules, ready for use. secret: keys the hashes; empty: they are not keyed."""

    def __init__(self, rules: Sequence[CensusRule], secret: bytes) -> None:
        self._secret = blake2b(secret).digest() if len(secret) > _MAX_SECRET else secret
        self._of_requests = [
            (_reader(rule), rule.digest or bool(rule.cookie)) for rule in rules if not rule.tcp
        ]
        self._of_tcp = [(rule.tcp, rule.digest) for rule in rules if rule.tcp]

    def of_request(self, head: RequestHead, certificate_line: bytes = b"") -> str:
        """The device that a request is from; empty: nothing names it.

        certificate_line: the field that tells of the client's certificate.
        """
        subject = certificate_line.partition(b": ")[2]
        for read, hashed in self._of_requests:
            device = self._name(read(head, subject), hashed=hashed)
            if device:
                return device
        return ""

    def of_tcp(self, peer: str, server_name: str, listen: str) -> str:
        """The device that a plain connection is from. server_name: empty without TLS."""
        found = {"peer": peer, "sni": server_name, "port": listen}
        for source, hashed in self._of_tcp:
            device = self._name(found[source].encode("latin-1", "replace"), hashed=hashed)
            if device:
                return device
        return ""

    def _name(self, value: bytes, *, hashed: bool) -> str:
        if not value:
            return ""
        if hashed:
            return blake2b(value, digest_size=_DIGEST_BYTES, key=self._secret).hexdigest()
        text = value.decode("ascii", "replace")
        return text if is_device(text) else ""


def _reader(rule: CensusRule) -> Read:
    if rule.header:
        name = rule.header.lower().encode()
        return lambda head, _: _only(values_of(name, head.lines))
    if rule.query:
        name = rule.query.encode()
        return lambda head, _: _parameter(name, head.target)
    if rule.path:
        pattern = path_pattern(rule.path)
        return lambda head, _: _segment(pattern, head.target)
    if rule.cookie:
        name = rule.cookie.encode()
        return lambda head, _: _cookie(name, head.lines)
    if rule.claim:
        return lambda head, _: _claim(rule.claim, head.authorization)
    return lambda _, subject: _common_name(subject)


def _only(values: Sequence[bytes]) -> bytes:
    """The value, if all say the same."""
    return values[0] if len(set(values)) == 1 else b""


def _parameter(name: bytes, target: bytes) -> bytes:
    """A query parameter, decoded; plus signs are a form's blanks (WHATWG URL §5.1)."""
    pairs = [pair.partition(b"=") for pair in target.partition(b"?")[2].split(b"&")]
    return _only(
        [unquote_to_bytes(value.replace(b"+", b" ")) for key, _, value in pairs if key == name]
    )


def _segment(pattern: re.Pattern[bytes], target: bytes) -> bytes:
    found = pattern.match(target)
    return b"" if found is None else unquote_to_bytes(found[1])


def _cookie(name: bytes, lines: Sequence[bytes]) -> bytes:
    found = (cookie(name, value) for value in values_of(b"cookie", lines))
    return next((value for value in found if value), b"")


def _claim(name: str, authorization: bytes | None) -> bytes:
    scheme, _, token = (authorization or b"").partition(b" ")
    if scheme.lower() != b"bearer":
        return b""
    try:
        parts = take_apart(token.strip(b" "), _TOKEN_DEPTH)
        value = read_object(parts.payload, _TOKEN_DEPTH).get(name)
    except (ValueError, RecursionError):
        return b""
    return value.encode() if isinstance(value, str) else b""


def _common_name(subject: bytes) -> bytes:
    found: list[bytes] = _COMMON_NAME.findall(subject)
    return re.sub(rb"\\(.)", rb"\1", _only(found))
