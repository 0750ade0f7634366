"""What a request brings: its body or its query, bounded, checked, and turned into its type.

Rule: this runs after token and role were checked; nothing of the body is read before.
"""

import asyncio
import json
import re
from collections.abc import Mapping
from typing import Any

import msgspec
from aiohttp import web

from admin.api.messages import MAX_VERSION, Given
from admin.api.problems import REQUEST_ID, Problem
from admin.config import Settings

_UNWRITABLE = re.compile("[\0\ud800-\udfff]")
_CONTROL = re.compile("[\0-\x1f\x7f-\x9f\ud800-\udfff]")
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


async def keep_waiting(request: web.Request) -> web.StreamResponse | None:
    """In place of aiohttp's answer to Expect, which would ask for the body before the checks."""
    if request.headers.get("Expect", "").lower() != "100-continue":
        problem = Problem("expectation-failed", "only 100-continue is known")
        return problem.response(request.get(REQUEST_ID, ""))
    return None


async def read_body(request: web.Request, settings: Settings) -> bytes:
    """The body as it came. Problem: 408, 413 or 415."""
    limit = settings.body_limit_bytes
    if request.content_length is not None and request.content_length > limit:
        raise Problem("body-too-large", f"the limit is {limit} bytes")
    if not request.body_exists:
        return b""
    encoding = request.headers.get("Content-Encoding", "identity").lower()
    if request.content_type != "application/json" or encoding != "identity":
        raise Problem("unsupported-media-type", "send application/json, not encoded")
    if request.headers.get("Expect") and request.transport:
        request.transport.write(CONTINUE)
    try:
        async with asyncio.timeout(settings.body_timeout_s):
            return await request.read()
    except TimeoutError:
        raise Problem("body-timeout", f"it has {settings.body_timeout_s:g} s") from None


def from_body(raw: bytes, of: type[Given]) -> Given:
    """The body as its type; an empty one stands for an empty object. Problem 400."""
    try:
        document = json.loads(
            raw.decode("utf-8") if raw else "{}",
            object_pairs_hook=_no_duplicates,
            parse_constant=_no_constants,
            parse_float=_number,
        )
    except (ValueError, RecursionError) as error:
        raise Problem("invalid-json", str(error)) from None
    # Only an escape gets there what can't stand in a text: few bodies have one.
    if b"\\u" in raw and not _is_writable(document):
        raise Problem("invalid-change", "a text holds U+0000 or half a surrogate pair")
    return _convert(document, of, "invalid-change", strict=True)


def check_names(names: Mapping[str, str]) -> None:
    """Problem 404 for what the path names with a U+0000, which nothing is called.

    The tenant's id is told apart: it has a problem of its own.
    """
    if any("\0" in value for name, value in names.items() if name != "tenant"):
        raise Problem("not-found", "nothing is called so")


def _is_writable(document: Any) -> bool:
    """Whether PostgreSQL takes all of its texts: no U+0000, no half of a surrogate pair."""
    left = [document]
    while left:
        value = left.pop()
        if isinstance(value, str) and _UNWRITABLE.search(value):
            return False
        if isinstance(value, dict):
            left += [*value, *value.values()]
        elif isinstance(value, list):
            left += value
    return True


def from_query(request: web.Request, of: type[Given]) -> Given:
    """The query as its type. Problem 400."""
    query = request.query
    document = dict(query)
    if len(document) != len(query):
        raise Problem("invalid-query", "a parameter is given twice")
    if any(_CONTROL.search(value) for value in document.values()):
        raise Problem("invalid-query", "a parameter holds a control character")
    given = _convert(document, of, "invalid-query", strict=False)
    nothing = [name for name in document if getattr(given, name) is None]
    if nothing:
        raise Problem("invalid-query", f"leave {nothing[0]} out: a query has no null")
    return given


def _convert(document: Any, of: type[Given], code: str, *, strict: bool) -> Given:
    try:
        return msgspec.convert(document, of, strict=strict)
    except msgspec.ValidationError as error:
        raise Problem(code, str(error)) from None
    except UnicodeEncodeError:
        raise Problem(code, "a name holds characters that can't be written") from None


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise ValueError("an object names a field twice")
    return document


def _number(text: str) -> float | int:
    """A whole number is one with a point too, as in JSON Schema."""
    value = float(text)
    return int(value) if value.is_integer() and abs(value) <= MAX_VERSION else value


def _no_constants(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
