"""What leaves a row in the audit trail although nothing was changed."""

import structlog
from aiohttp import web

from admin.api.guard import problem_of
from admin.api.problems import REQUEST_ID
from admin.api.route import Parts, Route
from admin.routing import audit as trail
from admin.routing.database import DatabaseUnavailableError
from admin.tokens import Principal
from proxy.routing.model import is_tenant

log = structlog.get_logger(__name__)
AUDITED = frozenset({403, 409, 422, 501, 503})
"""Refusals of known callers that leave a row: they were understood, and not done."""


async def record(
    route: Route,
    parts: Parts,
    request: web.Request,
    principal: Principal | None,
    error: Exception,
    tenant: str = "",
) -> None:
    """Leave a row about a refusal. Nothing was changed, so the refusal stands without it too.

    tenant: the one that the path names.
    """
    problem = problem_of(error)
    if not problem or problem.status not in AUDITED or not route.action or not principal:
        return
    author = trail.Author(principal.subject, str(principal.role), request[REQUEST_ID])
    tenants = [tenant] if is_tenant(tenant) else []
    try:
        async with parts.store.database.connection() as connection:
            await trail.refused(connection, author, route.action, tenants, problem.code)
    except DatabaseUnavailableError:
        log.warning("a refusal is not in the audit trail", request_id=author.request_id)
