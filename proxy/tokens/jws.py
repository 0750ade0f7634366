"""The compact form of a signed token (RFC 7515 §3.1, RFC 7519), read in one way only.

Rules: nothing is passed over that another reader could take differently. base64url has no
padding, no other characters and no stray bits; JSON is UTF-8, no name stands twice in an object,
numbers are finite, and it nests only so deep. What a header asks of its reader beyond algorithm
and key id (`crit`, `b64`, `enc`, `zip`, a token within the token) is refused; where it says that
a key could be found (`jku`, `x5u`, `jwk`, `x5c`) nobody looks.
"""

import binascii
import json
import re
from collections.abc import Iterable
from json import JSONDecoder
from typing import Any, Final

_COMPACT: Final = re.compile(rb"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]*)\.([A-Za-z0-9_-]+)")
_KID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_TO_PLAIN: Final = bytes.maketrans(b"-_", b"+/")
_TO_URL: Final = bytes.maketrans(b"+/", b"-_")
_PADDING: Final = (b"", None, b"==", b"=")
# An unclosed string runs to the end, so that no character is looked at twice.
_STRING: Final = re.compile(r'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)', re.DOTALL)
_BRACKET: Final = re.compile(r"[{}\[\]]")
_REFUSED_FIELDS: Final = ("crit", "b64", "enc", "zip")


class Compact:
    """A token taken apart; nothing in it is verified.

    kid: None if it names no key. payload: decoded. content: what the signature is over.
    """

    __slots__ = ("algorithm", "content", "kid", "payload", "signature")

    def __init__(
        self, algorithm: str, kid: str | None, payload: bytes, content: bytes, signature: bytes
    ) -> None:
        self.algorithm = algorithm
        self.kid = kid
        self.payload = payload
        self.content = content
        self.signature = signature


def take_apart(token: bytes, max_depth: int) -> Compact:
    """The parts of a token in compact form. ValueError; no message carries any part of it."""
    parts = _COMPACT.fullmatch(token)
    if parts is None:
        raise ValueError("not a signed token in compact form")
    header = read_object(decode_base64url(parts[1]), max_depth)
    for name in _REFUSED_FIELDS:
        if name in header:
            raise ValueError("a header field that is not understood")
    algorithm, kid = header.get("alg"), header.get("kid")
    if not isinstance(algorithm, str):
        raise ValueError("no algorithm")  # noqa: TRY004 - whatever is wrong is a ValueError here
    if "kid" in header and (not isinstance(kid, str) or _KID.fullmatch(kid) is None):
        raise ValueError("a key id of other characters")
    _check_types(header)
    payload = decode_base64url(parts[2])
    return Compact(algorithm, kid, payload, token[: parts.end(2)], decode_base64url(parts[3]))


def _check_types(header: dict[str, Any]) -> None:
    """RFC 7519 §5.2: `cty` says that a token lies within the token."""
    for name in ("typ", "cty"):
        if name in header and not isinstance(header[name], str):
            raise ValueError("a type that is not a string")
    if "cty" in header and header["cty"].lower().removeprefix("application/") == "jwt":
        raise ValueError("a token within a token")


def is_key_id(text: object) -> bool:
    """Whether it can be a key's id: 1 to 64 of `A-Z a-z 0-9 _ -`."""
    return isinstance(text, str) and _KID.fullmatch(text) is not None


def decode_base64url(text: bytes) -> bytes:
    """RFC 7515 §2: no padding, no other characters, and the unused bits are zero. ValueError."""
    padding = _PADDING[len(text) % 4]
    if padding is None:
        raise ValueError("a length that base64 does not have")
    try:
        plain = binascii.a2b_base64(text.translate(_TO_PLAIN) + padding, strict_mode=True)
    except binascii.Error:
        raise ValueError("not base64url") from None
    if binascii.b2a_base64(plain, newline=False).rstrip(b"=").translate(_TO_URL) != text:
        raise ValueError("not the one base64url form")
    return plain


def read_object(text: bytes, max_depth: int) -> dict[str, Any]:
    """A JSON object, read strictly; see the module. ValueError."""
    decoded = text.decode("utf-8")
    if _depth_above(decoded, max_depth):
        raise ValueError("JSON that nests too deeply")
    found = _DECODER.decode(decoded)
    if not isinstance(found, dict):
        raise ValueError("not an object")  # noqa: TRY004 - see above
    return found


def _depth_above(text: str, limit: int) -> bool:
    # The decoder recurses: how deep it would go is counted before.
    if text.count("{") + text.count("[") <= limit:
        return False
    depth = 0
    for bracket in _BRACKET.findall(_STRING.sub("", text)):
        depth += 1 if bracket in "{[" else -1
        if depth > limit:
            return True
    return False


def _unique(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError("a name that stands twice")
        found[name] = value
    return found


def _finite(text: str) -> float:
    number = float(text)
    if number in _INFINITE:
        raise ValueError("a number without bounds")
    return number


def _no_constant(_: str) -> float:
    raise ValueError("NaN and Infinity are not JSON")


_INFINITE: Final = (float("inf"), float("-inf"))
_DECODER: Final[JSONDecoder] = json.JSONDecoder(
    object_pairs_hook=_unique, parse_float=_finite, parse_constant=_no_constant
)
