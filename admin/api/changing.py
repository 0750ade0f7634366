"""What all changes share: who may touch what, repeated requests, and the answer."""

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import msgspec
from aiohttp import web

from admin.api.auth import require
from admin.api.messages import ChangeResult, Chosen, Laggard, NodeServed, Write
from admin.api.problems import Problem
from admin.api.route import Call, reply
from admin.routing import idempotency
from admin.routing.audit import tenants_of as tenants_of_all
from admin.routing.control import Served
from admin.routing.store import Key, Proposal, Repeated
from admin.tokens import Principal, Role
from proxy.routing.ack import WorkerStatus
from proxy.routing.change import (
    Change,
    ContractError,
    Cutover,
    Operation,
    Pin,
    Rollback,
    SetCanary,
    SetEndpoints,
)
from proxy.routing.codec import MAX_OPERATIONS, SHAPES, decode_fields
from proxy.routing.model import Endpoint, RoutingTable, Slot
from proxy.routing.values import decode_slot, decode_tenant

MAX_KEY = 200


@dataclass(frozen=True, slots=True)
class Wish:
    """A change as a resource asks for it.

    plan: the operations, made from the table that is changed. force: a slot that serves may be
    emptied. held_back: counts for the answer, from the table after the change. chosen: says for it
    which weight was chosen.
    """

    plan: Callable[[RoutingTable], tuple[Operation, ...]]
    force: bool = False
    held_back: Callable[[RoutingTable], int] | None = None
    chosen: Callable[[RoutingTable], Chosen] | None = None


async def change(call: Call, write: Write, wish: Wish) -> web.Response:
    """Make the change, wait for the workers, answer; or answer as the first time."""
    key = key_of(call)
    proposal = Proposal(
        call.action,
        call.author,
        lambda table: permitted(call.principal, wish.plan(table)),
        lambda table, made: check(table, made, call.parts.settings.endpoint_networks, wish.force),
        write.expected_version,
        key,
    )
    timeout_s = _timeout_s(call, write)
    outcome = await call.parts.control.change(proposal, call.started, timeout_s)
    if isinstance(outcome, Repeated):
        return await _repeat(call, outcome, timeout_s)
    result = result_of(outcome)
    if wish.held_back and outcome.table:
        result.held_back = wish.held_back(outcome.table)
    if wish.chosen and outcome.table:
        result.chosen = wish.chosen(outcome.table)
    call.parts.metrics.changes.labels(call.action, str(outcome.converged).lower()).inc()
    response = answer(result)
    if key and isinstance(response.body, bytes):
        database = call.parts.store.database
        await idempotency.keep(database, call.author, key, response.status, response.body)
    return response


def answer(result: ChangeResult) -> web.Response:
    """200 when all live workers serve it, 202 while some don't."""
    return reply(result, 200 if result.converged else 202)


def result_of(served: Served) -> ChangeResult:
    """The answer's form."""
    return ChangeResult(
        served.version,
        served.converged,
        list(served.acked),
        list(served.pending),
        served.refused,
        served.ack_ms,
        served.published,
        _nodes(served),
        [_laggard(status) for status in served.live if status.worker in served.pending],
    )


def _nodes(served: Served) -> dict[str, NodeServed]:
    """Who serves it, by node."""
    nodes: dict[str, NodeServed] = {}
    pending = frozenset(served.pending)
    for status in sorted(served.live, key=lambda status: status.node):
        node = nodes.setdefault(status.node, NodeServed(0, 0))
        if status.worker in pending:
            node.pending += 1
        else:
            node.acked += 1
    return nodes


def _laggard(status: WorkerStatus) -> Laggard:
    return Laggard(
        *(status.worker, status.node, status.pid, status.version, status.state, status.error)
    )


def one(name: str, **values: Any) -> Operation:
    """An operation from the values of a body or path. ContractError names the place."""
    given = {key: value for key, value in values.items() if value is not msgspec.UNSET}
    operation: Operation = decode_fields(SHAPES[name], given, "body")
    return operation


def tenant_of(call: Call) -> str:
    """The tenant that the path names. Problem 400."""
    try:
        return decode_tenant(call.names["tenant"])
    except ContractError as error:
        raise Problem("invalid-tenant", str(error)) from None


def slot_of(call: Call) -> Slot:
    """The slot that the path names. Problem 404."""
    name = call.names["slot"]
    if name not in tuple(Slot):
        raise Problem("not-found", 'the slots are "blue" and "green"')
    return Slot(name)


def slot_or_none(value: object) -> Slot | None:
    """The slot that a query names, if it does. Problem 400."""
    try:
        return None if value is None else decode_slot(value)
    except ContractError as error:
        raise Problem("invalid-query", str(error)) from None


