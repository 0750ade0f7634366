"""Plans by API and command line, from a folder of files, carried out by a real worker."""

import asyncio
import contextlib
import itertools
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from click.testing import CliRunner

from admin.bootstrap import running
from admin.cli.main import main
from admin.config import Settings
from config import Shared
from proxy.routing.canary import bucket
from tests.integration.admin.conftest import SECRET, Client, is_problem, published
from tests.support.migrations import Ledger, of_tenants, settings

Works = Callable[..., Awaitable[Any]]
TENANTS = of_tenants(8)
NAMES = [each.name for each in TENANTS]
_numbers = itertools.count()


@dataclass
class Site:
    """An admin, and the folder that it plans from."""

    call: Client
    folder: Path
    own: Any

    def write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text)

    async def turnout(self, *arguments: str) -> tuple[int, str]:
        """The command line's exit code, and all that it says."""
        environ = {
            "TURNOUT_ADMIN_URL": f"http://{self.call.address}",
            "TURNOUT_TOKEN": self.call.token,
        }

        def invoke() -> tuple[int, str]:
            found = CliRunner().invoke(main, ["migrations", *arguments], env=environ)
            return found.exit_code, found.output

        return await asyncio.to_thread(invoke)


@pytest.fixture
async def site(book: Ledger, redis_url: str, tmp_path: Path) -> AsyncIterator[Site]:
    """Eight registered tenants with empty schemas; two files."""
    await book.schemas(TENANTS)
    own = msgspec.structs.replace(settings(), folder=str(tmp_path))
    shared = Shared(redis_url, f"planning{next(_numbers)}", book.url, "")
    of_admin = Settings(
        listen="127.0.0.1:0",
        token_secret=SECRET,
        reconcile_interval_s=0.1,
        shutdown_timeout_s=1.0,
    )
    async with contextlib.AsyncExitStack() as stack:
        address = await stack.enter_async_context(running(shared, of_admin, own))
        session = await stack.enter_async_context(aiohttp.ClientSession())
        call = Client(session, address)
        await published(call)
        operations = [{"op": "register", "tenant": name} for name in NAMES]
        status, answer, _ = await call("POST", "/v1/routing/changes", {"operations": operations})
        assert status in {200, 202}, answer
        site = Site(call, tmp_path, own)
        site.write("V1.2.0__jobs.sql", "CREATE TABLE jobs (id bigint PRIMARY KEY, quantity int);\n")
        site.write("V1.3.0__priority.sql", "ALTER TABLE jobs ADD COLUMN priority int DEFAULT 5;\n")
        yield site


async def test_a_plan_is_made_looked_at_and_run(book: Ledger, works: Works, site: Site) -> None:
    status, tried, _ = await site.call(
        "POST", "/v1/migrations/plans", {"dry_run": True, "pilots": NAMES[:2], "shares": [50]}
    )
    assert status == 200, tried
    assert (tried["name"], tried["jobs"], tried["targets"]) == (None, 16, 8)
    assert tried["waves"][0]["jobs"] == {"queued": 4}
    assert (await site.call("GET", "/v1/migrations/plans"))[1]["items"] == []

    code, said = await site.turnout("plan", "--pilots", ",".join(NAMES[:2]), "--json")
    assert code == 0, said
    name = json.loads(said)["name"]
    await works(book.worker(site.own))
    code, said = await site.turnout("run", name, "--watch")
    assert code == 0, said
    assert "16 of 16" in said
    code, said = await site.turnout("status", name)
    assert (code, "done" in said) == (0, True)
    code, said = await site.turnout("targets", "--json")
    assert [each["applied"] for each in json.loads(said)["items"]] == [["1.2.0", "1.3.0"]] * 8
    code, said = await site.turnout("history", "--plan", name, "--limit", "1000", "--json")
    applied = [each for each in json.loads(said)["items"] if each["event"] == "applied"]
    assert len(applied) == 16
    headers = {"Idempotency-Key": "k1"}
    twice = [
        (await site.call("POST", "/v1/migrations/plans", {}, headers=headers))[1] for _ in range(2)
    ]
    assert twice[0]["name"] == twice[1]["name"]
    assert len((await site.call("GET", "/v1/migrations/plans"))[1]["items"]) == 2
    again = json.loads((await site.turnout("plan", "--dry-run", "--json"))[1])
    assert (again["jobs"], again["up_to_date"]) == (0, 8)
    rows = (await site.call("GET", "/v1/audit?action=migration-run"))[1]["items"]
    assert len(rows) == 1


