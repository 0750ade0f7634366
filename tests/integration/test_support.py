"""What the other tests stand on: the fixtures, and the waits of child processes."""

import asyncio
import random
import signal
import sys
import time
from pathlib import Path

import asyncpg
import pytest
import redis.asyncio
import uvloop

from admin.embedded import EmbeddedPostgres
from tests.support.processes import Child, Children, wait_gone
from tests.support.servers import empty_database

ROOT = Path(__file__).parents[2]
SLEEP = "import time; time.sleep(60)"
SERVER = """
import http.server
server = http.server.HTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler)
print("port", server.server_port, flush=True)
server.serve_forever()
"""


async def test_async_tests_run_on_uvloop() -> None:
    assert isinstance(asyncio.get_running_loop(), uvloop.Loop)


@pytest.mark.parametrize("turn", ["first", "second"])
async def test_each_test_finds_redis_and_postgres_empty(
    turn: str, redis_url: str, database_url: str
) -> None:
    client = redis.asyncio.from_url(redis_url)
    session = await asyncpg.connect(database_url)
    assert await client.info("keyspace") == {}
    await client.set("key", turn)
    await client.aclose()
    await session.execute("CREATE TABLE only_once ()")
    await session.close()


async def test_the_database_of_a_test_is_gone_after_it(postgres_server: EmbeddedPostgres) -> None:
    with empty_database(postgres_server) as url:
        pass
    with pytest.raises(asyncpg.InvalidCatalogNameError):
        await asyncpg.connect(url)


async def test_a_line_is_waited_for(spawn: Children) -> None:
    child = spawn(sys.executable, "-c", "print('one'); print('two 2'); " + SLEEP)
    assert (await child.line(r"^two (\d)$"))[1] == "2"
    assert child.wait_line("^(one)$")[1] == "one"


async def test_a_wait_ends_with_its_child_and_shows_the_log(spawn: Children) -> None:
    child = spawn(sys.executable, "-c", "raise SystemExit('this is why')", name="failing")
    begun = time.monotonic()
    with pytest.raises(AssertionError, match=r"failing never wrote 'ready'.*\n(.*\n)*this is why"):
        await child.line("ready", 60)
    with pytest.raises(AssertionError, match="this is why"):
        child.wait_line("ready", 60)
    assert time.monotonic() - begun < 30
    assert await child.ended() == 1


async def test_a_wait_is_bounded(spawn: Children) -> None:
    child = spawn(sys.executable, "-c", SLEEP)
    for wait in (child.line("ready", 0.05), child.listening(1, seconds=0.05), child.ended(0.05)):
        with pytest.raises(AssertionError, match=r"never .* within 0\.05 s"):
            await wait
    with pytest.raises(AssertionError, match=r"never ended within 0\.05 s"):
        child.wait(0.05)


async def test_a_server_is_waited_for(spawn: Children) -> None:
    child = spawn(sys.executable, "-c", SERVER, cwd=ROOT)
    port = int((await child.line(r"^port (\d+)$"))[1])
    await child.listening(port)
    await child.answers(port, "/pyproject.toml")
    with pytest.raises(AssertionError, match="never answers /missing"):
        await child.answers(port, "/missing", seconds=0.05)


async def test_a_child_is_ended_with_its_whole_group(spawn: Children) -> None:
    code = f"""
import signal, subprocess, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(3))
print("grandchild", subprocess.Popen([sys.executable, "-c", {SLEEP!r}]).pid)
signal.pause()
"""
    child = spawn(sys.executable, "-c", code)
    grandchild = int((await child.line(r"^grandchild (\d+)$"))[1])
    child.stop()
    assert child.exit_code == 3
    assert wait_gone(grandchild)


def test_a_child_that_is_killed_says_by_what(spawn: Children) -> None:
    child = spawn(sys.executable, "-c", SLEEP)
    child.send(signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL


def pytest_on(test: str, spawn: Children, folder: Path, seed: int = 1) -> Child:
    """Run pytest, with our fixtures, on a test of its own."""
    (folder / "test_inner.py").write_text(test)
    return spawn(
        *(sys.executable, "-m", "pytest", "-p", "tests.conftest", "-p", "no:cacheprovider"),
        *(f"--rootdir={folder}", f"--config-file={ROOT / 'pyproject.toml'}"),
        folder / "test_inner.py",
        cwd=ROOT,
        env={"TURNOUT_TEST_SEED": str(seed), "PYTHONPATH": str(ROOT)},
    )


async def test_a_failing_test_shows_the_logs_of_its_children(
    spawn: Children, tmp_path: Path
) -> None:
    run = pytest_on(
        "async def test_inner(spawn):\n"
        "    await spawn('/bin/echo', 'said by the child').ended()\n"
        "    raise RuntimeError\n",
        spawn,
        tmp_path,
    )
    await run.line(r"^said by the child$", 60)
    assert await run.ended(60) == 1


async def test_a_run_shows_its_seed_which_repeats_it(spawn: Children, tmp_path: Path) -> None:
    test = "def test_inner(seeded_random):\n    raise RuntimeError(seeded_random.random())\n"
    runs = [pytest_on(test, spawn, tmp_path, seed) for seed in (7, 7, 8)]
    seeds = [(await run.line(r"^seed: (\d+)", 60))[1] for run in runs]
    drawn = [(await run.line(r"^E +RuntimeError: (\S+)$", 60))[1] for run in runs]
    assert seeds == ["7", "7", "8"]
    assert drawn[0] == drawn[1] != drawn[2]


async def test_a_transport_left_open_fails_the_run_instead_of_hanging_it(
    spawn: Children, tmp_path: Path
) -> None:
    run = pytest_on(
        "import asyncio\n"
        "left_open = []\n"
        "async def test_inner():\n"
        "    server = await asyncio.start_server(print, '127.0.0.1', 0)\n"
        "    port = server.sockets[0].getsockname()[1]\n"
        "    left_open.append(await asyncio.open_connection('127.0.0.1', port))\n",
        spawn,
        tmp_path,
    )
    await run.line(r"^E +ResourceWarning: .*unclosed resource <TCPTransport", 60)
    assert await run.ended(60) == 1


def test_a_seeded_source_does_not_repeat_itself(seeded_random: random.Random) -> None:
    assert seeded_random.random() != seeded_random.random()
