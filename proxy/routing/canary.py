"""Canary buckets: stable, evenly spread, the same in every process and language run.

Rule: a key's bucket depends on the salt and the key alone. A key is in the canary while its
bucket lies below the weight, so raising the weight only adds keys and lowering it only removes
the last added. Python's own `hash()` differs from process to process and is not used.
"""

from hashlib import blake2b

from proxy.routing.model import BASIS_POINTS


def bucket(salt: str, key: str) -> int:
    """The key's place in the canary order: 0 to 9 999, in basis points."""
    digest = blake2b(f"{salt}\0{key}".encode(), digest_size=8).digest()
    # 2**64 modulo 10 000 leaves a bias of one in 10**15.
    return int.from_bytes(digest) % BASIS_POINTS
