"""Fenced switches: asked for by a cutover or rollback with mode "fenced"; looked up; cancelled."""

from collections.abc import Callable
from datetime import datetime

from aiohttp import web

from admin.api.changing import check, key_of, permitted, result_of
from admin.api.messages import (
    Fenced,
    Given,
    StepBody,
    SwitchesPage,
    SwitchesQuery,
    SwitchResult,
    SwitchState,
    Write,
)
from admin.api.problems import Problem
from admin.api.route import Call, Route, reply
from admin.hooks.webhook import lies_under
from admin.routing.database import DatabaseUnavailableError
from admin.switches import store
from admin.switches.controller import TooManyError, name_by_key, name_of_new
from admin.switches.model import State, Step, Switch
from admin.switches.store import Record
from admin.tokens import Role
from proxy.routing.change import Change, Operation, apply
from proxy.routing.model import RoutingTable

_NOT_WAITED_S = 1.0
"""Past a switch's own limit: what its undoing, or another admin's taking over, takes."""


async def fenced(
    call: Call,
    given: Fenced,
    plan: Callable[[RoutingTable], tuple[Operation, ...]],
    tenants: list[str] | None,
) -> web.StreamResponse:
    """Carry a fenced switch through and answer with what became of it.

    plan: what it does to the routing. tenants: who is held; None: all.
    """
    parts, settings = call.parts, call.parts.settings
    key = key_of(call)
    name = name_of_new() if key is None else name_by_key(call.author.actor, key)
    if key is not None and await parts.switches.record(name) is not None:
        return await _repeat(call, name)
    table = await parts.store.current()
    operations = permitted(call.principal, plan(table))
    _expect(given, table)
    limit_ms = settings.switch_timeout_ms if given.timeout_ms is None else given.timeout_ms
    switch = Switch(
        name,
        operations,
        None if tenants is None else frozenset(tenants),
        step=_step(given.step, call),
        limit_s=limit_ms / 1000,
        per_second=settings.switch_close_per_s,
        accept_lost=given.accept_lost,
    )
    await _foresee(call, switch, table)
    try:
        is_new = await parts.switches.begin(switch, call.action, call.author, key)
    except TooManyError as error:
        raise Problem("too-many-switches", str(error)) from None
    if not is_new:
        return await _repeat(call, name)
    return await _answer(call, await _ended(call, name, switch.limit_s))


async def _repeat(call: Call, name: str) -> web.StreamResponse:
    """The request was seen before, with this key: what became of its switch."""
    limit_s = call.parts.settings.switch_timeout_ms / 1000
    response = await _answer(call, await _ended(call, name, limit_s))
    response.headers["Idempotency-Replayed"] = "true"
    return response


async def _ended(call: Call, name: str, limit_s: float) -> Record:
    """The switch once it has ended, or as it stands a little after its limit. Problem."""
    try:
        record = await call.parts.switches.ended(name, limit_s + _NOT_WAITED_S)
    except DatabaseUnavailableError:
        raise Problem(
            "outcome-unknown",
            f"the switch {name} was begun, and PostgreSQL went away: ask for it later",
            extra={"switch": name},
        ) from None
    if record is None:
        raise Problem("internal", "the switch is gone")
    return record


async def _answer(call: Call, record: Record) -> web.StreamResponse:
    switch = record.switch
    if switch.state is State.UNDONE:
        raise Problem("switch-undone", switch.reason, extra={"switch": switch.name})
    version = switch.committed
    if switch.state is not State.DONE or version is None:
        return reply(SwitchResult(_state(record)), 202, {"Location": f"/v1/switches/{switch.name}"})
    timeout_s = call.parts.settings.ack_timeout_ms / 1000
    served = await call.parts.control.served(version, timeout_s)
    result = SwitchResult(_state(record), result_of(served))
    return reply(result, 200 if served.converged else 202)


