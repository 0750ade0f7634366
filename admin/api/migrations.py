"""Migrations: plan them, run them, and look how they stand."""

from collections.abc import Awaitable, Callable
from hashlib import sha256
from typing import Any

from aiohttp import web

from admin.api.changing import key_of
from admin.api.messages import Given
from admin.api.migration_messages import (
    BringBackBody,
    FailedJob,
    MigrationHistoryItem,
    MigrationHistoryPage,
    MigrationHistoryQuery,
    PlanBody,
    PlanItem,
    PlansPage,
    PlansQuery,
    PlanState,
    RetireBody,
    RunsFile,
    TargetItem,
    TargetsPage,
    TargetsQuery,
    WaveState,
)
from admin.api.problems import Problem
from admin.api.route import Call, Handler, Route, reply
from admin.migrations.catalogue.model import CatalogueError
from admin.migrations.ledger import reading, retired
from admin.migrations.ledger.plans import command
from admin.migrations.plan import PlanFault, Wish
from admin.migrations.planning import Prepared, keep, know_targets, prepare
from admin.migrations.states import JobState, NotNowError, PlanEvent
from admin.migrations.targets import TargetFault
from admin.migrations.waves import SHARES
from admin.routing.audit import Author
from admin.routing.database import Connection
from admin.tokens import Role

MAX_FAILED = 20
_NEWEST = 2**53
_LEFT = (JobState.QUEUED, JobState.RUNNING)


async def make(call: Call, given: PlanBody) -> web.StreamResponse:
    """Make a plan, or only try it."""
    _permitted(call)
    parts, name = call.parts, _name_by_key(call)
    if name and await _exists(call, name):
        return reply(await _state(call, name))
    try:
        prepared = await prepare(parts.store.database, parts.migrations, _wish(given))
    except CatalogueError as error:
        faults = [str(fault) for fault in error.faults]
        raise Problem("migrations-unreadable", faults[0], extra={"faults": faults}) from None
    except (PlanFault, TargetFault) as error:
        faults = list(getattr(error, "faults", [str(error)]))
        raise Problem("plan-refused", "; ".join(faults), extra={"faults": faults}) from None
    if given.dry_run:
        return reply(_drafted(prepared))
    try:
        name = await keep(parts.store.database, prepared, call.author, name)
    except TargetFault as error:
        raise Problem("plan-refused", str(error), extra={"faults": [str(error)]}) from None
    if given.run:
        await _command(call, name, PlanEvent.RUN)
    state = await _state(call, name)
    state.estimate_s = prepared.estimate.seconds
    return reply(state, 201)


async def read(call: Call, _: Given) -> web.StreamResponse:
    """How a plan stands."""
    return reply(await _state(call, call.names["plan"]))


async def list_plans(call: Call, given: PlansQuery) -> web.StreamResponse:
    """Plans, newest first."""
    async with call.parts.store.database.connection() as connection:
        rows = await reading.plans(connection, given.cursor or _NEWEST, given.limit + 1)
    items = [PlanItem(**row) for row in rows[: given.limit]]
    return reply(PlansPage(items, items[-1].number if len(rows) > given.limit else None))


async def history(call: Call, given: MigrationHistoryQuery) -> web.StreamResponse:
    """What was done, newest first."""
    async with call.parts.store.database.connection() as connection:
        rows = await reading.history(
            connection, given.cursor or _NEWEST, given.plan, given.target, given.limit + 1
        )
    items = [MigrationHistoryItem(**row) for row in rows[: given.limit]]
    return reply(MigrationHistoryPage(items, items[-1].id if len(rows) > given.limit else None))


async def targets(call: Call, given: TargetsQuery) -> web.StreamResponse:
    """The schemas to migrate, and what each has."""
    database = call.parts.store.database
    # Those who turn pages would have the settings and the whole registry looked at for each.
    if call.parts.migrations.servers and not given.cursor:
        try:
            await know_targets(database, call.parts.migrations)
        except TargetFault as error:
            raise Problem("plan-refused", str(error)) from None
    async with database.connection() as connection:
        rows = await reading.known_targets(connection, given.cursor, given.tenant, given.limit + 1)
    items = [TargetItem(**row) for row in rows[: given.limit]]
    return reply(TargetsPage(items, items[-1].name if len(rows) > given.limit else None))


async def retire(call: Call, given: RetireBody) -> web.StreamResponse:
    """A target is gone, and counts no more."""
    return await _target_word(call, retired.retire, given.note)


async def bring_back(call: Call, given: BringBackBody) -> web.StreamResponse:
    """It is there again."""
    return await _target_word(call, retired.bring_back, given.note)


async def _target_word(
    call: Call, word: Callable[[Connection, str, str, Author], Awaitable[bool]], note: str
) -> web.StreamResponse:
    _permitted(call)
    name = call.names["target"]
    try:
        async with call.parts.store.database.connection() as connection:
            known = await word(connection, name, note, call.author)
            row = await reading.known_target(connection, name) if known else None
    except NotNowError as error:
        raise Problem("target-state", f"{name}: {error}") from None
    if row is None:
        raise Problem("not-found", "the ledger knows no such target: turnout migrations targets")
    return reply(TargetItem(**row))


def _permitted(call: Call) -> None:
    """A plan is about everybody: a token for some tenants alone makes and moves none. Problem 403."""
    if call.principal is not None and call.principal.tenants is not None:
        raise Problem("forbidden-scope", "migrations are for tokens that aren't bound to tenants")


