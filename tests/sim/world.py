"""Virtual time, and the processes that live in it.

Rules:
1. Nothing waits: time jumps to whatever is due next. One source of lots, seeded, decides everything
   that is left open, so a seed is one history.
2. Each process has an event loop and a clock of its own, which began at another time and is a little
   too fast or too slow. It never jumps: it is what `time.monotonic` is to the code under test.
3. A process that stands still (SIGSTOP) keeps what comes for it. When it goes on, it meets what came from
   outside first and its own timers after, as a loop does that was stopped while it polled.
4. Of one that was killed nothing runs any more. What it had sent is on its way.
"""

import asyncio
import contextlib
import gc
import heapq
import sys
import time
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from contextvars import Context
from functools import cache
from random import Random
from types import SimpleNamespace
from typing import Any

from tests.support.memory_transport import Dialled, MemoryLoop

EPOCH_S = 1_800_000_000.0
"""The date at which every simulated history begins, seconds since 1970."""
HOP_S = (0.0001, 0.0004)
"""What a message takes between a worker and its clients and endpoints."""
_ROUNDING_S = 1e-9
_MOST_DRIFT = 1e-5
_MANY_STEPS = 2_000_000


class Clock:
    """Whose clock `time.monotonic` is at the moment: that of the process that runs."""

    def __init__(self) -> None:
        self.loop: NodeLoop | None = None

    def monotonic(self) -> float:
        return time.monotonic() if self.loop is None else self.loop.time()

    def wall(self) -> float:
        return time.time() if self.loop is None else EPOCH_S + self.loop.world.now


CLOCK = Clock()


class World:
    """All of one history. now: true time, seconds since its beginning. trace: its lines, if kept."""

    def __init__(self, seed: int, *, traced: bool = False) -> None:
        self.seed = seed
        self.random = Random(f"world {seed}")
        self.now = 0.0
        self.nodes: list[Node] = []
        self.servers: dict[str, Any] = {}
        self.network: Any = None
        self.trace: list[str] | None = [] if traced else None
        self._due: list[tuple[float, int, NodeLoop | None, Any]] = []
        self._numbers = 0
        self._awake: deque[NodeLoop] = deque()

    def tell(self, who: str, what: str) -> None:
        """A line of the history, for a reader."""
        if self.trace is not None:
            self.trace.append(f"{self.now:10.6f}  {who:<8}  {what}")

    def at(self, when: float, act: Callable[[], object]) -> None:
        """Something happens at a time, outside of all processes."""
        self.push(max(when, self.now), None, act)

    def after(self, seconds: float, act: Callable[[], object]) -> None:
        self.push(self.now + seconds, None, act)

    def push(self, when: float, loop: "NodeLoop | None", what: Any) -> None:
        self._numbers += 1
        heapq.heappush(self._due, (when, self._numbers, loop, what))

    def wake(self, loop: "NodeLoop") -> None:
        """It has something to do now."""
        self._awake.append(loop)

    def run(self, until: float, over: Callable[[], bool] = lambda: False) -> None:
        """Let everything happen up to this time, or until it is over."""
        try:
            for _ in range(_MANY_STEPS):
                if self._awake:
                    self._turn(self._awake.popleft())
                elif over() or not self._due or self._due[0][0] > until:
                    break
                else:
                    self._step()
            else:
                raise AssertionError(f"seed {self.seed}: the processes never come to rest")
        finally:
            CLOCK.loop = None
            asyncio._set_running_loop(None)
        if not over():
            self.now = max(self.now, until)

    def _step(self) -> None:
        """On to what is due next."""
        when, _, loop, what = heapq.heappop(self._due)
        self.now = max(self.now, when)
        if loop is None:
            if CLOCK.loop is not None:
                CLOCK.loop = None
                asyncio._set_running_loop(None)
            what()
        elif not what.cancelled():
            loop.take(what)

    def _turn(self, loop: "NodeLoop") -> None:
        """One pass of a process's loop."""
        if loop.runs:
            if CLOCK.loop is not loop:
                CLOCK.loop = loop
                asyncio._set_running_loop(loop)
            loop.turn()

    def node(self, name: str) -> "Node":
        """A new process."""
        node = Node(self, name)
        self.nodes.append(node)
        return node

    def faults(self) -> list[str]:
        """What callbacks and tasks raised, that nobody caught."""
        return [f"{node.name}: {fault!r}" for node in self.nodes for fault in node.loop.faults]

    def close(self) -> None:
        """End all processes, whatever they are doing."""
        for node in self.nodes:
            node.kill()
        for node in self.nodes:
            node.discard()
        self._due.clear()


