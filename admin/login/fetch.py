"""One request to the provider, and its answer: bounded in time and size.

Rules: no redirect is followed, no proxy of the environment is used, no cookie is kept: the address
is the one that was checked. A failure is told by its class: messages hold addresses, and sometimes
what was sent.
"""

import asyncio
import ssl
from collections.abc import Mapping

import aiohttp

from admin.login.config import Oidc

_PIECE_BYTES = 16_384
_HEADERS = {"Accept": "application/json", "Accept-Encoding": "identity"}


class FetchError(Exception):
    """There was no answer that can be used; the message says why in general words."""


async def fetch(
    url: str,
    settings: Oidc,
    form: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
) -> tuple[int, bytes]:
    """Status and body. A form is posted. FetchError."""
    try:
        async with asyncio.timeout(settings.timeout_s):
            return await _ask(url, settings, form, {**_HEADERS, **(headers or {})})
    except TimeoutError:
        raise FetchError("no answer in time") from None
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise FetchError(f"no answer ({type(error).__name__})") from None


async def _trust(ca_file: str) -> ssl.SSLContext:
    """Whom the provider's certificate may come from; read each time, so that it may be renewed.

    Beside the loop, which it would hold up for some hundredths of a second.
    """
    return await asyncio.to_thread(ssl.create_default_context, cafile=ca_file or None)


async def _ask(
    url: str, settings: Oidc, form: Mapping[str, str] | None, headers: Mapping[str, str]
) -> tuple[int, bytes]:
    trust = await _trust(settings.ca_file) if url.startswith("https:") else True
    connector = aiohttp.TCPConnector(ssl=trust, limit=1, force_close=True)
    async with (
        aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
        ) as session,
        session.request(
            "GET" if form is None else "POST",
            url,
            data=form,
            headers=headers,
            allow_redirects=False,
        ) as answer,
    ):
        if answer.headers.get("Content-Encoding", "identity") != "identity":
            raise FetchError("a content coding that was not asked for")
        body = bytearray()
        async for piece in answer.content.iter_chunked(_PIECE_BYTES):
            body += piece
            if len(body) > settings.max_bytes:
                raise FetchError("an answer larger than allowed")
        return answer.status, bytes(body)
