"""No tenant is routed to a slot whose version its schema can't serve: a real admin, worker and ledger."""

import asyncio
import contextlib
import itertools
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import pytest
from click.testing import CliRunner

from admin.bootstrap import running
from admin.cli.main import main
from admin.config import Settings
from admin.migrations.ledger.plans import applied
from config import Shared
from tests.integration.admin.conftest import SECRET, Client, is_problem, published
from tests.support.migrations import Ledger, catalogue, file, of_tenants, settings

Works = Callable[..., Awaitable[Any]]
TENANTS = of_tenants(6)
NAMES = [each.name for each in TENANTS]
TABLE = file("1.2.0", "CREATE TABLE jobs (id bigint PRIMARY KEY, legacy text)")
COLUMN = file("1.3.0", "ALTER TABLE jobs ADD COLUMN priority integer")
DROP = file("1.3.1", "ALTER TABLE jobs DROP COLUMN legacy", phase="contract", requires="1.3.0")
_numbers = itertools.count()


@pytest.fixture
async def call(book: Ledger, redis_url: str) -> AsyncIterator[Client]:
    """An admin on the ledger's database; blue runs 1.2.0 and green 1.3.0."""
    shared = Shared(redis_url, f"served{next(_numbers)}", book.url, "")
    own = Settings(
        listen="127.0.0.1:0",
        token_secret=SECRET,
        reconcile_interval_s=0.1,
        shutdown_timeout_s=1.0,
    )
    async with contextlib.AsyncExitStack() as stack:
        address = await stack.enter_async_context(running(shared, own))
        session = await stack.enter_async_context(aiohttp.ClientSession())
        client = Client(session, address)
        await published(client)
        for slot, version in (("blue", "1.2.0"), ("green", "v1.3.0")):
            path = f"/v1/slots/{slot}/version"
            assert (await client("PUT", path, {"version": version}))[0] == 200
        yield client


async def migrated(
    book: Ledger, works: Works, files: tuple[Any, ...], targets: Any, state: str = "done"
) -> str:
    """These files on these targets, carried out."""
    had = await applied(book.connection)
    plan = await book.planned(
        catalogue(*files), targets, applied=had, phases=("expand", "contract")
    )
    await works(book.worker(settings(), f"w{next(_numbers)}"))
    async with asyncio.timeout(60):
        while await book.state(plan) != state:
            await asyncio.sleep(0.02)
    return plan


async def test_a_cutover_names_whom_it_cannot_serve_and_so_does_the_way_back(
    book: Ledger, works: Works, call: Client
) -> None:
    await book.schemas(TENANTS)
    await migrated(book, works, (TABLE,), TENANTS)
    await migrated(book, works, (TABLE, COLUMN), TENANTS[:3])
    late = NAMES[3:]

    answer = await call("POST", "/v1/cutover", {"to": "green", "mode": "instant"})
    is_problem(answer, 409, "schema-unserved")
    assert answer[1]["tenants"] == late
    assert "green runs 1.3.0" in answer[1]["detail"]
    assert "migration 1.3.0 is not applied" in answer[1]["detail"]
    for refused in (
        await call("PUT", f"/v1/tenants/{late[0]}/pin", {"slot": "green"}),
        await call("PUT", "/v1/canary", {"percent": 100}),
        await call("PUT", "/v1/canary", {"percent": 1, "unit": "request"}),
        await call("POST", "/v1/cutover", {"to": "green", "mode": "fenced"}),
    ):
        is_problem(refused, 409, "schema-unserved")
    assert (await call("PUT", f"/v1/tenants/{NAMES[0]}/pin", {"slot": "green"}))[0] == 200
    matrix = (await call("GET", "/v1/migrations/compatibility?unserved=true"))[1]
    assert [item["tenant"] for item in matrix["items"]] == late
    assert matrix["items"][0]["serves"] == {"1.2.0": True, "1.3.0": False}
    assert (matrix["cutover"]["safe"], matrix["cutover"]["tenants"]) == (False, late)
    explained = (await call("GET", f"/v1/tenants/{late[0]}/route"))[1]["schema"]
    assert explained["slots"]["green"] == {
        "version": "1.3.0",
        "served": False,
        "why": "migration 1.3.0 is not applied",
    }

    await migrated(book, works, (TABLE, COLUMN), TENANTS)
    status, done, _ = await call("POST", "/v1/cutover", {"to": "green", "mode": "instant"})
    assert status == 200, done
    assert (await call("DELETE", f"/v1/tenants/{NAMES[0]}/pin"))[0] == 200
    safe = (await call("GET", "/v1/migrations/compatibility"))[1]["rollback"]
    assert (safe["to"], safe["version"], safe["safe"]) == ("blue", "1.2.0", True)

    # Blue may come back, so what it needs is not taken away; nobody goes back once that is given up.
    plan = await migrated(book, works, (TABLE, COLUMN, DROP), TENANTS[:1], "stopped")
    error = await book.connection.fetchval(
        "SELECT error FROM turnout.migration_jobs WHERE plan = $1 AND state = 'failed'", plan
    )
    assert "1.3.0 is required, and blue runs 1.2.0" in error
    assert (await call("DELETE", "/v1/slots/blue/version"))[0] == 200
    await migrated(book, works, (TABLE, COLUMN, DROP), TENANTS[:2])
    assert (await call("PUT", "/v1/slots/blue/version", {"version": "1.2.0"}))[0] == 200
    answer = await call("POST", "/v1/rollback", {"mode": "instant"})
    is_problem(answer, 409, "schema-unserved")
    assert answer[1]["tenants"] == NAMES[:2]
    assert "what is applied requires 1.3.0" in answer[1]["detail"]
    gone_back = await call("POST", "/v1/rollback", {"mode": "instant", "tenants": NAMES[2:]})
    assert gone_back[0] == 200, gone_back[1]


