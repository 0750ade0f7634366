"""A clone is removed whatever happens, and the source is never written."""

import asyncio
import signal
from pathlib import Path

import asyncpg
import pytest

from admin.embedded import EmbeddedPostgres
from admin.migrations.proof.clone import Scratch
from admin.migrations.proof.limits import CannotProve, Limits
from admin.migrations.proof.programs import programs
from admin.migrations.proof.servers import Place, connected
from tests.integration.migrations.proof.conftest import Erp
from tests.support.processes import Children, wait_gone

ADD = "ALTER TABLE jobs ADD COLUMN priority INT DEFAULT 5"
WAITING = "touch {file}; exec sleep 600"


def scratch(erp: Erp, said: list[str] | None = None, age_s: int = 3600) -> Scratch:
    server = Place("env:ERP_DATABASE", erp.url).sibling("postgres")
    return Scratch(server, Limits(clone_age_s=age_s), (said if said is not None else []).append)


async def empty(place: Place) -> None:
    """Nothing is filled in."""


async def test_it_is_removed_when_what_is_done_in_it_fails(erp: Erp):
    async def used() -> None:
        async with scratch(erp).filled(empty) as clone:
            assert await erp.clones() == [clone.database]
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await used()
    assert await erp.clones() == []


async def test_it_is_removed_when_it_cannot_be_filled(erp: Erp):
    async def broken(place: Place) -> None:
        raise CannotProve("on purpose")

    with pytest.raises(CannotProve, match="on purpose"):
        async with scratch(erp).filled(broken):
            pytest.fail("it is not to be used")
    assert await erp.clones() == []


async def test_it_is_removed_with_the_sessions_that_are_still_on_it(erp: Erp):
    async with scratch(erp).filled(empty) as clone:
        left = await asyncpg.connect(clone.url)
    assert await erp.clones() == []
    left.terminate()


async def test_one_that_cannot_be_removed_is_said(erp: Erp):
    said: list[str] = []
    async with scratch(erp, said).filled(empty) as clone:
        name = clone.database
        # A prepared transaction, or a logical slot, hinders even WITH (FORCE).
        await erp.execute(f"ALTER DATABASE {name} IS_TEMPLATE true")
    assert [each.split(" could not")[0] for each in said] == [f"the clone {name}"]
    assert "--sweep" in said[0]
    await erp.execute(f"ALTER DATABASE {name} IS_TEMPLATE false")
    assert await scratch(erp).sweep(everything=True) == [name]
    assert await erp.clones() == []


async def test_nobody_else_may_connect_to_it(erp: Erp):
    async with scratch(erp).filled(empty) as clone:
        (row,) = await erp.fetch(
            f"SELECT datacl::text AS acl FROM pg_database WHERE datname = '{clone.database}'"
        )
    assert "{=" not in row["acl"]
    assert ",=" not in row["acl"]


async def test_foreign_servers_are_out_of_its_reach(erp: Erp):
    await erp.execute(
        "CREATE FOREIGN DATA WRAPPER w; CREATE SERVER s FOREIGN DATA WRAPPER w;"
        "CREATE USER MAPPING FOR CURRENT_USER SERVER s OPTIONS (password 'secret');"
        "CREATE USER MAPPING FOR PUBLIC SERVER s"
    )
    place = Place("env:ERP_DATABASE", erp.url)
    async with scratch(erp).copied(place) as clone, connected(clone, Limits()) as connection:
        assert await connection.fetchval("SELECT count(*) FROM pg_user_mappings") == 0
    assert (await erp.fetch("SELECT count(*) AS n FROM pg_user_mappings"))[0]["n"] == 2


