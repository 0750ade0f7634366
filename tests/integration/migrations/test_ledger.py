"""What the ledger itself keeps to, whatever a worker says: leases, fences, places, history."""

import asyncpg
import pytest

from admin.migrations.faults import Failure
from admin.migrations.ledger import jobs
from admin.migrations.ledger.jobs import Claim, Held
from admin.migrations.states import JobEvent
from tests.support.migrations import Ledger, catalogue, file, of_tenants

FILES = catalogue(file("1.0.0", "SELECT 1"), file("1.1.0", "SELECT 2"))
FAILURE = Failure("it broke", "mend it")


async def claim(book: Ledger, worker: str = "w1", at_once: int = 8) -> Claim | None:
    return await jobs.claim(book.connection, worker, {"main": at_once}, 60.0)


async def claimed(book: Ledger, worker: str = "w1") -> Claim:
    mine = await claim(book, worker)
    assert mine is not None
    return mine


async def lapsed(book: Ledger) -> None:
    await book.connection.execute(
        "UPDATE turnout.migration_jobs SET lease_until = now() - interval '1 s'"
        " WHERE state = 'running'"
    )
    assert await jobs.lapse(book.connection) == 1


async def test_a_target_s_jobs_come_one_after_the_other(book: Ledger) -> None:
    await book.planned(FILES, of_tenants(1))
    first = await claimed(book)
    assert await claim(book, "w2") is None
    assert await jobs.succeed(book.connection, first, JobEvent.APPLIED, 1.0, [], all_of_it=False)
    second = await claimed(book, "w2")
    assert (first.position, second.position) == (0, 1)
    assert second.fence > first.fence


async def test_a_server_s_places_bound_all_workers(book: Ledger) -> None:
    await book.planned(FILES[:1], of_tenants(5), shares=())
    got = [await claim(book, f"w{number}", 3) for number in range(5)]
    assert [each is not None for each in got] == [True, True, True, False, False]
    assert len({each.target.name for each in got if each}) == 3


async def test_after_its_lease_a_worker_s_word_counts_for_nothing(book: Ledger) -> None:
    await book.planned(FILES[:1], of_tenants(1))
    zombie = await claimed(book, "zombie")
    await lapsed(book)
    living = await claimed(book, "living")
    assert (living.fence, living.deaths) == (zombie.fence + 1, 1)
    assert await jobs.renew(book.connection, [Held(zombie.id, zombie.fence)], 60.0) == {}
    assert not await jobs.succeed(
        book.connection, zombie, JobEvent.APPLIED, 1.0, [], all_of_it=False
    )
    assert not await jobs.fail(book.connection, zombie, FAILURE)
    assert not await jobs.give_back(book.connection, zombie, None, 0.0, counts=False)
    renewed = await jobs.renew(book.connection, [Held(living.id, living.fence)], 60.0)
    assert renewed == {living.id: True}


async def test_the_indexes_let_no_second_job_run_on_a_target_or_a_place(book: Ledger) -> None:
    await book.planned(FILES, of_tenants(2), shares=())
    mine = await claimed(book)
    place = await book.connection.fetchval(
        "SELECT place FROM turnout.migration_jobs WHERE id = $1", mine.id
    )
    run = (
        "UPDATE turnout.migration_jobs SET state = 'running', worker = 'w', fence = 9,"
        " lease_until = now(), place = $2 WHERE position = 1 AND (target = $1) = $3"
    )
    for index, at, is_same in (("one_a_target", place + 1, True), ("one_a_place", place, False)):
        with pytest.raises(asyncpg.UniqueViolationError, match=index):
            await book.connection.execute(run, mine.target.name, at, is_same)


async def test_a_fence_never_falls_and_history_is_only_added_to(book: Ledger) -> None:
    await book.planned(FILES, of_tenants(1))
    await claimed(book)
    with pytest.raises(asyncpg.CheckViolationError, match="only grows"):
        await book.connection.execute("UPDATE turnout.migration_targets SET fence = 0")
    for sql in ("DELETE FROM", "UPDATE", "TRUNCATE"):
        rest = " SET actor = 'nobody'" if sql == "UPDATE" else ""
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await book.connection.execute(f"{sql} turnout.migration_history{rest}")


async def test_a_failure_stops_its_plan_at_once(book: Ledger) -> None:
    plan = await book.planned(FILES, of_tenants(3), shares=())
    mine = await claimed(book)
    assert await jobs.fail(book.connection, mine, FAILURE)
    assert await book.state(plan) == "stopped"
    assert await claim(book) is None
    assert await book.jobs(plan) == {"failed": 1, "blocked": 1, "queued": 4}


async def test_who_has_priority_comes_first(book: Ledger) -> None:
    await book.planned(FILES[:1], of_tenants(2), shares=())
    urgent = await book.planned(FILES[:1], of_tenants(2), shares=(), priority=5)
    assert (await claimed(book)).plan == urgent
