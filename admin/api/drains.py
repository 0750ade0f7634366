"""Drains of a slot: begun, looked at, stopped."""

from datetime import datetime

from aiohttp import web

from admin.api import census
from admin.api.changing import permitted, slot_of, tenants_of
from admin.api.messages import DrainBody, DrainReport, Given
from admin.api.problems import Problem
from admin.api.route import Call, Route, reply
from admin.drains.controller import RunningError, name_of_new
from admin.drains.model import Drain
from admin.drains.store import Record
from admin.hooks.webhook import lies_under
from admin.tokens import Role
from proxy.routing.decision import routed
from proxy.routing.model import RoutingTable, Slot


async def begin(call: Call, given: DrainBody) -> web.StreamResponse:
    """Begin to drain the slot. Answers before anything has ended: look at it, or follow the events."""
    settings, slot = call.parts.settings, slot_of(call)
    tenants = tenants_of(given.tenants)
    if given.webhook is not None and not lies_under(given.webhook, settings.step_urls):
        raise Problem("invalid-change", "body.webhook: lies under none of admin.step_urls")
    drain = Drain(
        name_of_new(),
        slot,
        None if tenants is None else frozenset(tenants),
        given.per_second,
        settings.drain_limit_s if given.limit_s is None else given.limit_s,
        given.webhook,
        tenant_per_second=given.tenant_per_second or 0.0,
    )
    permitted(call.principal, drain.begin())
    _foresee(slot, tenants or [], await call.parts.store.current())
    try:
        await call.parts.drains.begin(drain, call.author)
    except RunningError:
        raise Problem("drain-running", f"another drain of {slot} runs: wait, or stop it") from None
    report = await _report(call, await _found(call))
    return reply(report, 202, {"Location": call.request.path})


async def read(call: Call, _: Given) -> web.StreamResponse:
    """The slot's drain, and what is left."""
    return reply(await _report(call, await _found(call)))


async def stop(call: Call, _: Given) -> web.StreamResponse:
    """Stop the slot's drain: what is left stays."""
    record = await _found(call)
    permitted(call.principal, record.drain.begin())
    if not await call.parts.drains.stop(record.drain.name, call.author.actor):
        raise Problem("drain-ended", f"the drain is {record.drain.state}: too late to stop it")
    return reply(await _report(call, await _found(call)), 202)


async def _found(call: Call) -> Record:
    record = await call.parts.drains.latest(slot_of(call))
    if record is None:
        raise Problem("not-found", "the slot was never drained")
    return record


def _foresee(slot: Slot, tenants: list[str], table: RoutingTable) -> None:
    """Refuse what would never end: who is sent to the slot comes back at once. Problem."""
    staying = [tenant for tenant in tenants if routed(table, tenant).slot is slot]
    if staying:
        raise Problem("still-routed", f"{staying[0]} still goes to {slot}: move it first")


async def _report(call: Call, record: Record) -> DrainReport:
    row, drain = record.row, record.drain
    left = call.parts.drains.left(drain)

    def at(name: str) -> str | None:
        moment: datetime | None = row[name]
        return None if moment is None else moment.isoformat()

    return DrainReport(
        drain.name,
        str(drain.slot),
        str(drain.state),
        None if drain.tenants is None else sorted(drain.tenants),
        drain.per_second,
        drain.tenant_per_second or None,
        drain.limit_s,
        drain.outcome,
        row["note"],
        row["actor"],
        row["stopped_by"],
        drain.version,
        at("begun_at"),
        at("hurried_at"),
        at("ended_at"),
        None if left is None else left.total,
        {} if left is None else left.counts,
        {} if left is None else dict(left.kinds),
        {} if left is None else dict(left.tenants),
        0 if left is None else left.others,
        [] if left is None else list(left.unknown),
        await census.of_drain(call, drain.name),
    )


_PATH = "/v1/slots/{slot}/drain"
ROUTES = (
    Route("GET", _PATH, read, "A slot's drain, and what is left", DrainReport),
    Route("POST", _PATH, begin, "Drain a slot", DrainReport, DrainBody, Role.OPERATOR, "drain"),
    Route("DELETE", _PATH, stop, "Stop a drain", DrainReport, Given, Role.OPERATOR, "drain-stop"),
)
