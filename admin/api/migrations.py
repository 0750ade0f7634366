"""Migrations: planned, run, paused, resumed, cancelled, retried, looked at."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import msgspec
from aiohttp import web

from admin.api.changing import tenants_of
from admin.api.messages import Given
from admin.api.migration_messages import (
    JobItem,
    JobPage,
    JobsQuery,
    MigrationEvent,
    MigrationEvents,
    MigrationHistoryQuery,
    PlanBody,
    PlanItem,
    PlanPage,
    PlanReport,
    PlansQuery,
    TargetItem,
    TargetPage,
    TargetsQuery,
)
from admin.api.problems import Problem
from admin.api.route import Call, Route, reply
from admin.migrations.catalogue.model import CatalogueError
from admin.migrations.ledger import plans, reports
from admin.migrations.plan import PlanFault, Wish
from admin.migrations.states import NotNowError, PlanEvent
from admin.migrations.targets import TargetFault
from admin.tokens import Role

_PLANS = "/v1/migrations/plans"
_PLAN = f"{_PLANS}/{{plan}}"
NEWEST = 2**63 - 1
SHOWN = 50
"""Faults that a refusal lists."""
Item = TypeVar("Item", bound=msgspec.Struct)


async def make(call: Call, given: PlanBody) -> web.StreamResponse:
    """Write a plan down, and begin if that is asked for."""
    _permitted(call)
    wish = _wish(given)
    try:
        name, _, estimate = await call.parts.migrations.plan(wish, call.author)
    except CatalogueError as error:
        raise _refused("catalogue-refused", [str(fault) for fault in error.faults]) from None
    except PlanFault as error:
        raise _refused("plan-refused", error.faults) from None
    except TargetFault as error:
        raise Problem("plan-refused", str(error)) from None
    if given.run:
        await _say(call, name, PlanEvent.RUN)
    found = await _found(call, name)
    found |= {"estimate_s": estimate.seconds, "unknown": estimate.unknown}
    return reply(_as(PlanReport, found), 201, {"Location": f"{_PLANS}/{name}"})


async def read(call: Call, _: Given) -> web.StreamResponse:
    """One plan, and how it is getting on."""
    return reply(_as(PlanReport, await _found(call, call.request.match_info["plan"])))


async def read_all(call: Call, given: PlansQuery) -> web.StreamResponse:
    """Plans, newest first."""
    async with call.parts.migrations.database.connection() as connection:
        rows = await reports.plans(connection, None, given.cursor or NEWEST, given.limit + 1)
    items = [_as(PlanItem, _named(row)) for row in rows[: given.limit]]
    return reply(PlanPage(items, items[-1].number if len(rows) > given.limit else None))


async def read_jobs(call: Call, given: JobsQuery) -> web.StreamResponse:
    """A plan's jobs."""
    plan = call.request.match_info["plan"]
    await _found(call, plan)
    async with call.parts.migrations.database.connection() as connection:
        rows = await reports.jobs(connection, plan, given.state, given.cursor, given.limit + 1)
    items = [_as(JobItem, row) for row in rows[: given.limit]]
    return reply(JobPage(items, items[-1].id if len(rows) > given.limit else None))


async def read_history(call: Call, given: MigrationHistoryQuery) -> web.StreamResponse:
    """What has happened."""
    async with call.parts.migrations.database.connection() as connection:
        rows = await reports.history(
            connection, given.plan, given.target, given.cursor or NEWEST, given.limit + 1
        )
    items = [_as(MigrationEvent, row) for row in rows[: given.limit]]
    return reply(MigrationEvents(items, items[-1].id if len(rows) > given.limit else None))


async def read_targets(call: Call, given: TargetsQuery) -> web.StreamResponse:
    """What there is to migrate, and what each has."""
    async with call.parts.migrations.database.connection() as connection:
        rows = await reports.targets(connection, given.cursor, given.limit + 1)
    items = [_as(TargetItem, row) for row in rows[: given.limit]]
    return reply(TargetPage(items, items[-1].name if len(rows) > given.limit else None))