class NodeLoop(MemoryLoop):
    """The event loop of one process, driven by the world."""

    def __init__(self, node: "Node") -> None:
        super().__init__(_nowhere)
        self.node = node
        self.world = world = node.world
        self.runs = True
        self._rate = 1.0 + world.random.uniform(-_MOST_DRIFT, _MOST_DRIFT)
        self._began = world.random.uniform(1_000.0, 9_000.0)
        self._late: list[asyncio.Handle] = []

    def time(self) -> float:
        return self._began + self.world.now * self._rate

    def call_soon(  # type: ignore[override] # typeshed's names the callback's arguments
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        if not self._ready:
            self.world.wake(self)
        self._ready.append(handle)
        return handle

    def call_later(  # type: ignore[override]
        self,
        delay: float,
        callback: Callable[..., object],
        *args: Any,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        return self.call_at(self.time() + delay, callback, *args, context=context)

    def call_at(  # type: ignore[override]
        self,
        when: float,
        callback: Callable[..., object],
        *args: Any,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        self.world.push((when - self._began) / self._rate + _ROUNDING_S, self, handle)
        return handle

    async def create_connection(  # type: ignore[override] # as far as the pool uses it
        self, protocol_factory: Callable[[], asyncio.Protocol], host: str, port: int
    ) -> tuple[asyncio.Transport, asyncio.Protocol]:
        """To an endpoint, some way off."""
        await asyncio.sleep(self.world.random.uniform(*HOP_S))
        protocol = protocol_factory()
        transport = self.node.dial(host, protocol)
        self.call_soon(protocol.connection_made, transport)
        await asyncio.sleep(0)
        return transport, protocol

    def add_reader(self, fd: Any, callback: Any, *args: Any) -> None:  # type: ignore[override]
        """No file is ever ready."""

    def run_in_executor(  # type: ignore[override]
        self, executor: Any, func: Callable[..., Any], *args: Any
    ) -> "asyncio.Future[Any]":
        """What would take a thread takes no time."""
        future = self.create_future()
        future.set_result(func(*args))
        return future

    def remove_reader(self, fd: Any) -> bool:
        return False

    def take(self, handle: asyncio.Handle) -> None:
        """A timer is due."""
        if not self.runs:
            self._late.append(handle)
            return
        if not self._ready:
            self.world.wake(self)
        self._ready.append(handle)

    def go_on(self) -> None:
        """After it stood still."""
        self.runs = True
        self._ready.extend(self._late)
        self._late.clear()
        if self._ready:
            self.world.wake(self)

    def turn(self) -> None:
        """All that is ready now, as one pass of a loop."""
        ready = self._ready
        for _ in range(len(ready)):
            handle = ready.popleft()
            if not handle.cancelled():
                handle._run()
        if ready:
            self.world.wake(self)


class Node:
    """One process. alive: it was not killed. name: as the history tells it."""

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.name = name
        self.alive = True
        self.dial: Callable[[str, asyncio.Protocol], asyncio.Transport] = _nobody
        self.loop = NodeLoop(self)
        self.on_kill: list[Callable[[], None]] = []
        self._tasks: list[asyncio.Task[Any]] = []

    @contextlib.contextmanager
    def inside(self) -> Iterator[None]:
        """What runs in the block runs in this process."""
        before = CLOCK.loop
        CLOCK.loop = self.loop
        asyncio._set_running_loop(self.loop)
        try:
            yield
        finally:
            asyncio._set_running_loop(before)
            CLOCK.loop = before

    def start(self, work: Coroutine[Any, Any, Any]) -> "asyncio.Task[Any]":
        """Run it in this process."""
        task = self.loop.create_task(work)
        self._tasks.append(task)
        return task

    def stop(self) -> None:
        """SIGSTOP."""
        self.loop.runs = False

    def go_on(self) -> None:
        """SIGCONT."""
        if self.alive:
            self.loop.go_on()

    def kill(self) -> None:
        """SIGKILL."""
        if self.alive:
            self.alive = self.loop.runs = False
            for tell in self.on_kill:
                tell()

    def discard(self) -> None:
        """Take apart what is left of it, so that nothing of it outlives the history."""
        with self.inside():
            self.loop.discard()


def _nowhere(host: str, port: int) -> Dialled:
    raise NotImplementedError  # `create_connection` is another one here


def _nobody(host: str, _: asyncio.Protocol) -> asyncio.Transport:
    raise AssertionError(f"nobody listens at {host}")


@contextlib.contextmanager
def simulated_time() -> Iterator[None]:
    """`time.monotonic` and `time.time` of all loaded modules of both planes are the world's."""
    undo = [(module, name, getattr(module, name)) for module, name, _ in _clocks()]
    for module, name, value in _clocks():
        setattr(module, name, value)
    try:
        yield
    finally:
        for module, name, value in undo:
            setattr(module, name, value)


@cache
def _clocks() -> list[tuple[Any, str, Any]]:
    """Where they are, and what is to be there."""
    shim = SimpleNamespace(monotonic=CLOCK.monotonic, time=CLOCK.wall)
    replaced = {id(time.monotonic): CLOCK.monotonic, id(time.time): CLOCK.wall, id(time): shim}
    return [
        (module, name, replaced[id(value)])
        for path, module in sys.modules.items()
        if path.partition(".")[0] in {"proxy", "admin"}
        for name, value in vars(module).items()
        if id(value) in replaced
    ]


@contextlib.contextmanager
def seldom_collected() -> Iterator[None]:
    """Of a history most is garbage that goes round in circles: it is collected once in a while.

    What others have frozen stays so: a run of pytest has a million objects that need no second look.
    """
    already = gc.get_freeze_count()
    gc.collect()
    gc.freeze()
    thresholds = gc.get_threshold()
    gc.set_threshold(200_000, 1, 1_000)
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
        if not already:
            gc.unfreeze()
        gc.collect()
