"""What proves that an entry in Redis was written by the control plane.

A body carries an HMAC-SHA256 over its kind, its version and itself. Without a key on both
sides nothing is signed; with one, an entry whose code is missing or wrong is not used.
"""

import hmac

from proxy.routing.change import ContractError


def seal(kind: str, version: int, body: bytes, key: bytes) -> bytes:
    """The code to store beside the body; empty without a key. kind: "table" or "change"."""
    if not key:
        return b""
    return hmac.digest(key, b"%b %d\n%b" % (kind.encode(), version, body), "sha256").hex().encode()


def verify(kind: str, version: int, body: bytes, code: bytes, key: bytes) -> None:
    """ContractError unless the body is of this kind and version and from a holder of the key."""
    if key and not hmac.compare_digest(seal(kind, version, body, key), code):
        raise ContractError(f"the {kind} at version {version} has a wrong signature")
