"""A real data plane for tests: `python -m proxy` with its workers, and who publishes to it.

Rules: ports are chosen by the kernel and read from the log, so none is taken meanwhile. The
publisher is the admin's own. What a test waits for is told by the fleet itself: its statuses in
Redis, its management port, its log.
"""

import asyncio
import json
import sys
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from admin.routing.publish import ANY, Lease, Publisher, open_redis
from config import Shared
from proxy.routing.ack import WorkerStatus, converge, decode_status
from proxy.routing.change import Change, Operation, SetEndpoints, apply
from proxy.routing.codec import encode_change
from proxy.routing.envelope import seal
from proxy.routing.keys import Keys
from proxy.routing.model import Endpoint as Address
from proxy.routing.model import RoutingTable, Slot
from redis_access import Access
from tests.support.clients import Answer, Connection, fetch, opened
from tests.support.endpoint import Endpoint
from tests.support.processes import SECONDS, Child, Children

ROOT = Path(__file__).parents[2]
KEY = "a routing key of tests, long enough"
DEFAULTS: Mapping[str, object] = {
    "listen": "127.0.0.1:0",
    "management_listen": "127.0.0.1:0",
    "workers": 2,
    "node": "test",
    "trusted_networks": ["127.0.0.0/8"],
    "timeouts": {"drain_idle_s": 0.2, "drain_s": 20.0, "connect_s": 2.0},
    "follow": {"start_without_table_s": 10.0, "renew_s": 0.5, "lease_s": 2.0},
}
Sample = tuple[str, frozenset[tuple[str, str]]]
_LOG_ENTRIES = 10_000
_FORGET_S = 60.0
_LOOK_AGAIN_S = 0.05
_TRIES = 2000


class Routing:
    """Publishes as the admin does, and reads what the fleet says of itself.

    table: what was published last. key: as `routing_key` in the settings.
    """

    def __init__(self, url: str, key: str = "") -> None:
        self.url = url
        self.keys = Keys()
        self.key = key.encode()
        self.redis = open_redis(Access(Shared(redis_url=url), self.keys.table), 5.0)
        self.table = RoutingTable()
        self._publisher = Publisher(
            self.redis, self.keys, key, log_entries=_LOG_ENTRIES, forget_s=_FORGET_S
        )

    async def close(self) -> None:
        await self.redis.aclose()

    async def change(self, *operations: Operation) -> int:
        """Publish one change; its version."""
        before = self.table
        change = Change(before.version + 1, operations)
        await self._publish(apply(before, change), change, before.version or ANY)
        return change.version

    async def anew(self, version: int) -> int:
        """Publish the table anew at this version, as after a loss."""
        await self._publish(replace(self.table, version=version), Change(version, ()), expected=ANY)
        return version

    async def _publish(self, table: RoutingTable, change: Change, expected: int | str) -> None:
        entries = [(change.version, encode_change(change))]
        published = await self._publisher.publish(table, entries, expected)
        assert published.word == "published", published
        self.table = table

    async def append(self, version: int, body: bytes, code: bytes | None = None) -> None:
        """Append an entry as it is, past the publisher. code: its signature, right if None."""
        mac = seal("change", version, body, self.key) if code is None else code
        await self.redis.xadd(self.keys.log, {"body": body, "mac": mac}, id=f"{version}-0")

    async def fleet(self) -> list[Lease]:
        """The workers whose leases run."""
        leases = (await self._publisher.look()).leases
        return [lease for lease in leases if lease.remaining_ms > 0]

    async def departed(self) -> tuple[WorkerStatus, ...]:
        """The workers that said goodbye, or for which it was said."""
        return (await self._publisher.look()).departed

    async def acked(self, version: int, workers: int) -> None:
        """Wait until so many live workers are there and all serve this version or a later one."""

        def served(fleet: list[Lease]) -> bool:
            found = converge(version, (lease.status for lease in fleet))
            return found.converged and len(found.acked) >= workers

        await self.until(served, f"{workers} workers serve version {version}")

    async def until(self, condition: Callable[[list[Lease]], bool], what: str) -> None:
        """Wait until a condition on the live workers is met; looks at each piece of news."""
        fleet: list[Lease] = []
        try:
            async with asyncio.timeout(SECONDS), self.redis.pubsub() as news:
                await news.subscribe(self.keys.news)
                while not condition(fleet := await self.fleet()):
                    # A lease that ends is no news.
                    await news.get_message(timeout=_LOOK_AGAIN_S)
        except TimeoutError:
            raise AssertionError(f"never: {what}; the fleet is {fleet}") from None

    async def renewed(self, workers: int, times: int = 2) -> None:
        """Wait until so many workers have each renewed their lease so often from now on."""
        said: Counter[str] = Counter()
        async with asyncio.timeout(SECONDS), self.redis.pubsub() as news:
            await news.subscribe(self.keys.news)
            while sum(count >= times for count in said.values()) < workers:
                message = await news.get_message(timeout=SECONDS)
                if message is not None and message["type"] == "message":
                    said[decode_status(message["data"]).worker] += 1


