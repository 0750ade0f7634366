"""Workers: who serves which version, and who lags behind."""

from aiohttp import web

from admin.api.messages import WorkersState
from admin.dashboard.visit import Visit

MAX_SHOWN = 200
"""Workers that are listed one by one; nodes are listed all."""


async def look(visit: Visit) -> web.StreamResponse:
    """The fleet."""
    fleet: WorkersState = await visit.ops.read("/v1/workers")
    live = [worker for worker in fleet.workers if worker.lease_ms > 0]
    # Who is waited for comes first: it is what one looks for.
    ordered = sorted(fleet.workers, key=lambda worker: worker.current and worker.lease_ms > 0)
    return await visit.page(
        "workers.html",
        fleet=fleet,
        alive=len(live),
        current=sum(worker.current for worker in live),
        lost=len(fleet.workers) - len(live),
        shown=ordered[:MAX_SHOWN],
        beyond=max(0, len(ordered) - MAX_SHOWN),
    )


LOOKS = {"/ui/workers": look}
