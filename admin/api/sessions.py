"""Sessions of people in browsers: who is logged in, and how to end that."""

from datetime import UTC, datetime, timedelta
from typing import Any

from aiohttp import web

from admin.api.changing import for_all
from admin.api.messages import Given
from admin.api.problems import Problem
from admin.api.route import Call, Route, reply
from admin.api.session_messages import (
    PersonQuery,
    SessionItem,
    SessionsEnded,
    SessionsPage,
    SessionsQuery,
)
from admin.login import store
from admin.tokens import Role

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


async def read(call: Call, given: SessionsQuery) -> web.StreamResponse:
    """One page."""
    limits = call.parts.settings.login
    after = _place(given.cursor)
    async with call.parts.store.database.connection() as connection:
        rows = await store.page(connection, limits, given.subject, after, given.limit + 1)
    items = [_item(row) for row in rows[: given.limit]]
    more = len(rows) > given.limit
    return reply(SessionsPage(items, _cursor(rows[given.limit - 1]) if more else None))


async def end(call: Call, _: Given) -> web.StreamResponse:
    """End one: its browser's next request is refused, at every admin. Problem 404."""
    for_all(call.principal)
    name = call.names["session"]
    async with call.parts.store.database.connection() as connection:
        ended = await store.end(connection, call.author, name=name)
    if not ended:
        raise Problem("not-found", "there is no such session, or it has ended")
    return reply(SessionsEnded(ended))


async def end_all(call: Call, given: PersonQuery) -> web.StreamResponse:
    """End all of a person."""
    for_all(call.principal)
    async with call.parts.store.database.connection() as connection:
        return reply(SessionsEnded(await store.end(connection, call.author, of=given.subject)))


def _item(row: Any) -> SessionItem:
    fields = dict(row)
    times = {name: fields.pop(name).isoformat() for name in ("began_at", "seen_at", "ends_at")}
    return SessionItem(session=fields.pop("name"), **fields, **times)


def _cursor(row: Any) -> str:
    return f"{(row['began_at'] - _EPOCH) // _MICROSECOND}.{row['name']}"


def _place(cursor: str | None) -> tuple[datetime, str] | None:
    if cursor is None:
        return None
    began, _, name = cursor.partition(".")
    try:
        return _EPOCH + int(began) * _MICROSECOND, name
    except OverflowError:
        raise Problem("invalid-query", "the cursor is no `next` of a page") from None


ROUTES = (
    Route(
        *("GET", "/v1/sessions", read, "Who is logged in, the latest first", SessionsPage),
        given=SessionsQuery,
        role=Role.ADMIN,
    ),
    Route(
        *("DELETE", "/v1/sessions/{session}", end, "End a session", SessionsEnded),
        role=Role.ADMIN,
        action="end-session",
    ),
    Route(
        *("DELETE", "/v1/sessions", end_all, "End all sessions of a person", SessionsEnded),
        given=PersonQuery,
        role=Role.ADMIN,
        action="end-session",
    ),
)
