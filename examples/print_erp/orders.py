"""/api/orders: create, list, get. What is paid is the sum of the payments, kept nowhere else."""

from typing import Annotated, Any
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
from examples.print_erp.problems import absent
from examples.print_erp.store import new_id

_CREATE = """
INSERT INTO orders (tenant_id, id, customer_id, job_id, total_cents, currency)
VALUES ($1, $2, $3, $4, $5, $6)
RETURNING id, customer_id, job_id, total_cents, currency, created_at, 0::bigint AS paid_cents
"""
_LIST = """
SELECT id, customer_id, job_id, total_cents, currency, created_at,
    (SELECT COALESCE(sum(amount_cents), 0)::bigint FROM payments
     WHERE payments.tenant_id = $1 AND payments.order_id = orders.id) AS paid_cents
FROM orders WHERE tenant_id = $1 AND ($2::uuid IS NULL OR id < $2) ORDER BY id DESC LIMIT $3
"""
_GET = """
SELECT id, customer_id, job_id, total_cents, currency, created_at,
    (SELECT COALESCE(sum(amount_cents), 0)::bigint FROM payments
     WHERE payments.tenant_id = $1 AND payments.order_id = orders.id) AS paid_cents
FROM orders WHERE tenant_id = $1 AND id = $2
"""


class NewOrder(msgspec.Struct):
    """What a client gives. total_cents: in the currency's hundredth."""

    total_cents: Annotated[int, msgspec.Meta(ge=0, le=10**12)]
    currency: Annotated[str, msgspec.Meta(pattern="^[A-Z]{3}$")] = "EUR"
    customer_id: UUID | None = None
    job_id: UUID | None = None


async def create(request: web.Request) -> web.Response:
    """201 and the order; 409 where the customer or the job is not this tenant's."""
    given = await body_as(request, NewOrder)
    values: list[Any] = [tenant_of(request), new_id(), given.customer_id, given.job_id]
    row = await erp_of(request).store.row(_CREATE, *values, given.total_cents, given.currency)
    return answer(request, dict(row), 201, {"Location": f"/api/orders/{row['id']}"})


async def listed(request: web.Request) -> web.Response:
    """Newest first: ?limit= ?cursor=."""
    limit = number(request, "limit", PAGE, 1, PAGE_MAX)
    values = (tenant_of(request), cursor(request), limit + 1)
    rows = await erp_of(request).store.rows(_LIST, *values)
    return answer(request, page([dict(row) for row in rows], limit))


async def get(request: web.Request) -> web.Response:
    """One order of this tenant, or 404."""
    values = (tenant_of(request), identifier(request, "order"))
    row = await erp_of(request).store.row(_GET, *values)
    if row is None:
        raise absent("order")
    return answer(request, dict(row))


ROUTES = [
    web.post("/api/orders", create),
    web.get("/api/orders", listed),
    web.get("/api/orders/{id}", get),
]
