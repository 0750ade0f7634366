"""One run, from nothing to its history: start, load and faults, heal, look at what is left.

Rules: the history is written as it happens, into a file of its own, so a run that breaks off
leaves it. When the faults are over everything is mended and must come back; what the system of
record has is read last.
"""

import asyncio
import random
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import uvloop

from proxy.routing.codec import decode_change, encode_operation
from tests.history.clients import Clients
from tests.history.endpoint import Logged, listening
from tests.history.nemesis import KINDS, Nemesis
from tests.history.operators import Call, Operators
from tests.history.places import Loopback, Namespaces
from tests.history.record import End, Line, Plan, Sample, Version, encode
from tests.history.system import READY_S, System, until
from tests.support.clients import opened
from tests.support.fleet import ROOT

LEASE_S = 2.0
PARKED_S = 5.0
"""How long workers let requests wait; switches are undone before that."""
SAMPLE_S = 0.1
SAID_AGAIN_S = 0.5
LOG_CHARACTERS = 20_000


@dataclass(frozen=True, slots=True)
class Options:
    """What is asked for. faults: names of KINDS; empty: none. mutation: of the tree that runs."""

    seconds: float
    seed: int
    policies: Sequence[str] = ("serve", "park")
    workers: int = 2
    clients: int = 8
    operators: int = 2
    faults: Sequence[str] = tuple(KINDS)
    tree: Path = ROOT
    mutation: str = ""
    namespaces: bool = False

    @property
    def tenants(self) -> tuple[str, ...]:
        """Few, so that all of them are moved again and again."""
        return tuple(f"tenant-{number}" for number in range(5))


