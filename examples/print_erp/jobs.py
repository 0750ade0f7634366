"""/api/jobs: create, list, get, patch, delete. From 1.3.0 a job has a priority (1 first … 9)."""

from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from aiohttp import web

from examples.print_erp.answers import (
    PAGE,
    PAGE_MAX,
    answer,
    body_as,
    cursor,
    identifier,
    number,
    page,
)
from examples.print_erp.context import erp_of, tenant_of
from examples.print_erp.problems import absent, invalid
from examples.print_erp.store import new_id

STATUSES = ("queued", "printing", "done", "cancelled")

# Two sets of statements, not one built from parts: what each version reads can be seen, and proved.
_V1_2 = {
    "create": """
        INSERT INTO jobs (tenant_id, id, customer_id, title, quantity) VALUES ($1, $2, $3, $4, $5)
        RETURNING id, customer_id, title, quantity, status, created_at, updated_at
    """,
    "list": """
        SELECT id, customer_id, title, quantity, status, created_at, updated_at FROM jobs
        WHERE tenant_id = $1 AND ($2::uuid IS NULL OR id < $2) AND ($3::text IS NULL OR status = $3)
        ORDER BY id DESC LIMIT $4
    """,
    "get": """
        SELECT id, customer_id, title, quantity, status, created_at, updated_at FROM jobs
        WHERE tenant_id = $1 AND id = $2
    """,
    "patch": """
        UPDATE jobs SET title = COALESCE($3, title), quantity = COALESCE($4, quantity),
            status = COALESCE($5, status), updated_at = now()
        WHERE tenant_id = $1 AND id = $2
        RETURNING id, customer_id, title, quantity, status, created_at, updated_at
    """,
}
_V1_3 = {
    "create": """
        INSERT INTO jobs (tenant_id, id, customer_id, title, quantity, priority)
        VALUES ($1, $2, $3, $4, $5, COALESCE($6, 5))
        RETURNING id, customer_id, title, quantity, status, created_at, updated_at, priority
    """,
    "list": """
        SELECT id, customer_id, title, quantity, status, created_at, updated_at, priority FROM jobs
        WHERE tenant_id = $1 AND ($2::uuid IS NULL OR id < $2) AND ($3::text IS NULL OR status = $3)
        ORDER BY id DESC LIMIT $4
    """,
    "get": """
        SELECT id, customer_id, title, quantity, status, created_at, updated_at, priority FROM jobs
        WHERE tenant_id = $1 AND id = $2
    """,
    "patch": """
        UPDATE jobs SET title = COALESCE($3, title), quantity = COALESCE($4, quantity),
            status = COALESCE($5, status), priority = COALESCE($6, priority), updated_at = now()
        WHERE tenant_id = $1 AND id = $2
        RETURNING id, customer_id, title, quantity, status, created_at, updated_at, priority
    """,
}
_DELETE = "DELETE FROM jobs WHERE tenant_id = $1 AND id = $2"

Title = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
Quantity = Annotated[int, msgspec.Meta(ge=1, le=1_000_000_000)]
Priority = Annotated[int, msgspec.Meta(ge=1, le=9)]


class NewJob(msgspec.Struct):
    """What a client gives; 1.2.0 leaves priority unread."""

    title: Title
    quantity: Quantity = 1
    customer_id: UUID | None = None
    priority: Priority | None = None


class JobPatch(msgspec.Struct):
    """What changes; None leaves as it is."""

    title: Title | None = None
    quantity: Quantity | None = None
    status: Literal["queued", "printing", "done", "cancelled"] | None = None
    priority: Priority | None = None


def _statement(request: web.Request, name: str) -> str:
    return (_V1_3 if erp_of(request).settings.has_preferences else _V1_2)[name]


def _newer(request: web.Request, priority: int | None) -> list[int | None]:
    return [priority] if erp_of(request).settings.has_preferences else []


async def create(request: web.Request) -> web.Response:
    """201 and the job."""
    given = await body_as(request, NewJob)
    values: list[Any] = [
        tenant_of(request),
        new_id(),
        given.customer_id,
        given.title,
        given.quantity,
    ]
    values += _newer(request, given.priority)
    row = await erp_of(request).store.row(_statement(request, "create"), *values)
    return answer(request, dict(row), 201, {"Location": f"/api/jobs/{row['id']}"})


async def listed(request: web.Request) -> web.Response:
    """Newest first: ?status= ?limit= ?cursor=."""
    status = request.query.get("status")
    if status is not None and status not in STATUSES:
        raise invalid(f"status is one of {', '.join(STATUSES)}")
    limit = number(request, "limit", PAGE, 1, PAGE_MAX)
    values = (tenant_of(request), cursor(request), status, limit + 1)
    rows = await erp_of(request).store.rows(_statement(request, "list"), *values)
    return answer(request, page([dict(row) for row in rows], limit))


async def get(request: web.Request) -> web.Response:
    """One job of this tenant, or 404."""
    values = (tenant_of(request), identifier(request, "job"))
    row = await erp_of(request).store.row(_statement(request, "get"), *values)
    if row is None:
        raise absent("job")
    return answer(request, dict(row))


async def patch(request: web.Request) -> web.Response:
    """The job as changed, or 404."""
    given = await body_as(request, JobPatch)
    values: list[Any] = [tenant_of(request), identifier(request, "job")]
    values += [given.title, given.quantity, given.status, *_newer(request, given.priority)]
    row = await erp_of(request).store.row(_statement(request, "patch"), *values)
    if row is None:
        raise absent("job")
    return answer(request, dict(row))


async def delete(request: web.Request) -> web.Response:
    """204, or 404; 409 while an order refers to the job. Its prints go with it."""
    if not await erp_of(request).store.run(_DELETE, tenant_of(request), identifier(request, "job")):
        raise absent("job")
    return web.Response(status=204)


ROUTES = [
    web.post("/api/jobs", create),
    web.get("/api/jobs", listed),
    web.get("/api/jobs/{id}", get),
    web.patch("/api/jobs/{id}", patch),
    web.delete("/api/jobs/{id}", delete),
]
