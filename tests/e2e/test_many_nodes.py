"""Two nodes and two admins: who serves a change is told by node, and by whichever admin is asked."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from admin.tokens import create_token
from tests.history.endpoint import Logged, listening
from tests.history.system import SECRET, Admin, System, until
from tests.soak.watch import wait_stopped

WORKERS = 2
PIN = "/v1/tenants/acme/pin"


@pytest.fixture
async def system(tmp_path: Path, seeded_random: Any) -> AsyncIterator[System]:
    """All of it; blue and green have an endpoint, and every worker serves."""
    made = System(tmp_path, policies=("serve", "serve"), workers=WORKERS, lease_s=60.0, wait_s=5.0)
    servers = [
        await listening(slot, Logged(lambda _: None, seeded_random)) for slot in ("blue", "green")
    ]
    try:
        await made.start(servers[0][1])
        for slot, (_, port) in zip(("blue", "green"), servers, strict=True):
            body = {"endpoints": [f"127.0.0.1:{port}"]}
            await made.call(made.admins[0], "PUT", f"/v1/slots/{slot}/endpoints", body)
        for node in made.nodes:
            await until(node.serves, f"node {node.name} serves")
        yield made
    finally:
        await made.close()
        for server, _ in servers:
            server.close()


async def turnout(admin: Admin, *arguments: str) -> tuple[int, str, str]:
    """`turnout …` at this admin: exit code, what it says on stdout and on stderr."""
    token = create_token(SECRET, "tester", "admin", 3600)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "admin.cli", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "TURNOUT_ADMIN_URL": admin.url, "TURNOUT_TOKEN": token},
    )
    out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


@pytest.mark.timeout(180)
async def test_who_is_waited_for_is_told_by_node_at_every_admin(system: System) -> None:
    first, second = system.admins
    status, made = await system.call(first, "PUT", PIN, {"slot": "green"})
    assert (status, made["converged"], made["laggards"]) == (200, True, [])
    assert made["nodes"] == {name: {"acked": WORKERS, "pending": 0} for name in ("a", "b")}

    slow = system.nodes[1]
    victim = min(slow.pids)
    os.kill(victim, signal.SIGSTOP)
    wait_stopped(victim)
    body = {"slot": "blue", "timeout_ms": 300}
    status, late = await system.call(first, "PUT", PIN, body)
    assert (status, late["converged"]) == (202, False)
    assert late["nodes"] == {
        "a": {"acked": WORKERS, "pending": 0},
        "b": {"acked": WORKERS - 1, "pending": 1},
    }
    (laggard,) = late["laggards"]
    assert [laggard["worker"]] == late["pending"]
    assert (laggard["node"], laggard["pid"]) == ("b", victim)
    assert laggard["version"] == made["version"]

    # What the first admin has made, the second one knows.
    status, asked = await system.call(second, "GET", f"/v1/routing/changes/{late['version']}")
    assert (asked["pending"], asked["laggards"]) == (late["pending"], late["laggards"])
    status, fleet = await system.call(second, "GET", "/v1/workers")
    assert fleet["nodes"] == {
        "a": {"live": WORKERS, "current": WORKERS, "lost": 0},
        "b": {"live": WORKERS, "current": WORKERS - 1, "lost": 0},
    }
    assert [each["node"] for each in fleet["workers"]] == ["a", "a", "b", "b"]

    code, said, _ = await turnout(second, "workers")
    assert (code, "  b: 1 of 2 current" in said) == (0, True), said
    code, said, warned = await turnout(second, "cutover", "green", "--timeout-ms", "300")
    assert code == 4
    assert "served by 3 of 4 workers (b 1 of 2, a 2 of 2) so far" in said
    assert f"{laggard['worker']} on node b, at version {made['version']}" in warned
    code, said, _ = await turnout(first, "workers", "--json")
    assert json.loads(said)["nodes"]["b"]["current"] == WORKERS - 1

    os.kill(victim, signal.SIGCONT)
    path = f"/v1/routing/changes/{late['version']}?timeout_ms=15000"
    status, whole = await system.call(second, "GET", path, limit_s=20.0)
    assert (status, whole["converged"], whole["laggards"]) == (200, True, [])
