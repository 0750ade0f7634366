"""GET /health: what the document asks for, really checked."""

from datetime import UTC, datetime

from aiohttp import web

from examples.print_erp.answers import answer
from examples.print_erp.context import Erp, erp_of
from examples.print_erp.problems import Problem


async def health(request: web.Request) -> web.Response:
    """{status, environment, version, database, cache, timestamp, equipment}.

    unhealthy and 503 without the database; degraded and 200 without the cache; else healthy.
    """
    erp = erp_of(request)
    database = await _database(erp)
    cache = await erp.cache.state()
    status = (
        "unhealthy" if database != "ok" else "degraded" if cache == "unreachable" else "healthy"
    )
    document = {
        "status": status,
        "environment": erp.settings.slot,
        "version": erp.settings.version,
        "database": database,
        "cache": cache,
        "timestamp": datetime.now(UTC),
        "equipment": {"connected": len(erp.printers)},
    }
    return answer(request, document, 200 if database == "ok" else 503)


async def _database(erp: Erp) -> str:
    try:
        await erp.store.row("SELECT 1")
    except Problem:
        return "unreachable"
    return "ok"


ROUTES = [web.get("/health", health)]
