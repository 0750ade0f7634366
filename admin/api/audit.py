"""The audit trail, newest first."""

from aiohttp import web

from admin.api.messages import AuditItem, AuditPage, AuditQuery
from admin.api.route import Call, Route, reply
from admin.routing import audit

NEWEST = 2**63 - 1


async def read(call: Call, given: AuditQuery) -> web.StreamResponse:
    """One page."""
    wanted = audit.Filter(given.actor, given.action, given.tenant)
    async with call.parts.store.database.connection() as connection:
        rows = await audit.page(connection, wanted, given.cursor or NEWEST, given.limit + 1)
    items = [
        AuditItem(from_=row.pop("from"), to=row.pop("to"), **row) for row in rows[: given.limit]
    ]
    more = len(rows) > given.limit
    return reply(AuditPage(items, items[-1].id if more else None))


ROUTES = (Route("GET", "/v1/audit", read, "Who changed what, newest first", AuditPage, AuditQuery),)
