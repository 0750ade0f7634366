"""Runs vectors of signatures and keys (C2SP Wycheproof, JSON Web Signature and JSON Web Key).

A vector asks whether a signature verifies by a key: claims, issuers and times are not looked at.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from proxy.tokens.jwk import ALGORITHMS, read_jwks
from proxy.tokens.jws import take_apart
from proxy.tokens.keyset import KeySetError

FILES: Final = ("wycheproof_jws.json", "wycheproof_jwk.json")
_MAX_DEPTH: Final = 32
_MAX_KEYS: Final = 50
_KID: Final = "its kid has characters beyond [A-Za-z0-9_-], so the key is left out"
_BASE64: Final = (
    "it has a `?`, which base64url has not (RFC 7515 §2); the vector's result is doubtful"
)
WHY_REFUSED: Final = {
    **dict.fromkeys(
        [("wycheproof_jws.json", number) for number in (345, 346, 347, 349, 350, 351)], _KID
    ),
    **dict.fromkeys([("wycheproof_jws.json", number) for number in (372, 373)], _BASE64),
}
"""The vectors called valid that are refused on purpose: file and number → the reason."""
_CONTRADICTED: Final = "byte for byte a vector of the same keys that is called valid"


@dataclass(frozen=True, slots=True)
class TokenRow:
    """One vector. why: the reason for another outcome than the expected one, if there is one.

    Nothing invalid is accepted on purpose: only where the vectors contradict each other.
    """

    file: str
    number: int
    comment: str
    expected: bool
    accepted: bool
    why: str = ""

    @property
    def good(self) -> bool:
        """Whether the outcome is as expected, or another for a known reason."""
        return self.accepted == self.expected or bool(self.why)


def run_jws_vectors(path: Path) -> list[TokenRow]:
    """The rows of one file of vectors."""
    groups = json.loads(path.read_text("utf-8"))["testGroups"]
    return [
        TokenRow(
            path.name,
            test["tcId"],
            test["comment"],
            test["result"] == "valid",
            accepts(group.get("public") or group["private"], test["jws"]),
            _why(path.name, test, group),
        )
        for group in groups
        for test in group["tests"]
    ]


def _why(file: str, test: dict[str, Any], group: dict[str, Any]) -> str:
    if test["result"] == "valid":
        return WHY_REFUSED.get((file, test["tcId"]), "")
    valid = [each["jws"] for each in group["tests"] if each["result"] == "valid"]
    return _CONTRADICTED if test["jws"] in valid else ""


def accepts(keys: dict[str, Any], token: str) -> bool:
    """Whether one of the keys (a JWK or a set of them) has signed the token."""
    try:
        known = read_jwks(json.dumps(keys).encode(), ALGORITHMS, _MAX_KEYS)
        parts = take_apart(token.encode(), _MAX_DEPTH)
    except (KeySetError, ValueError):
        return False
    key = known.find(parts)
    return key is not None and key.verifies(parts)
