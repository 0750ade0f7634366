"""Windows in a real Valkey: told by tellers, read by the admin's reader."""

import asyncio
import os
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.asyncio import Redis

from admin.embedded import EmbeddedRedis
from admin.monitor import reading
from admin.monitor.reading import Windows
from admin.routing.publish import StoreUnavailableError
from proxy.observability import telemetry
from proxy.routing.keys import Keys
from proxy.routing.model import Slot
from proxy.routing.windows import FIELD, MAX_LATE_S, Figures, Window, add_up, encode
from proxy.windows import Teller
from tests.support.counting import Workers

KEY = Keys().windows
BLUE, GREEN = (Slot.BLUE, "rest"), (Slot.GREEN, "canary")


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator["Redis"]:
    async with Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
def windows(redis: "Redis") -> Windows:
    return Windows(redis, Keys())


def served(workers: Workers, count: int, group: tuple[Slot, str] = BLUE) -> None:
    workers.serves(0, group, [200] * count)
    workers.all.blocks[0].publish()


async def heard(teller: Teller) -> Teller:
    """One that knows Redis' clock."""
    assert not await teller._carry_out(None)
    assert teller._clock.ahead is not None
    return teller


def counts(workers: Workers) -> tuple[int, int]:
    cells = workers.all.supervisor
    return cells[telemetry.WINDOWS_TOLD], cells[telemetry.WINDOWS_LOST]


async def test_what_is_told_is_read(redis: "Redis", redis_url: str, windows: Windows) -> None:
    workers = Workers(1)
    teller = await heard(workers.teller(redis_url, windows_kept_s=60))
    served(workers, 3)
    workers.answers(0, {"acme": 2}, Slot.GREEN, 500)
    await teller.tell()
    served(workers, 4, GREEN)
    await teller.end()
    seconds, _ = await redis.time()
    found = await windows.since(seconds - 10)
    assert [window.node for window in found] == ["n", "n"]
    assert all(seconds - 10 < window.second <= seconds for window in found)
    total = add_up(found)
    assert total.groups[BLUE].requests == 3
    assert total.groups[GREEN].requests == 4
    assert total.tenants["acme"].of(Slot.GREEN).failures == 2
    assert counts(workers) == (2, 0)
    assert 0 < await redis.pttl(KEY) <= 60_000


async def test_it_tells_each_second_as_it_ends(
    redis: "Redis", redis_url: str, windows: Windows
) -> None:
    workers = Workers(1)
    teller = workers.teller(redis_url)
    task = asyncio.get_running_loop().create_task(teller.run())
    try:
        while counts(workers)[0] < 3:
            await asyncio.sleep(0.02)
    finally:
        task.cancel()
        await asyncio.wait([task])
    await teller.end()
    found = await windows.since(0)
    entries: Any = await redis.xrange(KEY)
    told = [window.second for window in found]
    assert told[:3] == list(range(told[0], told[0] + 3))
    # The first is a part; each was told when its second was over, by the server's own clock.
    assert [abs(window.lasted_ms - 1_000) < 200 for window in found[1:3]] == [True, True]
    for window, (name, _) in list(zip(found, entries, strict=True))[:3]:
        assert -100 <= int(name.split(b"-")[0]) - (window.second + 1) * 1_000 < 900


async def test_old_windows_are_cut_off(redis: "Redis", redis_url: str) -> None:
    """As whole pieces of the stream: of some hundred old ones no more than one piece is left."""
    for number in range(500):
        await redis.xadd(KEY, {FIELD: encode(Window(number, "old"))}, id=f"{number + 1}-0")
    teller = await heard(Workers(1).teller(redis_url))
    await teller.tell()
    assert await redis.xlen(KEY) <= 101
    await teller.end()