async def test_the_report_of_a_failure_says_what_to_do(
    book: Ledger, works: Works, site: Site
) -> None:
    site.write(
        "V1.4.0__positive.sql",
        "SELECT 1;\nALTER TABLE jobs\n  ADD CONSTRAINT positive CHECK (quantity > 0);\n",
    )
    await works(book.worker(site.own))
    code, said = await site.turnout("plan", "--to", "1.3.0", "--run")
    assert code == 0, said
    bad = TENANTS[0]
    await book.there.execute(f'INSERT INTO "{bad.schema}".jobs VALUES (1, 0)')
    code, said = await site.turnout("plan", "--pilots", bad.name, "--run")
    assert code == 5, said
    assert f"{bad.name}: V1.4.0__positive.sql:2" in said
    assert "[23514]" in said
    assert "turnout migrations retry" in said
    name = _name(said)
    assert "stopped" in (await site.turnout("status", name))[1]
    there = "SELECT count(*) FROM pg_constraint WHERE conname = 'positive'"
    assert await book.there.fetchval(there) == 0
    await book.there.execute(f'DELETE FROM "{bad.schema}".jobs')
    code, said = await site.turnout("retry", name, "--watch")
    assert (code, "8 of 8" in said) == (0, True), said


async def test_what_can_not_be_planned_says_why(site: Site) -> None:
    site.write("V1.4.0__x.sql", "SELEC 1;\n")
    answer = await site.call("POST", "/v1/migrations/plans", {})
    is_problem(answer, 422, "migrations-unreadable")
    assert answer[1]["faults"] == ['V1.4.0__x.sql:1:1: syntax error at or near "SELEC"']
    site.write("V1.4.0__x.sql", "DROP TABLE jobs;\n")
    assert (await site.call("PUT", "/v1/slots/blue/version", {"version": "1.3.0"}))[0] == 200
    answer = await site.call("POST", "/v1/migrations/plans", {"phases": ["expand", "contract"]})
    is_problem(answer, 409, "plan-refused")
    assert "1.4.0 is required, and blue runs 1.3.0" in answer[1]["detail"]
    is_problem(
        await site.call("POST", "/v1/migrations/plans", {"tenants": ["nobody"]}),
        409,
        "plan-refused",
    )
    is_problem(await site.call("POST", "/v1/migrations/plans/m-0/run", {}), 404, "not-found")
    is_problem(await site.call("GET", "/v1/migrations/plans/m-0"), 404, "not-found")
    made = (await site.call("POST", "/v1/migrations/plans", {}))[1]
    answer = await site.call("POST", f"/v1/migrations/plans/{made['name']}/pause", {})
    is_problem(answer, 409, "plan-state")
    viewer = site.call.with_token("viewer")
    is_problem(await viewer("POST", "/v1/migrations/plans", {}), 403, "forbidden-role")
    assert (await viewer("GET", "/v1/migrations/plans"))[0] == 200


async def test_what_no_worker_would_run_is_refused_with_its_place(site: Site) -> None:
    site.write("V1.4.0__a.sql", "SELECT 1;\nSET lock_timeout = 0;\n")
    site.write("V1.5.0__b.sql", "CREATE INDEX CONCURRENTLY ON jobs (id);\n")
    head = "-- turnout:phase backfill\n-- turnout:batch table=jobs key=id size=10\n"
    site.write("V1.6.0__c.sql", f"{head}UPDATE jobs SET quantity = 1;\n")
    answer = await site.call("POST", "/v1/migrations/plans", {})
    is_problem(answer, 422, "migrations-unreadable")
    places = [fault.partition(": ")[0] for fault in answer[1]["faults"]]
    assert places == ["V1.4.0__a.sql:2:1", "V1.5.0__b.sql:1:1", "V1.6.0__c.sql:3:1"]


async def test_waves_are_in_the_canary_s_own_order(site: Site, book: Ledger) -> None:
    assert (await site.call("PUT", "/v1/canary", {"percent": 0, "salt": "another"}))[0] == 200
    asked = {"shares": [50], "to": "1.2.0"}
    made = (await site.call("POST", "/v1/migrations/plans", asked))[1]
    first = await book.connection.fetch(
        "SELECT target FROM turnout.migration_jobs WHERE plan = $1 AND wave = 0", made["name"]
    )
    drawn = {name for name in NAMES if bucket("another", name) < 5000}
    assert {row["target"] for row in first} == drawn
    assert 0 < len(drawn) < len(NAMES)


