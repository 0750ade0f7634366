"""Whether a proxy is ready, and by what table each worker decides: read from the shared cells."""

import time
from collections.abc import Callable
from typing import Any, Final

from proxy.observability import telemetry
from proxy.observability.telemetry import Block, Telemetry


def readiness(telemetry_of_all: Telemetry) -> dict[str, Any]:
    """Ready when a worker serves and has a table; why not, worker by worker."""
    workers = [_worker(block) for block in telemetry_of_all.blocks if block.cells[telemetry.STATE]]
    ready = any(worker["state"] == "serving" and worker["version"] for worker in workers)
    return {"ready": ready, "workers": workers}


def _worker(block: Block) -> dict[str, Any]:
    cells = block.cells
    return {
        "pid": cells[telemetry.PID],
        "state": block.state,
        "version": cells[telemetry.VERSION],
        "store_reachable": bool(cells[telemetry.STORE_REACHABLE]),
        "behind": behind(block),
        "from_disk": bool(cells[telemetry.FROM_DISK]),
        "table_age_s": round(table_age_s(block), 1),
        "leased": bool(cells[telemetry.LEASED]),
        "lease_left_s": round(_left_s(cells[telemetry.LEASE_ENDS]), 1),
    }


def behind(block: Block) -> int:
    """How many versions a worker is behind the store, as of its last renewal."""
    return max(block.cells[telemetry.STORE_VERSION] - block.cells[telemetry.VERSION], 0)


def table_age_s(block: Block) -> float:
    """How long ago its table was last known to be the newest; 0.0 without a table."""
    return max(-_left_s(block.cells[telemetry.CURRENT]), 0.0)


def _left_s(end_ms: int) -> float:
    """Seconds until then, by the clock of this host's monotonic time; 0.0 for never."""
    return end_ms / 1000 - time.monotonic() if end_ms else 0.0


# name, help, value: one sample a worker.
FOLLOWING: Final[tuple[tuple[str, str, Callable[[Block], float]], ...]] = (
    ("turnout_table_behind", "Versions that a worker is behind Redis.", behind),
    (
        "turnout_table_age_seconds",
        "Since a worker's table was last known to be the newest.",
        table_age_s,
    ),
    (
        "turnout_table_from_disk",
        "Whether a worker's table is the one that was kept on disk.",
        lambda block: block.cells[telemetry.FROM_DISK],
    ),
    (
        "turnout_lease_held",
        "Whether a worker's lease runs, by its own clock.",
        lambda block: block.cells[telemetry.LEASED],
    ),
)
