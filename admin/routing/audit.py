"""The audit trail: who changed what, from what to what, and what was refused.

Rule: rows are only added (the database refuses anything else). A committed change's row is part
of its transaction, so there is no change without one.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from admin.routing.database import Connection
from proxy.routing.change import (
    EndAffinitiesOf,
    Forget,
    Hold,
    Operation,
    Pin,
    Register,
    SetDrain,
    Unpin,
)
from proxy.routing.codec import table_document
from proxy.routing.model import RoutingTable

SYSTEM = "system"
REPUBLISH = "republish"
SHOWN_TENANTS = 100
"""Tenants of one row that a listing shows; the row itself holds all."""

_REFUSED = """
INSERT INTO turnout.audit (actor, role, action, tenants, version, outcome, code, request_id)
VALUES ($1, $2, $3, $4, NULL, 'refused', $5, $6)
"""
_PAGE = """
SELECT id, at, actor, role, action, from_state, to_state, tenants[1:$6] AS tenants,
       cardinality(tenants) AS tenants_total, version, outcome, code, request_id
  FROM turnout.audit
 WHERE id < $1
   AND ($2::text IS NULL OR actor = $2)
   AND ($3::text IS NULL OR action = $3)
   AND ($4::text IS NULL OR tenants @> ARRAY[$4::text])
 ORDER BY id DESC
 LIMIT $5
"""
_SINCE = """
SELECT version, action, actor FROM turnout.audit
 WHERE outcome = 'committed' AND version > $1 ORDER BY version LIMIT 1000
"""


@dataclass(frozen=True, slots=True)
class Author:
    """Who asks for a change, in which role, by which request."""

    actor: str
    role: str
    request_id: str


@dataclass(frozen=True, slots=True)
class Filter:
    """Which rows are wanted; None: all."""

    actor: str | None = None
    action: str | None = None
    tenant: str | None = None


def tenants_of(operations: Iterable[Operation]) -> list[str]:
    """The tenants that the operations name, sorted."""
    named: set[str] = set()
    for operation in operations:
        match operation:
            case Pin(tenant) | Unpin(tenant) | Register(tenant) | Forget(tenant):
                named.add(tenant)
            case Hold(_, tenants) | SetDrain(tenants=tenants) | EndAffinitiesOf(tenants) if tenants:
                named |= tenants
    return sorted(named)


def difference(
    before: RoutingTable, after: RoutingTable, tenants: Iterable[str]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the change turned into what: the fields that differ, and of pins those that differ."""
    old, new = _head(before), _head(after)
    changed = [name for name in old if old[name] != new[name]]
    was = {name: old[name] for name in changed}
    became = {name: new[name] for name in changed}
    moved = [tenant for tenant in tenants if before.pins.get(tenant) != after.pins.get(tenant)]
    if moved:
        was["pins"] = {tenant: before.pins.get(tenant) for tenant in moved}
        became["pins"] = {tenant: after.pins.get(tenant) for tenant in moved}
    named = [
        tenant for tenant in tenants if (tenant in before.tenants) != (tenant in after.tenants)
    ]
    if named:
        was["registered"] = {tenant: tenant in before.tenants for tenant in named}
        became["registered"] = {tenant: tenant in after.tenants for tenant in named}
    held = [tenant for tenant in tenants if before.holds.get(tenant) != after.holds.get(tenant)]
    if held:
        was["holds"] = {tenant: before.holds.get(tenant) for tenant in held}
        became["holds"] = {tenant: after.holds.get(tenant) for tenant in held}
    return was, became


def _head(table: RoutingTable) -> dict[str, Any]:
    # The version and the rest of the head are small; these are compared one by one.
    head = replace(table, pins={}, tenants=frozenset(), holds={}, tenant_affinities_since={})
    document = table_document(head)
    for name in ("pins", "tenants", "holds", "tenant_affinities_since"):
        del document[name]
    return document


async def refused(
    connection: Connection, author: Author, action: str, tenants: list[str], code: str
) -> None:
    """Write down that somebody known asked for something and was refused."""
    await connection.execute(
        _REFUSED, author.actor, author.role, action, tenants, code, author.request_id
    )


async def page(
    connection: Connection, wanted: Filter, before: int, limit: int
) -> list[dict[str, Any]]:
    """Rows, newest first. before: only those with a smaller id."""
    rows = await connection.fetch(
        _PAGE, before, wanted.actor, wanted.action, wanted.tenant, limit, SHOWN_TENANTS
    )
    return [_row(dict(row)) for row in rows]


async def since(connection: Connection, version: int) -> list[tuple[int, str, str]]:
    """(version, action, actor) of the changes after this version, oldest first."""
    rows = await connection.fetch(_SINCE, version)
    return [(row["version"], row["action"], row["actor"]) for row in rows]


def _row(row: dict[str, Any]) -> dict[str, Any]:
    row["from"], row["to"] = _state(row.pop("from_state")), _state(row.pop("to_state"))
    row["at"] = row["at"].isoformat()
    return row


def _state(text: str | None) -> Any:
    """A row's state, with no more of its maps by tenant than a listing shows."""
    if text is None:
        return None
    state = json.loads(text)
    for name in ("pins", "registered", "holds"):
        if name in state:
            state[name] = dict(list(state[name].items())[:SHOWN_TENANTS])
    return state
