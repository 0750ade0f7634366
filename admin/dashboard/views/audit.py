"""The audit trail: who changed what, from what to what."""

from urllib.parse import urlencode

from aiohttp import web

from admin.api.messages import AuditPage
from admin.dashboard.visit import Visit

PAGE = 50
HOME = "/ui/audit"
FILTERS = ("actor", "action", "tenant")


async def look(visit: Visit) -> web.StreamResponse:
    """A page of rows, newest first."""
    asked = {name: visit.query.get(name, "") for name in FILTERS}
    cursor = visit.query.get("cursor", "")
    page: AuditPage = await visit.ops.read(
        "/v1/audit", query={**asked, "cursor": cursor, "limit": PAGE}
    )
    return await visit.page(
        "audit.html",
        rows=page.items,
        asked=asked,
        begins=not cursor,
        first=f"{HOME}?{urlencode(asked)}",
        more=f"{HOME}?{urlencode({**asked, 'cursor': page.next})}" if page.next else "",
    )


LOOKS = {HOME: look}
