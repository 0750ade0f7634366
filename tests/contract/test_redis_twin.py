"""The simulation's Redis behaves as the real one, as far as our code looks.

Each script's twin is compared on states drawn by lot, and the client by the same behaviours on both.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from random import Random
from typing import Any

import pytest
import redis as redis_sync
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from admin.routing.publish import _lua
from proxy.follow import _entries
from proxy.store import script
from tests.sim.network import Network, Way
from tests.sim.redis_data import TWINS, Data
from tests.sim.redis_server import RedisClient, RedisServer
from tests.sim.world import World

TABLE, LOG, LEASES, WORKERS, NEWS = "table", "log", "leases", "workers", "news"
KEYS = (TABLE, LOG, LEASES, WORKERS)
_SLACK_MS = 20_000
_HIGHEST_VERSION = 20
_STATES = 400


@pytest.fixture
def server(redis_url: str) -> Iterator[redis_sync.Redis]:
    with contextlib.closing(redis_sync.Redis.from_url(redis_url)) as client:
        before: Any = client.config_get("stream-node-max-entries")
        client.config_set("stream-node-max-entries", 1)  # so that "about so many" is exact
        yield client
        client.config_set("stream-node-max-entries", before["stream-node-max-entries"])


def now_ms(server: Any) -> int:
    seconds, micros = server.time()
    return int(seconds) * 1000 + int(micros) // 1000


def drawn(lots: Random, now: int) -> Data:
    """A state: workers that live, are over, or long gone; a table and a log that may not agree."""
    data = Data()
    for number in range(lots.randrange(5)):
        name = b"w%d" % number
        ends = now + lots.choice((-200_000, -80_000, -40_000, 40_000, 80_000)) + number
        data.zadd(LEASES, ends, name)
        if lots.random() < 0.9:
            data.hset(WORKERS, {name: b"status of " + name})
    version = lots.choice((lots.randrange(8), lots.randrange(8, 18)))
    for logged in range(
        max(version - lots.choice((3, 14)), 1), version + lots.choice((0, 1, 1, 1, 2))
    ):
        data.xadd(LOG, logged, {b"body": b"entry", b"mac": b""}, 1000)
    if lots.random() < 0.9:
        written = lots.choice((b"%d" % version, b"%d" % version, b"", b"spoilt"))
        data.hset(TABLE, {b"version": written, b"body": b"table", b"mac": b"m"})
        if lots.random() < 0.8:
            data.hset(TABLE, {b"commit": lots.choice((b"c1", b"c2", b""))})
        if lots.random() < 0.7:
            at = lots.choice((version, version, max(version - 2, 0), max(version - 9, 0), 19))
            data.hset(TABLE, {b"at": lots.choice((b"%d" % at, b"%d" % at, b"spoilt"))})
    return data


def content_version(data: Data) -> int:
    written = data.hget(TABLE, b"version") or b""
    return int(written) if written.isdigit() else 0


def fill(server: Any, data: Data) -> None:
    server.flushdb()
    for key, fields in data.hashes.items():
        server.hset(key, mapping=fields)
    for key, members in data.leases.items():
        server.zadd(key, members)
    for key, stream in data.streams.items():
        for version, fields in stream.entries:
            server.xadd(key, fields, id=f"{version}-0")


def content(server: Any) -> dict[str, Any]:
    """What lies there, by the commands that both have, and the rest of the real one's."""
    found: Any = {
        "hashes": {key: server.hgetall(key) for key in (TABLE, WORKERS)},
        "log": [(int(name.split(b"-")[0]), fields) for name, fields in server.xrange(LOG)],
        "leases": dict(server.zrange(LEASES, 0, -1, withscores=True)),
    }
    return {key: value for key, value in found.items() if value}


