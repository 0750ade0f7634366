"""The fleet as the registry knows it."""

from dataclasses import asdict

from aiohttp import web

from admin.api.messages import Given, NodeItem, WorkerItem, WorkersState
from admin.api.route import Call, Route, reply


async def read(call: Call, _: Given) -> web.StreamResponse:
    """Read the registry now; workers whose lease is over are shown for a while."""
    fleet = call.parts.control.fleet
    snapshot = await fleet.refresh()
    workers = [
        WorkerItem(
            **asdict(lease.status),
            lease_ms=lease.remaining_ms,
            current=lease.status.version >= snapshot.version,
            behind=max(snapshot.version - lease.status.version, 0),
        )
        for lease in sorted(snapshot.leases, key=lambda lease: (lease.status.node, lease.worker))
    ]
    converged = fleet.is_converged(snapshot.version)
    return reply(WorkersState(max(snapshot.version, 0), converged, workers, _nodes(workers)))


def _nodes(workers: list[WorkerItem]) -> dict[str, NodeItem]:
    """How each node's workers stand, in the order of the workers."""
    nodes: dict[str, NodeItem] = {}
    for worker in workers:
        node = nodes.setdefault(worker.node, NodeItem(0, 0, 0))
        is_live = worker.lease_ms > 0
        node.live += is_live
        node.current += is_live and worker.current
        node.lost += not is_live
    return nodes


ROUTES = (Route("GET", "/v1/workers", read, "The workers and what they serve", WorkersState),)
