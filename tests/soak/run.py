"""One soak, from nothing to its verdict: real Redis, a real fleet, our endpoints and clients.

Rules: all that is started here is ended here, by its pid, whatever happens. The verdict is drawn
at rest: when no request is under way, no client is connected and the pools have emptied.
"""

import asyncio
import contextlib
import random
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from admin.embedded import EmbeddedRedis
from bench import trees
from deploy.compile import build
from proxy.routing.model import Slot
from tests.soak.books import BAD_TOKEN, Books
from tests.soak.director import Director, Happening
from tests.soak.doors import Door
from tests.soak.endpoint import Endpoint
from tests.soak.history import History
from tests.soak.secure import Secure
from tests.soak.traffic import MAX_BODY, Client, World
from tests.soak.watch import LIFE_S, Life, descriptors, grows
from tests.support.fleet import Fleet, Metrics, routing_at, settings, start_fleet
from tests.support.processes import Children

TIMEOUTS = {
    "head_s": 2.0,
    "body_idle_s": 2.0,
    "write_idle_s": 8.0,
    "keep_alive_s": 10.0,
    "linger_s": 1.0,
    "connect_s": 3.0,
    "first_byte_s": 3.0,
    "answer_idle_s": 4.0,
    "endpoint_keep_alive_s": 3.0,
    "drain_s": 20.0,
    "drain_reload_s": 30.0,
    "drain_idle_s": 2.0,
}
GAUGES = (
    "turnout_in_flight",
    "turnout_connections",
    "turnout_endpoint_connections",
    "turnout_tunnels",
)
FAULT = 0.04
"""The share of requests whose endpoint breaks."""
ALLOCATOR = {"MALLOC_MMAP_THRESHOLD_": "131072"}
"""uvloop has 256 KiB for each TLS connection. glibc learns to take them from its heap, of which
such holes make ever more; so not here, where growth is to be seen that is ours."""
DOWN_S = 1.0
"""For how long the key server is gone each time."""
SAMPLE_S = 2.0
PROGRESS_S = 5.0
_BASELINES = 5
_LOG_CHARACTERS = 20_000


@dataclass(frozen=True, slots=True)
class Plan:
    """What was asked for. seconds: of traffic. connections: clients, one connection each.

    compiled: the data plane is, in a copy of the sources. tls: to the proxy, by most clients, and
    to the endpoints; and tokens name the tenants of half the requests.
    """

    seconds: float
    seed: int
    workers: int = 2
    connections: int = 48
    endpoints_each: int = 2
    tenants: int = 40
    compiled: bool = False
    tls: bool = False

    @property
    def of(self) -> str:
        """What runs, in words."""
        return ("compiled" if self.compiled else "plain Python") + ", TLS and tokens" * self.tls


@dataclass(slots=True)
class Result:
    """What came of it. complaints: empty if the books balance."""

    plan: Plan
    books: Books
    lives: list[Life] = field(default_factory=list)
    log: list[tuple[str, float, float]] = field(default_factory=list)
    events: dict[str, int] = field(default_factory=dict)
    figures: dict[str, float] = field(default_factory=dict)
    complaints: list[str] = field(default_factory=list)
    proxy_log: str = ""
    seconds: float = 0.0
    began: float = 0.0


