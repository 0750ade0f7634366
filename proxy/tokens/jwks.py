"""Key sets that an issuer publishes (JWKS, RFC 7517 §5), fetched again and again.

Rules: the address is a setting and no token can name another; no redirect is followed; size,
time and number of keys are bounded; one fetch at a time. No request waits for a fetch: it is
judged by the keys that are there. A token whose key is not there asks for a fetch, which begins
no sooner than `unknown_key_s` after the last one did. When fetching fails the keys stay, for
`keep_s` from the last fetch that did not; then nothing of this issuer is believed. A good set
is taken as it is: what is not in it is gone, even if that is everything.
"""

import asyncio
import logging
import os
import ssl
import stat
from urllib.parse import unquote, urlsplit

from proxy.observability.key_sets import KeySets
from proxy.tokens.bearer import BearerVerifier, Issuer
from proxy.tokens.jwk import read_jwks
from proxy.tokens.keyset import NO_KEYS, KeySet, KeySetError
from proxy.tokens.settings import Jwks

log = logging.getLogger("turnout.jwks")

_PIECE_BYTES = 16 * 1024
_HEADERS = {"Accept": "application/jwk-set+json, application/json", "Accept-Encoding": "identity"}


class FetchError(Exception):
    """The set could not be had; the message says why in general words."""


class KeySource:
    """Keeps one issuer's keys fresh.

    tried: set when the first fetch has ended, well or not. key_sets: where it is counted.
    """

    def __init__(
        self,
        verifier: BearerVerifier,
        issuer: Issuer,
        url: str,
        settings: Jwks,
        key_sets: KeySets,
    ) -> None:
        self.tried = asyncio.Event()
        self.issuer = issuer
        self._verifier = verifier
        self._url = url
        self._settings = settings
        self._key_sets = key_sets
        self._asked = asyncio.Event()
        self._context = _trust(url, settings.ca_file)
        self._fetched_at = 0.0
        self._document = b""
        issuer.ask = self._asked.set

    async def run(self) -> None:
        """Fetch now, and again when it is time or a token asks for it, until cancelled."""
        loop = asyncio.get_running_loop()
        settings = self._settings
        while True:
            began = loop.time()
            self._asked.clear()
            try:
                good = await self._renew()
            except Exception:
                # Without this task the keys would grow old, and a new worker would never serve.
                log.exception("the keys of %s could not be renewed", self.issuer.issuer)
                good = False
            self.tried.set()
            due = began + (settings.refresh_s if good else settings.retry_s)
            await self._until(due, began + settings.unknown_key_s)

    async def _until(self, due: float, allowed: float) -> None:
        """Wait until it is due, or it is asked for and allowed."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout_at(due):
                await self._asked.wait()
                await asyncio.sleep(allowed - loop.time())
        except TimeoutError:
            pass

    async def _renew(self) -> bool:
        now = asyncio.get_running_loop().time()
        try:
            document = await fetch(self._url, self._settings, self._context)
            keys = self._read(document)
        except (FetchError, KeySetError) as error:
            self._failed(error, now)
            return False
        self._key_sets.fetched(self.issuer.issuer, well=True)
        self._fetched_at = now
        self._use(keys)
        return True

    def _read(self, document: bytes) -> KeySet:
        if document == self._document and self.issuer.keys is not NO_KEYS:
            return self.issuer.keys
        keys = read_jwks(document, self.issuer.algorithms, self._settings.max_keys)
        self._document = document
        return keys

    def _failed(self, error: Exception, now: float) -> None:
        self._key_sets.fetched(self.issuer.issuer, well=False)
        kept = len(self.issuer.keys)
        log.warning("the keys of %s: %s; %d old keys stay", self.issuer.issuer, error, kept)
        if kept and now - self._fetched_at > self._settings.keep_s:
            log.error("the keys of %s are too old: its tokens are refused", self.issuer.issuer)
            self._use(NO_KEYS)

    def _use(self, keys: KeySet) -> None:
        first = self.issuer.keys is NO_KEYS and keys is not NO_KEYS
        if first or keys.identities != self.issuer.keys.identities:
            log.info("the keys of %s have changed: %d", self.issuer.issuer, len(keys))
            self._verifier.use_keys(self.issuer, keys)


def _trust(url: str, ca_file: str) -> ssl.SSLContext | None:
    """Whom an https server's certificate may come from. OSError if the file is of no use."""
    if not url.startswith("https:"):
        return None
    return ssl.create_default_context(cafile=ca_file or None)


async def fetch(url: str, settings: Jwks, context: ssl.SSLContext | None = None) -> bytes:
    """The document at an https, http or file URL. FetchError if it can't be had within bounds.

    context: whom an https server's certificate may come from; the system's authorities if None.
    """
    parts = urlsplit(url)
    if parts.scheme == "file":
        return _read(unquote(parts.path), settings.max_bytes)
    try:
        async with asyncio.timeout(settings.timeout_s):
            return await _get(url, settings, context)
    except TimeoutError:
        raise FetchError("no answer in time") from None
    except (OSError, ValueError) as error:
        # The messages name addresses, and sometimes what was received.
        raise FetchError(f"can't be fetched ({type(error).__name__})") from None


async def _get(url: str, settings: Jwks, context: ssl.SSLContext | None) -> bytes:
    # Here, not above: it takes a fifth of a second to import, and sets in files don't need it.
    import aiohttp  # noqa: PLC0415

    try:
        connector = aiohttp.TCPConnector(ssl=context or True, limit=1, force_close=True)
        async with (
            aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                trust_env=False,
            ) as session,
            session.get(url, allow_redirects=False, headers=_HEADERS) as answer,
        ):
            if answer.status != 200:
                raise FetchError(f"answered with {answer.status}")
            if answer.headers.get("Content-Encoding", "identity") != "identity":
                raise FetchError("answered with a content coding that was not asked for")
            body = bytearray()
            async for piece in answer.content.iter_chunked(_PIECE_BYTES):
                body += piece
                if len(body) > settings.max_bytes:
                    raise FetchError("is larger than allowed")
            return bytes(body)
    except aiohttp.ClientError as error:
        raise OSError(type(error).__name__) from None


def _read(path: str, max_bytes: int) -> bytes:
    """A local file, which does not keep the loop waiting; what is no plain file might."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError):
        raise FetchError("the file can't be opened") from None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise FetchError("is no plain file")
        document = os.read(descriptor, max_bytes + 1)
    except OSError:
        raise FetchError("the file can't be read") from None
    finally:
        os.close(descriptor)
    if len(document) > max_bytes:
        raise FetchError("is larger than allowed")
    return document
