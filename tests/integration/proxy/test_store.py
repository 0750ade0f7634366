"""The connection to Redis, on a real one: logins, TLS, sockets, replies of every kind, and its end."""

import asyncio
import re
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from redis import Redis

from admin.embedded import EmbeddedRedis
from proxy.config import Follow
from proxy.follow import Follower, Store
from proxy.observability.telemetry import Telemetry
from proxy.routing.ack import WorkerStatus
from proxy.routing.change import Pin
from proxy.routing.keys import Keys
from proxy.routing.model import Slot
from proxy.store.address import parse
from proxy.store.connection import RefusedError, StoreError, connected
from tests.support.certificates import Authority
from tests.support.fleet import KEY, routing_at

LIMIT_S = 5.0
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
ROOT = Path(__file__).parents[3]


async def test_replies_of_every_kind(redis_url: str) -> None:
    large = bytes(range(256)) * 12_000
    async with connected(parse(redis_url), LIMIT_S) as store:
        assert await store.call("SET", "a", large) == b"OK"
        assert await store.call("GET", "a") == large
        assert await store.call(b"GET", "absent") is None
        assert await store.call("SET", "empty", b"") == b"OK"
        assert await store.call("MGET", "empty", "absent") == [b"", None]
        assert await store.call("INCRBY", "n", -3) == -3
        assert await store.call("XADD", "log", "1-0", "body", "x") == b"1-0"
        streams = await store.call("XREAD", "STREAMS", "log", "0-0")
        assert streams == [[b"log", [[b"1-0", [b"body", b"x"]]]]]
        assert await store.call("XREAD", "BLOCK", 1, "STREAMS", "log", "1-0") is None
        with pytest.raises(RefusedError) as refused:
            await store.call("HGET", "a", "field")
        assert refused.value.code == "WRONGTYPE"
        assert await store.call("PING") == b"PONG"  # a refusal ends nothing


async def test_the_database_is_the_url_s(redis_server: EmbeddedRedis) -> None:
    for database in (1, 2):
        async with connected(parse(redis_server.url_for(database)), LIMIT_S) as store:
            await store.call("SET", "where", database)
    async with connected(parse(redis_server.url_for(1)), LIMIT_S) as store:
        assert await store.call("GET", "where") == b"1"
        await store.call("DEL", "where")


@pytest.mark.parametrize(("login", "code"), [("", "NOAUTH"), (":wrong@", "WRONGPASS")])
async def test_a_wrong_login_is_refused(redis_server: EmbeddedRedis, login: str, code: str) -> None:
    with pytest.raises(RefusedError) as refused:
        async with connected(
            parse(f"redis://{login}127.0.0.1:{redis_server.port}"), LIMIT_S
        ) as store:
            await store.call("GET", "a")
    assert refused.value.code == code


async def test_a_user_with_the_documented_rights_follows(fresh_redis: EmbeddedRedis) -> None:
    operations = (ROOT / "docs" / "operations.md").read_text("utf-8")
    user = re.search(r"^ {4}user turnout-proxy on >PASSWORD (.+)$", operations, re.MULTILINE)
    assert user is not None
    with Redis.from_url(fresh_redis.url) as redis:
        redis.execute_command("ACL", "SETUSER", "turnout-proxy", "on", ">s3cret", *user[1].split())
    address = parse(f"redis://turnout-proxy:s3cret@127.0.0.1:{fresh_redis.port}")
    async with routing_at(fresh_redis.url) as routing:
        await routing.change()
        follower = Follower(
            Store(address, Keys(), KEY.encode()),
            Follow(),
            WorkerStatus("test/1", "test", 1, 0, "starting"),
            Telemetry(1).blocks[0],
            lambda table: None,
        )
        tasks = [asyncio.create_task(follower.follow()), asyncio.create_task(follower.renew())]
        await routing.change(Pin("acme", Slot.GREEN))
        await routing.acked(2, 1)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        await follower.leave()
        assert await routing.fleet() == []


# ── other ways to it ──────────────────────────────────────────────────────────────────────────


