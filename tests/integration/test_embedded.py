"""The embedded servers: each promise of admin/embedded, on the real servers."""

import contextlib
import os
import pwd
import re
import shutil
import signal
import socket
import stat
import sys
import tempfile
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import chain, repeat
from pathlib import Path

import asyncpg
import pytest
import redis.asyncio
import redis.exceptions

from admin.embedded import (
    EmbeddedPostgres,
    EmbeddedRedis,
    EmbeddedServer,
    EmbeddedServerError,
    ports,
    server,
    start_all,
)
from tests.support.processes import Children, credentials, listening_addresses, wait_gone

ROOT = Path(__file__).parents[2]
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="what is tested is how root starts them")
PARENT = """
import encodings.ascii, encodings.idna  # for when we can't read them any more
import signal, sys
from pathlib import Path
from admin.embedded import EmbeddedPostgres, EmbeddedRedis, start_all
folder = Path(sys.argv[1])
if len(sys.argv) > 2:
    import os
    os.setgroups([]); os.setgid(int(sys.argv[3])); os.setuid(int(sys.argv[2]))
servers = EmbeddedRedis(folder / "redis"), EmbeddedPostgres(folder / "postgres")
start_all(*servers)
print("ready", *(server.pid for server in servers), servers[1].url, flush=True)
signal.pause()
"""

READY = r"^ready (\d+) (\d+) (\S+)$"
"""What PARENT writes: the process of Redis, that of PostgreSQL, the URL of the latter."""

type_of_server = pytest.mark.parametrize(
    "make", [EmbeddedRedis, EmbeddedPostgres], ids=["redis", "postgres"]
)
Make = Callable[..., EmbeddedServer]