async def listing(call: Call, given: SwitchesQuery) -> web.StreamResponse:
    """Switches, newest first."""
    before = (store.LAST, "")
    if given.before:
        found = await call.parts.switches.record(given.before)
        if found is None:
            raise Problem("invalid-query", "before: there is no such switch")
        before = (found.row["begun_at"], given.before)
    async with call.parts.store.database.connection() as connection:
        records = await store.page(connection, before, given.limit)
    following = records[-1].switch.name if len(records) == given.limit else None
    return reply(SwitchesPage([_state(record) for record in records], following))


async def read(call: Call, _: Given) -> web.StreamResponse:
    """How a switch stands."""
    return reply(_state(await _found(call)))


async def cancel(call: Call, _: Write) -> web.StreamResponse:
    """Have a switch undone."""
    record = await _found(call)
    permitted(call.principal, record.switch.hold())
    if not await call.parts.switches.cancel(record.switch.name, call.author.actor):
        record = await _found(call)
        raise Problem("switch-ended", f"the switch is {record.switch.state}: too late to undo it")
    ended = await call.parts.switches.ended(record.switch.name, _NOT_WAITED_S)
    return reply(_state(ended or record), 202)


async def _found(call: Call) -> Record:
    record = await call.parts.switches.record(call.names["switch"])
    if record is None:
        raise Problem("not-found", "there is no such switch")
    return record


def _expect(given: Fenced, table: RoutingTable) -> None:
    if given.expected_version not in {None, table.version}:
        raise Problem("version-conflict", f"the table is at version {table.version}")


async def _foresee(call: Call, switch: Switch, table: RoutingTable) -> None:
    """Refuse now what could only be undone later. Problem."""
    silent = call.parts.control.fleet.silent
    if silent and not switch.accept_lost:
        names = ", ".join(sorted(status.worker for status in silent))
        raise Problem(
            "worker-lost",
            f"{names} fell silent and may still serve; wait until it returns or is forgotten, or "
            "set accept_lost",
        )
    if table.hold_all or any(table.held_by(tenant) for tenant in switch.tenants or ()):
        raise Problem("switch-running", "another switch holds these tenants")
    if switch.tenants is None and table.holds:
        raise Problem("switch-running", "another switch holds some tenants")
    made = Change(table.version + 1, switch.operations)
    check(table, made, call.parts.settings.endpoint_networks, False)
    await call.parts.guard.check(table, apply(table, made))


def _step(body: StepBody | None, call: Call) -> Step | None:
    """The step that the body names. Problem 400 for one that the settings don't allow."""
    if body is None:
        return None
    settings = call.parts.settings
    if body.command is not None:
        if body.command not in settings.steps:
            known = ", ".join(sorted(settings.steps)) or "none"
            raise Problem("invalid-change", f"body.step.command: one of admin.steps ({known})")
        return Step("command", body.command)
    url = body.webhook or ""
    if not lies_under(url, settings.step_urls):
        raise Problem("invalid-change", "body.step.webhook: lies under none of admin.step_urls")
    return Step("webhook", url)


def _state(record: Record) -> SwitchState:
    row, switch = record.row, record.switch

    def ms(begin: str, end: str) -> float | None:
        first, last = row[begin], row[end]
        return None if first is None or last is None else (last - first).total_seconds() * 1000

    def at(name: str) -> str | None:
        moment: datetime | None = row[name]
        return None if moment is None else moment.isoformat()

    return SwitchState(
        switch.name,
        str(switch.state),
        row["action"],
        None if switch.tenants is None else sorted(switch.tenants),
        switch.reason,
        row["actor"],
        None if switch.step is None else switch.step.kind,
        switch.held,
        switch.committed,
        at("begun_at"),
        at("ended_at"),
        ms("held_at", "drained_at"),
        ms("drained_at", "stepped_at"),
        ms("held_at", "ended_at"),
    )


ROUTES = (
    Route("GET", "/v1/switches", listing, "Fenced switches", SwitchesPage, SwitchesQuery),
    Route("GET", "/v1/switches/{switch}", read, "How a fenced switch stands", SwitchState),
    Route(
        "POST",
        "/v1/switches/{switch}/cancel",
        cancel,
        "Undo a fenced switch",
        SwitchState,
        Write,
        Role.OPERATOR,
        "switch-cancel",
    ),
)
