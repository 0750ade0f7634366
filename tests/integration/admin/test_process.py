"""`python -m admin` as a process: how it starts, what it logs, how it ends."""

import re
import signal
import sys

import aiohttp

from tests.integration.admin.conftest import SECRET, Client, published

LISTENING = r'"address": "([^"]+)"'


async def test_it_says_where_it_listens_and_ends_cleanly(spawn, config_file):
    child = spawn(sys.executable, "-m", "admin", "--config", config_file)
    address = (await child.line(LISTENING))[1]
    async with aiohttp.ClientSession() as session:
        client = Client(session, address)
        await published(client)
        assert (await client("PUT", "/v1/canary", {"percent": 5}))[0] == 200
        bad = {"Authorization": "Bearer " + "x" * 20_000}
        url = f"http://{address}/v1/routing"
        async with session.get(url, headers=bad) as answer:
            assert answer.status == 400
        assert client.token not in child.output()
        child.send(signal.SIGTERM)
        assert await child.ended() == 0
    output = child.output()
    assert SECRET not in output
    assert "a routing key" not in output
    assert "xxxx" not in output
    assert "postgresql://" not in output


async def test_an_open_feed_does_not_hold_the_end_up(spawn, config_file):
    child = spawn(sys.executable, "-m", "admin", "--config", config_file)
    address = (await child.line(LISTENING))[1]
    async with aiohttp.ClientSession() as session:
        client = Client(session, address)
        headers = {"Authorization": f"Bearer {client.token}"}
        async with session.get(f"http://{address}/v1/events", headers=headers) as answer:
            await answer.content.readuntil(b"\n\n")
            child.send(signal.SIGTERM)
            while await answer.content.readany():
                pass
        assert await child.ended() == 0


async def test_it_starts_without_redis_and_says_so(spawn, config_file):
    child = spawn(
        sys.executable,
        "-m",
        "admin",
        "--config",
        config_file,
        env={"TURNOUT_REDIS_URL": "redis://127.0.0.1:1/0"},
    )
    address = (await child.line(LISTENING))[1]
    async with aiohttp.ClientSession() as session:
        client = Client(session, address)
        status, document, _ = await client("GET", "/readyz")
        assert (status, document["parts"]["redis"]) == (503, {"ok": False})
        assert (await client("GET", "/healthz"))[0] == 200
        assert (await client("PUT", "/v1/canary", {"percent": 5}))[0] == 503


def test_without_a_secret_it_refuses_to_run(spawn, config_file):
    config_file.write_text(re.sub(r"token_secret = .*", "", config_file.read_text()))
    child = spawn(sys.executable, "-m", "admin", "--config", config_file)
    assert child.wait() == 1
    assert "refuses to run without a token secret" in child.output()


def test_without_postgresql_it_waits_and_then_says_what_to_do(spawn, config_file):
    environment = {
        "TURNOUT_DATABASE_URL": "postgresql://somebody:hush@127.0.0.1:1/turnout",
        "TURNOUT_ADMIN_DATABASE_WAIT_S": "0.5",
    }
    child = spawn(sys.executable, "-m", "admin", "--config", config_file, env=environment)
    assert child.wait() == 1
    assert "waiting for postgresql" in child.output()
    assert "PostgreSQL can't be reached" in child.output()
    assert "hush" not in child.output()


def test_a_wrong_setting_ends_it_with_2(spawn, config_file):
    child = spawn(sys.executable, "-m", "admin", "--config", config_file, "--listen", "nonsense")
    assert child.wait() == 2
    assert "listen" in child.output()
