"""The OpenAPI document against a real admin: every operation, as it is meant, and with all that it isn't.

`make fuzz-api ARGS=…` calls far more, with the arguments of `st run`: see docs/testing.md.
"""

import asyncio
import os
import re
import shlex
import sys
from pathlib import Path

import orjson
import pytest

from tests.integration.admin.api.stage import NAMES, SIGNAL, Stage
from tests.integration.admin.api.story import Story
from tests.integration.admin.conftest import Client
from tests.support.documented import Seen

SETTINGS = Path(__file__).with_name("schemathesis.toml")
ARGUMENTS = os.environ.get("TURNOUT_FUZZ_API") or "--phases coverage"
COUNTED = re.compile(
    r'turnout_admin_requests_total{method="(\w+)",route="([^"]+)",status="(\d+)"} (\d+)'
)


async def test_every_operation_does_what_it_is_for(staged: Stage) -> None:
    """The client judges each answer by the document as it is."""
    await Story(staged).tell()
    seen = staged.call.seen
    print(f"\n{seen.table()}")
    assert seen.never(successful=True) == []


@pytest.mark.timeout(3600)
async def test_no_call_breaks_it_or_the_document(
    told: Stage, run_seed: int, tmp_path: Path
) -> None:
    """What the document allows, and what it doesn't; every check of every answer by schemathesis."""
    config = tmp_path / "schemathesis.toml"
    config.write_text(f"{SETTINGS.read_text()}\n{await names(told.call)}")
    before = await counted(told.call)
    print(f"\nschemathesis: seed {run_seed}, {ARGUMENTS}")
    process = await asyncio.create_subprocess_exec(
        *(Path(sys.executable).with_name("st"), "--config-file", config, "run"),
        *(f"{told.url}/openapi.json", "--seed", str(run_seed), "--no-color"),
        *("--continue-on-failure", "--warnings", "off", *shlex.split(ARGUMENTS)),
        env={**os.environ, "TURNOUT_TOKEN": told.call.token},
        cwd=tmp_path,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    seen = await counted(told.call)
    seen.take_away(before)
    print(f"{output.decode()}\n{seen.table()}")
    assert process.returncode == 0
    assert seen.never() == []
    assert all(status < 500 for counts in seen.statuses.values() for status in counts)


async def names(call: Client) -> str:
    """What is called by the names that are there, besides those that nothing has."""
    found = {
        "path.tenant": [*NAMES],
        "path.signal": [SIGNAL],
        "path.target": [*NAMES],
        "path.release": ["current"],
        "path.switch": [
            each["switch"] for each in (await call("GET", "/v1/switches"))[1]["switches"]
        ],
        "path.plan": [
            each["name"] for each in (await call("GET", "/v1/migrations/plans"))[1]["items"]
        ],
    }
    releases = (await call("GET", "/v1/releases"))[1]["releases"]
    found["path.release"] += [each["name"] for each in releases]
    lines = []
    for place, values in found.items():
        name = place.partition(".")[2]
        lines.append(f"[dictionaries.{name}]\nvalues = {orjson.dumps(values).decode()}")
    lines.append("[parameters]")
    lines += [f'"{place}" = {{ dictionary = "{place.partition(".")[2]}" }}' for place in found]
    return "\n".join(lines) + "\n"


async def counted(call: Client) -> Seen:
    """How the admin itself counts its answers."""
    seen = Seen()
    for method, path, status, count in COUNTED.findall((await call("GET", "/metrics"))[1]):
        if (method, path) in seen.statuses:
            seen.statuses[method, path][int(status)] += int(count)
    return seen