async def test_a_contract_that_begins_meanwhile_counts(
    book: Ledger, works: Works, call: Client
) -> None:
    """The admin knows an older ledger; the commit itself finds that it has moved on."""
    await book.schemas(TENANTS)
    await migrated(book, works, (TABLE, COLUMN), TENANTS)
    assert (await call("POST", "/v1/cutover", {"to": "green", "mode": "instant"}))[0] == 200
    assert (await call("DELETE", "/v1/slots/blue/version"))[0] == 200
    await migrated(book, works, (TABLE, COLUMN, DROP), TENANTS[:1])
    # Put back as it was before blue was forgotten, behind the admin's back.
    await book.connection.execute(
        "INSERT INTO turnout.slot_versions (slot, version, actor) VALUES ('blue', '1.2.0', 'x')"
    )
    answer = await call("PUT", f"/v1/tenants/{NAMES[0]}/pin", {"slot": "blue"})
    is_problem(answer, 409, "schema-unserved")
    assert (await call("PUT", f"/v1/tenants/{NAMES[1]}/pin", {"slot": "blue"}))[0] == 200


async def test_what_a_slot_runs_is_refused_while_tenants_need_another(
    book: Ledger, works: Works, call: Client
) -> None:
    await book.schemas(TENANTS)
    await migrated(book, works, (TABLE, COLUMN), TENANTS)
    later = file("1.4.0", "ALTER TABLE jobs ADD COLUMN colour text")
    await book.planned(catalogue(TABLE, COLUMN, later), TENANTS, run=False)
    answer = await call("PUT", "/v1/slots/blue/version", {"version": "1.4.0"})
    is_problem(answer, 409, "schema-unserved")
    assert (await call("GET", "/v1/slots/blue/version"))[1]["version"] == "1.2.0"
    # Nobody is on green, so it may be deployed there before the migration.
    assert (await call("PUT", "/v1/slots/green/version", {"version": "1.4.0"}))[0] == 200
    is_problem(
        await call("PUT", f"/v1/tenants/{NAMES[0]}/pin", {"slot": "green"}), 409, "schema-unserved"
    )
    is_problem(
        await call("PUT", "/v1/slots/green/version", {"version": "1.4"}), 400, "invalid-change"
    )
    rows = (await call("GET", "/v1/audit?action=slot-version"))[1]["items"]
    outcomes = [(row["outcome"], row["to"]) for row in rows[:3]]
    assert [outcome for outcome, _ in outcomes] == ["committed", "refused", "committed"]
    assert outcomes[0][1] == {"green_version": "1.4.0"}


async def test_the_command_line_says_so(book: Ledger, works: Works, call: Client) -> None:
    await book.schemas(TENANTS)
    await migrated(book, works, (TABLE,), TENANTS)
    await migrated(book, works, (TABLE, COLUMN), TENANTS[:5])

    async def turnout(*arguments: str) -> tuple[int, str]:
        return await asyncio.to_thread(_turnout, call, *arguments)

    code, said = await turnout("migrations", "compatibility", "--unserved")
    assert code == 0
    assert "cutover to green (1.3.0) is refused because of 1 tenant: c5" in said
    assert "migration 1.3.0 is not applied" in said
    code, said = await turnout("cutover", "green")
    assert code == 1, said
    assert "c5" in said
    code, said = await turnout("tenants", "explain", "c5")
    assert "does not serve 1.3.0 on green: migration 1.3.0 is not applied" in said
    assert (await turnout("versions", "show"))[1] == "blue 1.2.0\ngreen 1.3.0\n"
    assert (await turnout("versions", "set", "blue", "1.2.5"))[0] == 0
    assert (await turnout("versions", "forget", "blue"))[0] == 0
    assert json.loads((await turnout("versions", "show", "--json"))[1]) == {
        "blue": None,
        "green": "1.3.0",
    }


def _turnout(client: Client, *arguments: str) -> tuple[int, str]:
    """The command line's exit code, and all that it says."""
    environ = {"TURNOUT_ADMIN_URL": f"http://{client.address}", "TURNOUT_TOKEN": client.token}
    found = CliRunner().invoke(main, list(arguments), env=environ)
    return found.exit_code, found.output