async def test_what_a_dead_maker_left_is_swept_once_it_is_too_old(erp: Erp):
    maker = scratch(erp, age_s=0)
    async with maker.filled(empty) as alive:
        await erp.execute("CREATE DATABASE turnout_scratch_20200101t000000_3600_00000001")
        await erp.execute("CREATE DATABASE turnout_scratch_29980101t000000_3600_00000002")
        await erp.execute('CREATE DATABASE "turnout_scratch_of_somebody"')
        young = "turnout_scratch_29990101t000000_3600_00000003"
        await erp.execute(f"CREATE DATABASE {young}")
        assert await maker.sweep() == ["turnout_scratch_20200101t000000_3600_00000001"]
        swept = await maker.sweep(everything=True)
        assert alive.database not in swept, "its maker lives"
        assert sorted(swept) == ["turnout_scratch_29980101t000000_3600_00000002", young]
    await erp.execute('DROP DATABASE "turnout_scratch_of_somebody"')


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_removes_it(
    erp: Erp, spawn: Children, tmp_path: Path, number: signal.Signals
):
    erp.write(V1_3_0__x=ADD)
    ready = tmp_path / "ready"
    child = spawn(
        *erp.command("--queries", erp.queries(), "--command", WAITING.format(file=ready)),
        env=erp.environment,
    )
    await child.until(ready.exists, "ran the command", 60)
    assert len(await erp.clones()) == 1
    child.send(number)
    assert await child.ended(60) == 130, child.report()
    assert await erp.clones() == []
    assert child.find("the clone is removed first")


async def test_an_impatient_second_signal_changes_nothing(
    erp: Erp, spawn: Children, tmp_path: Path
):
    erp.write(V1_3_0__x=ADD)
    pid = tmp_path / "pid"
    # It takes no hint, so that there is a while until it is killed.
    command = f"trap '' TERM; echo $$ > {pid}; while :; do sleep 600; done"
    child = spawn(
        *erp.command("--queries", erp.queries(), "--command", command), env=erp.environment
    )
    await child.until(lambda: pid.exists() and pid.read_text(), "ran the command", 60)
    child.send(signal.SIGINT)
    await child.line("the clone is removed first")
    child.send(signal.SIGINT)
    assert await child.ended(60) == 130, child.report()
    assert wait_gone(int(pid.read_text()), 0)
    assert await erp.clones() == []


@pytest.mark.parametrize(
    "step", ["making the clone", "5 queries of the old version", "V1.3.0__x.sql: 1 statement"]
)
async def test_whenever_the_signal_comes(erp: Erp, spawn: Children, step: str):
    erp.write(V1_3_0__x="SELECT pg_sleep(600)")
    # The dump waits for this one, so that there is a while in which it is being made.
    user = await asyncpg.connect(erp.url)
    if step.startswith("making"):
        await user.execute("BEGIN; LOCK TABLE jobs IN ACCESS EXCLUSIVE MODE")
    child = spawn(
        *erp.command("--queries", erp.queries(), "--lock-timeout-s", "60"), env=erp.environment
    )
    await child.line(step, 60)
    child.send(signal.SIGTERM)
    assert await child.ended(60) == 130, child.report()
    await user.close()
    assert await erp.clones() == []


async def test_a_table_that_is_locked_stops_the_dump_in_time(erp: Erp):
    erp.write(V1_3_0__x=ADD)
    user = await asyncpg.connect(erp.url)
    await user.execute("BEGIN; LOCK TABLE jobs IN ACCESS EXCLUSIVE MODE")
    done = await erp.turnout("--queries", erp.queries(), "--lock-timeout-s", "0.2")
    await user.close()
    assert done.code == 2
    assert "the clone can't be filled" in done.stderr
    assert await erp.clones() == []


async def test_what_a_kill_left_is_removed_by_the_next_run(
    erp: Erp, spawn: Children, tmp_path: Path
):
    erp.write(V1_3_0__x=ADD)
    ready = tmp_path / "ready"
    child = spawn(
        *erp.command(
            *("--queries", erp.queries(), "--clone-age", "1s"),
            *("--command", WAITING.format(file=ready)),
        ),
        env=erp.environment,
    )
    await child.until(ready.exists, "ran the command", 60)
    (name,) = await erp.clones()
    child.send(signal.SIGKILL)
    await child.ended()
    assert await erp.clones() == [name]
    await erp.fetch("SELECT pg_sleep(1.1)")
    done = await erp.turnout("--json", "--queries", erp.queries())
    assert done.code == 0
    assert done.json["notes"][0] == f"{name}, left behind by an earlier run, was removed"
    assert await erp.clones() == []


