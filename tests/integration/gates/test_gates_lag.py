"""Replication lag: a real standby, a real subscriber, both ends of each."""

import contextlib
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from admin.embedded import EmbeddedPostgres
from admin.gates.config import Replication
from admin.gates.lag import LagGate
from admin.gates.model import About, Finding, Outcome
from proxy.routing.model import Slot

ABOUT = About("r-1", "1.3.0", "1.2.0", Slot.GREEN, Slot.BLUE)
FILL = "INSERT INTO filled SELECT repeat('x', 1000) FROM generate_series(1, 1000)"


@contextlib.asynccontextmanager
async def connected(url: str) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


@pytest.fixture
def standby(fresh_postgres: EmbeddedPostgres, tmp_path: Path) -> Iterator[EmbeddedPostgres]:
    """A hot standby of the fresh server, which streams from it."""
    folder = tmp_path / "standby"
    fresh_postgres.stop()
    shutil.copytree(fresh_postgres.folder, folder, copy_function=_copied)
    (folder / "data" / "standby.signal").touch()
    _owned_as(fresh_postgres.data, folder / "data")
    fresh_postgres.start()
    settings = {"primary_conninfo": fresh_postgres.url, "wal_retrieve_retry_interval": "100ms"}
    with EmbeddedPostgres(folder, settings=settings) as server:
        yield server


def _copied(source: str, target: str) -> str:
    return shutil.copy2(source, target) if Path(source).is_file() else target


def _owned_as(source: Path, target: Path) -> None:
    owner = source.stat()
    for path in (target, *target.rglob("*")):
        shutil.chown(path, owner.st_uid, owner.st_gid)


async def measured(monkeypatch: pytest.MonkeyPatch, url: str, **given: Any) -> Finding:
    monkeypatch.setenv("TEST_LINK_URL", url)
    settings = Replication(**{"url": "env:TEST_LINK_URL", "wait_s": 20.0, "limit_s": 40.0, **given})
    found = await LagGate(settings).measure(ABOUT)
    assert url not in repr(found)
    return found


async def test_a_standby_at_both_ends(
    fresh_postgres: EmbeddedPostgres,
    standby: EmbeddedPostgres,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for url in (fresh_postgres.url, standby.url):
        found = await measured(monkeypatch, url)
        assert found.outcome is Outcome.PASSED, found
        assert len(found.evidence["links"]) == 1  # type: ignore[arg-type]

    # Nothing is applied any more: the lag grows by all that is written.
    async with connected(standby.url) as there, connected(fresh_postgres.url) as here:
        await there.execute("SELECT pg_wal_replay_pause()")
        await here.execute("CREATE TABLE filled (text text)")
        await here.execute(FILL)
        for url in (fresh_postgres.url, standby.url):
            behind = await measured(monkeypatch, url, lag_bytes=100_000, wait_s=0.0)
            assert behind.outcome is Outcome.FAILED, behind
            assert "bytes behind" in behind.detail
        await there.execute("SELECT pg_wal_replay_resume()")
    for url in (fresh_postgres.url, standby.url):
        caught_up = await measured(monkeypatch, url, lag_bytes=100_000)
        assert caught_up.outcome is Outcome.PASSED, caught_up

    two = await measured(monkeypatch, fresh_postgres.url, links=2, wait_s=0.0)
    assert (two.outcome, two.detail) == (Outcome.FAILED, "1 of 2 links replicate")

    # Who may not see how far it is has not measured it.
    async with connected(fresh_postgres.url) as here:
        await here.execute("CREATE ROLE onlooker LOGIN PASSWORD 'onlooker'")
        onlooker = f"postgresql://onlooker:onlooker@127.0.0.1:{fresh_postgres.port}/postgres"
        hidden = await measured(monkeypatch, onlooker, wait_s=0.0)
        assert hidden.outcome is Outcome.UNMEASURED
        assert "GRANT pg_monitor" in hidden.detail
        await here.execute("GRANT pg_monitor TO onlooker")
        assert (await measured(monkeypatch, onlooker)).outcome is Outcome.PASSED

    fresh_postgres.stop()
    alone = await measured(monkeypatch, standby.url, wait_s=0.0)
    assert alone.outcome is Outcome.FAILED
    assert alone.detail == "replication to standby does not run"
    gone = await measured(monkeypatch, fresh_postgres.url)
    assert gone.outcome is Outcome.UNMEASURED
    assert gone.detail.startswith("the database link can't be reached (")


async def test_a_subscription_at_both_ends(
    fresh_postgres: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    publisher = fresh_postgres.create_database("publisher")
    subscriber = fresh_postgres.create_database("subscriber")
    async with connected(publisher) as here, connected(subscriber) as there:
        for connection in (here, there):
            await connection.execute("CREATE TABLE filled (text text)")
        nobody = await measured(monkeypatch, publisher, wait_s=0.0)
        assert (nobody.outcome, nobody.detail) == (Outcome.FAILED, "0 of 1 links replicate")
        await here.execute("CREATE PUBLICATION everything FOR TABLE filled")
        # On one server the slot is made apart: to make it waits for the transaction that does.
        await here.execute("SELECT pg_create_logical_replication_slot('link', 'pgoutput')")
        await there.execute(
            f"CREATE SUBSCRIPTION link CONNECTION '{publisher}' PUBLICATION everything"
            " WITH (create_slot = false, slot_name = 'link', copy_data = false)"
        )
        await here.execute(FILL)
        found = await measured(monkeypatch, subscriber)
        assert found.outcome is Outcome.PASSED, found
        # Both ends are on one server here, so it tells of both.
        assert {link["name"] for link in found.evidence["links"]} == {"link"}  # type: ignore[attr-defined]
        await there.execute("ALTER SUBSCRIPTION link DISABLE")
        while await there.fetchval("SELECT count(*) FROM pg_stat_replication"):
            pass
        stopped = await measured(monkeypatch, subscriber, wait_s=0.0)
        assert stopped.outcome is Outcome.FAILED
        assert stopped.detail == "replication to link does not run"
        await there.execute("ALTER SUBSCRIPTION link SET (slot_name = NONE)")
        await there.execute("DROP SUBSCRIPTION link")
        await here.execute("SELECT pg_drop_replication_slot('link')")


async def test_a_reference_to_nothing_measures_nothing() -> None:
    found = await LagGate(Replication(url="env:NOBODY_SET_THIS")).measure(ABOUT)
    assert found.outcome is Outcome.UNMEASURED
    assert found.detail == "env:NOBODY_SET_THIS: the variable is not set in this process"
