"""Start: from the process's start to the first request answered.

The configuration is written before, and Redis is up and has the table: what is measured is what
a restart costs. Each proxy is started once before the rounds, so that files are in the cache.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

from bench import endpoint
from bench.ask import wait_until_answering
from bench.cpu import cpu_time, tree
from bench.job import Job
from bench.peers.peer import PLAIN, Launch, Site
from bench.processes import StartError
from bench.progress import Watch
from bench.rounds import Reading, Round, failed, paired
from bench.scenarios import small
from bench.scenarios.scenario import ENOUGH_ROUNDS, TURNOUTS, Measure, Target, pins
from bench.serving import started

TARGET_MS = 500.0


class Start:
    """One start a turn."""

    name = "start"
    title = "from the process's start to the first request answered"
    peers: frozenset[str] | None = frozenset({"nginx", "haproxy", *TURNOUTS})
    measures = (Measure("ms", "start: first answer", "ms", 1, (Target(TURNOUTS, TARGET_MS),)),)
    work = PLAIN
    lenient = False
    enough = ENOUGH_ROUNDS

    def lasts(self, job: Job) -> tuple[int, int]:
        """The rounds asked for, whose length is what they take."""
        return job.options.rounds, 0

    def rounds(self, job: Job, watch: Watch) -> Iterator[Round]:
        """Everything configured, each started once, then the rounds."""
        with ExitStack() as stack:
            behind = endpoint.with_folder(small.location, {}, job.cores.load)
            folder, ports = stack.enter_context(behind)
            turns = {}
            for peer in job.peers:
                site = Site(folder / peer.name, job.cores, ports, pins())
                watch.turn(f"warm-up: {peer.name}")
                launch = stack.enter_context(peer.prepared(site))
                turns[peer.name] = _turn(launch, site)
                turns[peer.name]()
            yield from paired(turns, self.lasts(job)[0], watch.turn)


START = Start()


def _turn(launch: Launch, site: Site) -> Callable[[], Reading]:
    def turn() -> Reading:
        began = time.monotonic()
        try:
            with started(launch, site) as process:
                answered = wait_until_answering(process, launch.port, site)
                cpu_s = cpu_time(tree(process.pid)).total_s
        except (StartError, ProcessLookupError) as error:
            return failed(str(error))
        return Reading({"ms": (answered - began) * 1e3}, (), {"cpu_s": cpu_s})

    return turn