def _command(event: PlanEvent) -> Callable[[Call, Given], Awaitable[web.StreamResponse]]:
    """The handler of an operator's word."""

    async def handle(call: Call, _: Given) -> web.StreamResponse:
        _permitted(call)
        plan = call.request.match_info["plan"]
        await _say(call, plan, event)
        return reply(_as(PlanReport, await _found(call, plan)))

    return handle


async def _say(call: Call, plan: str, event: PlanEvent) -> None:
    async with call.parts.migrations.database.connection() as connection:
        try:
            is_there = await plans.command(connection, plan, event, call.author)
        except NotNowError as error:
            raise Problem("plan-state", str(error)) from None
    if not is_there:
        raise Problem("not-found", "there is no such plan")


async def _found(call: Call, plan: str) -> dict[str, Any]:
    async with call.parts.migrations.database.connection() as connection:
        rows = await reports.plans(connection, plan, NEWEST, 1)
        if not rows:
            raise Problem("not-found", "there is no such plan")
        return _named(await reports.whole(connection, rows[0]))


def _permitted(call: Call) -> None:
    """A token that may move some tenants alone may migrate none: a plan is about all of them."""
    if call.principal is not None and call.principal.tenants is not None:
        raise Problem("forbidden-scope", "migrations are for tokens without a list of tenants")


def _wish(given: PlanBody) -> Wish:
    shares = tuple(round(share * 100) for share in given.shares)
    if any(low >= high for low, high in zip((0, *shares), shares, strict=False)):
        raise Problem("invalid-change", "body.shares: above 0, and each above the one before")
    tenants = tenants_of(given.tenants)
    return Wish(
        to=given.to.removeprefix("v") if given.to else None,
        phases=tuple(given.phases),
        tenants=None if tenants is None else frozenset(tenants),
        pilots=frozenset(given.pilots),
        shares=shares,
        failure_budget=given.failure_budget,
        priority=given.priority,
    )


def _refused(code: str, faults: Any) -> Problem:
    listed = list(faults)
    more = f" (and {len(listed) - 1} more)" if len(listed) > 1 else ""
    return Problem(code, f"{listed[0]}{more}", extra={"errors": listed[:SHOWN]})


def _named(row: dict[str, Any]) -> dict[str, Any]:
    """A plan's row by the names that the API has."""
    return {**row, "to": row["to_version"], "actor": row["begun_by"]}


def _as(of: type[Item], row: dict[str, Any]) -> Item:
    return msgspec.convert(row, of)


_SUMMARIES = {
    PlanEvent.RUN: "Begin a plan",
    PlanEvent.PAUSE: "Have a plan wait; what runs ends first",
    PlanEvent.RESUME: "Let a plan go on; what has failed until now no longer counts",
    PlanEvent.CANCEL: "End a plan; what is applied stays",
    PlanEvent.RETRY: "Try again what has failed of a plan",
}
ROUTES = (
    Route("GET", _PLANS, read_all, "Plans of migrations, newest first", PlanPage, PlansQuery),
    Route(
        *("POST", _PLANS, make, "Plan migrations", PlanReport, PlanBody),
        *(Role.OPERATOR, "migration-plan"),
    ),
    Route("GET", _PLAN, read, "A plan, and how it is getting on", PlanReport),
    Route("GET", f"{_PLAN}/jobs", read_jobs, "A plan's jobs", JobPage, JobsQuery),
    *(
        Route(
            "POST",
            f"{_PLAN}/{event}",
            _command(event),
            summary,
            PlanReport,
            role=Role.OPERATOR,
            action=f"migration-{event}",
        )
        for event, summary in _SUMMARIES.items()
    ),
    Route(
        *("GET", "/v1/migrations/history", read_history, "What has happened, newest first"),
        *(MigrationEvents, MigrationHistoryQuery),
    ),
    Route(
        *("GET", "/v1/migrations/targets", read_targets, "What there is to migrate"),
        *(TargetPage, TargetsQuery),
    ),
)
