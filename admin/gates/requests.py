"""The safe requests that warm a slot up and compare it: a list in TOML, or a sample of what was asked.

    [[request]]
    path = "/api/jobs?limit=50"
    tenants = "each"

Rule: GET, HEAD and OPTIONS only, which by RFC 9110, section 9.2.1, ask for no change. Anything else is
refused when the list is read.
"""

import asyncio
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from admin.gates.asking import Ask, some_of
from admin.gates.files import FileFault, read
from admin.gates.model import About, UnmeasuredError
from admin.gates.words import CHECK_WORDS, fill, unknown, words_of
from admin.migrations.references import ReferenceFault, is_reference, secret
from proxy.routing.model import is_tenant

SAFE = ("GET", "HEAD", "OPTIONS")
TAIL_BYTES = 4_194_304
"""How much of an access log's end is looked at."""
MOST = 1000
"""Requests of one list, for all of its tenants."""
TENANTS = ("none", "one", "each")
"""none: the request names no tenant. one: the first. each: all, or so many as the settings let."""
_FIELD = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}")
_TARGET = re.compile(r"/[\x21-\x7e]{0,2000}")


class Request(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One request of a list. headers: values, or where secrets stand (`env:NAME`, `file:/path`)."""

    path: str
    method: str = "GET"
    headers: dict[str, str] = {}
    tenants: str | tuple[str, ...] = "none"

    def __post_init__(self) -> None:
        if self.method not in SAFE:
            raise ValueError(f"`method` is one of {', '.join(SAFE)}: nothing else is sent twice")
        check_target(self.path)
        check_headers(self.headers)
        check_tenants(self.tenants)


class RequestList(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file of requests."""

    request: tuple[Request, ...]

    def __post_init__(self) -> None:
        if not self.request:
            raise ValueError("the list has no [[request]]")


class _Line(msgspec.Struct):
    """What matters of a line of the access log (`proxy.access_log`, format json)."""

    method: str = ""
    path: str = ""
    tenant: str = ""
    status: int = 0


def check_target(path: str) -> None:
    """ValueError unless it is a path, with or without a query, as it stands in a request."""
    if not _TARGET.fullmatch(path):
        raise ValueError("`path` begins with /, and holds no white space: encode it as %20")
    if missing := next(unknown(path, CHECK_WORDS), ""):
        raise ValueError(f"`path`: {{{missing}}} stands for nothing; there are {_words()}")


def check_headers(headers: Mapping[str, str]) -> None:
    """ValueError if a name or a value can't be sent."""
    for name, value in headers.items():
        if not _FIELD.fullmatch(name):
            raise ValueError("`headers`: a name is no header's")
        if not value.isprintable():
            raise ValueError(f"`headers`: the value of {name} can't be sent in one line")


def check_tenants(tenants: str | tuple[str, ...]) -> None:
    """ValueError unless it says whose the request is."""
    if isinstance(tenants, str):
        if tenants not in TENANTS:
            raise ValueError(f"`tenants` is {', '.join(TENANTS)}, or a list of tenants")
    elif not tenants or not all(map(is_tenant, tenants)):
        raise ValueError("`tenants`: an id is 1 to 63 of a-z, 0-9 and -")


def _words() -> str:
    return ", ".join(f"{{{word}}}" for word in CHECK_WORDS)


def tenants_of(given: str | tuple[str, ...], about: About, most: int) -> tuple[str, ...]:
    """Whose requests are sent; ("",): nobody's. UnmeasuredError: there are no tenants."""
    if given == "none":
        return ("",)
    if not isinstance(given, str):
        return given
    if not about.tenants:
        raise UnmeasuredError("no tenants are known, and checks ask for some")
    return about.tenants[:1] if given == "one" else some_of(about.tenants, most)


def resolved(headers: Mapping[str, str], words: Mapping[str, str]) -> dict[str, str]:
    """Headers as they are sent: secrets looked up. UnmeasuredError: one is not where it should be."""
    try:
        return {
            name: secret(value) if is_reference(value) else fill(value, words)
            for name, value in headers.items()
        }
    except ReferenceFault as fault:
        raise UnmeasuredError(f"headers: {fault}") from None


async def listed(file: str, about: About, most_tenants: int) -> list[Ask]:
    """The requests of a list, for its tenants. UnmeasuredError if it can't be used."""
    try:
        found = await asyncio.to_thread(read, Path(file), RequestList)
    except FileFault as fault:
        raise UnmeasuredError(str(fault)) from None
    asks = []
    for each in found.request:
        for tenant in tenants_of(each.tenants, about, most_tenants):
            words = words_of(about, tenant)
            headers = resolved(each.headers, words)
            asks.append(Ask(each.method, fill(each.path, words), tenant, headers))
    return asks[:MOST]


async def sampled(file: str, about: About, most: int) -> list[Ask]:
    """What was asked most of late, by an access log of the proxy; nothing if there is none.

    Only GETs that were answered well, of tenants that are known, without their queries.
    """
    try:
        lines = await asyncio.to_thread(_tail, Path(file))
    except OSError:
        return []
    return sample(lines, about, most)


def sample(lines: Sequence[bytes], about: About, most: int) -> list[Ask]:
    """The requests that these lines of an access log tell of, the most frequent first."""
    known = {"", *about.tenants}
    counts: Counter[tuple[str, str]] = Counter()
    for line in _read(lines):
        path = line.path.partition("?")[0]
        is_good = line.method == "GET" and 200 <= line.status < 300 and line.tenant in known
        if is_good and _TARGET.fullmatch(path):
            counts[line.tenant, path] += 1
    return [Ask("GET", path, tenant) for (tenant, path), _ in counts.most_common(most)]


def _read(lines: Sequence[bytes]) -> Iterator[_Line]:
    decoder = msgspec.json.Decoder(_Line)
    for line in lines:
        try:
            yield decoder.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue  # another format, or half a line


def _tail(path: Path) -> list[bytes]:
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - TAIL_BYTES))
        return file.read(TAIL_BYTES).splitlines()
