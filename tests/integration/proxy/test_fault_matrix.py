"""The fault matrix (docs/faults.md): what each fault costs, and that nothing is left after it.

Each row is played several times at once against a proxy of one worker and one of two, on real
sockets. The rows are `tests.support.fault_rows`.
"""

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from admin.embedded import EmbeddedRedis
from proxy.routing.change import Pin, SetEndpoints
from proxy.routing.model import Endpoint, Slot
from tests.soak.watch import descriptors, resident
from tests.support import fault_rows as rows
from tests.support.clients import Connection, opened
from tests.support.fault_clients import ACTS, LIMITS
from tests.support.faults import (
    BODY,
    LAST_CHUNK,
    FaultyEndpoint,
    chunk,
    chunked,
    got,
    post,
    request,
)
from tests.support.fleet import Fleet, Metrics, routing_at, settings, start_fleet
from tests.support.processes import Children
from tests.support.servers import emptied_redis

TIMES = 6
"""How often each cell is played at once, on each proxy."""
GROWTH_BYTES = 6 << 20
"""What a worker may grow by in a row: buffers for large bodies, pages that were shared."""
TIMEOUTS = {
    "head_s": 0.4,
    "body_idle_s": 0.4,
    "write_idle_s": 0.6,
    "keep_alive_s": 0.6,
    "linger_s": 0.3,
    "connect_s": 1.0,
    "first_byte_s": 1.5,
    "answer_idle_s": 0.5,
    "endpoint_keep_alive_s": 0.4,
}
SETTINGS: dict[str, object] = {
    "timeouts": TIMEOUTS,
    "limits": LIMITS,
    "balancing": {"retry_percent": 100, "retries_per_s": 100.0},
}
GAUGES = ("turnout_in_flight", "turnout_connections", "turnout_endpoint_connections")
_names = itertools.count()


class Proxy:
    """A fleet with an endpoint of its own."""

    def __init__(self, fleet: Fleet, endpoint: FaultyEndpoint) -> None:
        self.fleet, self.endpoint = fleet, endpoint
        self.descriptors: dict[int, Counter[str]] = {}

    async def look(self) -> None:
        """Note what the workers hold at rest."""
        self.descriptors = {pid: descriptors(pid) for pid in await self.fleet.pids()}

    async def nothing_is_left(self) -> None:
        """Counters at zero, no connection, descriptors as before."""
        await self.endpoint.rested()
        await self.fleet.metrics_until(_at_zero, "every gauge is at zero")
        for pid, before in self.descriptors.items():
            assert descriptors(pid) == before, f"worker {pid} holds more than before"


def _at_zero(metrics: Metrics) -> bool:
    return all(metrics.value(gauge) == 0 for gauge in GAUGES)


@pytest.fixture(scope="module")
async def proxies(
    tmp_path_factory: pytest.TempPathFactory, redis_server: EmbeddedRedis
) -> AsyncIterator[list[Proxy]]:
    """One of one worker, one of two; each with an endpoint and a Redis database of its own."""
    urls = [emptied_redis(redis_server) for _ in range(2)]
    async with AsyncExitStack() as stack:
        yield [
            await _proxy(stack, tmp_path_factory.mktemp("faults"), url, workers)
            for workers, url in enumerate(urls, 1)
        ]


async def _proxy(stack: AsyncExitStack, folder: Path, url: str, workers: int) -> Proxy:
    endpoint = FaultyEndpoint(TIMES)
    await endpoint.start()
    stack.push_async_callback(endpoint.close)
    children = Children(folder)
    stack.callback(children.stop)
    routing = await stack.enter_async_context(routing_at(url))
    fleet = await start_fleet(children, settings(folder, url, workers=workers, **SETTINGS))
    version = await routing.change(
        SetEndpoints(Slot.BLUE, (Endpoint("127.0.0.1", endpoint.port),)),
        SetEndpoints(Slot.GREEN, (Endpoint("127.0.0.1", endpoint.refusing),)),
        Pin("nowhere", Slot.GREEN),
    )
    await routing.acked(version, workers)
    await fleet.serving()
    proxy = Proxy(fleet, endpoint)
    await proxy.look()
    return proxy


async def played(proxies: Sequence[Proxy], play: Callable[[Proxy], Awaitable[object]]) -> None:
    """Play on both at once; then nothing may be left, and no worker has grown."""
    before = {pid: resident(pid) for proxy in proxies for pid in proxy.descriptors}
    await asyncio.gather(*(play(proxy) for proxy in proxies))
    await asyncio.gather(*(proxy.nothing_is_left() for proxy in proxies))
    grown = {pid: resident(pid) - was for pid, was in before.items()}
    assert max(grown.values()) <= GROWTH_BYTES, grown


