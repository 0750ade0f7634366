"""PURE: a provider's documents and tokens taken apart, strictly, so that nobody reads them otherwise.

Rules: base64url without padding and in its one form; UTF-8; no name twice; finite numbers; bounded
size and depth. A header that asks for more than a signature (`crit`, `b64`, `enc`, `zip`, a token
within the token) is refused; where it says that a key could be found (`jku`, `x5u`, `jwk`, `x5c`)
nobody looks. No message carries any part of what was read.
"""

import binascii
import json
import re
from dataclasses import dataclass
from math import isfinite
from typing import Any

MAX_TOKEN_BYTES = 8192
MAX_DEPTH = 32
_COMPACT = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)")
_KID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_STRING = re.compile(r'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)', re.DOTALL)
_NOT_UNDERSTOOD = frozenset({"crit", "b64", "enc", "zip"})


@dataclass(frozen=True, slots=True)
class Parts:
    """A token taken apart; nothing in it is verified. kid: None if it names no key.

    content: what the signature is over.
    """

    algorithm: str
    kid: str | None
    claims: dict[str, Any]
    content: bytes
    signature: bytes


def take_apart(token: str) -> Parts:
    """The parts of a token in compact form (RFC 7515, section 7.1). ValueError."""
    found = _COMPACT.fullmatch(token) if len(token) <= MAX_TOKEN_BYTES else None
    if found is None:
        raise ValueError("not a signed token in compact form")
    header = read_object(base64url(found[1]))
    algorithm, kid = header.get("alg"), header.get("kid")
    if not isinstance(algorithm, str):
        raise ValueError("no algorithm")  # noqa: TRY004 - whatever is wrong is a ValueError here
    if header.keys() & _NOT_UNDERSTOOD or _is_nested(header):
        raise ValueError("a header field that is not understood")
    if "kid" in header and not is_key_id(kid):
        raise ValueError("a key id of other characters")
    content = token[: found.end(2)].encode()
    return Parts(algorithm, kid, read_object(base64url(found[2])), content, base64url(found[3]))


def is_key_id(text: object) -> bool:
    """Whether it can be a key's id: 1 to 64 of `A-Z a-z 0-9 _ -`, a dictionary key and no more."""
    return isinstance(text, str) and _KID.fullmatch(text) is not None


def base64url(text: str) -> bytes:
    """RFC 7515, section 2. ValueError for padding, other characters, bits that are not used."""
    plain = text.translate({ord("-"): "+", ord("_"): "/"})
    try:
        raw = binascii.a2b_base64(plain + "=" * (-len(text) % 4), strict_mode=True)
    except binascii.Error:
        raise ValueError("not base64url") from None
    if binascii.b2a_base64(raw, newline=False).decode().rstrip("=") != plain:
        raise ValueError("not the one base64url form")
    return raw


def read_object(raw: bytes) -> dict[str, Any]:
    """A JSON object. ValueError."""
    text = raw.decode("utf-8")
    # The decoder recurses: how deep it would go is counted before.
    depth = 0
    for bracket in re.findall(r"[{}\[\]]", _STRING.sub("", text)):
        depth += 1 if bracket in "{[" else -1
        if depth > MAX_DEPTH:
            raise ValueError("JSON that nests too deeply")
    found = json.loads(
        text, object_pairs_hook=_unique, parse_float=_finite, parse_constant=_no_constant
    )
    if not isinstance(found, dict):
        raise ValueError("not an object")  # noqa: TRY004 - see above
    return found


def _is_nested(header: dict[str, Any]) -> bool:
    """RFC 7519, section 5.2: `cty` says that a token lies within the token."""
    kind = header.get("cty", "")
    return not isinstance(kind, str) or kind.lower().removeprefix("application/") == "jwt"


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name that stands twice")
    return found


def _finite(text: str) -> float:
    number = float(text)
    if not isfinite(number):
        raise ValueError("a number without bounds")
    return number


def _no_constant(_: str) -> float:
    raise ValueError("NaN and Infinity are not JSON")
