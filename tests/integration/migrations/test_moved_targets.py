"""Targets that lie elsewhere by now: they swap places, and nothing of the old place counts at the new one."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from admin.migrations.config import Explicit
from admin.migrations.files import Applied
from admin.migrations.ledger import jobs
from admin.migrations.ledger.plans import applied, know
from admin.migrations.plan import Wish
from admin.migrations.planning import keep, know_targets, prepare
from admin.migrations.states import JobEvent, PlanEvent
from admin.migrations.targets import Target, TargetFault
from tests.support.migrations import AUTHOR, Ledger, catalogue, file, settings

Works = Callable[..., Awaitable[Any]]
HERE = Target("acme", None, "main", "", "one")
THERE = Target("bodoni", None, "main", "", "two")
SWAPPED = (replace(HERE, schema="two"), replace(THERE, schema="one"))
TABLE = file("1.0.0", "CREATE TABLE jobs (id bigint PRIMARY KEY)")
COLUMN = file("1.1.0", "ALTER TABLE jobs ADD COLUMN note text")
INDEX = file("1.2.0", "CREATE INDEX jobs_note ON jobs (note)")
FILES = catalogue(TABLE, COLUMN, INDEX)
VIEW = replace(
    file("R__v", "CREATE OR REPLACE VIEW v AS SELECT 1", kind="repeatable"), version=None
)


@pytest.fixture
async def two(book: Ledger) -> Ledger:
    """Two schemas, empty, which the ledger knows."""
    await book.schemas([HERE, THERE])
    async with book.database.connection() as connection:
        await know(connection, [HERE, THERE])
    return book


async def swap(book: Ledger) -> None:
    async with book.database.connection() as connection:
        await know(connection, SWAPPED)


async def stands(book: Ledger) -> dict[str, tuple[str, bool]]:
    """Where each target lies, and whether a worker has looked at it there."""
    rows = await book.connection.fetch("SELECT * FROM turnout.migration_targets")
    return {row["name"]: (row["schema"], row["looked_at"] is not None) for row in rows}


async def told(book: Ledger, target: Target) -> list[tuple[str, str]]:
    """What the ledger says that it has."""
    rows = await book.connection.fetch(
        "SELECT key, checksum FROM turnout.migration_applied WHERE target = $1 ORDER BY key",
        target.name,
    )
    return [tuple(row) for row in rows]


async def had(book: Ledger, target: Target) -> list[tuple[str, str]]:
    """What the target itself says."""
    rows = await book.there.fetch(
        f"SELECT key, checksum FROM {target.schema}.turnout_schema_history"
        " WHERE key <> '' ORDER BY key"
    )
    return [tuple(row) for row in rows]


async def test_two_swap_places_and_have_not_been_looked_at_there(two: Ledger) -> None:
    await two.connection.execute("UPDATE turnout.migration_targets SET looked_at = now()")
    before = await two.connection.fetchval("SELECT schema_generation FROM turnout.routing_head")
    await swap(two)
    assert await stands(two) == {"acme": ("two", False), "bodoni": ("one", False)}
    after = await two.connection.fetchval("SELECT schema_generation FROM turnout.routing_head")
    assert after > before


async def test_the_settings_swap_them_and_a_plan_of_one_alone_knows_it(
    two: Ledger, tmp_path: Path
) -> None:
    (tmp_path / "V1.0.0__jobs.sql").write_text(TABLE.text)

    def explicit(*targets: Target) -> Any:
        named = tuple(Explicit(each.name, each.server, each.schema) for each in targets)
        return settings(folder=str(tmp_path), server="none", targets=named)

    await know_targets(two.database, explicit(HERE, THERE))
    wish = Wish(tenants=frozenset({"acme"}))
    plan = await keep(two.database, await prepare(two.database, explicit(*SWAPPED), wish), AUTHOR)
    assert await two.jobs(plan) == {"queued": 1}
    assert await stands(two) == {"acme": ("two", False), "bodoni": ("one", False)}
    await know_targets(two.database, explicit(HERE, THERE))
    assert await stands(two) == {"acme": ("one", False), "bodoni": ("two", False)}


async def test_a_place_that_the_ledger_knows_by_another_name_is_refused(two: Ledger) -> None:
    async with two.database.connection() as connection:
        with pytest.raises(
            TargetFault, match=r"^\(main, , one\) is known to the ledger by the name"
        ):
            await know(connection, [replace(HERE, name="renamed"), THERE])
    assert await stands(two) == {"acme": ("one", False), "bodoni": ("two", False)}


async def test_a_worker_goes_on_where_another_target_has_been(two: Ledger, works: Works) -> None:
    """Its fence is above all that the place has seen, and what it finds there is all that counts."""
    await works(two.worker(settings()))
    views = [replace(VIEW, text=text, checksum=text) for text in ("of one", "of two")]
    for target, files in ((HERE, (*FILES, views[0])), (THERE, (TABLE, views[1]))):
        await two.ends(await two.planned(catalogue(*files), [target]))
    await swap(two)
    assert await applied(two.connection) == {}
    await two.ends(await two.planned((TABLE, *FILES[1:], replace(views[1], position=3)), SWAPPED))
    for target in SWAPPED:
        assert await told(two, target) == await had(two, target)
        assert [key for key, _ in await had(two, target)] == ["1.0.0", "1.1.0", "1.2.0", "R__v"]
    assert {looked for _, looked in (await stands(two)).values()} == {True}


async def test_what_is_found_at_the_new_place_is_news_to_the_routing(
    two: Ledger, works: Works
) -> None:
    """A look may take away: what no worker had looked at served the versions before the first migration."""

    async def generation() -> int:
        return int(
            await two.connection.fetchval("SELECT schema_generation FROM turnout.routing_head")
        )

    await works(two.worker(settings()))
    drop = file("1.3.0", "DROP VIEW IF EXISTS old", phase="contract", requires="1.2.0")
    files = catalogue(TABLE, drop)
    both = ("expand", "contract")
    await two.ends(await two.planned(files, [HERE], phases=both))
    await two.ends(await two.planned(files, [THERE]))
    await swap(two)
    plan = await two.planned(files, [SWAPPED[1]], run=False)
    before = await generation()
    await two.word(plan, PlanEvent.RUN)
    await two.ends(plan)
    assert await told(two, THERE) == [("1.0.0", TABLE.checksum), ("1.3.0", drop.checksum)]
    assert await generation() > before


async def test_what_was_done_at_the_old_place_says_nothing_of_the_new_one(two: Ledger) -> None:
    plan = await two.planned(catalogue(TABLE), [HERE, THERE])
    async with two.database.connection() as connection:
        mine = await jobs.claim(connection, "w1", {"main": 8}, 30.0)
        assert mine is not None
        await swap(two)
        done = Applied(
            *("1.0.0", "1.0.0", "what", "versioned", "expand", None, TABLE.checksum, plan),
            *(mine.fence, "2026-11-28T00:00:00+00:00", 1.0),
        )
        assert await jobs.succeed(connection, mine, JobEvent.APPLIED, 1.0, [done], all_of_it=True)
    assert await told(two, mine.target) == []
    assert await stands(two) == {"acme": ("two", False), "bodoni": ("one", False)}