async def test_what_could_not_be_told_is_lost_and_in_no_later_window(
    fresh_redis: EmbeddedRedis,
) -> None:
    workers = Workers(1)
    teller = await heard(workers.teller(fresh_redis.url))
    served(workers, 1)
    await teller.tell()
    fresh_redis.stop()
    served(workers, 10)
    await teller.tell()
    assert counts(workers) == (1, 1)
    fresh_redis.start()
    served(workers, 100)
    await teller.tell()
    await teller.end()
    assert counts(workers) == (3, 1)
    async with Redis.from_url(fresh_redis.url) as redis:
        requests = add_up(await Windows(redis, Keys()).since(0)).of_slot(Slot.BLUE).requests
        assert requests in {100, 101}  # the first is lost too where the server kept nothing


async def test_a_server_that_does_not_answer_costs_less_than_a_second(redis_url: str) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    async with server:
        workers = Workers(1)
        teller = workers.teller(f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0")
        began = asyncio.get_running_loop().time()
        await teller.tell()
        assert asyncio.get_running_loop().time() - began < 1.0
        assert counts(workers) == (0, 1)
        await teller.end()


async def test_only_the_last_to_begin_tells(redis: "Redis", redis_url: str) -> None:
    workers = Workers(1)
    teller = await heard(workers.teller(redis_url))
    workers.all.supervisor[telemetry.REPORTER] = os.getpid() + 1
    served(workers, 1)
    await teller.tell()
    await teller.end()
    assert await redis.xlen(KEY) == 0
    assert counts(workers) == (0, 0)


# ── the reader ────────────────────────────────────────────────────────────────────────────────


async def tell(redis: "Redis", *windows: Window) -> None:
    for window in windows:
        await redis.xadd(KEY, {FIELD: encode(window)})


def of(second: int, node: str, requests: int) -> Window:
    return Window(second, node, {BLUE: Figures(requests, (0, requests, 0, 0, 0))})


async def test_nodes_and_seconds_add_up_and_are_read_once(redis: "Redis", windows: Windows) -> None:
    now, _ = await redis.time()
    await tell(redis, of(now - 3, "a", 1), of(now - 3, "b", 2), of(now - 2, "b", 4))
    found = await windows.since(now - 10)
    assert [(each.second, each.node) for each in found] == [
        (now - 3, "a"),
        (now - 3, "b"),
        (now - 2, "b"),
    ]
    assert add_up(found).of_slot(Slot.BLUE).requests == 7
    assert await windows.since(now - 10) == found
    # One that comes late is found, and two of one node and second both count.
    await tell(redis, of(now - 9, "late", 8), of(now - 2, "b", 16))
    assert add_up(await windows.since(now - 10)).of_slot(Slot.BLUE).requests == 31
    assert add_up(await windows.since(now - 2)).of_slot(Slot.BLUE).requests == 20
    # What was read stays known without the store's word.
    await redis.delete(KEY)
    assert len(await windows.since(now - 10)) == 5


async def test_the_latest_are_those_of_the_seconds_that_are_over(
    redis: "Redis", windows: Windows
) -> None:
    assert await windows.latest(5) == []
    now, _ = await redis.time()
    await tell(redis, *(of(now - ago, "a", 1) for ago in (60, 30, 4, 3, 2, 1)))
    assert [now - each.second for each in await windows.latest(3) if each.second < now - 1] <= [
        3,
        2,
    ]
    assert {each.second for each in await windows.latest(3)} >= {now - 2, now - 1}
    assert len(await windows.latest(100)) == 6
    assert len(await windows.since(now - 30)) == 5


async def test_one_that_asks_further_back_gets_it(redis: "Redis", windows: Windows) -> None:
    now, _ = await redis.time()
    ids = {ago: f"{(now - ago) * 1000 + 1000}-0" for ago in (300, 200, 100, 1)}
    for ago, name in ids.items():
        await redis.xadd(KEY, {FIELD: encode(of(now - ago, "a", 1))}, id=name)
    assert [now - each.second for each in await windows.since(now - 50)] == [1]
    assert [now - each.second for each in await windows.since(now - 250)] == [200, 100, 1]
    assert [now - each.second for each in await windows.since(now - 50)] == [1]
    assert [now - each.second for each in await windows.since(now - 350)] == [300, 200, 100, 1]


async def test_nothing_is_left_out_between_two_reads(redis: "Redis", windows: Windows) -> None:
    """Who asks for the last seconds alone doesn't hide from others what came before them."""
    now, _ = await redis.time()
    assert await windows.since(now - 400) == []
    windows._read_to_ms -= 300_000  # it was five minutes ago
    for ago in (200, 100, 1):
        name = f"{(now - ago) * 1000 + 1000}-0"
        await redis.xadd(KEY, {FIELD: encode(of(now - ago, "a", 1))}, id=name)
    assert [now - each.second for each in await windows.since(now - 5)] == [1]
    assert [now - each.second for each in await windows.since(now - 300)] == [200, 100, 1]


async def test_what_is_no_window_is_passed_over_and_counted_once(redis: "Redis") -> None:
    skipped: list[int] = []
    windows = Windows(redis, Keys(), skipped=skipped.append)
    now, _ = await redis.time()
    await tell(
        redis, of(now - 1, "a", 1), of(now + 60, "ahead", 2), of(now - MAX_LATE_S - 9, "b", 4)
    )
    await redis.xadd(KEY, {FIELD: b"{}"})
    await redis.xadd(KEY, {"other": encode(of(now, "a", 8))})
    for _ in range(3):
        assert add_up(await windows.since(now - 500)).of_slot(Slot.BLUE).requests == 1
    assert len(skipped) == 4


async def test_more_than_a_page_and_more_than_is_remembered(
    redis: "Redis", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "_PAGE", 7)
    monkeypatch.setattr(reading, "MAX_WINDOWS", 70)
    now, _ = await redis.time()
    for number in range(200):
        name = f"{(now - 300) * 1_000 + number * 100}-0"
        await redis.xadd(KEY, {FIELD: encode(of(now - 300 + number // 10 - 1, "a", 1))}, id=name)
    windows = Windows(redis, Keys())
    last: list[int] = []
    while not last or last[-1] < now - 300 + 18:
        found = await windows.since(now - 400)
        last.append(found[-1].second)
        assert len(last) < 4  # so many are read at once; then on
        assert len(windows._known) <= 70
    # The oldest are forgotten, and not read again.
    assert len(last) == 3
    assert len(found) == 70
    assert await windows.since(now - 400) == found


async def test_the_old_are_forgotten(redis: "Redis") -> None:
    windows = Windows(redis, Keys(), remember_s=100)
    now, _ = await redis.time()
    for ago in (200, 90, 1):
        name = f"{(now - ago) * 1000}-0"
        await redis.xadd(KEY, {FIELD: encode(of(now - ago - 1, "a", 1))}, id=name)
    assert len(await windows.since(now - 1_000)) == 2
    assert len(windows._known) == 2


async def test_a_server_whose_clock_went_back_is_read_on(redis: "Redis", windows: Windows) -> None:
    """After a failover that lost all, to one whose clock is an hour behind: seen here as one ahead."""
    now, _ = await redis.time()
    await windows.since(now - 10)
    windows._read_to_ms += 3_600_000
    await tell(redis, of(now - 1, "a", 1))
    assert await windows.since(now - 10) == []
    assert len(await windows.since(now - 10)) == 1


async def test_several_ask_at_once(redis: "Redis", windows: Windows) -> None:
    now, _ = await redis.time()
    await tell(redis, of(now - 2, "a", 1), of(now - 1, "a", 2))
    asked: list[Any] = [windows.since(now - 5), windows.latest(5), windows.since(now - 2)]
    assert [len(each) for each in await asyncio.gather(*asked)] == [2, 2, 2]


async def test_without_the_store_there_is_an_error_and_then_all_of_it(
    fresh_redis: EmbeddedRedis,
) -> None:
    async with Redis.from_url(fresh_redis.url) as redis:
        windows = Windows(redis, Keys())
        now, _ = await redis.time()
        await tell(redis, of(now - 1, "a", 1))
        assert len(await windows.since(now - 5)) == 1
        fresh_redis.stop()
        for ask in (windows.since, windows.latest):
            with pytest.raises(StoreUnavailableError):
                await ask(now - 5 if ask == windows.since else 5)
        fresh_redis.start()
        assert len(await windows.since(now - 5)) == 1