# ── the endpoint fails ────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("row", rows.ENDPOINT_ROWS, ids=lambda row: row.fault)
async def test_the_endpoint(proxies: list[Proxy], row: rows.EndpointRow) -> None:
    wrong: list[str] = []

    async def cells(proxy: Proxy, *shapes: str) -> None:
        asked = [cell for cell in row.cells if cell.shape in shapes for _ in range(TIMES)]
        found = await asyncio.gather(*(_cell(proxy, row.play, cell.shape) for cell in asked))
        for cell, each in zip(asked, found, strict=True):
            if each != (cell.got, cell.saw):
                wrong.append(f"{cell.shape}: {each}, not {(cell.got, cell.saw)}")
        await proxy.endpoint.emptied()

    async def play(proxy: Proxy) -> None:
        # Each begins without a connection to the endpoint.
        await cells(proxy, rows.GET, rows.POST, rows.CHUNKED)
        for shape in (rows.GET_AGAIN, rows.POST_AGAIN, rows.PAIR):
            await cells(proxy, shape)

    await played(proxies, play)
    assert wrong == []


async def _cell(proxy: Proxy, play: str, shape: str) -> tuple[str, str]:
    """What the client got and what the endpoint saw."""
    name = f"{next(_names)}"
    connection = await opened(proxy.fleet.port)
    try:
        said = await _SHAPES[shape](connection, proxy.endpoint, name, play)
    finally:
        await connection.close()
    return said, proxy.endpoint.saw(name)


async def _get(connection: Connection, _: FaultyEndpoint, name: str, play: str) -> str:
    connection.writer.write(request(name, play))
    return await got(connection)


async def _post(connection: Connection, _: FaultyEndpoint, name: str, play: str) -> str:
    if play == "early":
        connection.writer.write(post(name, play) + BODY[:10])
        return await _last(connection)
    connection.writer.write(post(name, play) + BODY)
    return await got(connection)


async def _chunked(connection: Connection, _: FaultyEndpoint, name: str, play: str) -> str:
    connection.writer.write(chunked(name, play) + chunk(BODY))
    if play == "early":
        return await _last(connection)
    connection.writer.write(LAST_CHUNK)
    return await got(connection)


async def _last(connection: Connection) -> str:
    """An answer, and whether it says that it is the connection's last, and is."""
    answer = await connection.answer()
    ended = answer.last and await connection.ended()
    return f"{answer.status}{', last' if ended else ''}"


async def _get_again(connection: Connection, endpoint: FaultyEndpoint, name: str, play: str) -> str:
    play = await _warm(connection, endpoint, name, play)
    connection.writer.write(request(name, play, at=2))
    return await got(connection)


async def _post_again(
    connection: Connection, endpoint: FaultyEndpoint, name: str, play: str
) -> str:
    play = await _warm(connection, endpoint, name, play)
    connection.writer.write(post(name, play, at=2) + BODY)
    return await got(connection)


async def _warm(connection: Connection, endpoint: FaultyEndpoint, name: str, play: str) -> str:
    """One exchange before, so that its connection idles in the pool; what to play next."""
    before = f"{name}-before"
    if play != "close-idle":
        connection.writer.write(request(before, "together"))
        assert await got(connection) == "200"
        return play
    # This fault is met by the request before; the next one finds its consequence, once all
    # connections are gone. (A POST may still get one that ends just then: that is 502.)
    connection.writer.write(request(before, play))
    assert await got(connection) == "200"
    await endpoint.rested_of(before)
    await endpoint.together.wait()
    return "ok"


async def _pair(connection: Connection, endpoint: FaultyEndpoint, name: str, play: str) -> str:
    second = f"{name}-second"
    # Answered when all are here: till then no connection idles that another's first might take.
    following = "refuse" if play == "refuse" else "together"
    connection.writer.write(request(name, play) + request(second, following))
    first = await got(connection)
    then = await got(connection)
    if then in {"closed", "reset"}:
        assert endpoint.saw(second) == "nothing"
        then = "not sent"
    return f"{first}; {then}"


_SHAPES: dict[str, Callable[[Connection, FaultyEndpoint, str, str], Awaitable[str]]] = {
    rows.GET: _get,
    rows.POST: _post,
    rows.CHUNKED: _chunked,
    rows.GET_AGAIN: _get_again,
    rows.POST_AGAIN: _post_again,
    rows.PAIR: _pair,
}


# ── the client fails ──────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("row", rows.CLIENT_ROWS, ids=lambda row: f"{row.fault} {row.where}")
async def test_the_client(proxies: list[Proxy], row: rows.ClientRow) -> None:
    wrong: list[str] = []

    async def once(proxy: Proxy) -> None:
        name = f"{next(_names)}"
        connection = await opened(proxy.fleet.port)
        try:
            said = await ACTS[row.act](connection, name, proxy.endpoint)
        finally:
            await connection.close()
        found = (said, proxy.endpoint.saw(name))
        if found != (row.got, row.saw):
            wrong.append(f"{found}, not {(row.got, row.saw)}")

    async def play(proxy: Proxy) -> None:
        await asyncio.gather(*(once(proxy) for _ in range(TIMES)))

    await played(proxies, play)
    assert wrong == []


def test_the_page_says_what_the_rows_say() -> None:
    assert rows.PAGE.read_text("utf-8") == rows.page(), "run `make faults`"
