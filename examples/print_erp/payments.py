"""/api/orders/{id}/payments: a payment happens once per Idempotency-Key, whatever is retried.

The key is unique in the database, so of any number of requests, in both slots, one inserts and the
others wait for it, find its row, and give its stored answer byte for byte. A request that was
rolled back has left no row, so the next one pays.
"""

import re
from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

import msgspec
from aiohttp import web

from examples.print_erp.answers import PAGE_MAX, answer, body_as, identifier
from examples.print_erp.context import erp_of, tenant_of
from examples.print_erp.problems import Problem, absent, invalid
from examples.print_erp.store import new_id

# ON CONFLICT DO NOTHING waits for the other insert to commit or roll back before it decides.
_PAY = """
INSERT INTO payments
    (tenant_id, id, order_id, idempotency_key, amount_cents, currency, slot, answer, created_at)
SELECT $1, $3, orders.id, $4, $5, $6, $7, $8, $9 FROM orders
WHERE orders.tenant_id = $1 AND orders.id = $2
ON CONFLICT (tenant_id, idempotency_key) DO NOTHING
"""
_FIRST = """
SELECT order_id, amount_cents, currency, answer FROM payments
WHERE tenant_id = $1 AND idempotency_key = $2
"""
_LIST = """
SELECT id, order_id, amount_cents, currency, slot, created_at FROM payments
WHERE tenant_id = $1 AND order_id = $2 ORDER BY id LIMIT $3
"""
_ORDER = "SELECT id FROM orders WHERE tenant_id = $1 AND id = $2"
_KEY = re.compile(r"[\x21-\x7e]{1,200}")


class NewPayment(msgspec.Struct):
    """What a client gives. amount_cents: in the currency's hundredth."""

    amount_cents: Annotated[int, msgspec.Meta(ge=1, le=10**12)]
    currency: Annotated[str, msgspec.Meta(pattern="^[A-Z]{3}$")]


def _key(request: web.Request) -> str:
    given = request.headers.getall("Idempotency-Key", [])
    if len(given) != 1 or not _KEY.fullmatch(given[0]):
        raise invalid("Idempotency-Key is required, once: 1..200 printable characters, no space")
    return given[0]


def _first_answer(
    request: web.Request, order: UUID, payment: NewPayment
) -> tuple[UUID, datetime, bytes]:
    identity, now = new_id(), datetime.now(UTC)
    document = {
        "id": identity,
        "order_id": order,
        "amount_cents": payment.amount_cents,
        "currency": payment.currency,
        "created_at": now,
        "served_by": erp_of(request).settings.served_by,
    }
    return identity, now, msgspec.json.encode(document)


def _paid(body: bytes, *, replayed: bool) -> web.Response:
    headers = {"Idempotency-Replayed": "true"} if replayed else {}
    return web.Response(body=body, status=201, headers=headers, content_type="application/json")


async def pay(request: web.Request) -> web.Response:
    """201 and the payment; the same answer again for the same key; 422 for another request."""
    store, tenant, key = erp_of(request).store, tenant_of(request), _key(request)
    order = identifier(request, "order")
    given = await body_as(request, NewPayment)
    identity, now, body = _first_answer(request, order, given)
    slot = erp_of(request).settings.slot
    values = (given.amount_cents, given.currency, slot, body.decode(), now)
    if await store.run(_PAY, tenant, order, identity, key, *values):
        return _paid(body, replayed=False)
    first = await store.row(_FIRST, tenant, key)
    if first is None:
        raise absent("order")
    asked = (order, given.amount_cents, given.currency)
    if (first["order_id"], first["amount_cents"], first["currency"]) != asked:
        raise Problem(422, "key-reused", "this Idempotency-Key was used for another payment")
    return _paid(first["answer"].encode(), replayed=True)


async def listed(request: web.Request) -> web.Response:
    """The first PAGE_MAX payments of an order, oldest first."""
    store, values = erp_of(request).store, (tenant_of(request), identifier(request, "order"))
    if await store.row(_ORDER, *values) is None:
        raise absent("order")
    rows = await store.rows(_LIST, *values, PAGE_MAX)
    return answer(request, {"items": [dict(row) for row in rows]})


ROUTES = [
    web.post("/api/orders/{id}/payments", pay),
    web.get("/api/orders/{id}/payments", listed),
]
