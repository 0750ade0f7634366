"""Answers as JSON, each saying who served it; and bounded reading of what was asked."""

from collections.abc import Mapping
from typing import Any, TypeVar
from uuid import UUID

import msgspec
from aiohttp import web

from examples.print_erp.context import erp_of
from examples.print_erp.problems import Problem, absent, invalid

JSON_BYTES = 1 << 20
PAGE = 50
PAGE_MAX = 500

T = TypeVar("T")


def answer(
    request: web.Request,
    body: Mapping[str, Any],
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> web.Response:
    """The body with served_by added, as JSON."""
    document = {**body, "served_by": erp_of(request).settings.served_by}
    return web.Response(
        body=msgspec.json.encode(document),
        status=status,
        headers=headers,
        content_type="application/json",
    )


def refusal(request: web.Request, problem: Problem) -> web.Response:
    """The problem document of a refusal, with served_by."""
    document = {**problem.document(), "served_by": erp_of(request).settings.served_by}
    return web.Response(
        body=msgspec.json.encode(document),
        status=problem.status,
        headers=problem.headers,
        content_type="application/problem+json",
    )


async def body_as(request: web.Request, shape: type[T]) -> T:
    """The JSON body, checked. Problem 400; 413 over JSON_BYTES.

    Fields that this version doesn't know are ignored, so that a client of 1.3.0 survives a
    rollback to 1.2.0.
    """
    raw = await request.read()
    try:
        return msgspec.json.decode(raw, type=shape)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise invalid(str(error)[:300]) from None


def number(request: web.Request, name: str, default: int, low: int, high: int) -> int:
    """An integer query parameter within bounds. Problem 400."""
    text = request.query.get(name)
    if text is None:
        return default
    if not text.isascii() or not text.isdecimal() or len(text) > 20:
        raise invalid(f"{name} is a whole number, {low}..{high}")
    if not low <= int(text) <= high:
        raise invalid(f"{name} is {low}..{high}")
    return int(text)


def identifier(request: web.Request, what: str) -> UUID:
    """The id in the path; 404 where it is none, as for one that nobody has."""
    try:
        return UUID(request.match_info["id"])
    except ValueError:
        raise absent(what) from None


def cursor(request: web.Request) -> UUID | None:
    """Where a list goes on: the id after which older ones follow. Problem 400."""
    text = request.query.get("cursor")
    try:
        return UUID(text) if text else None
    except ValueError:
        raise invalid("cursor is what the answer before called next") from None


def page(rows: list[dict[str, Any]], limit: int) -> dict[str, Any]:
    """{items, next} of limit + 1 rows asked for; next is None on the last page."""
    items = rows[:limit]
    return {"items": items, "next": str(items[-1]["id"]) if len(rows) > limit else None}
