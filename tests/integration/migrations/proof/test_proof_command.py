"""The old version's test suite, run against the clone."""

import json
import sys
from pathlib import Path

from tests.integration.migrations.proof.conftest import Erp
from tests.support.processes import wait_gone

ADD = "ALTER TABLE jobs ADD COLUMN priority INT DEFAULT 5"
SUITE = """
import asyncio, os, asyncpg, sys
async def main():
    url = os.environ["{variable}"]
    connection = await asyncpg.connect(url)
    print(sorted(name for name in os.environ if "DATABASE" in name))
    print(await connection.fetchval("SELECT current_database()"), url)
    await connection.execute("INSERT INTO customers (id, name) VALUES (1, 'x')")
    await connection.fetch("SELECT {column} FROM jobs")
    print("passed")
asyncio.run(main())
"""


def suite(erp: Erp, column: str, variable: str = "DATABASE_URL") -> str:
    file = erp.folder.parent / "suite.py"
    file.write_text(SUITE.format(column=column, variable=variable))
    return f"{sys.executable} {file}"


async def test_it_gets_the_clone_and_only_the_clone(erp: Erp):
    erp.write(V1_3_0__x=ADD)
    command = suite(erp, "quantity", "OLD_DATABASE")
    done = await erp.turnout("--json", "--command", command, "--command-variable", "OLD_DATABASE")
    assert done.code == 0, done.stdout
    (run,) = done.json["commands"]
    assert "['OLD_DATABASE']" in run["output"], "where the real one stands is hidden"
    assert done.json["clone"]["clone"] in run["output"]
    assert run["output"].endswith("passed\n")
    assert erp.url.partition("@")[0].rpartition(":")[2] not in done.stdout
    assert await erp.fetch("SELECT * FROM customers") == []


async def test_its_failure_is_a_finding(erp: Erp):
    erp.write(V1_3_0__x="ALTER TABLE jobs DROP COLUMN quantity")
    done = await erp.turnout("--json", "--command", suite(erp, "quantity"))
    assert (done.code, done.found) == (1, {("command-fails", "error")})
    assert 'column "quantity" does not exist' in done.json["commands"][0]["output"]
    told = await erp.turnout("--command", suite(erp, "quantity"))
    assert "ended with 1" in told.stdout
    assert 'column "quantity" does not exist' in told.stdout
    assert told.stdout.splitlines()[-1] == "not proven: 1 error"


async def test_it_ends_at_its_limit_with_all_that_it_started(erp: Erp, tmp_path: Path):
    erp.write(V1_3_0__x=ADD)
    pids = tmp_path / "pids"
    # One in its group that ignores the request to end, and one that has left the group.
    command = (
        f"trap '' TERM; echo $$ >> {pids};"
        f"setsid sh -c 'echo $$ >> {pids}; sleep 600' & echo so far; while :; do sleep 600; done"
    )
    done = await erp.turnout("--json", "--command", command, "--command-limit", "1s")
    assert (done.code, done.found) == (1, {("command-fails", "error")})
    (run,) = done.json["commands"]
    assert (run["exit_code"], run["output"]) == (None, "so far\n")
    started = [int(line) for line in pids.read_text().split()]
    assert len(started) == 2
    assert all(wait_gone(pid) for pid in started)


async def test_what_it_leaves_running_ends_with_it(erp: Erp, tmp_path: Path):
    erp.write(V1_3_0__x=ADD)
    pid = tmp_path / "pid"
    command = f"setsid sh -c 'echo $$ > {pid}; exec sleep 600' & until test -s {pid}; do :; done"
    done = await erp.turnout("--json", "--command", command)
    assert done.code == 0
    assert wait_gone(int(pid.read_text()))


async def test_its_output_is_bounded(erp: Erp):
    erp.write(V1_3_0__x=ADD)
    done = await erp.turnout("--json", "--command", "yes turnout | head -c 1000000; echo the end")
    output = done.json["commands"][0]["output"]
    assert len(output) == 65_536
    assert output.endswith("the end\n")


async def test_the_evidence_is_saved_for_a_gate(erp: Erp, tmp_path: Path):
    erp.write(V1_3_0__x=ADD)
    file = tmp_path / "evidence.json"
    done = await erp.turnout("--evidence", file, "--queries", erp.queries())
    assert done.code == 0
    assert done.stdout.splitlines()[-1] == "proven: 5 queries work as before"
    found = json.loads(file.read_text())
    assert (found["format"], found["proven"], found["errors"]) == (1, True, 0)
    assert found["clone"]["source"] == "env:ERP_DATABASE"
    (migration,) = found["migrations"]
    assert (migration["path"], len(migration["checksum"])) == ("V1.3.0__x.sql", 64)
    assert found["made_at"].endswith("+00:00")
    assert found["fingerprints"]["before"] != found["fingerprints"]["after"]
    (statement,) = found["statements"]
    assert statement["locks"] == [{"relation": "jobs", "mode": "AccessExclusiveLock"}]
