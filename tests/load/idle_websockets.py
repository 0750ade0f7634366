"""What idle WebSockets cost one worker in memory: real sockets, far ends in other processes.

    python -m tests.load.idle_websockets [--pairs 10000] [--target-kb 12] [--breakdown 2000]

A pair is a client's connection and the endpoint's, with everything that the worker holds for
them. The figure is the growth of the worker's own memory (Pss), divided; what the kernel holds
for the sockets is not in it. --breakdown opens so many more in this process, with the same
parts, and prints which lines hold the memory (tracemalloc).
"""

import argparse
import gc
import re
import sys
import tempfile
import tracemalloc
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import msgspec
import uvloop

from admin.embedded import EmbeddedRedis
from proxy.config import Settings
from proxy.downstream.listener import Door, Listener
from proxy.downstream.share import Share
from proxy.observability import telemetry
from proxy.observability.telemetry import Telemetry
from proxy.routing.change import SetEndpoints
from proxy.routing.model import Endpoint, Slot
from proxy.supervision.files import RESERVE
from proxy.supervision.listening import Wanted, listen
from proxy.worker import _services as services_of_worker
from proxy.worker import http
from tests.load.websocket_peer import more_files
from tests.support.fleet import Fleet, routing_at, settings, start_fleet
from tests.support.processes import Children
from tests.support.wire import table

_SECONDS = 120.0
_WARM_UP = 50
_OTHER_FILES = RESERVE
_LIMITS = {"connections": 60_000, "endpoint_connections": 60_000, "tenant_in_flight": 0}


@dataclass(frozen=True, slots=True)
class Measured:
    """pairs: how many were open at once. kb: memory of the worker a pair, in 1024 bytes."""

    pairs: int
    kb: float

    def __str__(self) -> str:
        return f"{self.pairs} idle WebSockets in one worker: {self.kb:.1f} KB a pair"


async def measure(pairs: int, folder: Path) -> Measured:
    """Open so many through one worker of a real fleet."""
    files = more_files(2 * (pairs + _WARM_UP) + _OTHER_FILES)
    possible = (files - _OTHER_FILES) // 2 - _WARM_UP
    if possible < pairs:
        print(f"RLIMIT_NOFILE is {files} here: {possible} pairs instead of {pairs}")
        pairs = possible
    children = Children(folder)
    async with AsyncExitStack() as stack:
        stack.callback(children.stop)
        redis = stack.enter_context(EmbeddedRedis(folder / "redis"))
        routing = await stack.enter_async_context(routing_at(redis.url))
        own = settings(folder, redis.url, workers=1, limits=_LIMITS)
        fleet = await start_fleet(children, own)
        address = Endpoint("127.0.0.1", await endpoint_port(children))
        version = await routing.change(*(SetEndpoints(slot, (address,)) for slot in Slot))
        await routing.acked(version, 1)
        (pid,) = await fleet.serving()
        await opened(children, fleet.port, _WARM_UP)
        before = proportional(pid)
        await opened(children, fleet.port, pairs)
        await all_joined(fleet, pairs + _WARM_UP)
        return Measured(pairs, (proportional(pid) - before) / pairs / 1024)


async def endpoint_port(children: Children) -> int:
    """Start an endpoint; where it listens."""
    child = children(sys.executable, "-m", "tests.load.websocket_peer", "endpoint", name="endpoint")
    return int((await child.line(r"^listening on (\d+)$"))[1])


async def opened(children: Children, port: int, count: int) -> None:
    """Let a client open so many and hold them."""
    command = (sys.executable, "-m", "tests.load.websocket_peer", "client", str(port), str(count))
    await children(*command, name="client").line(rf"^open {count}$", _SECONDS)


async def all_joined(fleet: Fleet, count: int) -> None:
    await fleet.metrics_until(
        lambda metrics: metrics.value("turnout_tunnels") == count, f"{count} tunnels are open"
    )


def proportional(pid: int) -> int:
    """The memory of a process in bytes, with its share of what it shares (Pss)."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text("utf-8")
    found = re.search(r"^Pss: +(\d+) kB$", text, re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024


# ── which lines hold it ───────────────────────────────────────────────────────────────────────


async def breakdown(pairs: int, folder: Path) -> list[str]:
    """The lines that hold the memory of so many pairs, the most first."""
    more_files(2 * (pairs + _WARM_UP) + _OTHER_FILES)
    children = Children(folder)
    try:
        port = await endpoint_port(children)
        own = msgspec.convert({"limits": _LIMITS}, Settings)
        block = Telemetry(1).blocks[0]
        services = services_of_worker(own, block)
        endpoints = {slot: (Endpoint("127.0.0.1", port),) for slot in Slot}
        services.slots.update(endpoints)
        services.router.swap(table())
        listening = listen(Wanted("http", "127.0.0.1:0", 4096, "listen"))
        listener = Listener(
            [Door(listening, http(services), services.settings.limits.connections)],
            services,
            Share(block, (block,)),
        )
        listener.start()
        await opened(children, listening.getsockname()[1], _WARM_UP)
        gc.collect()
        tracemalloc.start()
        before = tracemalloc.take_snapshot()
        await opened(children, listening.getsockname()[1], pairs)
        assert sum(g.values[telemetry.TUNNELS] for g in block.groups) == pairs + _WARM_UP
        gc.collect()
        held = tracemalloc.take_snapshot().compare_to(before, "lineno")
        tracemalloc.stop()
        listener.stop()
        listening.close()
        return [
            f"{each.size_diff / pairs:8.0f} bytes {each.count_diff / pairs:5.1f} objects  "
            f"{each.traceback}"
            for each in held[:30]
            if each.size_diff > pairs
        ]
    finally:
        children.stop()


def main() -> int:
    """Measure and print; 1 if a pair takes more than the target."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--pairs", type=int, default=10_000)
    parser.add_argument("--target-kb", type=float, default=12.0)
    parser.add_argument("--breakdown", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if options.breakdown:
            print("\n".join(uvloop.run(breakdown(options.breakdown, Path(folder)))))
            return 0
        measured = uvloop.run(measure(options.pairs, Path(folder)))
    print(measured, f"(target: at most {options.target_kb:g})")
    return int(measured.kb > options.target_kb)


if __name__ == "__main__":
    sys.exit(main())