async def test_of_a_target_that_lies_elsewhere_by_now_nothing_is_known(
    book: Ledger, works: Works, site: Site
) -> None:
    made = (await site.call("POST", "/v1/migrations/plans", {"run": True, "to": "1.2.0"}))[1]
    await works(book.worker(site.own))
    await book.ends(made["name"])
    again = {"to": "1.2.0", "dry_run": True}
    assert (await site.call("POST", "/v1/migrations/plans", again))[1]["jobs"] == 0
    await book.connection.execute(
        "UPDATE turnout.migration_targets SET schema = 'before' WHERE name = $1", NAMES[0]
    )
    assert (await site.call("POST", "/v1/migrations/plans", again))[1]["jobs"] == 1


async def test_only_a_target_that_came_or_moved_is_news_to_the_routing(
    book: Ledger, works: Works, site: Site
) -> None:
    async def generation() -> int:
        found = await book.connection.fetchval("SELECT schema_generation FROM turnout.routing_head")
        return int(found)

    async def lacking() -> dict[str, str]:
        page = (await site.call("GET", "/v1/migrations/compatibility"))[1]
        return {each["tenant"]: each["lacking"] for each in page["items"]}

    before = await generation()
    await site.call("GET", "/v1/migrations/targets")
    assert await generation() == before + 1
    await site.call("GET", "/v1/migrations/targets")
    assert await generation() == before + 1

    made = (await site.call("POST", "/v1/migrations/plans", {"run": True, "to": "1.2.0"}))[1]
    await works(book.worker(site.own))
    await book.ends(made["name"])
    assert await lacking() == dict.fromkeys(NAMES, "1.3.0")
    at = await generation()
    await book.connection.execute(
        "UPDATE turnout.migration_targets SET schema = 'before' WHERE name = $1", NAMES[0]
    )
    await site.call("GET", "/v1/migrations/targets")
    assert await generation() == at + 2
    assert await lacking() == dict.fromkeys(NAMES, "1.3.0") | {NAMES[0]: "1.2.0"}


async def test_the_targets_come_by_pages_of_one_look(site: Site) -> None:
    first = (await site.call("GET", "/v1/migrations/targets?limit=5"))[1]
    assert ([each["name"] for each in first["items"]], first["next"]) == (NAMES[:5], NAMES[4])
    operations = [{"op": "register", "tenant": "d0"}]
    assert (await site.call("POST", "/v1/routing/changes", {"operations": operations}))[0] < 300
    rest = (await site.call("GET", f"/v1/migrations/targets?limit=5&cursor={first['next']}"))[1]
    assert ([each["name"] for each in rest["items"]], rest["next"]) == (NAMES[5:], None)
    anew = (await site.call("GET", "/v1/migrations/targets"))[1]
    assert [each["name"] for each in anew["items"]] == [*NAMES, "d0"]


async def test_a_token_for_some_tenants_moves_no_plan(site: Site) -> None:
    bound = site.call.with_token("operator", [NAMES[0]])
    is_problem(await bound("POST", "/v1/migrations/plans", {}), 403, "forbidden-scope")
    is_problem(await bound("POST", "/v1/migrations/plans/m-0/run", {}), 403, "forbidden-scope")


async def test_the_feed_tells_how_it_goes(book: Ledger, works: Works, site: Site) -> None:
    headers = {"Authorization": f"Bearer {site.call.token}"}
    url = f"http://{site.call.address}/v1/events?types=migration"
    async with site.call.session.get(url, headers=headers) as feed:
        await feed.content.readuntil(b"\n\n")
        await works(book.worker(site.own))
        made = (await site.call("POST", "/v1/migrations/plans", {"run": True}))[1]
        async with asyncio.timeout(30):
            while True:
                lines = (await feed.content.readuntil(b"\n\n")).decode().split("\n")
                data = [line[6:] for line in lines if line.startswith("data: ")]
                told = json.loads(data[0]) if data else {}
                if told.get("state") == "done":
                    break
    assert (told["plan"], told["done"], told["jobs"]) == (made["name"], 16, 16)


def _name(said: str) -> str:
    """The plan that a remedy names."""
    return said.split("turnout migrations retry ")[1].split("`", maxsplit=1)[0]
