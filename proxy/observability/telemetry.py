"""Counters in memory that all processes of one proxy share.

Rules: one block of 64-bit cells a worker, written by that worker alone, so counting needs no
lock; the management process only reads and adds up. What is counted for each request is counted
in the worker's own memory and published with its sweep, four times a second, for that costs a
request less. Counters of a block outlive its worker, so that sums never go down when a worker is
replaced; gauges are zeroed when it ends. What a cell means is said once, in the tables below,
which the exposition reads too.
"""

import mmap
from array import array
from bisect import bisect_left
from typing import Final, NamedTuple

from proxy.routing import windows
from proxy.routing.model import Slot

STARTING: Final = 1
SERVING: Final = 2
DRAINING: Final = 3
STATES: Final = {0: "free", STARTING: "starting", SERVING: "serving", DRAINING: "draining"}

# Cells of the worker as a whole.
STATE: Final = 0
PID: Final = 1
VERSION: Final = 2
CONNECTIONS: Final = 3
STORE_REACHABLE: Final = 4
ACCEPTED: Final = 5
REJECTED_ENTRIES: Final = 6
RELOADS: Final = 7
PUBLISHED: Final = 8
HANDSHAKES: Final = 9
HANDSHAKE_FAILURES: Final = 10
PROXY_HEADER_REFUSALS: Final = 11
CERTIFICATE_EXPIRES: Final = 12  # POSIX seconds; 0: no certificates
REFUSED_TOKENS: Final = 13  # + the reason's place
TOKEN_REASONS: Final = (
    *("form", "issuer", "algorithm", "audience", "claims", "expired", "early", "tenant"),
    *("key", "no-keys", "signature"),
)
BEAT: Final = REFUSED_TOKENS + len(TOKEN_REASONS)  # when its loop last turned; monotonic ms
LOG_LINES: Final = BEAT + 1
LOG_DROPPED: Final = BEAT + 2
STORE_VERSION: Final = BEAT + 3  # that the store has, as of the last renewal
CURRENT: Final = BEAT + 4  # when the table was last known to be the newest; monotonic ms
FROM_DISK: Final = BEAT + 5  # whether it came from there
LEASE_ENDS: Final = BEAT + 6  # by the worker's own clock; monotonic ms
LEASED: Final = BEAT + 7  # whether it runs, and the worker may serve by it
AFFINITY_HITS: Final = BEAT + 8
AFFINITY_MISSES: Final = BEAT + 9
AFFINITY_RACES_LOST: Final = BEAT + 10
AFFINITY_MOVES: Final = BEAT + 11
AFFINITY_STORE_ERRORS: Final = BEAT + 12
AFFINITIES: Final = BEAT + 13  # that are remembered
WORKER_CELLS: Final = BEAT + 14
_WORKER_GAUGES: Final = (
    *(STATE, PID, VERSION, CONNECTIONS, STORE_REACHABLE, CERTIFICATE_EXPIRES, BEAT),
    *(STORE_VERSION, CURRENT, FROM_DISK, LEASE_ENDS, LEASED, AFFINITIES),
)

# Cohorts: who a request belongs to in the eyes of a release.
REST: Final = 0
CANARY: Final = 1
PILOT: Final = 2
COHORTS: Final[tuple[str, ...]] = windows.COHORTS
"""What each means: `proxy.routing.windows`."""


class GroupName(NamedTuple):
    """What a group of cells counts. cohort: empty for what the proxy answers itself."""

    slot: str
    cohort: str


GROUPS: Final = (
    *(GroupName(str(slot), cohort) for slot in Slot for cohort in COHORTS),
    GroupName("local", ""),
)
LOCAL: Final = len(GROUPS) - 1

