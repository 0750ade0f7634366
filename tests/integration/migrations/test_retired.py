"""Targets that are gone: what is retired counts nowhere until it is brought back."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from admin.migrations import guard
from admin.migrations.ledger import jobs, retired
from admin.migrations.ledger.plans import command
from admin.migrations.states import NotNowError, PlanEvent
from admin.routing.limits import LimitError
from proxy.routing.change import Change, Cutover, apply
from proxy.routing.model import RoutingTable, Slot
from tests.integration.admin.conftest import is_problem
from tests.integration.migrations.test_guard import runs
from tests.integration.migrations.test_planning import NAMES, Site, site
from tests.support.migrations import AUTHOR, Ledger, catalogue, file, of_tenants, settings

__all__ = ["site"]
Works = Callable[..., Awaitable[Any]]
TENANTS = of_tenants(2)
GONE = TENANTS[1].name
TABLE = file("1.2.0", "CREATE TABLE jobs (id bigint PRIMARY KEY)")
COLUMN = file("1.3.0", "ALTER TABLE jobs ADD COLUMN note text")
TARGETS = "/v1/migrations/targets"
SERVERS = {"main": 4}


async def retire(book: Ledger, name: str = GONE, why: str = "left in May") -> bool:
    async with book.database.connection() as connection:
        return await retired.retire(connection, name, why, AUTHOR)


async def bring_back(book: Ledger, name: str = GONE) -> bool:
    async with book.database.connection() as connection:
        return await retired.bring_back(connection, name, "", AUTHOR)


async def claim(book: Ledger, worker: str = "w1") -> jobs.Claim | None:
    async with book.database.connection() as connection:
        return await jobs.claim(connection, worker, SERVERS, 60.0)


@pytest.fixture
async def two(book: Ledger) -> Ledger:
    """Two tenants' schemas, empty."""
    await book.schemas(TENANTS)
    return book


async def test_what_is_retired_keeps_no_slot_from_a_version(two: Ledger, works: Works) -> None:
    await works(two.worker(settings()))
    await two.ends(await two.planned(catalogue(TABLE, COLUMN), TENANTS[:1]))
    await two.ends(await two.planned(catalogue(TABLE), TENANTS[1:]))
    await two.planned(catalogue(TABLE, COLUMN), TENANTS[1:], run=False)
    await runs(two, blue="1.2.0", green="1.3.0")
    mine = guard.SchemaGuard(two.database)
    before = RoutingTable()
    change = apply(before, Change(1, (Cutover(Slot.GREEN),)))
    with pytest.raises(LimitError, match=GONE):
        await mine.check(before, change)
    assert await retire(two)
    await mine.check(before, change)
    assert set((await mine.limits(fresh=True)).schemas.of) == {TENANTS[0].name}
    assert await bring_back(two)
    # What was read before counts no more, though nobody asked for it to be read anew.
    with pytest.raises(LimitError, match=GONE):
        await mine.check(before, change)


async def test_a_retired_target_s_jobs_are_cancelled_and_the_plan_ends(
    two: Ledger, works: Works
) -> None:
    plan = await two.planned(catalogue(TABLE, COLUMN), TENANTS, run=False)
    assert await retire(two)
    await two.word(plan, PlanEvent.RUN)
    await works(two.worker(settings()))
    await two.ends(plan)
    assert await two.jobs(plan) == {"done": 2, "cancelled": 2}


async def test_no_job_of_a_retired_target_is_claimed(two: Ledger) -> None:
    plan = await two.planned(catalogue(TABLE), TENANTS[1:])
    await two.connection.execute(
        "UPDATE turnout.migration_targets SET retired_at = now(), retired_by = 'x', retired_why = ''"
    )
    assert await claim(two) is None
    assert await bring_back(two)
    claimed = await claim(two)
    assert claimed is not None
    assert (claimed.plan, claimed.target.name) == (plan, GONE)


async def test_where_a_migration_runs_nothing_is_retired(two: Ledger) -> None:
    plan = await two.planned(catalogue(TABLE, COLUMN), TENANTS[1:])
    assert await claim(two) is not None
    with pytest.raises(NotNowError, match=plan):
        await retire(two)
    # And nothing of it was kept: what waited still does.
    assert await two.jobs(plan) == {"running": 1, "queued": 1}


async def test_a_claim_and_a_retirement_at_once_never_both_win(two: Ledger) -> None:
    for number in range(10):
        plan = await two.planned(catalogue(TABLE), TENANTS[1:])

        async def tries() -> bool:
            try:
                return await retire(two)
            except NotNowError:
                return False

        claimed, gone = await asyncio.gather(claim(two, f"w{number}"), tries())
        assert (claimed is not None) is not gone
        if claimed is not None:
            async with two.database.connection() as connection:
                assert await jobs.give_back(connection, claimed, None, 0.0, counts=False)
        else:
            assert await bring_back(two)
        async with two.database.connection() as connection:
            if await two.state(plan) == "running":
                await command(connection, plan, PlanEvent.CANCEL, AUTHOR)


async def test_what_has_failed_there_is_not_tried_again(two: Ledger, works: Works) -> None:
    await two.there.execute(f"CREATE TABLE {TENANTS[1].schema}.jobs ()")
    plan = await two.planned(catalogue(TABLE), TENANTS, failure_budget=1)
    await works(two.worker(settings()))
    await two.ends(plan)
    assert await retire(two)
    await two.word(plan, PlanEvent.RETRY)
    await two.ends(plan)
    assert await two.jobs(plan) == {"done": 1, "cancelled": 1}


async def test_who_when_and_why_by_api_and_command_line(site: Site, book: Ledger) -> None:
    name = NAMES[2]
    await site.call("GET", TARGETS)
    path = f"{TARGETS}/{name}"
    is_problem(await site.call("POST", f"{path}/retire", {"note": ""}), 400, "invalid-change")
    is_problem(await site.call("POST", f"{path}/bring-back", {}), 409, "target-state")
    unknown = f"{TARGETS}/nobody/retire"
    is_problem(await site.call("POST", unknown, {"note": "x"}), 404, "not-found")
    bound = site.call.with_token("operator", [NAMES[0]])
    is_problem(await bound("POST", f"{path}/retire", {"note": "x"}), 403, "forbidden-scope")
    code, told = await site.turnout("retire", name, "--note", "left in May")
    assert (code, "bring-back" in told) == (0, True), told
    items = {each["name"]: each for each in (await site.call("GET", TARGETS))[1]["items"]}
    assert items[name]["retired_why"] == "left in May"
    assert items[name]["retired_by"]
    assert items[name]["retired_at"]
    assert items[NAMES[0]]["retired_at"] is None
    made = (await site.call("POST", "/v1/migrations/plans", {"dry_run": True}))[1]
    assert made["targets"] == len(NAMES) - 1
    page = (await site.call("GET", "/v1/migrations/compatibility"))[1]
    assert name not in {each["tenant"] for each in page["items"]}
    assert "left in May" in (await site.turnout("targets"))[1]
    code, told = await site.turnout("retire", name, "--note", "again")
    assert code != 0
    assert "it is retired already" in told
    code, told = await site.turnout("bring-back", name)
    assert code == 0, told
    history = (await site.call("GET", f"/v1/migrations/history?target={name}"))[1]["items"]
    assert [(each["event"], each["detail"]["why"]) for each in history] == [
        ("brought-back", ""),
        ("retired", "left in May"),
    ]
    actions = await book.connection.fetch("SELECT action FROM turnout.audit ORDER BY id")
    assert [row["action"] for row in actions][-2:] == ["migration-retire", "migration-bring-back"]
