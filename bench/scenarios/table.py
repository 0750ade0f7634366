"""A table of 100 000 pins: loading it, applying one change, and a worker's memory with it.

The times are CPU times, taken inside of a process that does what a worker's follower does with
what it reads (bench.table_cost), for one change the median of many; the memory is that of a real
worker's process (PSS) which serves by the table.
"""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

from bench import endpoint
from bench.ask import wait_until_answering
from bench.cpu import tree
from bench.job import Job
from bench.machine import Cores
from bench.memory import pss
from bench.peers.peer import PLAIN, Site
from bench.peers.turnout import Turnout, routing_table
from bench.processes import StartError, pinned
from bench.progress import Watch
from bench.rounds import Reading, Round, failed, paired
from bench.scenarios import small
from bench.scenarios.scenario import ENOUGH_ROUNDS, TURNOUTS, Measure, Target
from bench.serving import started
from proxy.routing.codec import encode_table
from proxy.routing.model import Slot

PINS = 100_000
MB = 1_000_000
LIMIT_S = 60
"""How long the measuring process may take."""


class Table:
    """Turnout only: the others' tables are their configuration."""

    name = "table"
    title = f"a table of {PINS} pins, in one worker"
    peers: frozenset[str] | None = frozenset(TURNOUTS)
    measures = (
        Measure("load_ms", "table: load", "ms", 1, (Target(TURNOUTS, 500.0),)),
        Measure("change_ms", "table: one change", "ms", 3, (Target(TURNOUTS, 1.0),)),
        Measure("worker_mb", "table: memory/worker", "MB", 1, (Target(TURNOUTS, 60.0),)),
    )
    work = PLAIN
    lenient = False
    enough = ENOUGH_ROUNDS

    def lasts(self, job: Job) -> tuple[int, int]:
        """The rounds asked for, whose length is what they take."""
        return job.options.rounds, 0

    def rounds(self, job: Job, watch: Watch) -> Iterator[Round]:
        """Each turn has processes of its own."""
        with ExitStack() as stack:
            behind = endpoint.with_folder(small.location, {}, job.cores.load)
            folder, ports = stack.enter_context(behind)
            turns = {}
            for peer in job.peers:
                if isinstance(peer, Turnout):
                    site = Site(folder / peer.name, job.cores, ports, many_pins())
                    turns[peer.name] = _turn(stack, peer, site)
            yield from paired(turns, self.lasts(job)[0], watch.turn)


TABLE = Table()


def many_pins() -> dict[str, Slot]:
    """PINS tenants, every other one on green."""
    slots = (Slot.BLUE, Slot.GREEN)
    return {f"tenant-{index:06d}": slots[index % 2] for index in range(PINS)}


def _turn(stack: ExitStack, peer: Turnout, site: Site) -> Callable[[], Reading]:
    launch = stack.enter_context(peer.prepared(site))
    body = site.folder / "table.json"
    body.write_bytes(encode_table(routing_table(site)))
    assert launch.cwd is not None
    cwd = launch.cwd

    def turn() -> Reading:
        try:
            with started(launch, site) as process:
                wait_until_answering(process, launch.port, site)
                # Of supervisor, management and worker, the one that holds the table.
                memory = max(pss([pid]) for pid in tree(process.pid)) / MB
            values = {**_times(cwd, body, site.cores), "worker_mb": memory}
        except (StartError, subprocess.SubprocessError, ValueError, OSError) as error:
            return failed(str(error))
        return Reading(values)

    return turn


def _times(cwd: Path, body: Path, cores: Cores) -> dict[str, float]:
    """What `bench.table_cost` measures, in a process of its own on the proxy's core."""
    argv = pinned([sys.executable, "-m", "bench.table_cost", str(body)], cores.proxy)
    done = subprocess.run(argv, cwd=cwd, capture_output=True, timeout=LIMIT_S, check=True)
    said = json.loads(done.stdout)
    return {"load_ms": float(said["load_ms"]), "change_ms": float(said["change_ms"])}
