"""What the guard reads of a real ledger: all of it, one tenant's rows, and nothing where the generation tells enough."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from admin.migrations import guard
from admin.migrations.guard import SchemaGuard
from admin.migrations.ledger.plans import know
from admin.migrations.states import PlanEvent
from admin.migrations.targets import Target
from admin.migrations.version import Version
from admin.routing.limits import LimitError
from proxy.routing.change import Change, Cutover, Pin, apply
from proxy.routing.model import RoutingTable, Slot
from tests.support.migrations import Ledger, catalogue, file, of_tenants, settings

Works = Callable[..., Awaitable[Any]]
TENANTS = of_tenants(4)
SHARED = Target("shared", None, "main", "", "of_all")
SECOND = Target("c0-more", "c0", "main", "", "t_c0_more")
TABLE = file("1.2.0", "CREATE TABLE jobs (id bigint PRIMARY KEY, legacy text)")
COLUMN = file("1.3.0", "ALTER TABLE jobs ADD COLUMN priority integer")
DROP = file("1.3.1", "ALTER TABLE jobs DROP COLUMN legacy", phase="contract", requires="1.3.0")
BOTH = ("expand", "contract")
TABLE_NOW = RoutingTable()


async def runs(book: Ledger, **versions: str) -> None:
    """Say what slots run."""
    for slot, version in versions.items():
        await book.connection.execute(
            "INSERT INTO turnout.slot_versions (slot, version, actor) VALUES ($1, $2, 'x')",
            *(slot, version),
        )


async def test_what_is_read_of_one_tenant_is_what_all_of_it_says(
    book: Ledger, works: Works
) -> None:
    targets = [*TENANTS, SHARED, SECOND]
    await book.schemas(targets)
    await works(book.worker(settings()))
    files = catalogue(TABLE, COLUMN, DROP)
    await book.ends(await book.planned(files, targets[1:], phases=BOTH))
    await book.ends(await book.planned(files[:2], targets[:1], to="1.2.0"))
    async with book.database.connection() as connection:
        await know(connection, [replace(TENANTS[3], schema="elsewhere")])
    await runs(book, blue="1.2.0", green="1.3.0")
    mine = SchemaGuard(book.database)
    whole = (await mine.limits()).schemas
    assert set(whole.of) == {"c0", "c1", "c2", "c3"}
    for tenant in (*whole.of, "nobody"):
        one = await mine.of(tenant)
        assert one.serving(tenant) == whole.serving(tenant), tenant
        assert (one.versions, one.of_all) == (whole.versions, whole.of_all)
        assert one.of.keys() == whole.of.keys() & {tenant}
    # Two schemas of its own, one of them a version behind; and the one that all share.
    assert str(whole.of["c0"].lacking) == "1.3.0"
    assert str(whole.of["c0"].oldest) == "1.3.0"
    assert str(whole.of["c3"].lacking) == "1.2.0"


async def test_a_migration_that_is_known_from_a_target_alone_counts(book: Ledger) -> None:
    """Each file that somebody has, once; not each row of thousands."""
    async with book.database.connection() as connection:
        await know(connection, TENANTS)
    rows = [
        *((tenant.name, f"1.{n}.0", f"1.{n}.0", "versioned", "a") for tenant in TENANTS for n in range(12)),
        ("c1", "1.5.0-rc.1", "1.5.0-rc.1", "versioned", "a"),
        *((tenant.name, "R__view", None, "repeatable", tenant.name) for tenant in TENANTS),
        ("c2", "2.0.0", "2.0.0", "versioned", "a"),
        ("c3", "2.0.0", "2.0.0", "versioned", "b"),
    ]  # fmt: skip
    await book.connection.executemany(
        "INSERT INTO turnout.migration_applied (target, key, version, name, kind, phase, checksum,"
        " fence, applied_at, duration_ms) VALUES ($1, $2, $3, 'x', $4, 'expand', $5, 1, now(), 1)",
        rows,
    )
    known = (await SchemaGuard(book.database).limits()).known
    assert known == {Version.parse(row[2]) for row in rows if row[2]}
    read = await book.connection.fetch(guard._APPLIED_STEPS)
    assert len(read) == 12 + 1 + 2


async def test_a_check_is_of_now_whatever_was_known(book: Ledger, works: Works) -> None:
    pin = apply(TABLE_NOW, Change(1, (Pin("c0", Slot.GREEN),)))
    cutover = apply(TABLE_NOW, Change(1, (Cutover(Slot.GREEN),)))
    await book.schemas(TENANTS)
    await works(book.worker(settings()))
    await book.ends(await book.planned(catalogue(TABLE, COLUMN), TENANTS, to="1.2.0"))
    await runs(book, blue="1.2.0", green="1.3.0")
    mine = SchemaGuard(book.database)
    for change in (pin, cutover):
        with pytest.raises(LimitError, match=r"migration 1\.3\.0 is not applied"):
            await mine.check(TABLE_NOW, change)

    # More is served by now: no generation tells, so what was known to refuse is looked at again.
    await book.ends(await book.planned(catalogue(TABLE, COLUMN), TENANTS))
    known = await mine.limits(fresh=True)
    await mine.check(TABLE_NOW, cutover)
    # It let both pass by what it knew.
    await mine.check(TABLE_NOW, pin)
    assert await mine.limits() is known

    # Less is served by now: the generation tells.
    await book.connection.execute("DELETE FROM turnout.migration_applied WHERE key = '1.3.0'")
    with pytest.raises(LimitError):
        await mine.check(TABLE_NOW, pin)


async def test_a_refusal_by_what_was_known_is_no_refusal(book: Ledger, works: Works) -> None:
    await book.schemas(TENANTS)
    await works(book.worker(settings()))
    await runs(book, blue="1.2.0", green="1.3.0")
    plan = await book.planned(catalogue(TABLE, COLUMN), TENANTS, run=False)
    pin = apply(TABLE_NOW, Change(1, (Pin("c0", Slot.GREEN),)))
    mine = SchemaGuard(book.database)
    with pytest.raises(LimitError):
        await mine.check(TABLE_NOW, pin)
    known = await mine.limits()
    await book.word(plan, PlanEvent.RUN)
    await book.ends(plan)
    await mine.check(TABLE_NOW, pin)
    assert (await mine.limits()).generation == known.generation