@contextlib.asynccontextmanager
async def connected_postgres(url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(url, timeout=10)
    try:
        yield connection
    finally:
        await connection.close(timeout=10)


@contextlib.asynccontextmanager
async def connected_redis(url: str) -> AsyncIterator[redis.asyncio.Redis]:
    client = redis.asyncio.from_url(url, decode_responses=True)
    try:
        yield client
    finally:
        await client.aclose()


async def write(running: EmbeddedServer, value: str) -> None:
    if isinstance(running, EmbeddedRedis):
        async with connected_redis(running.url) as client:
            await client.set("key", value)
            await client.waitaof(1, 0, 5000)
    elif isinstance(running, EmbeddedPostgres):
        async with connected_postgres(running.url) as connection:
            await connection.execute("CREATE TABLE IF NOT EXISTS kept (value text)")
            await connection.execute("INSERT INTO kept VALUES ($1)", value)


async def read(running: EmbeddedServer) -> object:
    if isinstance(running, EmbeddedRedis):
        async with connected_redis(running.url) as client:
            return await client.get("key")
    assert isinstance(running, EmbeddedPostgres)
    async with connected_postgres(running.url) as connection:
        return await connection.fetchval("SELECT value FROM kept")


@pytest.fixture
def folder_of_nobody() -> Iterator[Path]:
    """Reachable by that account, which pytest's own folders are not."""
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    nobody = pwd.getpwnam("nobody")
    os.chown(folder, nobody.pw_uid, nobody.pw_gid)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(params=["redis_server", "postgres_server"])
def shared(request: pytest.FixtureRequest) -> EmbeddedServer:
    """A running server of each type, only to be looked at."""
    running = request.getfixturevalue(request.param)
    assert isinstance(running, EmbeddedServer)
    return running


@pytest.fixture
def occupied_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@type_of_server
async def test_what_was_written_is_there_after_stop_and_start_at_the_same_url(
    make: Make, tmp_path: Path
) -> None:
    with make(tmp_path / "server") as running:
        await write(running, "kept")
        port, pid = running.port, running.pid
        running.stop()
        assert wait_gone(pid, 0)
        running.start()
        assert (running.port, await read(running)) == (port, "kept")


@type_of_server
async def test_a_killed_server_starts_again_with_its_data(make: Make, tmp_path: Path) -> None:
    with make(tmp_path / "server") as running:
        await write(running, "kept")
        os.kill(running.pid, signal.SIGKILL)
        assert wait_gone(running.pid)
        running.start()
        assert await read(running) == "kept"


@type_of_server
async def test_two_beside_each_other_share_nothing(make: Make, tmp_path: Path) -> None:
    with make(tmp_path / "one") as one, make(tmp_path / "two") as two:
        await write(one, "of one")
        await write(two, "of two")
        assert (await read(one), await read(two)) == ("of one", "of two")


@type_of_server
async def test_a_second_start_on_a_folder_is_refused_and_names_it(
    make: Make, tmp_path: Path
) -> None:
    folder = tmp_path / "server"
    with make(folder) as running:
        with pytest.raises(
            EmbeddedServerError, match=f"{folder} is in use by process {os.getpid()}"
        ):
            make(folder).start()
        await write(running, "undisturbed")
    with make(folder) as next_one:
        assert await read(next_one) == "undisturbed"


def test_starting_what_runs_is_refused(shared: EmbeddedServer) -> None:
    with pytest.raises(EmbeddedServerError, match="already"):
        shared.start()


def test_it_listens_on_loopback_only(shared: EmbeddedServer) -> None:
    assert listening_addresses(shared.port) == {"0100007F"}


def test_its_port_is_not_one_that_outgoing_connections_get(shared: EmbeddedServer) -> None:
    first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    assert shared.port < first


def test_a_ctrl_c_in_the_terminal_reaches_the_parent_only(shared: EmbeddedServer) -> None:
    assert os.getsid(shared.pid) == shared.pid
    assert os.getpgid(shared.pid) == shared.pid


@type_of_server
def test_a_port_taken_before_it_is_bound_is_replaced(
    make: Make, tmp_path: Path, occupied_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    choices = chain([occupied_port], (ports.free_port() for _ in repeat(None)))
    monkeypatch.setattr(server, "free_port", lambda: next(choices))
    with make(tmp_path / "server") as running:
        assert running.port != occupied_port


@type_of_server
def test_a_port_that_was_asked_for_and_is_taken_is_an_error_with_the_log(
    make: Make, tmp_path: Path, occupied_port: int
) -> None:
    refused = make(tmp_path / "server", occupied_port)
    with pytest.raises(EmbeddedServerError, match="Address already in use"):
        refused.start()
    assert not refused.running


def test_the_password_is_in_a_private_file_and_nowhere_to_be_seen(shared: EmbeddedServer) -> None:
    password = (shared.folder / "password").read_text()
    assert len(password) >= 32
    for name in ("cmdline", "environ"):
        assert password.encode() not in Path("/proc", str(shared.pid), name).read_bytes()
    assert shared._process is not None
    assert password not in str(shared._process.args)  # Valkey overwrites its own later
    assert password not in shared.log.read_text() + repr(shared)


def test_what_it_makes_is_for_its_owner_only(shared: EmbeddedServer) -> None:
    for path in shared.folder.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


async def test_redis_refuses_clients_without_its_password(redis_server: EmbeddedRedis) -> None:
    async with connected_redis(f"redis://127.0.0.1:{redis_server.port}") as client:
        with pytest.raises(redis.exceptions.AuthenticationError):
            await client.get("key")


async def test_postgres_refuses_clients_without_its_password(database_url: str) -> None:
    wrong = re.sub(r":[^:@]+@", ":wrong@", database_url)
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(wrong)


async def test_postgres_has_the_settings_that_later_work_needs(tmp_path: Path) -> None:
    names = ("max_connections", "wal_level", "fsync", "server_encoding", "TimeZone")
    with EmbeddedPostgres(tmp_path / "own") as server:
        await _has_settings(server.url, names)


async def _has_settings(url: str, names: tuple[str, ...]) -> None:
    async with connected_postgres(url) as connection:
        values = [await connection.fetchval(f"SHOW {name}") for name in names]
        assert values == ["200", "logical", "on", "UTF8", "UTC"]
        assert await connection.fetchval("SELECT upper('ä')") == "Ä"


async def test_databases_are_made_once_and_dropped_under_open_sessions(
    fresh_postgres: EmbeddedPostgres,
) -> None:
    url = fresh_postgres.create_database("erp")
    session = await asyncpg.connect(url)
    await session.execute("CREATE TABLE mine ()")
    assert fresh_postgres.create_database("erp") == url
    assert await session.fetchval("SELECT count(*) FROM mine") == 0
    fresh_postgres.drop_database("erp")
    with pytest.raises(asyncpg.InvalidCatalogNameError):
        await asyncpg.connect(url)


@pytest.mark.parametrize("name", ["", "Erp", 'a"; DROP DATABASE postgres; --', "a\n", "x" * 64])
def test_odd_database_names_are_refused(name: str, postgres_server: EmbeddedPostgres) -> None:
    for use in (postgres_server.url_for, postgres_server.create_database):
        with pytest.raises(ValueError, match="not a database name"):
            use(name)


async def test_a_postmaster_file_left_behind_does_not_matter_whoever_has_its_number_now(
    tmp_path: Path, postgres_server: EmbeddedPostgres
) -> None:
    with EmbeddedPostgres(tmp_path / "server") as running:
        await write(running, "kept")
        os.kill(running.pid, signal.SIGKILL)
        assert wait_gone(running.pid)
        left = running.data / "postmaster.pid"
        left.write_text(left.read_text().replace(str(running.pid), str(postgres_server.pid), 1))
        running.start()
        assert await read(running) == "kept"


def test_a_server_that_ends_at_its_start_is_an_error_with_the_end_of_its_log(
    tmp_path: Path,
) -> None:
    broken = EmbeddedPostgres(tmp_path / "postgres", settings={"max_connections": "many"})
    beside = EmbeddedRedis(tmp_path / "redis")
    with pytest.raises(EmbeddedServerError, match='invalid value for parameter "max_connections"'):
        start_all(beside, broken)
    assert not beside.running
    assert wait_gone(beside.pid, 0)


@type_of_server
def test_a_start_that_fails_gives_its_folder_back(
    make: Make, tmp_path: Path, occupied_port: int
) -> None:
    refused = make(tmp_path / "server", occupied_port)
    refused.begin()
    with pytest.raises(EmbeddedServerError):
        refused.finish()
    with make(tmp_path / "server") as started:
        assert started.running


def test_data_without_their_password_are_an_error(tmp_path: Path) -> None:
    with EmbeddedPostgres(tmp_path / "server") as running:
        running.stop()
        (running.folder / "password").unlink()
        with pytest.raises(EmbeddedServerError, match="'password' is gone"):
            running.start()


def test_a_thread_other_than_the_main_one_is_refused(tmp_path: Path) -> None:
    errors: list[BaseException] = []

    def start() -> None:
        try:
            EmbeddedRedis(tmp_path / "server").start()
        except EmbeddedServerError as error:
            errors.append(error)

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    assert "main thread" in str(errors)


async def test_kill_9_of_the_parent_ends_both_and_leaves_a_folder_that_starts(
    spawn: Children, tmp_path: Path
) -> None:
    parent = spawn(sys.executable, "-c", PARENT, tmp_path, cwd=ROOT)
    ready = await parent.line(READY)
    session = await asyncpg.connect(ready[3])  # so that there is a backend to end too
    await session.execute("CREATE TABLE kept AS SELECT 'kept' AS value")
    parent.send(signal.SIGKILL)
    assert wait_gone(int(ready[1]))
    assert wait_gone(int(ready[2]))
    session.terminate()
    with EmbeddedPostgres(tmp_path / "postgres") as again, EmbeddedRedis(tmp_path / "redis"):
        assert await read(again) == "kept"


async def test_an_initdb_cut_short_does_not_break_the_next_start(
    spawn: Children, tmp_path: Path
) -> None:
    parent = spawn(sys.executable, "-c", PARENT, tmp_path, cwd=ROOT)
    unfinished = tmp_path / "postgres" / "data.new" / "base"
    await parent.until(unfinished.exists, "ran initdb")
    parent.send(signal.SIGKILL)
    await parent.ended()
    assert not (tmp_path / "postgres" / "data").exists()
    with EmbeddedPostgres(tmp_path / "postgres") as running:
        await write(running, "works")


def test_without_the_wheels_the_error_says_what_to_install(spawn: Children, tmp_path: Path) -> None:
    for name in ("EmbeddedRedis", "EmbeddedPostgres"):
        code = f"from admin.embedded import *; from pathlib import Path; {name}(Path({str(tmp_path)!r})).start()"
        child = spawn(sys.executable, "-S", "-c", code, cwd=ROOT, name=name)
        assert child.wait() == 1
        assert child.find(r"^admin.*EmbeddedServerError: .*pip install 'turnout\[demo\]'$")


@AS_ROOT
async def test_root_gives_postgres_an_account_that_need_not_reach_the_folder(
    tmp_path: Path,
) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    before = [path.stat().st_mode for path in (closed, *closed.parents)]
    with EmbeddedPostgres(closed / "deep" / "postgres") as running:
        nobody = pwd.getpwnam("nobody")
        account = credentials(running.pid)
        assert account == {"Uid": {nobody.pw_uid}, "Gid": {nobody.pw_gid}, "Groups": set()}
        await write(running, "works")
    assert [path.stat().st_mode for path in (closed, *closed.parents)] == before


@AS_ROOT
async def test_another_account_than_root_starts_them_as_itself(
    spawn: Children, folder_of_nobody: Path
) -> None:
    nobody = pwd.getpwnam("nobody")
    account = (str(nobody.pw_uid), str(nobody.pw_gid))
    parent = spawn(sys.executable, "-c", PARENT, folder_of_nobody, *account, cwd=ROOT)
    ready = await parent.line(READY)
    assert credentials(int(ready[2]))["Uid"] == {nobody.pw_uid}
    async with connected_postgres(ready[3]) as connection:
        assert await connection.fetchval("SELECT 1") == 1
    parent.kill()
    assert wait_gone(int(ready[1]))
    assert wait_gone(int(ready[2]))