class Soak:
    """The parts of a run."""

    def __init__(self, plan: Plan, say: Callable[[str], None]) -> None:
        self.plan, self.say = plan, say
        self.history = History()
        self.books = Books(self.history.allowed)
        self.result = Result(plan, self.books)
        self.tenants = [f"tenant-{number:02}" for number in range(plan.tenants)]
        self._lives: dict[int, Life] = {}
        self._baseline: dict[int, dict[str, int]] = {}

    async def run(self, folder: Path) -> Result:
        """The whole soak."""
        async with AsyncExitStack() as stack:
            redis = stack.enter_context(EmbeddedRedis(folder / "redis"))
            secure = Secure(folder) if self.plan.tls else None
            if secure is not None:
                await secure.start()
                stack.push_async_callback(secure.keys.stop)
            endpoints = await stack.enter_async_context(self._endpoints(secure))
            children = Children(folder)
            stack.callback(children.stop)
            routing = await stack.enter_async_context(routing_at(redis.url))
            fleet = await self._fleet(children, folder, redis.url, secure)
            doors = await self._doors(fleet, secure)
            director = Director(
                fleet,
                routing,
                self.history,
                self.books,
                endpoints,
                redis.pid,
                random.Random(f"{self.plan.seed}:director"),
                ports=[door.port for door in doors],
                also=self._also(secure),
            )
            await director.publish(*map(director.endpoints_of, _slots()))
            await fleet.serving()
            self._baseline = await self._descriptors(fleet)
            world = World(doors, self.tenants, self.books, FAULT, secure)
            await self._under_load(fleet, director, world)
            await self._at_rest(fleet, endpoints)
            self.result.events = dict(director.done)
            self.result.log = [
                (name, began - self.result.began, ended - self.result.began)
                for name, began, ended in director.log
            ]
            self.result.figures["lines of killed workers"] = self.books.killed_lines
        return self.result

    @asynccontextmanager
    async def _endpoints(self, secure: Secure | None) -> AsyncIterator[Sequence[Endpoint]]:
        context = secure.endpoint if secure else None
        found = [
            Endpoint(f"{slot}-{number}", slot, self.books, context)
            for slot in _slots()
            for number in range(self.plan.endpoints_each)
        ]
        try:
            for endpoint in found:
                await endpoint.up()
            yield found
        finally:
            for endpoint in found:
                await endpoint.close()

    async def _fleet(
        self, children: Children, folder: Path, redis_url: str, secure: Secure | None
    ) -> Fleet:
        own = settings(
            folder,
            redis_url,
            workers=self.plan.workers,
            timeouts=TIMEOUTS,
            limits={"body_bytes": MAX_BODY},
            **(secure.settings() if secure else {}),
        )
        tree = await asyncio.to_thread(_tree, folder / "tree", self.plan.compiled)
        return await start_fleet(children, own, tree=tree, env=ALLOCATOR if secure else None)

    async def _doors(self, fleet: Fleet, secure: Secure | None) -> list[Door]:
        """One client in four comes without TLS, if there is TLS."""
        plain = Door(fleet.port)
        if secure is None:
            return [plain]
        port = await fleet.child.line(r"listening for TLS on \S+:(\d+)$")
        return [plain] + [Door(int(port[1]), secure.client)] * 3

    def _also(self, secure: Secure | None) -> dict[str, Happening]:
        if secure is None:
            return {}
        return {
            "certificate renewed": secure.renew,
            "keys rotated": secure.rotate,
            "key server down": partial(secure.unpublish, DOWN_S),
        }

    async def _under_load(self, fleet: Fleet, director: Director, world: World) -> None:
        loop = asyncio.get_running_loop()
        began = self.result.began = loop.time()
        ends = began + self.plan.seconds
        clients = [Client(number, self.plan.seed, world) for number in range(self.plan.connections)]
        async with asyncio.TaskGroup() as tasks:
            asking = [tasks.create_task(client.run()) for client in clients]
            beside = [
                tasks.create_task(director.change_routing(self.tenants)),
                tasks.create_task(self._watch(fleet)),
                tasks.create_task(self._progress(fleet, director)),
            ]
            await director.break_things(ends)
            await asyncio.sleep(max(ends - loop.time(), 0))
            for client in clients:
                client.stopping = True
            await asyncio.wait(asking)
            director.stopping = True
            await asyncio.wait(beside[:1])
            self.result.seconds = loop.time() - began
            for task in beside[1:]:
                task.cancel()

    async def _watch(self, fleet: Fleet) -> None:
        """Sample the memory of each process, and judge records whose time has come."""
        while True:
            now = asyncio.get_running_loop().time()
            roles = {fleet.child.pid: "supervisor"}
            roles |= dict.fromkeys(fleet.processes(), "management")
            roles |= dict.fromkeys(await fleet.pids(), "worker")
            for pid, role in roles.items():
                life = self._lives.setdefault(pid, Life(pid, role))
                if role == "worker":
                    life.role = role
                life.sample(now)
            self.books.settle(now)
            await asyncio.sleep(SAMPLE_S)

    async def _progress(self, fleet: Fleet, director: Director) -> None:
        loop, before, complained = asyncio.get_running_loop(), 0, 0
        while True:
            await asyncio.sleep(PROGRESS_S)
            sent = self.books.sent.total()
            now = loop.time()
            pids = await fleet.pids()
            memory = [
                f"{life.samples[-1][1] / 1e6:.1f}"
                for pid, life in sorted(self._lives.items())
                if pid in pids and life.samples
            ]
            faults = sum(self.books.faults.values())
            self.say(
                f"{now - self.result.began:5.0f} s  {(sent - before) / PROGRESS_S:5.0f}/s  "
                f"sent {sent}  faults {faults}  events {sum(director.done.values())}  "
                f"RSS {' '.join(memory)} MB  wrong {self.books.wrong}"
            )
            before = sent
            for text in self.books.complaints[complained:]:
                self.say(text)
            complained = len(self.books.complaints)

    # ── at rest ───────────────────────────────────────────────────────────────────────────────

    async def _at_rest(self, fleet: Fleet, endpoints: Sequence[Endpoint]) -> None:
        metrics = await fleet.metrics_until(
            lambda found: all(found.value(gauge) == 0 for gauge in GAUGES), "every gauge is at zero"
        )
        self.books.settle_all()
        self._judge_counts(metrics)
        self._judge_build(metrics)
        left = sum(endpoint.connections for endpoint in endpoints)
        if left:
            self._complain(f"{left} connections of endpoints are still open")
        await self._judge_descriptors(fleet)
        self._judge_memory()
        self.result.complaints = self.books.complaints
        self.result.proxy_log = fleet.child.output()[-_LOG_CHARACTERS:]

    def _complain(self, text: str) -> None:
        self.books.complain(text)

    def _judge_counts(self, metrics: Metrics) -> None:
        """The proxy's counters against the clients', with what killed workers took along."""
        books, figures = self.books, self.result.figures
        finished = metrics.value("turnout_requests_total")
        aborted = metrics.value("turnout_aborted_total")
        figures |= {"proxy: answers": finished, "proxy: broken off": aborted}
        figures |= {"proxy: retries": metrics.value("turnout_retries_total")}
        figures |= {"proxy: accepted": metrics.value("turnout_accepted_total")}
        figures |= {"clients: connections": books.opened_lines}
        figures |= {"clients: surely counted": books.certain, "clients: perhaps": books.uncertain}
        figures |= {"killed workers: may lag by": books.lagging}
        low, high = books.certain - books.lagging, books.certain + books.uncertain
        if not low <= finished + aborted <= high:
            self._complain(
                f"the proxy counts {finished + aborted:.0f}, the clients {low} to {high}"
            )
        for number in range(1, 6):
            counted = metrics.value("turnout_requests_total", class_=f"{number}xx")
            figures[f"proxy: {number}xx"] = counted
            figures[f"clients: {number}xx"] = seen = books.classes[number]
            most = seen + books.uncertain + books.outcomes["abandoned"]
            if not seen - books.lagging <= counted <= most:
                self._complain(f"the proxy counts {counted:.0f} of {number}xx, the clients {seen}")
        self._judge_secure(metrics)
        if metrics.value("turnout_accepted_total") != books.opened_lines:
            self._complain(
                f"accepted {metrics.value('turnout_accepted_total'):.0f} connections, "
                f"{books.opened_lines} were opened"
            )

    def _judge_secure(self, metrics: Metrics) -> None:
        """Handshakes and refused tokens; both are counted at once, so a kill loses none of them."""
        books, figures = self.books, self.result.figures
        made = metrics.value("turnout_tls_handshakes_total")
        failed = metrics.value("turnout_tls_handshake_failures_total")
        refused = metrics.value("turnout_refused_tokens_total")
        figures |= {"proxy: handshakes": made, "clients: handshakes": books.handshakes}
        figures |= {"proxy: failed handshakes": failed, "proxy: refused tokens": refused}
        figures |= {"clients: cut handshakes": books.cut_handshakes}
        # Of those that a kill cut off, each side may have thought it done.
        if failed or abs(made - books.handshakes) > books.killed_lines:
            self._complain(
                f"the proxy made {made:.0f} handshakes and failed {failed:.0f}, the clients made "
                f"{books.handshakes}"
            )
        seen = books.codes[BAD_TOKEN]
        if not seen <= refused <= seen + books.uncertain:
            self._complain(f"the proxy refused {refused:.0f} tokens, the clients heard of {seen}")

    def _judge_build(self, metrics: Metrics) -> None:
        built = "yes" if self.plan.compiled else "no"
        if metrics.value("turnout_build_info", compiled=built) != 1:
            self._complain(f"this was no run of {self.plan.of}")

    async def _descriptors(self, fleet: Fleet) -> dict[int, dict[str, int]]:
        return {pid: dict(descriptors(pid)) for pid in await fleet.pids()}

    async def _judge_descriptors(self, fleet: Fleet) -> None:
        """At rest a worker, whichever, has what the first ones had before the first request."""
        most: dict[str, int] = {}
        for found in self._baseline.values():
            for kind, count in found.items():
                most[kind] = max(most.get(kind, 0), count)
        self.result.figures["descriptors: before"] = sum(most.values())
        found_now: dict[int, dict[str, int]] = {}
        for _ in range(_BASELINES):
            found_now = await self._descriptors(fleet)
            if all(sum(found.values()) <= sum(most.values()) for found in found_now.values()):
                break
            await asyncio.sleep(0.5)
        for pid, found in found_now.items():
            self.result.figures[f"descriptors: after, worker {pid}"] = sum(found.values())
            if sum(found.values()) > sum(most.values()):
                self._complain(f"worker {pid} has descriptors {found}, before it were {most}")

    def _judge_memory(self) -> None:
        self.result.lives = [life for life in self._lives.values() if len(life.samples) > 1]
        for life in self.result.lives:
            if life.watched_s < LIFE_S:
                continue
            before, after = life.fifths()
            if grows(before, after):
                self._complain(
                    f"{life.role} {life.pid} grows: {before / 1e6:.1f} to {after / 1e6:.1f} MB"
                )


def _tree(tree: Path, compiled: bool) -> Path:
    """A copy of the sources: whatever is compiled or changed in the working tree meanwhile."""
    trees.copy(tree)
    if compiled:
        with contextlib.redirect_stdout(sys.stderr):
            build(tree)
    return tree


def _slots() -> tuple[Slot, Slot]:
    return Slot.BLUE, Slot.GREEN


async def soak(plan: Plan, say: Callable[[str], None]) -> Result:
    """Run one in a folder of its own, which is removed after."""
    with tempfile.TemporaryDirectory(prefix="turnout-soak-") as folder:
        return await Soak(plan, say).run(Path(folder))
