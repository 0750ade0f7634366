"""What keeps pages alive: the live feed, under the dashboard's own session."""

from aiohttp import web

from admin.dashboard.visit import Visit


async def events(visit: Visit) -> web.StreamResponse:
    """The API's live feed."""
    return await visit.ops.stream("/v1/events")


LOOKS = {"/ui/events": events}
