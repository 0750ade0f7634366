"""The schema gate: a real ledger, a real worker, and a folder of migrations."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from admin.embedded import EmbeddedPostgres
from admin.gates.config import Schema
from admin.gates.model import About, Finding, Outcome
from admin.gates.schema import SchemaGate
from admin.migrations.ledger.plans import applied
from proxy.routing.model import Slot
from tests.support.migrations import Ledger, catalogue, file, ledger, of_tenants, settings
from tests.support.servers import empty_database

TENANTS = of_tenants(4)
NAMES = tuple(each.name for each in TENANTS)
ABOUT = About("r-1", "1.3.0", "1.2.0", Slot.GREEN, Slot.BLUE, NAMES)
TABLE = file("1.2.0", "CREATE TABLE jobs (id bigint PRIMARY KEY, legacy text)")
COLUMN = file("1.3.0", "ALTER TABLE jobs ADD COLUMN priority integer")
DROP = file("1.3.1", "ALTER TABLE jobs DROP COLUMN legacy", phase="contract", requires="1.3.0")
_numbers = itertools.count()


@pytest.fixture
def there(postgres_server: EmbeddedPostgres) -> Iterator[str]:
    with empty_database(postgres_server) as url:
        yield url


@pytest.fixture
async def book(admin_database_url: str, there: str) -> AsyncIterator[Ledger]:
    async with ledger(admin_database_url, there) as opened:
        yield opened


async def migrated(book: Ledger, files: tuple[Any, ...], targets: Any) -> None:
    """These files on these targets, carried out."""
    had = await applied(book.connection)
    made = catalogue(*files)
    plan = await book.planned(made, targets, applied=had, phases=("expand", "contract"))
    worker = book.worker(settings(), f"w{next(_numbers)}")
    working = asyncio.create_task(worker.run())
    async with asyncio.timeout(60):
        await book.ends(plan)
    worker.drain()
    await working


async def measured(book: Ledger, about: About = ABOUT, folder: Path | None = None) -> Finding:
    migrating = settings(folder=str(folder)) if folder else settings(servers={})
    return await SchemaGate(Schema(), book.database, migrating).measure(about)


async def test_it_names_whom_the_new_version_can_not_serve_and_whom_the_old_one(
    book: Ledger, tmp_path: Path
) -> None:
    nothing = await measured(book)
    assert nothing.outcome is Outcome.UNMEASURED
    assert "the ledger knows no schema" in nothing.detail
    assert "releases.gates.schema.applies = false" in nothing.detail
    unsaid = await measured(book, replace(ABOUT, from_version=""))
    assert unsaid.outcome is Outcome.UNMEASURED
    assert "`turnout versions set blue …`" in unsaid.detail

    await book.schemas(TENANTS)
    await migrated(book, (TABLE,), TENANTS)
    await migrated(book, (TABLE, COLUMN), TENANTS[:3])
    behind = await measured(book)
    assert behind.outcome is Outcome.FAILED
    assert behind.evidence["unserved_by_new"] == {NAMES[3]: "migration 1.3.0 is not applied"}
    assert behind.detail.startswith(f"1.3.0 on green is not served by the schema of {NAMES[3]}")

    await migrated(book, (TABLE, COLUMN), TENANTS)
    good = await measured(book)
    assert good.outcome is Outcome.PASSED, good
    assert good.detail == "the schemas of all 4 tenants serve 1.3.0, and 1.2.0 if one goes back"

    # A tenant that the routing knows and the ledger doesn't is not measured, so it does not pass.
    more = await measured(book, replace(ABOUT, tenants=(*NAMES, "stranger")))
    assert (more.outcome, more.evidence["unknown"]) == (Outcome.UNMEASURED, ["stranger"])
    odd = await measured(book, replace(ABOUT, version="latest"))
    assert odd.outcome is Outcome.UNMEASURED
    assert "is no version" in odd.detail

    # What the slot is said to run is another version.
    await book.connection.execute(
        "INSERT INTO turnout.slot_versions (slot, version, actor) VALUES ('green', '1.2.0', 'x')"
    )
    wrong = await measured(book)
    assert (wrong.outcome, wrong.detail) == (
        Outcome.FAILED,
        "green is said to run 1.2.0, not 1.3.0",
    )
    await book.connection.execute("DELETE FROM turnout.slot_versions")

    # Files that no plan knows are pending, up to the version; later ones are another release's.
    (tmp_path / "V1.2.0__table.sql").write_text(TABLE.text)
    (tmp_path / "V1.3.0__column.sql").write_text(COLUMN.text)
    (tmp_path / "V1.4.0__later.sql").write_text("ALTER TABLE jobs ADD COLUMN later integer;\n")
    assert (await measured(book, folder=tmp_path)).outcome is Outcome.PASSED
    (tmp_path / "V1.2.9__forgotten.sql").write_text("ALTER TABLE jobs ADD COLUMN f integer;\n")
    pending = await measured(book, folder=tmp_path)
    assert pending.outcome is Outcome.FAILED
    assert pending.evidence["pending"] == ["V1.2.9__forgotten.sql"]
    (tmp_path / "V1.2.9__forgotten.sql").write_text("ALTER TABLE (;\n")
    faulty = await measured(book, folder=tmp_path)
    assert faulty.outcome is Outcome.UNMEASURED
    assert "the folder of migrations has faults" in faulty.detail

    # What the old version needs is taken away: one can't go back.
    await migrated(book, (TABLE, COLUMN, DROP), TENANTS[:1])
    no_way_back = await measured(book)
    assert no_way_back.outcome is Outcome.FAILED
    assert no_way_back.evidence["unserved_by_old"] == {NAMES[0]: "what is applied requires 1.3.0"}
    assert no_way_back.detail.startswith(f"1.2.0 on blue is not served by the schema of {NAMES[0]}")
    assert (await measured(book, replace(ABOUT, from_version="1.3.0"))).outcome is Outcome.PASSED


async def test_without_schemas_it_does_not_apply(book: Ledger) -> None:
    gate = SchemaGate(Schema(applies=False), book.database, settings(servers={}))
    assert (await gate.measure(ABOUT)).outcome is Outcome.NOT_APPLICABLE
