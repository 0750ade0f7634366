"""How gates ask a slot's endpoints: directly, past the proxy, within bounds.

Rules: no redirect is followed, no cookie kept, no proxy of the environment used. A body is read up
to its bound. What goes wrong is told by its kind, for messages may hold addresses with secrets.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from time import perf_counter

import aiohttp
from yarl import URL

from admin.gates.config import Http
from admin.gates.model import UnmeasuredError
from proxy.routing.model import Endpoint, RoutingTable, Slot

Table = Callable[[], Awaitable[RoutingTable]]
"""Gives the desired routing table; raises what its store raises."""


class NoAnswerError(Exception):
    """The endpoint did not answer, or not as HTTP has it. The message says how."""


@dataclass(frozen=True, slots=True)
class Ask:
    """One request. tenant: whose it is; empty: nobody's. headers may hold secrets: not in repr."""

    method: str
    path: str
    tenant: str = ""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        """As evidence shows it: without its query, which may hold secrets."""
        return f"{self.method} {self.path.partition('?')[0]}"[:120]


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer. headers: by lower-case name, the first of each. whole: False, it was too long.

    took_ms: from the request's start to the last byte.
    """

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    took_ms: float
    whole: bool = True


class Asker:
    """Sends requests; keeps connections between them."""

    def __init__(self, session: aiohttp.ClientSession, settings: Http) -> None:
        self._session, self._settings = session, settings
        self._room = asyncio.Semaphore(settings.at_once)

    async def ask(self, endpoint: Endpoint, ask: Ask, limit_s: float) -> Reply:
        """The answer. limit_s: seconds to its last byte, once there is room for it. NoAnswerError."""
        async with self._room:
            return await self._ask(endpoint, ask, limit_s)

    async def _ask(self, endpoint: Endpoint, ask: Ask, limit_s: float) -> Reply:
        own = self._settings
        headers = dict(ask.headers)
        if own.host and not any(name.lower() == "host" for name in headers):
            headers["Host"] = own.host
        if ask.tenant:
            headers[own.tenant_header] = ask.tenant
        url = URL(f"{own.scheme}://{endpoint}{ask.path}", encoded=True)
        began = perf_counter()
        try:
            async with self._session.request(
                ask.method,
                url,
                headers=headers,
                data=ask.body,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=limit_s),
                server_hostname=own.server_name or None,
            ) as answer:
                body, whole = await self._body(answer)
                took_ms = (perf_counter() - began) * 1000
        except TimeoutError:
            raise NoAnswerError(f"no answer within {limit_s:g} s") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise NoAnswerError(f"no answer ({type(error).__name__})") from None
        seen: dict[str, str] = {}
        for name, value in answer.headers.items():
            seen.setdefault(name.lower(), value)
        return Reply(answer.status, seen, body, took_ms, whole)

    async def _body(self, answer: aiohttp.ClientResponse) -> tuple[bytes, bool]:
        kept = bytearray()
        async for piece in answer.content.iter_any():
            kept += piece
            if len(kept) > self._settings.body_bytes:
                answer.close()
                return bytes(kept[: self._settings.body_bytes]), False
        return bytes(kept), True


@asynccontextmanager
async def asking(settings: Http) -> AsyncIterator[Asker]:
    """An asker for as long as the block runs. UnmeasuredError if its certificates can't be read."""
    connector = aiohttp.TCPConnector(limit=0, ssl=_tls(settings))
    async with aiohttp.ClientSession(
        connector=connector, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=True
    ) as session:
        yield Asker(session, settings)


def _tls(settings: Http) -> ssl.SSLContext | bool:
    if not settings.ca_file:
        return True
    try:
        return ssl.create_default_context(cafile=settings.ca_file)
    except (OSError, ssl.SSLError) as error:
        raise UnmeasuredError(
            f"gates.http.ca_file can't be read ({type(error).__name__})"
        ) from None


async def endpoints_of(table: Table, slot: Slot) -> tuple[Endpoint, ...]:
    """The slot's endpoints. UnmeasuredError if it has none: nothing can be measured there."""
    found = (await table()).endpoints[slot]
    if not found:
        raise UnmeasuredError(f"{slot} has no endpoints")
    return found


def some_of(tenants: tuple[str, ...], most: int) -> tuple[str, ...]:
    """At most so many of the tenants, evenly from all of them."""
    if len(tenants) <= most:
        return tenants
    return tuple(tenants[number * len(tenants) // most] for number in range(most))