async def test_a_template_in_use_is_refused_with_the_way_on(erp: Erp):
    erp.write(V1_3_0__x=ADD)
    user = await asyncpg.connect(erp.url)
    given = ("--by", "template", "--queries", erp.queries())
    refused = await erp.turnout(*given)
    assert refused.code == 2
    assert "env:ERP_DATABASE: others are connected to it" in refused.stderr
    assert "--by dump" in refused.stderr
    await user.close()
    done = await erp.turnout(*given, "--json")
    assert (done.code, done.json["clone"]["by"]) == (0, "template"), done.stderr


async def test_from_a_snapshot_the_source_is_not_needed(erp: Erp, tmp_path: Path):
    await erp.execute("INSERT INTO customers VALUES (1, 'Ada', 'ada@example.org')")
    file = tmp_path / "erp.dump"
    place = Place("env:ERP_DATABASE", erp.url)
    dump = await asyncio.create_subprocess_exec(
        *(programs(18).dump, "-Fc", "-f", file, "-d", place.safe_url), env=dict(place.environment)
    )
    assert await dump.wait() == 0
    erp.write(V1_3_0__x="UPDATE customers SET name = 'Grace'")
    given = ("--snapshot", file, "--scratch", "env:ERP_DATABASE", "--queries", erp.queries())
    done = await erp.turnout(*given, "--json", "--data")
    assert (done.code, done.json["statements"][0]["rows"]) == (0, 1), done.stderr
    done = await erp.turnout(*given, "--json")
    assert (done.code, done.json["statements"][0]["rows"]) == (0, 0), done.stderr
    file.write_text("CREATE TABLE x ();\\connect erp")
    done = await erp.turnout(*given)
    assert done.code == 2
    assert "not an archive of pg_dump" in done.stderr


async def test_the_source_stays_as_it_is(erp: Erp):
    await erp.execute("INSERT INTO customers VALUES (1, 'Ada', 'ada@example.org')")
    erp.write(
        V1_3_0__x="UPDATE customers SET name = 'Grace'; ALTER TABLE customers DROP COLUMN email"
    )
    done = await erp.turnout("--json", "--data", "--queries", erp.queries())
    assert done.code == 1
    (row,) = await erp.fetch("SELECT * FROM customers")
    assert tuple(row) == (1, "Ada", "ada@example.org")
    secret = erp.url.partition("@")[0].rpartition(":")[2]
    assert secret not in done.stdout + done.stderr


async def test_on_another_server_that_lacks_an_extension(
    watched_erp: Erp, postgres_server: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
):
    watched_erp.write(V1_3_0__x="ALTER TABLE jobs DROP COLUMN legacy_field")
    monkeypatch.setenv("OTHER", postgres_server.url)
    done = await watched_erp.turnout("--json", "--scratch", "env:OTHER")
    assert done.found == {("query-fails", "error")}, done.stderr


async def test_when_the_server_is_lost_that_is_no_finding(erp: Erp, spawn: Children):
    erp.write(V1_3_0__x="SELECT pg_sleep(600)")
    child = spawn(*erp.command("--queries", erp.queries()), env=erp.environment)
    await child.line("V1.3.0__x.sql: 1 statement", 60)
    await erp.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'turnout-verify'"
    )
    assert await child.ended(60) == 2, child.report()
    assert child.find("turnout: it broke off")
    assert await erp.clones() == []


async def test_what_is_tried_is_not_in_the_servers_log_and_statistics(watched_erp: Erp):
    watched_erp.write(V1_3_0__x="ALTER TABLE jobs DROP COLUMN legacy_field")
    size = watched_erp.server.log.stat().st_size
    done = await watched_erp.turnout("--json")
    assert done.code == 1
    log = watched_erp.server.log.read_text()[size:]
    assert 'column "legacy_field" does not exist' not in log
    rows = await watched_erp.fetch(
        "SELECT query FROM pg_stat_statements WHERE query LIKE 'PREPARE turnout%' OR query LIKE 'EXPLAIN%'"
    )
    assert rows == []
    again = await watched_erp.turnout("--json", "--data")
    assert again.json["queries"]["planned"] == 5, "pg_dump's queries are not the old version's"
    assert len(again.json["findings"]) == len(done.json["findings"])
    last = await watched_erp.turnout("--json")
    assert last.json["queries"]["planned"] == 5