def content_of(data: Data) -> dict[str, Any]:
    streams, leases = data.streams.get(LOG), data.leases.get(LEASES, {})
    found: Any = {
        "hashes": {key: data.hashes.get(key, {}) for key in (TABLE, WORKERS)},
        "log": streams.entries if streams else [],
        "leases": leases,
    }
    return {key: value for key, value in found.items() if value}


def drawn_call(lots: Random, there: int) -> tuple[str, list[str], list[Any]]:
    """A script, its keys and its arguments. there: the version that is published."""
    name = lots.choice(("renew", "leave", "look", "load", "checkpoint", *["publish"] * 6))
    worker = b"w%d" % lots.randrange(6)
    if name == "renew":
        return script(name), [LEASES, WORKERS], [worker, b"says", 3000, NEWS, TABLE]
    if name == "leave":
        return script(name), [LEASES, WORKERS], [worker, b"gone", NEWS]
    if name == "load":
        return script(name), [LEASES], [TABLE, LOG, lots.choice((3, 1000))]
    if name == "checkpoint":
        commit = lots.choice((b"c1", b"c1", b"c2"))
        return _lua(name), [TABLE], [there, b"snapshot", b"sealed", commit]
    if name == "look":
        return _lua("snapshot") + _lua("look"), list(KEYS), [60_000]
    expected = lots.choice((there, there, there, lots.randrange(9), "any", "reset"))
    target = max((there if isinstance(expected, str) else expected) + lots.choice((0, 1, 1, 2)), 1)
    entries: list[Any] = []
    first = target if isinstance(expected, str) else min(expected + 1, target)
    for version in range(first, target + 1):
        entries += [version, b"change", b"sealed"]
    after = lots.choice((b"", b"c1", b"c2"))
    body = b"new" if isinstance(expected, str) else lots.choice((b"new", b"", b""))
    limits = (lots.choice((10, 1000)), lots.choice((4, 100)), 60_000)
    fixed = [expected, target, body, b"mac", *limits, b"c9", after]
    return _lua("snapshot") + _lua("publish"), list(KEYS), [*fixed, *entries]


def coarse(answer: Any) -> Any:
    """An answer without the milliseconds that a lease has left: those pass meanwhile."""
    if isinstance(answer, list):
        return [coarse(each) for each in answer]
    is_time = isinstance(answer, int) and abs(answer) > _HIGHEST_VERSION
    return round(answer / _SLACK_MS) if is_time else answer


def test_each_script_does_what_its_twin_does(server: Any, seeded_random: Random) -> None:
    seen = set()
    for _ in range(_STATES):
        now = now_ms(server)
        data = drawn(seeded_random, now)
        fill(server, data)
        text, keys, given = drawn_call(seeded_random, content_version(data))
        encoded = [each if isinstance(each, bytes) else str(each).encode() for each in given]
        twin = TWINS[text](data, now, keys, encoded)
        real = server.eval(text, len(keys), *keys, *given)
        assert coarse(real) == coarse(twin), (keys, given)
        there, here = content(server), content_of(data)
        for members in (there.get("leases", {}), here.get("leases", {})):
            members.update({name: round(ends / _SLACK_MS) for name, ends in members.items()})
        assert there == here, (keys, given)
        seen.add(real[0] if isinstance(real, list) else real)
    assert {b"published", b"ahead", b"behind", b"whole", 0, 1} <= seen, seen


# ── the client ────────────────────────────────────────────────────────────────────────────────


class Place:
    """A server, and clients of it. cut: breaks all connections. away: nobody listens meanwhile."""

    def client(self, retries: int = 0, timeout_s: float = 5.0) -> Any:
        raise NotImplementedError

    async def cut(self) -> None:
        raise NotImplementedError

    def nowhere(self) -> Any:
        """A client of a server that isn't there."""
        raise NotImplementedError