def tenants_of(value: object) -> list[str] | None:
    """The tenants that a body names, None for "all". ContractError."""
    if value == "all":
        return None
    if not isinstance(value, list) or not 0 < len(value) <= MAX_OPERATIONS:
        raise ContractError(f'body.tenants: "all" or a list of 1 to {MAX_OPERATIONS}')
    return [decode_tenant(tenant) for tenant in value]


def permitted(
    principal: Principal | None, operations: tuple[Operation, ...]
) -> tuple[Operation, ...]:
    """The operations, if this principal may make them all. Problem 403."""
    assert principal is not None  # noqa: S101 - routes that change have a role
    if any(isinstance(operation, SetEndpoints) for operation in operations):
        require(principal, Role.ADMIN)
    if principal.tenants is None:
        return operations
    for operation in operations:
        _within(operation, principal.tenants)
    return operations


def for_all(principal: Principal | None) -> None:
    """Problem 403 if this principal is for some tenants alone: what is asked concerns all."""
    if principal is not None and principal.tenants is not None:
        raise Problem("forbidden-scope", "the token is for some tenants, this is for all")


def _within(operation: Operation, tenants: frozenset[str]) -> None:
    """Problem 403 unless the operation is about these tenants alone."""
    named = tenants_of_all([operation])
    if not named:
        raise Problem("forbidden-scope", "the token is for some tenants, this is for all")
    foreign = [tenant for tenant in named if tenant not in tenants]
    if foreign:
        raise Problem("forbidden-scope", f"the token is not for tenant {foreign[0]}")


def check(table: RoutingTable, made: Change, networks: tuple[str, ...], force: bool) -> None:
    """What the contract doesn't know: allowed networks, and that nobody is sent to an empty slot.

    table: as it would be after the change. Problem 400 or 409.
    """
    for operation in made.operations:
        if isinstance(operation, SetEndpoints):
            for endpoint in operation.endpoints if networks else ():
                _in_networks(endpoint, networks)
            if not table.endpoints[operation.slot] and serves(table, operation.slot) and not force:
                raise Problem("slot-in-use", f"{operation.slot} serves requests; force empties it")
        target = led_to(table, operation)
        if target and not table.endpoints[target] and table.endpoints[target.other]:
            raise Problem(
                "slot-empty", f"{target} has no endpoint to send requests to: set them first"
            )


def led_to(table: RoutingTable, operation: Operation) -> Slot | None:
    """The slot that an operation sends requests to, if it does. table: after the change."""
    match operation:
        case Pin(_, slot):
            return slot
        case Cutover() | Rollback():
            return table.active
        case SetCanary(basis_points) if basis_points:
            return table.standby
    return None


def serves(table: RoutingTable, slot: Slot) -> bool:
    """Whether somebody is routed to the slot, by active, canary or pin."""
    in_canary = slot is table.standby and table.canary.basis_points > 0
    return slot is table.active or in_canary or slot in table.pins.values()


def _in_networks(endpoint: Endpoint, networks: tuple[str, ...]) -> None:
    try:
        address = ipaddress.ip_address(endpoint.host)
    except ValueError:
        raise Problem("invalid-change", f"{endpoint}: only addresses are allowed here") from None
    if not any(address in ipaddress.ip_network(network) for network in networks):
        raise Problem("invalid-change", f"{endpoint} lies outside endpoint_networks")


def _timeout_s(call: Call, write: Write) -> float:
    timeout_ms = write.timeout_ms
    return (call.parts.settings.ack_timeout_ms if timeout_ms is None else timeout_ms) / 1000


def key_of(call: Call) -> Key | None:
    """The request's idempotency key, None without one. Problem 400."""
    keys = call.keys
    if not keys:
        return None
    if len(keys) > 1 or not 0 < len(keys[0]) <= MAX_KEY or not _is_printable(keys[0]):
        raise Problem(
            "invalid-idempotency-key", f"one key of 1 to {MAX_KEY} printable ASCII characters"
        )
    head = f"{call.request.method} {call.request.path_qs}\n".encode("utf-8", "surrogateescape")
    return Key(keys[0], sha256(head + call.raw).digest())


def _is_printable(key: str) -> bool:
    return key.isascii() and key.isprintable()


async def _repeat(call: Call, repeated: Repeated, timeout_s: float) -> web.Response:
    """The answer of the first time; if none was kept, how things stand now."""
    if repeated.status is not None and repeated.body is not None:
        response = web.Response(
            status=repeated.status, body=repeated.body, content_type="application/json"
        )
    else:
        served = await call.parts.control.served(repeated.version, timeout_s)
        response = answer(result_of(served))
    response.headers["Idempotency-Replayed"] = "true"
    return response