# Cells of each group.
IN_FLIGHT: Final = 0
ENDPOINT_CONNECTIONS: Final = 1
TUNNELS: Final = 2
TUNNELS_OPENED: Final = 3
CONNECT_FAILURES: Final = 4
RETRIES: Final = 5
ABORTED: Final = 6
LATENCY_US: Final = 7
STATUS_CLASS: Final = 8  # + status // 100: 9 to 13
BUCKETS: Final = 14
BOUNDS_US: Final[tuple[int, ...]] = windows.BOUNDS_US
"""Upper bounds of the latency histogram, in microseconds; one more bucket is open above."""
_STEP_US: Final = 500
_STEPS: Final = 21
_FAST: Final = tuple(bisect_left(BOUNDS_US, step * _STEP_US) for step in range(_STEPS))
"""The bucket of the latencies up to 10 ms, by steps that each bound is a multiple of."""
# After the histogram: the slots' side.
QUEUE: Final = BUCKETS + len(BOUNDS_US) + 1
ENDPOINTS: Final = QUEUE + 1
ENDPOINTS_ELIGIBLE: Final = QUEUE + 2
QUEUE_TIMEOUTS: Final = QUEUE + 3
QUEUE_REFUSED: Final = QUEUE + 4
RETRIES_REFUSED: Final = QUEUE + 5
EJECTIONS: Final = QUEUE + 6
PANICS: Final = QUEUE + 7
ANSWERS_BROKEN: Final = QUEUE + 8  # of those aborted: the answers that broke off
_GROUP_CELLS: Final = QUEUE + 9
_GROUP_GAUGES: Final = (
    IN_FLIGHT,
    ENDPOINT_CONNECTIONS,
    TUNNELS,
    QUEUE,
    ENDPOINTS,
    ENDPOINTS_ELIGIBLE,
)

_BLOCK_CELLS: Final = WORKER_CELLS + len(GROUPS) * _GROUP_CELLS

# Cells of the supervisor, which writes them; but the last three are the management process's.
DEATHS: Final = 0
STALLS: Final = 1
SETTINGS_LOADED: Final = 2
STARTED_S: Final = 3  # seconds since 1970
FILES_LIMIT: Final = 4  # open files of one process
CONNECTIONS_LIMIT: Final = 5  # client connections of one worker, after a look at the files
REPORTER: Final = 6  # process that tells of traffic; see `proxy.traffic`
WINDOWS_TOLD: Final = 7
WINDOWS_LOST: Final = 8
_SUPERVISOR_CELLS: Final = 9
_CELL_BYTES: Final = 8
AREA_BYTES: Final = 384 * 1024
"""Of each worker, for its busiest tenants; see `proxy.observability.tenants`."""
KEY_SETS_BYTES: Final = 16 * 1024
"""Of each worker, for the fetching of key sets; see `proxy.observability.key_sets`."""


def group_of(slot_number: int, cohort: int) -> int:
    """The number of a group. slot_number: 0 blue, 1 green."""
    return slot_number * len(COHORTS) + cohort


def group_base(group: int) -> int:
    """The first cell of a group within a block."""
    return WORKER_CELLS + group * _GROUP_CELLS


