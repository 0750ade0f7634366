"""From the settings of [proxy.identity] to the verifier of tokens and the sources of its keys.

Rule: what verifies and fetches takes up to a quarter second to import. It is imported only if
there are issuers, and by the supervisor (`prepare`), so that workers are forked with it.
"""

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from proxy.config import IdentitySettings
from proxy.observability.key_sets import KeySets
from proxy.tokens.bearer import BearerVerifier, Issuer
from proxy.tokens.keyset import NO_KEYS, KeySet, KeySetError
from proxy.tokens.settings import Issuer as IssuerSettings

if TYPE_CHECKING:
    from proxy.tokens.jwks import KeySource


def prepare(settings: IdentitySettings) -> None:
    """Import what these issuers' tokens need."""
    issuers = settings.all_issuers()
    if issuers:
        import_module("proxy.tokens.jwks")
    if any(issuer.jwks_url.startswith("http") for issuer in issuers):
        import_module("aiohttp")


def verifier_of(settings: IdentitySettings, cells: "memoryview[int]") -> BearerVerifier | None:
    """The verifier, None if no issuer is set.

    OSError if a key file can't be read, KeySetError if what is in it is of no use.
    """
    issuers = settings.all_issuers()
    if not issuers:
        return None
    made = [_issuer(issuer, settings.jwks.max_keys) for issuer in issuers]
    return BearerVerifier(made, settings.tokens, cells)


def key_sources(
    verifier: BearerVerifier | None, settings: IdentitySettings, area: "memoryview[int]"
) -> "list[KeySource]":
    """What has to run so that keys which are fetched are there. area: as in a telemetry block."""
    fetched = [each for each in settings.all_issuers() if each.jwks_url]
    key_sets = KeySets(area)
    key_sets.adopt(each.issuer for each in fetched)
    if verifier is None:
        return []
    from proxy.tokens.jwks import KeySource  # noqa: PLC0415 - see the module

    return [
        KeySource(verifier, verifier.issuers[each.issuer], each.jwks_url, settings.jwks, key_sets)
        for each in fetched
    ]


def _issuer(settings: IssuerSettings, max_keys: int) -> Issuer:
    return Issuer(
        settings.issuer,
        settings.audiences,
        settings.algorithms,
        keys_of(settings, max_keys),
        claim=settings.claim,
        tenant_pattern=settings.tenant_pattern,
        leeway_s=settings.leeway_s,
    )


def keys_of(settings: IssuerSettings, max_keys: int) -> KeySet:
    """The keys that the settings have themselves; OSError, KeySetError as above."""
    if settings.jwks_url:
        return NO_KEYS
    from proxy.tokens.jwk import read_keys  # noqa: PLC0415 - see the module

    text = settings.key.encode() if settings.key else Path(settings.key_file).read_bytes()
    try:
        return read_keys(text, settings.algorithms, max_keys)
    except KeySetError as error:
        raise KeySetError(f"the key of {settings.issuer}: {error}") from None