@dataclass(frozen=True, slots=True)
class Settings:
    """The file that a fleet reads. proxy: the [proxy] section, tables as mappings."""

    path: Path
    shared: Mapping[str, object]
    proxy: Mapping[str, object]

    def write(self) -> None:
        """Write the file, whole or not at all."""
        unfinished = self.path.with_suffix(".new")
        unfinished.write_text(_toml({**self.shared, "proxy": self.proxy}), "utf-8")
        unfinished.replace(self.path)


class Fleet:
    """A running supervisor with its workers. port: of the proxy; management: of the other."""

    def __init__(self, child: Child, settings: Settings, ports: tuple[int, int]) -> None:
        self.child = child
        self.settings = settings
        self.port, self.management = ports

    @property
    def workers_wanted(self) -> int:
        workers = self.settings.proxy["workers"]
        assert isinstance(workers, int)
        return workers

    async def get(self, path: str = "/", **fields: str) -> Answer:
        """GET through the proxy on a connection of its own."""
        return await fetch(self.port, path, **fields)

    async def connections(self, each: int) -> list[Connection]:
        """Kept connections, so many to each worker; the caller closes them."""
        found: defaultdict[str, list[Connection]] = defaultdict(list)
        for _ in range(_TRIES):
            if len(found) == self.workers_wanted and all(
                len(own) >= each for own in found.values()
            ):
                return [connection for own in found.values() for connection in own]
            connection = await opened(self.port)
            own = found[(await connection.get()).worker]
            if len(own) < each:
                own.append(connection)
            else:
                await connection.close()
        shares = [len(own) for own in found.values()]
        raise AssertionError(f"the workers share {_TRIES} connections unevenly: {shares}")

    async def readiness(self) -> Answer:
        """The answer of /readyz."""
        return await fetch(self.management, "/readyz")

    async def workers(self) -> list[dict[str, Any]]:
        """What /readyz says of each worker: pid, state, version, store_reachable."""
        found = (await self.readiness()).json["workers"]
        assert isinstance(found, list)
        return found

    async def pids(self) -> set[int]:
        """The processes of the workers that serve."""
        return {each["pid"] for each in await self.workers() if each["state"] == "serving"}

    async def serving(self, unlike: Iterable[int] = ()) -> set[int]:
        """Wait until as many workers as wanted serve and no other is left; their processes.

        unlike: processes that may not be among them.
        """
        await self.until(lambda workers: self._whole(workers, unlike), "the whole fleet serves")
        return await self.pids()

    def _whole(self, workers: list[dict[str, Any]], unlike: Iterable[int]) -> bool:
        serving = {each["pid"] for each in workers if each["state"] == "serving"}
        whole = len(workers) == len(serving) == self.workers_wanted
        return whole and not serving & set(unlike)

    async def until(
        self, condition: Callable[[list[dict[str, Any]]], bool], what: str, seconds: float = SECONDS
    ) -> None:
        """Wait until a condition on what /readyz says of the workers is met."""

        async def met() -> bool:
            return condition(await self.workers())

        await self.child.until(met, what, seconds)

    async def metrics(self) -> "Metrics":
        """What /metrics says now."""
        answer = await fetch(self.management, "/metrics")
        assert answer.status == 200
        families = text_string_to_metric_families(answer.body.decode())
        return Metrics(
            {
                (sample.name, frozenset(sample.labels.items())): sample.value
                for family in families
                for sample in family.samples
            }
        )

    async def metrics_until(self, condition: Callable[["Metrics"], bool], what: str) -> "Metrics":
        """Wait until a condition on the metrics is met."""
        metrics = await self.metrics()

        async def met() -> bool:
            nonlocal metrics
            metrics = await self.metrics()
            return condition(metrics)

        await self.child.until(met, what)
        return metrics

    def processes(self) -> set[int]:
        """The supervisor's children: workers and management."""
        path = Path(f"/proc/{self.child.pid}/task/{self.child.pid}/children")
        return {int(pid) for pid in path.read_text("utf-8").split()}

    @staticmethod
    def processes_left(processes: Iterable[int]) -> set[int]:
        """Which of these processes run."""
        return {pid for pid in processes if Path(f"/proc/{pid}").exists()}