class Run:
    """See the module. path: of the history. say: takes lines for who watches."""

    def __init__(self, options: Options, path: Path, say: Callable[[str], None]) -> None:
        self.options, self.path, self.say = options, path, say
        self.count = 0
        self._file = path.open("wb", buffering=1 << 16)
        self._tasks: list[asyncio.Task[Any]] = []

    def write(self, line: Line) -> None:
        """Add a line to the history."""
        self._file.write(encode(line))
        self.count += 1

    def _rng(self, name: str) -> random.Random:
        return random.Random(f"{self.options.seed}:{name}")

    def _start(self, work: Any, name: str) -> "asyncio.Task[Any]":
        task: asyncio.Task[Any] = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.append(task)
        return task

    async def run(self, folder: Path) -> None:
        """The whole of it."""
        options = self.options
        policies = {"abcdefgh"[at]: policy for at, policy in enumerate(options.policies)}
        self.write(
            Plan(
                seed=options.seed,
                seconds=options.seconds,
                policies=policies,
                lease_s=LEASE_S,
                tenants=options.tenants,
                mutation=options.mutation,
            )
        )
        places = Namespaces() if options.namespaces else Loopback()
        system = System(
            folder,
            policies=options.policies,
            workers=options.workers,
            lease_s=LEASE_S,
            wait_s=PARKED_S,
            tree=options.tree,
            places=places,
        )
        try:
            await self._on(system)
        except BaseException:
            for child in system.children:
                self.say(child.report()[-LOG_CHARACTERS:])
            raise
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await system.close()
            places.close()
            self._file.close()

    async def _on(self, system: System) -> None:
        async with AsyncExitStack() as stack:
            ports = {}
            for slot in ("blue", "green"):
                logged = Logged(self.write, self._rng(f"endpoint {slot}"))
                server, ports[slot] = await listening(slot, logged, system.places.traffic)
                stack.callback(server.close)
            await system.start(ports["blue"])
            step_url = f"http://{system.places.traffic}:{ports['blue']}/step"
            operators = Operators(system, self.options.tenants, step_url, self.write)
            await self._prepare(system, operators, ports)
            self.say("ready")
            clients = Clients(system.nodes, self.options.tenants, self.write)
            await self._traffic(system, clients, operators)
            healed, why = await self._healed(system, operators, clients)
            await self._look_at_the_end(system, healed, why)

    async def _prepare(self, system: System, operators: Operators, ports: dict[str, int]) -> None:
        """Both slots have their endpoint, and every worker serves."""
        for slot, port in ports.items():
            body = {"endpoints": [f"{system.places.traffic}:{port}"]}
            call = Call("endpoints", "PUT", f"/v1/slots/{slot}/endpoints", body, {})
            made = await operators.make(system.admins[0], call)
            if made.outcome != "ok":
                raise AssertionError(f"the endpoints can't be set: {made}")
        for node in system.nodes:
            await until(node.serves, f"node {node.name} serves")
            self._start(self._sample(node), f"sample {node.name}")

    async def _sample(self, node: Any) -> None:
        """What a node says of its workers, again and again; a line when it has changed, or is old."""
        known: dict[int, tuple[object, ...]] = {}
        written: dict[int, float] = {}
        while True:
            began = time.monotonic()
            for each in await node.workers():
                leased = bool(each["leased"]) and each["lease_left_s"] > 0
                said = (each["version"], leased, each["state"])
                is_old = began - written.get(each["pid"], 0.0) > SAID_AGAIN_S
                if is_old or known.get(each["pid"]) != said:
                    known[each["pid"]], written[each["pid"]] = said, began
                    self.write(
                        Sample(
                            node=node.name,
                            pid=each["pid"],
                            version=each["version"],
                            leased=leased,
                            state=each["state"],
                            began=began,
                            ended=time.monotonic(),
                        )
                    )
            await asyncio.sleep(SAMPLE_S)

    async def _traffic(self, system: System, clients: Clients, operators: Operators) -> None:
        """Clients, operators and faults, for as long as the plan says."""
        options = self.options
        working = [
            self._start(clients.run(self._rng(f"client {number}")), f"client {number}")
            for number in range(options.clients)
        ]
        working.append(self._start(clients.crowd(self._rng("crowd")), "crowd"))
        working += [
            self._start(operators.run(self._rng(f"operator {number}")), f"operator {number}")
            for number in range(options.operators)
        ]
        ends = time.monotonic() + options.seconds
        nemesis = Nemesis(system, self._rng("nemesis"), LEASE_S, self.write)
        if options.faults:
            await nemesis.run(ends, options.faults)
        await asyncio.sleep(max(ends - time.monotonic(), 0.0))
        operators.stopping = clients.stopping = True
        await asyncio.gather(*working)

    async def _healed(
        self, system: System, operators: Operators, clients: Clients
    ) -> tuple[bool, str]:
        """Whether everything has come back: all serve, agree, and take one more change each way."""
        for link in system.store_links + [each.database for each in system.admins]:
            link.mend()
        try:
            for node in system.nodes:
                await until(node.serves, f"node {node.name} serves again")
            for admin in system.admins:
                await until(lambda admin=admin: self._agrees(system, admin), f"{admin.name} agrees")
            for admin in system.admins:
                last = Call("last", "PUT", "/v1/canary", {"percent": 0}, {"percent": 0})
                made = await operators.make(admin, last)
                if not made.converged:
                    return False, f"the last change by {admin.name}: {made}"
            clients.stopping = False
            for node in system.nodes:
                for turn in range(4 * self.options.workers):
                    connection = await opened(node.port, node.place.host)
                    await clients.ask(node, connection, self._rng(f"last {turn}"), "")
                    await connection.close()
        except (AssertionError, OSError, TimeoutError, aiohttp.ClientError) as error:
            return False, f"{type(error).__name__}: {error}"
        return True, ""

    async def _agrees(self, system: System, admin: Any) -> bool:
        """Whether this admin sees all workers, all at one version, and no switch under way."""
        with suppress(aiohttp.ClientError, TimeoutError, OSError):
            status, fleet = await system.call(admin, "GET", "/v1/workers")
            wanted = len(system.nodes) * self.options.workers
            if status != 200 or not fleet["converged"]:
                return False
            live = [each for each in fleet["workers"] if each["lease_ms"] > 0]
            status, found = await system.call(admin, "GET", "/v1/switches?limit=200")
            ended = all(each["state"] in {"done", "undone"} for each in found["switches"])
            return status == 200 and ended and len(live) == wanted
        return False

    async def _look_at_the_end(self, system: System, healed: bool, why: str) -> None:
        tables: dict[str, dict[str, Any]] = {}
        workers: dict[str, dict[str, int]] = {}
        for admin in system.admins:
            with suppress(aiohttp.ClientError, TimeoutError, OSError, KeyError):
                _, tables[admin.name] = await system.call(admin, "GET", "/v1/routing")
                _, fleet = await system.call(admin, "GET", "/v1/workers")
                workers[admin.name] = {
                    each["worker"]: each["version"]
                    for each in fleet["workers"]
                    if each["lease_ms"] > 0
                }
        connection = await asyncpg.connect(system.database.url, timeout=READY_S)
        try:
            await self._read_record(connection)
            rows = await connection.fetch("SELECT name, state FROM turnout.switches")
            switches = {row["name"]: row["state"] for row in rows}
        finally:
            await connection.close()
        self.write(
            End(
                at=time.monotonic(),
                healed=healed,
                why=why,
                nodes={each.name: self.options.workers for each in system.nodes},
                tables=tables,
                workers=workers,
                switches=switches,
            )
        )

    async def _read_record(self, connection: Any) -> None:
        """Every version, as PostgreSQL has it."""
        rows = await connection.fetch(
            "SELECT version, body, actor, action FROM turnout.changes"
            " JOIN turnout.audit USING (version) WHERE outcome = 'committed' ORDER BY version"
        )
        for version, body, actor, action in rows:
            operations = tuple(
                encode_operation(operation) for operation in decode_change(body).operations
            )
            self.write(Version(version=version, author=actor, action=action, operations=operations))


def record(options: Options, path: Path, say: Callable[[str], None]) -> None:
    """Run it, the history into this file."""
    with (
        tempfile.TemporaryDirectory(prefix="turnout-history-") as folder,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        runner.run(Run(options, path, say).run(Path(folder)))