@asynccontextmanager
async def joined(redis_port: int, context: ssl.SSLContext) -> AsyncIterator[int]:
    """A port that speaks TLS and passes on to Redis, as a proxy for it does."""

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
        writer.close()

    async def join(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        to, back = await asyncio.open_connection("127.0.0.1", redis_port)
        await asyncio.gather(copy(reader, back), copy(to, writer), return_exceptions=True)

    async with serving(join, context) as port:
        yield port


@asynccontextmanager
async def serving(serve: Serve, context: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """A server on loopback; gives its port."""
    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def test_by_tls_with_certificates_on_both_sides(
    redis_server: EmbeddedRedis, tmp_path: Path
) -> None:
    authority = Authority(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue("redis", "127.0.0.1"))
    context.load_verify_locations(authority.ca)
    context.verify_mode = ssl.CERT_REQUIRED
    certificate, key = authority.issue("proxy", "proxy.test")
    password = urlsplit(redis_server.url).password
    async with joined(redis_server.port, context) as port:
        url = f"rediss://:{password}@127.0.0.1:{port}?ssl_ca_certs={authority.ca}"
        own = f"&ssl_certfile={certificate}&ssl_keyfile={key}"
        async with connected(parse(url + own), LIMIT_S) as store:
            assert await store.call("PING") == b"PONG"
        with pytest.raises((OSError, StoreError)):  # the server wants to know who it is
            async with connected(parse(url), LIMIT_S) as store:
                await store.call("PING")


@pytest.mark.parametrize("of", ["another name", "another authority"])
async def test_a_server_that_is_not_the_one_asked_for_gets_no_password(
    tmp_path: Path, of: str
) -> None:
    authority, other = Authority(tmp_path), Authority(tmp_path, "other")
    by = other if of == "another authority" else authority
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*by.issue("redis", "redis.test" if by is authority else "127.0.0.1"))
    received = bytearray()

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.extend(await reader.read())
        writer.close()

    async with serving(listen, context) as port:
        address = parse(f"rediss://:s3cret@127.0.0.1:{port}?ssl_ca_certs={authority.ca}")
        with pytest.raises(ssl.SSLCertVerificationError):
            async with connected(address, LIMIT_S):
                pass
    assert not received


async def test_by_a_socket_of_the_host(tmp_path: Path) -> None:
    async def pong(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await reader.readexactly(14) == b"*1\r\n$4\r\nPING\r\n"
        writer.write(b"+PONG\r\n")
        writer.close()

    path = tmp_path / "redis.sock"
    server = await asyncio.start_unix_server(pong, path)
    async with server, connected(parse(f"unix://{path}"), LIMIT_S) as store:
        assert await store.call("PING") == b"PONG"


# ── what is no Redis, or none any more ────────────────────────────────────────────────────────


NOT_RESP, CLOSED = "the reply is not RESP", "the connection was closed"


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", NOT_RESP),
        (b"?1\r\n", NOT_RESP),
        (b"\r\n", NOT_RESP),
        (b"$x\r\n", NOT_RESP),
        (b"$3\r\nabcd\r\n", NOT_RESP),
        (b"$536870913\r\n", NOT_RESP),
        (b"*1048577\r\n", NOT_RESP),
        (b"*1\r\n" * 9, NOT_RESP),
        (b":" + b"1" * 70_000, NOT_RESP),
        (b"$5\r\nab", CLOSED),
        (b"", CLOSED),
    ],
)
async def test_what_is_no_reply_ends_the_connection(reply: bytes, said: str) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"PING\r\n")
        writer.write(reply)
        writer.close()

    async with serving(answer) as port:
        with pytest.raises(StoreError, match=said):
            async with connected(parse(f"redis://127.0.0.1:{port}"), LIMIT_S) as store:
                await store.call("PING")


async def test_a_reply_that_does_not_come_is_waited_for_so_long() -> None:
    asked = asyncio.Event()

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"PING\r\n")
        asked.set()
        await reader.read()
        writer.close()

    async with serving(hang) as port:
        with pytest.raises(TimeoutError):
            async with connected(parse(f"redis://127.0.0.1:{port}"), 0.05) as store:
                await store.call("PING")
    assert asked.is_set()
