"""Idle WebSocket pairs: memory of the proxy's processes, before and after so many are opened.

A pair is the client's connection and the endpoint's. Each carries one message to and fro before
it idles, so that whatever a proxy makes at first use is made. Counted is the growth of the
processes' PSS (memory shared between processes is split among them); what the kernel holds for
sockets is the same for all and not in it.
"""

import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from bench import websockets
from bench.ask import fields
from bench.job import Job
from bench.machine import ROOT, Cores
from bench.memory import pss
from bench.peers.peer import PLAIN, Peer, Site, Work
from bench.processes import StartError, free_ports, running, wait_until_listening
from bench.progress import Watch
from bench.rounds import Reading, Round, failed, paired
from bench.scenarios.scenario import TURNOUTS, Measure, Target, pins
from bench.serving import serving
from proxy.routing.model import Slot

KB = 1_000
ROUNDS = 3
"""Memory hardly varies from run to run."""
SPARE_FILES = 400
"""What the proxy keeps for itself, with Turnout's reserve of 256."""
SETTLED_S = 5.0
_LOOK_S = 0.25


class Idle:
    """So many pairs through each proxy, which is started anew for each round."""

    name = "idle"
    title = "idle WebSocket pairs through one worker"
    peers: frozenset[str] | None = frozenset({"nginx", "haproxy", *TURNOUTS})
    measures = (Measure("kb", "idle: memory/pair", "KB", 1, (Target(TURNOUTS, 12.0),)),)
    work = PLAIN
    lenient = False
    enough = ROUNDS

    def lasts(self, job: Job) -> tuple[int, int]:
        """Few rounds, whose length is what they take."""
        return min(ROUNDS, job.options.rounds), 0

    def rounds(self, job: Job, watch: Watch) -> Iterator[Round]:
        """An endpoint for all; each turn starts its proxy anew."""
        pairs = affordable(job.options.pairs)
        if pairs < job.options.pairs:
            watch.note(f"idle: {pairs} pairs; no process may have more files open (`ulimit -Hn`)")
        with tempfile.TemporaryDirectory(prefix="turnout-bench-") as path, ExitStack() as stack:
            folder = Path(path)
            ports = stack.enter_context(_endpoint(folder / "endpoint", job.cores))
            turns = {peer.name: _turn(peer, folder, job.cores, ports, pairs) for peer in job.peers}
            yield from paired(turns, self.lasts(job)[0], watch.turn)


IDLE = Idle()


def affordable(pairs: int) -> int:
    """As many of these pairs as files may be opened for; raises the limit as far as it may."""
    wanted = 2 * pairs + SPARE_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, PermissionError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), max(hard, wanted)))
        return pairs
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return fitting(pairs, hard)


def fitting(pairs: int, files: int) -> int:
    """As many of these pairs as a process with so many files can hold: two files a pair."""
    return min(pairs, (files - SPARE_FILES) // 2)


@contextmanager
def _endpoint(folder: Path, cores: Cores) -> Iterator[dict[Slot, int]]:
    """The WebSocket endpoint, a process on the load's core; gives each slot's port."""
    folder.mkdir()
    ports = dict(zip(Slot, free_ports(len(Slot)), strict=True))
    argv = [sys.executable, "-m", "bench.websockets", *map(str, ports.values())]
    with running(argv, cores.load, folder, cwd=ROOT) as process:
        for port in ports.values():
            wait_until_listening(process, port, folder)
        yield ports


def _turn(
    peer: Peer, folder: Path, cores: Cores, ports: dict[Slot, int], pairs: int
) -> Callable[[], Reading]:
    numbers = iter(range(1, 1_000))

    def turn() -> Reading:
        own = folder / f"{peer.name}-{next(numbers)}"
        try:
            return _measure(peer, Site(own, cores, ports, pins(), Work(connections=pairs)), pairs)
        except (StartError, OSError, websockets.HandshakeError) as error:
            return failed(str(error))

    return turn


def _measure(peer: Peer, site: Site, pairs: int) -> Reading:
    with serving(peer, site) as proxy, ExitStack() as stack:
        before = _settled(proxy.pids)
        began = time.monotonic()
        headers = [fields(tenant, token=False) for tenant in site.pins]
        for index in range(pairs):
            stack.enter_context(websockets.opened(proxy.port, headers[index % len(headers)]))
        opened_s = time.monotonic() - began
        after = _settled(proxy.pids)
    beside = {"pairs": pairs, "pss_before": before, "pss_after": after, "opened_s": opened_s}
    return Reading({"kb": (after - before) / pairs / KB}, (), beside)


def _settled(pids: Callable[[], tuple[int, ...]]) -> int:
    """PSS in bytes, once two looks in a row agree within 1 ‰, or SETTLED_S are over."""
    deadline = time.monotonic() + SETTLED_S
    seen = pss(pids())
    while True:
        time.sleep(_LOOK_S)
        now = pss(pids())
        if abs(now - seen) <= seen / 1_000 or time.monotonic() > deadline:
            return now
        seen = now
