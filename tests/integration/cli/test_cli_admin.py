"""The command line against a real admin, over real Redis and PostgreSQL."""

import asyncio
import contextlib
import os
import pty
import sys

import pytest

from tests.integration.admin.follower import Follower
from tests.integration.cli.conftest import SECRET, Turnout, expired_token, token


async def test_the_release_managers_day(turnout: Turnout):
    pinned = await turnout("tenants", "pin", "acme", "green", "--json")
    assert (pinned.code, pinned.stderr) == (0, "")
    assert pinned.json["converged"] is True
    assert pinned.json["acked"] == ["w1"]

    said = await turnout("tenants", "explain", "acme")
    assert said.stdout.startswith("acme → green (pin)\n")

    assert (await turnout("canary", "set", "25")).code == 0
    shown = await turnout("canary", "show", "--json")
    assert (shown.json["percent"], shown.json["standby"]) == (25, "green")
    tried = await turnout("tenants", "explain", "globex", "--weight", "100", "--json")
    assert tried.json["proposed"]["slot"] == "green"

    cut = await turnout("cutover", "green")
    assert cut.code == 0
    assert "active    blue → green" in cut.stdout
    assert "canary    25 % → 0 %" in cut.stdout

    back = await turnout("rollback")
    assert back.code == 0
    assert back.stdout.startswith("rolled back to blue: version ")

    assert (await turnout("tenants", "unpin", "acme")).code == 0
    assert (await turnout("tenants", "list", "--json")).json["items"] == []

    actions = [item["action"] for item in (await turnout("audit", "--json")).json["items"]]
    assert actions[:5] == ["unpin", "rollback", "cutover", "canary", "pin"]


async def test_the_table_the_fleet_and_the_audit_are_shown_to_people(turnout: Turnout):
    await turnout("endpoints", "set", "blue", "127.0.0.1:7001", "127.0.0.1:7002")
    refused = await turnout("tenants", "pin", "acme", "globex", "green")
    assert refused.code == 1, "nobody is sent to a slot without endpoints"
    assert "green has no endpoint" in refused.stderr
    await turnout("endpoints", "set", "green", "127.0.0.1:7003")
    await turnout("tenants", "pin", "acme", "globex", "green")
    await turnout("tenants", "register", "initech")
    shown = await turnout("routing", "show")
    assert "endpoints blue 127.0.0.1:7001, 127.0.0.1:7002" in shown.stdout
    assert "tenants   2 pinned, 1 registered" in shown.stdout
    assert "served by every worker" in shown.stdout
    fleet = await turnout("workers")
    assert "1 of 1 worker serve version" in fleet.stdout
    trail = await turnout("audit")
    assert "pins acme - → green, pins globex - → green" in trail.stdout
    listed = await turnout("tenants", "list")
    assert [line.split()[0] for line in listed.stdout.splitlines()] == [
        "tenant",
        "acme",
        "globex",
        "initech",
    ]
    ports = await turnout("endpoints", "show", "--json")
    assert ports.json["green"]["endpoints"] == ["127.0.0.1:7003"]
    assert (await turnout("tenants", "forget", "initech")).code == 0


async def test_a_stale_change_is_refused_with_the_way_on(turnout: Turnout):
    done = await turnout("canary", "set", "5", "--expect-version", "99")
    assert (done.code, done.stdout) == (1, "")
    assert "not 99" in done.stderr
    version = (await turnout("routing", "show", "--json")).json["version"]
    assert f"--expect-version {version}" in done.stderr
    good = await turnout("canary", "set", "5", "--expect-version", str(version))
    assert good.code == 0


@pytest.mark.parametrize(
    ("credential", "part"),
    [
        ("", "none was given"),
        (expired_token(), "did not accept the token: the token has expired"),
        (token("viewer"), "role"),
        (token("operator", tenants=["globex"]), "turnout token create --role"),
        ("not-a-token", "did not accept the token"),
    ],
)
async def test_a_token_that_does_not_do_is_explained(turnout: Turnout, credential: str, part: str):
    done = await turnout("tenants", "pin", "acme", "green", TURNOUT_TOKEN=credential)
    assert (done.code, done.stdout) == (1, "")
    assert part in done.stderr
    assert not credential or credential not in done.stderr


