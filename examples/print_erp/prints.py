"""POST /api/jobs/{id}/print begins a print; /api/prints/{id} tells how far it is, /wait when it ends."""

import asyncio
from typing import Annotated, Any
from uuid import UUID

import msgspec
from aiohttp import web

from examples.print_erp.answers import answer, body_as, identifier, number
from examples.print_erp.context import erp_of, tenant_of
from examples.print_erp.press import MAX_SECONDS
from examples.print_erp.problems import absent

STALLED_SECONDS = 15.0
WAIT_MS = 30_000
WAIT_MAX_MS = 60_000
POLL_SECONDS = 0.25

_GET = """
SELECT id, job_id, pages, pages_done, seconds, state, slot, version, instance, created_at, updated_at,
    state = 'running' AND updated_at < now() - make_interval(secs => $3) AS stalled
FROM prints WHERE tenant_id = $1 AND id = $2
"""


class NewPrint(msgspec.Struct):
    """What a client gives: how many pages, and how long the print takes in all."""

    pages: Annotated[int, msgspec.Meta(ge=1, le=100_000)]
    seconds: Annotated[float, msgspec.Meta(gt=0, le=MAX_SECONDS)]


async def begin(request: web.Request) -> web.Response:
    """202, the print, its Location, and X-Job-Id: the key by which a proxy keeps it on its slot."""
    job = identifier(request, "job")
    given = await body_as(request, NewPrint)
    tenant = tenant_of(request)
    identity = await erp_of(request).press.start(tenant, job, given.pages, given.seconds)
    headers = {"Location": f"/api/prints/{identity}", "X-Job-Id": str(identity)}
    return answer(request, await _shown(request, identity), 202, headers)


async def get(request: web.Request) -> web.Response:
    """Progress (0..100), state, and the slot, version and instance it runs on."""
    return answer(request, await _shown(request, identifier(request, "print")))


async def wait(request: web.Request) -> web.Response:
    """The print when it has ended, or as it is after ?timeout_ms=; wherever it runs."""
    clock = asyncio.get_running_loop().time
    identity = identifier(request, "print")
    until = clock() + number(request, "timeout_ms", WAIT_MS, 0, WAIT_MAX_MS) / 1000
    while True:
        shown = await _shown(request, identity)
        left = until - clock()
        if shown["state"] != "running" or left <= 0:
            return answer(request, shown)
        await _pause(request, identity, left)


async def _pause(request: web.Request, identity: UUID, left: float) -> None:
    task = erp_of(request).press.task(tenant_of(request), identity)
    if task is None:
        await asyncio.sleep(min(POLL_SECONDS, left))
    else:
        await asyncio.wait({task}, timeout=left)


async def _shown(request: web.Request, identity: UUID) -> dict[str, Any]:
    row = await erp_of(request).store.row(_GET, tenant_of(request), identity, STALLED_SECONDS)
    if row is None:
        raise absent("print")
    shown = dict(row)
    stalled = shown.pop("stalled")
    state = "stalled" if stalled else shown["state"]
    return {**shown, "state": state, "progress": round(100 * row["pages_done"] / row["pages"], 1)}


ROUTES = [
    web.post("/api/jobs/{id}/print", begin),
    web.get("/api/prints/{id}", get),
    web.get("/api/prints/{id}/wait", wait),
]
