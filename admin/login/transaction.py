"""PURE: one log-in on its way to the provider and back, kept in a signed cookie of the browser.

Rules: the cookie ties the way back to the browser that left (RFC 9700, section 4.7). It holds a
random id, where to go afterwards, and when it began, signed with a key that follows from the
token secret, which all admins share: any of them takes the person in. State, nonce and PKCE
verifier follow from the id by the same key, each by itself, so neither the browser nor the
provider learns a verifier before it is shown. That a return counts once is PostgreSQL's
business (admin.login.store).
"""

import base64
import hmac
import json
import re
from dataclasses import dataclass
from hashlib import sha256

_FORM = re.compile(r"([A-Za-z0-9_-]{1,2000})\.([A-Za-z0-9_-]{43})")


@dataclass(frozen=True, slots=True)
class Trip:
    """One log-in. id: 256 bits of chance. next: the path to go to. began: Unix seconds."""

    id: str
    next: str
    began: float


class Trips:
    """Seals trips and recognises them."""

    def __init__(self, secret: str, issuer: str, client_id: str, return_s: float) -> None:
        """secret: the admins' own. A trip to another provider, or as another client, is none."""
        about = json.dumps(["turnout log-in", 1, issuer, client_id]).encode()
        self._key = hmac.digest(secret.encode(), about, "sha256")
        self.return_s = return_s

    def seal(self, trip: Trip) -> str:
        """The cookie's value."""
        body = _text(json.dumps([trip.id, trip.next, trip.began]).encode())
        return f"{body}.{self._derived('cookie', body)}"

    def open(self, sealed: str | None, at: float) -> Trip | None:
        """The trip of a cookie's value; None if it isn't one of ours, or took too long."""
        parts = _FORM.fullmatch(sealed or "")
        if parts is None or not hmac.compare_digest(self._derived("cookie", parts[1]), parts[2]):
            return None
        named, following, began = json.loads(base64.urlsafe_b64decode(parts[1] + "=="))
        return Trip(named, following, began) if 0 <= at - began <= self.return_s else None

    def state(self, trip: Trip) -> str:
        """What the provider has to bring back (RFC 6749, section 10.12)."""
        return self._derived("state", trip.id)

    def nonce(self, trip: Trip) -> str:
        """What the ID token has to name (OpenID Connect Core, section 3.1.2.1)."""
        return self._derived("nonce", trip.id)

    def verifier(self, trip: Trip) -> str:
        """What proves to the provider that we began it: 43 characters (RFC 7636, section 4.1)."""
        return self._derived("verifier", trip.id)

    def challenge(self, trip: Trip) -> str:
        """The verifier's S256 (RFC 7636, section 4.2), which the browser carries."""
        return _text(sha256(self.verifier(trip).encode()).digest())

    def _derived(self, what: str, text: str) -> str:
        return _text(hmac.digest(self._key, f"{what}:{text}".encode(), "sha256"))


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