async def test_a_token_made_here_is_taken_there(turnout: Turnout):
    made = await turnout(
        *("token", "create", "--role", "operator", "--tenants", "acme"),
        TURNOUT_ADMIN_TOKEN_SECRET=SECRET,
    )
    credential = made.stdout.strip()
    mine = await turnout("tenants", "pin", "acme", "green", TURNOUT_TOKEN=credential)
    assert mine.code == 0
    other = await turnout("tenants", "pin", "globex", "green", TURNOUT_TOKEN=credential)
    assert other.code == 1


async def test_a_worker_that_does_not_answer_is_named_and_can_be_waited_for(turnout: Turnout):
    async with Follower(turnout.shared, "w2", deaf=True, lease_ms=60_000) as deaf:
        late = await turnout("canary", "set", "5", "--timeout-ms", "100")
        assert late.code == 4
        assert "served by 1 of 2 workers so far" in late.stdout
        assert "w2 on node here, at version 0: has not answered" in late.stderr
        version = (await turnout("routing", "show", "--json")).json["version"]
        assert (await turnout("routing", "wait", str(version), "--timeout-ms", "0")).code == 4
        waiting = asyncio.ensure_future(turnout("routing", "wait", str(version)))
        deaf.listen()
        assert (await waiting).code == 0


async def test_events_are_followed(turnout: Turnout):
    following = asyncio.ensure_future(
        turnout("events", "--types", "change", "--count", "1", "--json")
    )
    done = None
    # The feed tells what happens from its start on, which the test can't see.
    for percent in range(1, 100):
        await turnout("canary", "set", str(percent))
        with contextlib.suppress(TimeoutError):
            done = await asyncio.wait_for(asyncio.shield(following), 0.05)
            break
    assert done is not None
    assert done.json["event"] == "change"
    assert done.json["data"]["action"] == "canary"


async def test_a_fenced_cutover_is_told_in_numbers(turnout: Turnout):
    done = await turnout("cutover", "green", "--fenced", "--tenants", "acme,bravo")
    assert (done.code, done.stderr) == (0, "")
    assert "2 tenants cut over to green: version 3, served by 1 of 1 worker" in done.stdout
    assert "held      2 tenants" in done.stdout
    listed = await turnout("switches", "list", "--json")
    (switch,) = listed.json["switches"]
    assert (switch["state"], switch["tenants"]) == ("done", ["acme", "bravo"])
    shown = await turnout("switches", "show", switch["switch"])
    assert f"{switch['switch']}: done" in shown.stdout
    late = await turnout("switches", "cancel", switch["switch"])
    assert late.code == 1
    assert "switch-ended" in late.stderr


async def test_a_fenced_cutover_that_is_undone_says_why(turnout: Turnout):
    async with Follower(turnout.shared, "w2", deaf=True, lease_ms=60_000):
        done = await turnout("cutover", "green", "--fenced", "--limit-ms", "300")
    assert done.code == 1
    assert "limit: 0.3 s are over; without the hold: w2" in done.stderr
    assert "switch-undone" in done.stderr
    table = await turnout("routing", "show", "--json")
    assert (table.json["active"], table.json["hold_all"]) == ("blue", "")


@pytest.mark.parametrize(("no_colour", "coloured"), [("", True), ("1", False)])
async def test_slots_are_coloured_on_a_terminal_unless_told_not_to(
    turnout: Turnout, no_colour: str, coloured: bool
):
    leader, follower = pty.openpty()
    environment = {**os.environ, **turnout.environment, "TERM": "xterm", "NO_COLOR": no_colour}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "admin.cli", "canary", "show"),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=follower,
        env=environment,
    )
    os.close(follower)
    assert await process.wait() == 0
    text = os.read(leader, 65536).decode()
    os.close(leader)
    assert "green" in text
    assert ("\x1b[" in text) is coloured