class Metrics:
    """Samples by name and labels."""

    def __init__(self, samples: Mapping[Sample, float]) -> None:
        self.samples = samples

    def value(self, name: str, **labels: str) -> float:
        """One sample, or the sum of those that have these labels. `class_` stands for `class`."""
        wanted = {(label.removesuffix("_"), value) for label, value in labels.items()}
        found = [
            value for (of, has), value in self.samples.items() if of == name and wanted <= set(has)
        ]
        assert found, f"no sample {name} {labels}"
        return sum(found)


FleetOf = Callable[..., Awaitable[Fleet]]


def settings(folder: Path, redis_url: str, **proxy: object) -> Settings:
    """A file in this folder. proxy: what differs from DEFAULTS in [proxy], tables as mappings."""
    shared = {"redis_url": redis_url, "routing_key": KEY}
    return Settings(folder / "turnout.toml", shared, _merged(DEFAULTS, proxy))


async def start_fleet(
    spawn: Children,
    settings: Settings,
    before: Sequence[str | Path] = (),
    env: Mapping[str, str] | None = None,
    tree: Path = ROOT,
) -> Fleet:
    """Start a supervisor; return when it listens (its workers may not serve yet).

    before: a command that becomes it, as systemd does. env: variables beside the inherited. tree:
    whose sources it runs, this one's or those of a copy.
    """
    settings.write()
    child = launch(spawn, settings.path, before=before, env=env, tree=tree)
    port = await child.line(r"listening on \S+:(\d+)$")
    management = await child.line(r"management on \S+:(\d+)$")
    return Fleet(child, settings, (int(port[1]), int(management[1])))


def launch(
    spawn: Children,
    path: Path,
    *arguments: str,
    before: Sequence[str | Path] = (),
    env: Mapping[str, str] | None = None,
    tree: Path = ROOT,
) -> Child:
    """Run `python -m proxy --config path`. See `start_fleet`."""
    command = (*before, sys.executable, "-m", "proxy", "--config", path, *arguments)
    return spawn(*command, cwd=tree, name="proxy", env=env)


@asynccontextmanager
async def routing_at(url: str, key: str = KEY) -> AsyncIterator[Routing]:
    """A publisher, closed at the end."""
    routing = Routing(url, key)
    try:
        yield routing
    finally:
        await routing.close()


def slots(blue: Endpoint, green: Endpoint) -> tuple[SetEndpoints, SetEndpoints]:
    """The operations that give each slot its endpoint."""
    return (
        SetEndpoints(Slot.BLUE, (Address.parse(blue.address),)),
        SetEndpoints(Slot.GREEN, (Address.parse(green.address),)),
    )


def _merged(defaults: Mapping[str, object], own: Mapping[str, object]) -> dict[str, object]:
    """The settings with some replaced, table by table."""
    result = dict(defaults)
    for name, value in own.items():
        before = result.get(name)
        both = isinstance(before, Mapping) and isinstance(value, Mapping)
        result[name] = _merged(before, value) if both else value  # type: ignore[arg-type]
    return result


def _toml(values: Mapping[str, object], table: str = "", heading: str = "[{}]\n") -> str:
    """TOML: strings, numbers, booleans and lists of strings are written as in JSON."""
    plain, tables = [], []
    for name, value in values.items():
        if isinstance(value, Mapping):
            tables.append(_toml(value, f"{table}.{name}" if table else name))
        elif isinstance(value, list) and value and isinstance(value[0], Mapping):
            tables += [_toml(each, f"{table}.{name}", "[[{}]]\n") for each in value]
        else:
            plain.append(f"{json.dumps(name)} = {json.dumps(value)}\n")
    return "".join([heading.format(table) if table else "", *plain, *tables])