class RealPlace(Place):
    def __init__(self, url: str) -> None:
        self.url = url
        self.clients: list[Any] = []

    def client(self, retries: int = 0, timeout_s: float = 5.0) -> Any:
        retry = Retry(NoBackoff(), retries, supported_errors=(RedisConnectionError,))
        found = Redis.from_url(
            self.url, socket_timeout=timeout_s, socket_connect_timeout=5.0, retry=retry
        )
        self.clients.append(found)
        return found

    async def cut(self) -> None:
        async with Redis.from_url(self.url) as other:
            for kind in ("normal", "pubsub"):
                await other.execute_command("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes")
        await asyncio.sleep(0.05)  # until the loop has read their ends

    def nowhere(self) -> Any:
        self.url = "redis://127.0.0.1:1"
        return self.client()


class SimulatedPlace(Place):
    def __init__(self, world: World, server: RedisServer) -> None:
        self.world, self.server = world, server

    def client(self, retries: int = 0, timeout_s: float = 5.0) -> Any:
        return RedisClient.here(timeout_s, 5.0, again=retries)

    async def cut(self) -> None:
        self.world.network.cut(self.server)
        await asyncio.sleep(0.05)

    def nowhere(self) -> Any:
        self.world.network.set_way(self.server, Way.REFUSED)
        return self.client()


Behaviour = Callable[[Place], Awaitable[None]]


def in_simulation(behaviour: Behaviour) -> None:
    world = World(1)
    world.network = Network(world)
    server = world.servers["redis"] = RedisServer(world)
    node = world.node("client")
    with node.inside():
        task = node.start(_run(behaviour, SimulatedPlace(world, server)))
    world.run(100.0, task.done)
    try:
        task.result()
    finally:
        world.close()


async def _run(behaviour: Behaviour, place: Place) -> None:
    await behaviour(place)


@contextlib.asynccontextmanager
async def real_place(url: str) -> AsyncIterator[Place]:
    place = RealPlace(url)
    try:
        yield place
    finally:
        for client in place.clients:
            await client.aclose()


def renewed(client: Any, worker: bytes = b"w1") -> Any:
    renew = client.register_script(script("renew"))
    return renew(keys=[LEASES, WORKERS], args=[worker, b"says", 3000, NEWS, TABLE])


def published(client: Any, version: int) -> Any:
    publish = client.register_script(_lua("snapshot") + _lua("publish"))
    expected = version - 1 if version > 1 else "any"
    fixed = [expected, version, b"table", b"mac", 1000, 100, 60_000, b"c", b""]
    return publish(keys=list(KEYS), args=[*fixed, version, b"change", b"sealed"])


async def what_is_missing_is_none(place: Place) -> None:
    client = place.client()
    assert await client.hmget(TABLE, ["version", "body"]) == [None, None]
    assert await client.hget(TABLE, "version") is None
    assert await renewed(client) is None


async def what_was_published_can_be_read(place: Place) -> None:
    client = place.client()
    await published(client, 1)
    word, version, last, commit, at, _ = await published(client, 2)
    assert (word, version, last, commit, at) == (b"published", 2, 2, b"c", 2)
    assert await client.hmget(TABLE, ["version", "body", "mac"]) == [b"2", b"table", b"mac"]
    assert await renewed(client) == b"2"
    entries = _entries(await client.xread({LOG: "0-0"}, count=100, block=1000))
    assert entries == [(b"%d-0" % n, {b"body": b"change", b"mac": b"sealed"}) for n in (1, 2)]
    assert len(_entries(await client.xread({LOG: "0-0"}, count=1, block=1000))) == 1
    assert [
        name for name, _ in _entries(await client.xread({LOG: "1-0"}, count=9, block=1000))
    ] == [b"2-0"]


async def a_reader_waits_for_what_comes(place: Place) -> None:
    reader, writer = place.client(), place.client()
    await published(writer, 1)
    reading = asyncio.get_running_loop().create_task(
        reader.xread({LOG: "1-0"}, count=100, block=60_000)
    )
    await asyncio.wait({reading}, timeout=0.1)
    assert not reading.done()
    await published(writer, 2)
    assert [name for name, _ in _entries(await reading)] == [b"2-0"]