def _name_by_key(call: Call) -> str:
    """The same for a request that is repeated under its key; empty without a key."""
    key = key_of(call)
    if key is None:
        return ""
    of = b"/".join((call.author.actor.encode(), key.key.encode(), key.fingerprint))
    return f"m-{sha256(of).hexdigest()[:24]}"


async def _exists(call: Call, name: str) -> bool:
    async with call.parts.store.database.connection() as connection:
        return await reading.plan(connection, name, 0) is not None


def _word(event: PlanEvent) -> Handler:
    """What gives a plan this word."""

    async def say(call: Call, _: Given) -> web.StreamResponse:
        _permitted(call)
        name = call.names["plan"]
        await _command(call, name, event)
        return reply(await _state(call, name))

    return say


async def _command(call: Call, name: str, event: PlanEvent) -> None:
    try:
        async with call.parts.store.database.connection() as connection:
            known = await command(connection, name, event, call.author)
    except NotNowError as error:
        raise Problem("plan-state", str(error)) from None
    if not known:
        raise Problem("not-found", "there is no such plan")


async def _state(call: Call, name: str) -> PlanState:
    async with call.parts.store.database.connection() as connection:
        standing = await reading.plan(connection, name, MAX_FAILED)
    if standing is None:
        raise Problem("not-found", "there is no such plan")
    row = standing.row
    waves = [
        WaveState(
            each.number,
            standing.names[each.number],
            str(each.state),
            {str(state): count for state, count in each.jobs.items()},
        )
        for each in standing.waves
    ]
    left = sum(each.jobs.get(state, 0) for each in standing.waves for state in _LEFT)
    left_s = round(left / standing.rate, 1) if standing.rate and left else None
    return PlanState(
        name=name,
        state=row["state"],
        reason=row["reason"],
        targets=row["targets"],
        up_to_date=row["up_to_date"],
        jobs=sum(sum(each.jobs.values()) for each in standing.waves),
        rate=round(standing.rate, 2),
        left_s=left_s,
        waves=waves,
        runs=[RunsFile(**each) for each in standing.runs],
        failed=[FailedJob(**each) for each in standing.failed],
        made_at=_at(row["made_at"]),
        begun_at=_at(row["begun_at"]),
        ended_at=_at(row["ended_at"]),
    )


def _drafted(prepared: Prepared) -> PlanState:
    """What a plan would be."""
    made = prepared.draft
    counts: dict[int, int] = {}
    for place in made.waves.places:
        counts[place.wave] = counts.get(place.wave, 0) + len(made.jobs[place.target.name])
    return PlanState(
        name=None,
        state="tried",
        targets=made.targets,
        up_to_date=made.up_to_date,
        jobs=made.count,
        estimate_s=prepared.estimate.seconds,
        waves=[
            WaveState(number, name, "waiting", {"queued": counts.get(number, 0)})
            for number, name in enumerate(made.waves.names)
        ],
        runs=[
            RunsFile(each.key, each.path, each.phase, each.requires, each.transactional)
            for each in made.files
            if each.runs
        ],
    )


def _wish(given: PlanBody) -> Wish:
    shares = SHARES if given.shares is None else tuple(round(each * 100) for each in given.shares)
    return Wish(
        to=given.to,
        phases=tuple(given.phases),
        tenants=None if given.tenants is None else frozenset(given.tenants),
        pilots=frozenset(given.pilots),
        shares=shares,
        failure_budget=given.failure_budget,
        priority=given.priority,
    )


def _at(value: Any) -> str | None:
    return None if value is None else str(value.isoformat())


_WORDS: tuple[tuple[PlanEvent, str], ...] = (
    (PlanEvent.RUN, "Begin a plan"),
    (PlanEvent.PAUSE, "Give out no more of a plan's jobs"),
    (PlanEvent.RESUME, "Go on; what has failed no longer counts"),
    (PlanEvent.RETRY, "Try again what has failed"),
    (PlanEvent.CANCEL, "Give a plan up; what runs ends"),
)
ROUTES = (
    Route(
        *("POST", "/v1/migrations/plans", make, "Plan migrations, or only try"),
        *(PlanState, PlanBody, Role.OPERATOR, "migration-plan"),
    ),
    Route("GET", "/v1/migrations/plans", list_plans, "Plans", PlansPage, PlansQuery),
    Route("GET", "/v1/migrations/plans/{plan}", read, "How a plan stands", PlanState),
    *(
        Route(
            *("POST", f"/v1/migrations/plans/{{plan}}/{event}", _word(event), summary),
            *(PlanState, Given, Role.OPERATOR, f"migration-{event}"),
        )
        for event, summary in _WORDS
    ),
    Route(
        *("GET", "/v1/migrations/history", history, "What was migrated, newest first"),
        *(MigrationHistoryPage, MigrationHistoryQuery),
    ),
    Route(
        *("GET", "/v1/migrations/targets", targets, "The schemas to migrate"),
        *(TargetsPage, TargetsQuery),
    ),
    Route(
        *("POST", "/v1/migrations/targets/{target}/retire", retire, "A target is gone"),
        *(TargetItem, RetireBody, Role.OPERATOR, "migration-retire"),
    ),
    Route(
        *("POST", "/v1/migrations/targets/{target}/bring-back", bring_back, "It is there again"),
        *(TargetItem, BringBackBody, Role.OPERATOR, "migration-bring-back"),
    ),
)
