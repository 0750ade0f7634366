"""The keys of an issuer of tokens, and which of them judges a token.

Rule: what a key may verify is settled when it is read (proxy.tokens.jwk); a token only chooses
among that. This file needs no library of cryptography: it is there, and they are not, where no
tokens are read.
"""

from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import Any, Final, Protocol

from proxy.tokens.jws import Compact


class Verifier(Protocol):
    """One algorithm of RFC 7518 §3."""

    def verify(self, msg: bytes, key: Any, sig: bytes) -> bool:
        """Whether the signature over the message is the key's."""


class KeySetError(ValueError):
    """The keys can't be used; the message says why and carries no part of them."""


class Key:
    """One key. kid: its id, None without one. algorithms: what it may verify, and nothing else.

    verifiers: one for each of its algorithms, which take its material. public: what tells it from
    other keys.
    """

    __slots__ = ("_material", "_verifiers", "algorithms", "identity", "kid")

    def __init__(
        self, kid: str | None, verifiers: Mapping[str, Verifier], material: Any, public: bytes
    ) -> None:
        self.kid = kid
        self.algorithms = frozenset(verifiers)
        self._verifiers = verifiers
        self._material = material
        self.identity = (kid, self.algorithms, sha256(public).digest())

    def verifies(self, token: Compact) -> bool:
        """Whether the signature over the token is this key's, by the token's algorithm."""
        verifier = self._verifiers.get(token.algorithm)
        return verifier is not None and bool(
            verifier.verify(token.content, self._material, token.signature)
        )

    def only_for(self, algorithm: str) -> "Key":
        """The same key, for one of its algorithms."""
        verifiers = {algorithm: self._verifiers[algorithm]}
        return Key(self.kid, verifiers, self._material, repr(self.identity).encode())


class KeySet:
    """The keys of one issuer. KeySetError if two of them have one id."""

    __slots__ = ("_by_kid", "_keys", "identities")

    def __init__(self, keys: Iterable[Key] = ()) -> None:
        self._keys = tuple(keys)
        self._by_kid = {key.kid: key for key in self._keys if key.kid is not None}
        self.identities = frozenset(key.identity for key in self._keys)
        if len(self._by_kid) < sum(key.kid is not None for key in self._keys):
            raise KeySetError("two keys have one id")

    def __len__(self) -> int:
        """How many keys there are."""
        return len(self._keys)

    def find(self, token: Compact) -> Key | None:
        """The key that the token names, or, if it names none, the only one that fits it.

        Where no key has an id, a token's `kid` names none of them.
        """
        if token.kid is not None and self._by_kid:
            key = self._by_kid.get(token.kid)
            return key if key is not None and token.algorithm in key.algorithms else None
        fitting = [key for key in self._keys if token.algorithm in key.algorithms]
        return fitting[0] if len(fitting) == 1 else None

    def knows(self, kid: str | None) -> bool:
        """Whether a key has this id."""
        return kid in self._by_kid


NO_KEYS: Final = KeySet()
"""Of an issuer whose keys have not been loaded: nothing is known of any token."""