async def a_reader_waits_no_longer_than_it_says(place: Place) -> None:
    client = place.client()
    await published(client, 1)
    assert _entries(await client.xread({LOG: "1-0"}, count=100, block=50)) == []
    assert _entries(await client.xread({LOG: "7-0"}, count=100, block=50)) == []


async def an_answer_that_is_late_is_a_timeout(place: Place) -> None:
    client = place.client(timeout_s=0.1)
    with pytest.raises(RedisTimeoutError):
        await client.xread({LOG: "1-0"}, count=100, block=60_000)
    assert await client.hget(TABLE, "version") is None


async def news_comes_to_who_listens(place: Place) -> None:
    listener, worker = place.client(1), place.client()
    async with listener.pubsub() as pubsub:
        await pubsub.subscribe(NEWS)
        assert (await pubsub.get_message(timeout=5.0))["type"] == "subscribe"
        assert await pubsub.get_message(timeout=0.05) is None
        await renewed(worker)
        message = await pubsub.get_message(timeout=5.0)
        assert (message["type"], message["data"]) == ("message", b"says")
        await pubsub.ping()
        assert (await pubsub.get_message(timeout=5.0))["type"] == "pong"


async def who_is_cut_off_listens_again(place: Place) -> None:
    listener, worker = place.client(1), place.client(1)
    async with listener.pubsub() as pubsub:
        await pubsub.subscribe(NEWS)
        assert (await pubsub.get_message(timeout=5.0))["type"] == "subscribe"
        await place.cut()
        assert (await pubsub.get_message(timeout=5.0))["type"] == "subscribe"
        await renewed(worker)
        assert (await pubsub.get_message(timeout=5.0))["type"] == "message"


async def a_wait_that_is_cut_off_is_an_error(place: Place) -> None:
    client = place.client()
    await client.hget(TABLE, "version")
    reading = asyncio.get_running_loop().create_task(
        client.xread({LOG: "1-0"}, count=100, block=60_000)
    )
    await asyncio.wait({reading}, timeout=0.1)
    await place.cut()
    with pytest.raises(RedisConnectionError):
        await reading
    assert await client.hget(TABLE, "version") is None


async def a_connection_that_broke_as_it_idled_is_an_error_once(place: Place) -> None:
    client = place.client()
    await renewed(client)
    await place.cut()
    with pytest.raises(RedisConnectionError):
        await client.hget(WORKERS, "w1")
    assert await client.hget(WORKERS, "w1") == b"says"


async def who_may_try_again_sees_no_error(place: Place) -> None:
    client = place.client(1)
    await renewed(client)
    await place.cut()
    assert await client.hget(WORKERS, "w1") == b"says"


async def nobody_there_is_an_error(place: Place) -> None:
    with pytest.raises(RedisConnectionError):
        await place.nowhere().hget(TABLE, "version")


BEHAVIOURS = [
    what_is_missing_is_none,
    what_was_published_can_be_read,
    a_reader_waits_for_what_comes,
    a_reader_waits_no_longer_than_it_says,
    an_answer_that_is_late_is_a_timeout,
    news_comes_to_who_listens,
    who_is_cut_off_listens_again,
    a_wait_that_is_cut_off_is_an_error,
    a_connection_that_broke_as_it_idled_is_an_error_once,
    who_may_try_again_sees_no_error,
    nobody_there_is_an_error,
]


@pytest.mark.parametrize("behaviour", BEHAVIOURS, ids=lambda each: each.__name__)
async def test_the_real_one(behaviour: Behaviour, redis_url: str) -> None:
    async with real_place(redis_url) as place:
        await behaviour(place)


@pytest.mark.parametrize("behaviour", BEHAVIOURS, ids=lambda each: each.__name__)
def test_the_simulated_one(behaviour: Behaviour) -> None:
    in_simulation(behaviour)
