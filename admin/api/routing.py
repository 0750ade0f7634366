"""The table as a whole: read it, change it, ask for a change's acks."""

import msgspec
from aiohttp import web

from admin.api.changing import Wish, answer, change, result_of
from admin.api.messages import (
    ChangeResult,
    ChangesBody,
    Given,
    TableState,
    WaitQuery,
)
from admin.api.problems import Problem
from admin.api.route import Call, Route, reply
from admin.api.switches import fenced
from admin.routing.audit import tenants_of
from admin.tokens import Role
from proxy.routing.codec import decode_operations, table_document
from proxy.routing.model import RoutingTable


async def read(call: Call, _: Given) -> web.StreamResponse:
    """The table."""
    table = await call.parts.store.current()
    fleet = call.parts.control.fleet
    is_known = bool(fleet.reachable) and fleet.published >= 0
    converged = is_known and fleet.is_converged(table.version)
    pending = list(fleet.convergence(table.version).pending)
    published = fleet.published if is_known else None
    return reply(_state(table, published, converged, pending))


async def write(call: Call, given: ChangesBody) -> web.StreamResponse:
    """Operations, applied as one."""
    operations = decode_operations(given.operations)
    if given.mode == "fenced":
        return await fenced(call, given, lambda _: operations, tenants_of(operations) or None)
    return await change(call, given, Wish(lambda _: operations))


async def made(call: Call, given: WaitQuery) -> web.StreamResponse:
    """Who serves a change."""
    text = call.names["version"]
    table = await call.parts.store.current()
    if not text.isascii() or not text.isdigit() or len(text) > 16 or int(text) > table.version:
        raise Problem("not-found", f"the table is at version {table.version}")
    served = await call.parts.control.served(int(text), given.timeout_ms / 1000)
    result: ChangeResult = result_of(served)
    return answer(result)


def _state(
    table: RoutingTable, published: int | None, converged: bool, pending: list[str]
) -> TableState:
    known = {"published_version": published, "converged": converged, "pending": pending}
    return msgspec.convert(table_document(table) | known, TableState)


ROUTES = (
    Route("GET", "/v1/routing", read, "The table, and who serves it", TableState),
    Route(
        "POST",
        "/v1/routing/changes",
        write,
        "Change the table: many operations, one version",
        ChangeResult,
        ChangesBody,
        Role.OPERATOR,
        "change",
    ),
    Route(
        "GET",
        "/v1/routing/changes/{version}",
        made,
        "Who serves a change; waits if asked to",
        ChangeResult,
        WaitQuery,
    ),
)
