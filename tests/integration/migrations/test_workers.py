"""Worker processes: stopped past their lease, drained, and the ledger taken from them."""

import signal
from collections.abc import Callable
from typing import Any

from admin.migrations.config import Server
from admin.migrations.states import PlanEvent
from tests.support.migrations import (
    REFERENCE,
    Ledger,
    catalogue,
    file,
    of_tenant,
    of_tenants,
    settings,
    until,
)
from tests.support.processes import Child

Process = Callable[[str], Child]
SLEEPS = (
    "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%' AND state = 'active'"
)


async def sleeping(book: Ledger) -> None:
    """Until a migration is in the middle of its sleep."""
    await until(lambda: book.connection.fetchval(SLEEPS))


async def test_a_worker_that_wakes_up_past_its_lease_writes_nothing(
    book: Ledger, process: Process
) -> None:
    target = of_tenant("acme")
    await book.schemas([target], "CREATE TABLE times (who text)")
    mark = "INSERT INTO times VALUES (current_setting('application_name'))"
    plan = await book.planned(catalogue(file("1.0.0", mark, "SELECT pg_sleep(0.5)")), [target])
    zombie = process("zombie")
    await sleeping(book)
    zombie.send(signal.SIGSTOP)
    process("living")
    await book.ends(plan)
    zombie.send(signal.SIGCONT)
    await zombie.line("given the job to somebody else|the lease was lost|fenced")
    who = [row["who"] for row in await book.there.fetch("SELECT who FROM t_acme.times")]
    assert who == ["turnout-worker 2 acme"]
    rows = await book.connection.fetch(
        "SELECT actor, event, fence FROM turnout.migration_history WHERE target = 'acme' ORDER BY id"
    )
    assert [tuple(row) for row in rows] == [("zombie", "lapsed", 1), ("living", "applied", 2)]
    # It is of use again.
    more = await book.planned(catalogue(file("1.0.0", "SELECT 1")), of_tenants(0))
    await book.ends(more)
    assert zombie.exit_code is None


async def test_a_worker_that_is_told_to_end_ends_its_job_first(
    book: Ledger, process: Process
) -> None:
    targets = of_tenants(6)
    await book.schemas(targets)
    plan = await book.planned(catalogue(file("1.0.0", "SELECT pg_sleep(0.3)")), targets)
    worker = process("first")
    await sleeping(book)
    worker.send(signal.SIGTERM)
    assert await worker.ended() == 0
    counts = await book.jobs(plan)
    assert counts.keys() == {"done", "queued"}, "it left a job running"
    process("second")
    await book.ends(plan)


async def test_who_holds_a_paused_plan_ends_and_nobody_begins(
    book: Ledger, process: Process
) -> None:
    targets = of_tenants(20)
    await book.schemas(targets)
    plan = await book.planned(catalogue(file("1.0.0", "SELECT pg_sleep(0.2)")), targets)
    process("first")
    await sleeping(book)
    await book.word(plan, PlanEvent.PAUSE)
    left = (await book.comes_to_rest(plan))["queued"]
    assert left > 0
    await book.word(plan, PlanEvent.RESUME)
    await book.ends(plan)
    assert await book.jobs(plan) == {"done": 20}


async def test_a_cancelled_plan_leaves_what_is_applied(book: Ledger, process: Process) -> None:
    targets = of_tenants(20)
    await book.schemas(targets)
    plan = await book.planned(catalogue(file("1.0.0", "SELECT pg_sleep(0.2)")), targets)
    process("first")
    await sleeping(book)
    await book.word(plan, PlanEvent.CANCEL)
    counts = await book.comes_to_rest(plan)
    assert counts.keys() == {"done", "cancelled"}, counts
    assert await book.state(plan) == "cancelled"


async def test_no_more_of_a_server_s_targets_are_at_work_than_it_allows(
    book: Ledger, works: Callable[..., Any]
) -> None:
    targets = of_tenants(24)
    await book.schemas(targets)
    files = catalogue(file("1.0.0", "SELECT pg_sleep(0.2)"))
    plan = await book.planned(files, targets, shares=())
    own = settings(servers={"main": Server(REFERENCE, at_once=3)}, jobs_at_once=6)
    for name in ("a", "b"):
        await works(book.worker(own, name))
    await book.ends(plan)
    most = await book.connection.fetchval(
        "SELECT max((SELECT count(*) FROM turnout.migration_jobs other"
        " WHERE other.begun_at <= job.begun_at AND other.ended_at > job.begun_at))"
        " FROM turnout.migration_jobs job"
    )
    assert 1 < most <= 3


async def test_a_worker_that_claims_its_own_lapsed_job_goes_on(
    book: Ledger, works: Callable[..., Any]
) -> None:
    (target,) = of_tenants(1)
    await book.schemas([target])
    files = catalogue(file("1.0.0", "SELECT pg_sleep(1)"))
    plan = await book.planned(files, [target])
    task = await works(book.worker(settings(jobs_at_once=2, lease_s=30.0)))
    lapse = (
        "UPDATE turnout.migration_jobs SET lease_until = now() - interval '1 s'"
        " WHERE plan = $1 AND state = 'running' RETURNING id"
    )
    await until(lambda: book.connection.fetchval(lapse, plan))
    await book.ends(plan)
    assert await book.jobs(plan) == {"done": 1}
    assert not task.done()
