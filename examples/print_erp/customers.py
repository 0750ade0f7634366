"""/api/customers: create, list, get. From 1.3.0 a customer has preferences."""

from typing import Annotated, Any

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

_CREATE_1_2 = """
INSERT INTO customers (tenant_id, id, name, email) VALUES ($1, $2, $3, $4)
RETURNING id, name, email, created_at
"""
_CREATE_1_3 = """
INSERT INTO customers (tenant_id, id, name, email, preferences) VALUES ($1, $2, $3, $4, $5)
RETURNING id, name, email, created_at, preferences
"""
_LIST_1_2 = """
SELECT id, name, email, created_at FROM customers
WHERE tenant_id = $1 AND ($2::uuid IS NULL OR id < $2) ORDER BY id DESC LIMIT $3
"""
_LIST_1_3 = """
SELECT id, name, email, created_at, preferences FROM customers
WHERE tenant_id = $1 AND ($2::uuid IS NULL OR id < $2) ORDER BY id DESC LIMIT $3
"""
_GET_1_2 = "SELECT id, name, email, created_at FROM customers WHERE tenant_id = $1 AND id = $2"
_GET_1_3 = """
SELECT id, name, email, created_at, preferences FROM customers WHERE tenant_id = $1 AND id = $2
"""


class NewCustomer(msgspec.Struct):
    """What a client gives; 1.2.0 reads name and email only."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    email: Annotated[str, msgspec.Meta(max_length=255)] | None = None
    preferences: dict[str, Any] = msgspec.field(default_factory=dict)


def _shown(row: Any) -> dict[str, Any]:
    shown = dict(row)
    if "preferences" in shown:
        shown["preferences"] = msgspec.json.decode(shown["preferences"] or "{}")
    return shown


async def create(request: web.Request) -> web.Response:
    """201 and the customer."""
    erp = erp_of(request)
    given = await body_as(request, NewCustomer)
    values = [tenant_of(request), new_id(), given.name, given.email]
    if erp.settings.has_preferences:
        preferences = msgspec.json.encode(given.preferences).decode()
        row = await erp.store.row(_CREATE_1_3, *values, preferences)
    else:
        row = await erp.store.row(_CREATE_1_2, *values)
    return answer(request, _shown(row), 201, {"Location": f"/api/customers/{row['id']}"})


async def listed(request: web.Request) -> web.Response:
    """Newest first: ?limit= ?cursor=."""
    erp = erp_of(request)
    limit = number(request, "limit", PAGE, 1, PAGE_MAX)
    statement = _LIST_1_3 if erp.settings.has_preferences else _LIST_1_2
    rows = await erp.store.rows(statement, tenant_of(request), cursor(request), limit + 1)
    return answer(request, page([_shown(row) for row in rows], limit))


async def get(request: web.Request) -> web.Response:
    """One customer of this tenant, or 404."""
    erp = erp_of(request)
    statement = _GET_1_3 if erp.settings.has_preferences else _GET_1_2
    row = await erp.store.row(statement, tenant_of(request), identifier(request, "customer"))
    if row is None:
        raise absent("customer")
    return answer(request, _shown(row))


ROUTES = [
    web.post("/api/customers", create),
    web.get("/api/customers", listed),
    web.get("/api/customers/{id}", get),
]
