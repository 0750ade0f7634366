"""Affinities in a real Redis: as the playbooks' store keeps them; lost, away, flushed."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from random import Random
from urllib.parse import urlsplit

import msgspec
from redis.asyncio import Redis

from admin.embedded import EmbeddedRedis
from config import Shared
from proxy.affinity.question import Answer, Question
from proxy.affinity.rules import Rules
from proxy.affinity.settings import AffinityRule
from proxy.affinity.store import RedisAffinities
from proxy.config import Follow
from proxy.routing.keys import Keys
from proxy.routing.model import Slot
from proxy.store import Store
from tests.support.affinity_store import AffinityStoreFake

ROOT = Path(__file__).parents[3]
SECONDS = 10.0
SETTINGS = Follow(reconnect_s=0.02, store_timeout_s=0.5)
RULES = Rules([msgspec.convert({"name": "s", "cookie": "s", "ttl_s": 60}, AffinityRule)], b"k")
KEYS = [RULES.carried("acme", b"/", [b"Cookie: s=%d" % number])[0] for number in range(4)]


def question(
    modes: str, slot: Slot = Slot.BLUE, version: int = 1, since: tuple[int, int] = (0, 0)
) -> Question:
    return Question(KEYS[: len(modes)], modes, slot, version, since)


async def answered(store: RedisAffinities, asked: Question) -> Answer | None:
    """What the store says; None: it failed."""
    done: asyncio.Future[Answer | None] = asyncio.get_running_loop().create_future()
    asked.ends_in(lambda _, answer: done.set_result(answer))
    store.ask(asked)
    async with asyncio.timeout(SECONDS):
        return await done


@asynccontextmanager
async def running(url: str, first: list[Question] | None = None) -> AsyncIterator[RedisAffinities]:
    def give() -> list[Question]:
        given, unwritten[:] = list(unwritten), []
        return given

    unwritten = [] if first is None else first
    store = RedisAffinities(Store.of(Shared(redis_url=url)), SETTINGS, give)
    assert not store.tried.is_set()
    task = asyncio.get_running_loop().create_task(store.run())
    try:
        async with asyncio.timeout(SECONDS):
            await store.tried.wait()
        assert store.reachable
        yield store
    finally:
        store.end()
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(SECONDS):
        while not condition():
            await asyncio.sleep(0.01)


async def test_it_keeps_what_the_playbooks_store_keeps(
    redis_url: str, seeded_random: Random
) -> None:
    fake = AffinityStoreFake(asyncio.get_running_loop())
    async with running(redis_url) as store:
        for _ in range(400):
            keys = seeded_random.sample(KEYS, seeded_random.randint(1, 4))
            modes = seeded_random.choice(
                [*("w" * len(keys), "d" * len(keys))]
                + ["".join(seeded_random.choice("sb") for _ in keys) for _ in range(4)]
            )
            asked = Question(
                keys,
                modes,
                seeded_random.choice(list(Slot)),
                seeded_random.randint(1, 5),
                (seeded_random.randint(0, 5), seeded_random.randint(0, 5)),
                seeded_random.choice(["", "", "blue", "green"]),
            )
            if asked.slot == asked.dead:
                continue
            expected = fake.carry_out(asked)
            assert await answered(store, asked) == expected, (keys, modes)


async def test_two_workers_that_meet_a_key_at_once_are_told_one_slot(redis_url: str) -> None:
    async with running(redis_url) as one, running(redis_url) as other:
        first, second = await asyncio.gather(
            answered(one, question("b", Slot.BLUE)), answered(other, question("b", Slot.GREEN))
        )
    assert first is not None
    assert second is not None
    assert first.slot is second.slot
    assert first.bound + second.bound == 1


async def test_a_key_ends_by_its_time_and_lives_on_by_its_use(redis_url: str) -> None:
    async with running(redis_url) as store, Redis.from_url(redis_url) as client:
        await answered(store, question("b"))
        (name,) = await client.keys("*")
        assert name == f"{{turnout}}:affinity:{KEYS[0].digest}".encode()
        assert 0 < await client.pttl(name) <= 60_000
        await client.pexpire(name, 1_000)
        await answered(store, question("s"))
        assert await client.pttl(name) > 50_000


async def test_what_cant_be_read_belongs_nowhere(redis_url: str) -> None:
    async with running(redis_url) as store, Redis.from_url(redis_url) as client:
        await client.set(Keys().affinity(KEYS[0].digest), "red|x")
        seen = await answered(store, question("s"))
        assert seen == Answer(Slot.BLUE, 0, [None])
        bound = await answered(store, question("b"))
        assert bound == Answer(Slot.BLUE, 1, [(Slot.BLUE, 1)])


async def test_a_server_that_forgot_the_script_is_told_it_again(redis_url: str) -> None:
    async with running(redis_url) as store, Redis.from_url(redis_url) as client:
        await client.script_flush()
        found = await answered(store, question("b"))
        assert found is not None
        assert found.bound == 1


async def test_the_documented_user_may_do_all_of_it(redis_url: str) -> None:
    page = (ROOT / "docs" / "operations.md").read_text("utf-8")
    (line,) = re.findall(r"user turnout-proxy on >PASSWORD (.*)", page)
    parts = urlsplit(redis_url)
    url = parts._replace(netloc=f"turnout-proxy:pw@{parts.hostname}:{parts.port}").geturl()
    async with Redis.from_url(redis_url) as client:
        rules = [*line.split(), "+select"]
        await client.execute_command("ACL", "SETUSER", "turnout-proxy", "on", ">pw", *rules)
        try:
            async with running(url) as store:
                for modes in ("b", "s", "w", "d", "bb"):
                    assert await answered(store, question(modes)) is not None, modes
        finally:
            await client.execute_command("ACL", "DELUSER", "turnout-proxy")


async def test_a_value_of_another_type_fails_its_question_alone(redis_url: str) -> None:
    async with running(redis_url) as store, Redis.from_url(redis_url) as client:
        await client.rpush(Keys().affinity(KEYS[0].digest), "x")
        assert (await answered(store, question("b"))) is not None  # MGET gives nil, SET replaces
        assert store.reachable


async def test_a_first_try_ends_whether_or_not_there_is_a_server() -> None:
    """A worker takes no requests before that."""
    store = RedisAffinities(Store.of(Shared(redis_url="redis://127.0.0.1:1")), SETTINGS, list)
    task = asyncio.get_running_loop().create_task(store.run())
    async with asyncio.timeout(SECONDS):
        await store.tried.wait()
    assert not store.reachable
    store.end()
    await task


async def test_away_it_fails_what_is_asked_and_writes_later(fresh_redis: EmbeddedRedis) -> None:
    unwritten: list[Question] = []
    async with running(fresh_redis.url, unwritten) as store:
        await asyncio.to_thread(fresh_redis.stop)
        assert await answered(store, question("b")) is None
        assert not store.reachable
        unwritten.append(question("bb", Slot.GREEN, 7))
        fresh_redis.start()
        await until(lambda: store.reachable)
        found = await answered(store, question("ss"))
    assert found == Answer(Slot.GREEN, 0, [(Slot.GREEN, 7), (Slot.GREEN, 7)])