class Group:
    """One group's counters in the worker's own memory, indexed by the constants above.

    in_flight, latency_us: those that change with each request and grow large, apart; in `values`
    as of the last `settle`.
    """

    __slots__ = ("in_flight", "latency_us", "values")

    def __init__(self) -> None:
        self.values: list[int] = [0] * _GROUP_CELLS
        self.in_flight = 0
        self.latency_us = 0

    def settle(self) -> list[int]:
        """All values, up to date."""
        self.values[IN_FLIGHT] = self.in_flight
        self.values[LATENCY_US] = self.latency_us
        return self.values

    def adopt(self, values: list[int]) -> None:
        """Go on from these."""
        self.values[:] = values
        self.in_flight = values[IN_FLIGHT]
        self.latency_us = values[LATENCY_US]

    def finished(self, status: int, micros: int) -> None:
        """Count one answer: its status class, its latency."""
        values = self.values
        values[STATUS_CLASS + status // 100] += 1
        step = (micros + _STEP_US - 1) // _STEP_US
        values[BUCKETS + (_FAST[step] if step < _STEPS else bisect_left(BOUNDS_US, micros))] += 1
        self.latency_us += micros


class TenantCount:
    """What was counted of a tenant in one slot since the worker's last sweep.

    slot_number: 0 blue, 1 green. failures: answers of 500 and above. touched: where it is listed once it has counted
    something. The worker's sweep takes what is listed to its summary and zeroes it
    (`proxy.observability.tenants`), so that this is never more than a remainder: a route that a change of the
    table has made stale loses nothing with it.
    """

    __slots__ = ("failures", "micros", "requests", "slot_number", "tenant", "touched")

    def __init__(self, tenant: str, slot_number: int, touched: "list[TenantCount]") -> None:
        self.tenant = tenant
        self.slot_number = slot_number
        self.touched = touched
        self.requests = 0
        self.failures = 0
        self.micros = 0

    def finished(self, status: int, micros: int) -> None:
        """Count one answer."""
        if self.requests == 0:
            self.touched.append(self)
        self.requests += 1
        self.micros += micros
        if status >= 500:
            self.failures += 1


class Block:
    """One worker's cells, and its groups of counters that `publish` writes there.

    cells: shared; indexed by the constants above. area, key_sets: shared; of
    `proxy.observability.tenants` and `proxy.observability.key_sets`. tenants: those with something to take over.
    """

    __slots__ = ("area", "cells", "groups", "key_sets", "tenants")

    def __init__(
        self, cells: "memoryview[int]", area: "memoryview[int]", key_sets: "memoryview[int]"
    ) -> None:
        self.cells = cells
        self.area = area
        self.key_sets = key_sets
        self.groups = tuple(Group() for _ in GROUPS)
        self.tenants: list[TenantCount] = []

    @property
    def state(self) -> str:
        """free, starting, serving or draining."""
        return STATES.get(self.cells[STATE], "free")

    @property
    def lives(self) -> bool:
        """Whether a worker holds it."""
        return bool(self.cells[STATE])

    @property
    def in_flight(self) -> int:
        """Requests under way in this worker, by its own count."""
        return sum([group.in_flight for group in self.groups])

    def adopt(self) -> None:
        """Go on from what an earlier worker has counted in this block."""
        for number, group in enumerate(self.groups):
            base = group_base(number)
            group.adopt(self.cells[base : base + _GROUP_CELLS].tolist())

    def publish(self) -> None:
        """Let the other processes see what was counted."""
        for number, group in enumerate(self.groups):
            base = group_base(number)
            self.cells[base : base + _GROUP_CELLS] = array("q", group.settle())
        self.cells[PUBLISHED] += 1

    def release(self) -> None:
        """Zero the gauges: the worker is gone; its counters stay."""
        for cell in _WORKER_GAUGES:
            self.cells[cell] = 0
        for group in range(len(GROUPS)):
            for gauge in _GROUP_GAUGES:
                self.cells[group_base(group) + gauge] = 0


class Telemetry:
    """The blocks of all workers, in anonymous shared memory. Made before workers are forked.

    supervisor: the supervisor's own cells.
    """

    def __init__(self, workers: int) -> None:
        count = workers * _BLOCK_CELLS + _SUPERVISOR_CELLS
        self._memory = mmap.mmap(-1, count * _CELL_BYTES)
        cells = memoryview(self._memory).cast("q")
        areas = memoryview(mmap.mmap(-1, workers * AREA_BYTES))
        key_sets = memoryview(mmap.mmap(-1, workers * KEY_SETS_BYTES))
        self.blocks = tuple(
            Block(
                cells[index * _BLOCK_CELLS : (index + 1) * _BLOCK_CELLS],
                areas[index * AREA_BYTES : (index + 1) * AREA_BYTES],
                key_sets[index * KEY_SETS_BYTES : (index + 1) * KEY_SETS_BYTES],
            )
            for index in range(workers)
        )
        self.supervisor = cells[workers * _BLOCK_CELLS :]

    def free_blocks(self) -> int:
        """How many blocks no worker holds."""
        return sum(block.cells[STATE] == 0 for block in self.blocks)

    def free_block(self) -> int | None:
        """The number of a block that no worker holds."""
        for index, block in enumerate(self.blocks):
            if block.cells[STATE] == 0:
                return index
        return None

    def serves(self) -> bool:
        """Whether some worker takes requests and has a table to decide them by."""
        return any(
            block.cells[STATE] == SERVING and block.cells[VERSION] > 0 for block in self.blocks
        )

    def newest(self) -> int:
        """The highest version that a worker decides by; 0: none has a table."""
        return max(block.cells[VERSION] for block in self.blocks)

    def total(self, cell: int) -> int:
        """One cell summed over all workers, past and present."""
        return sum(block.cells[cell] for block in self.blocks)
