"""Runs the print jobs of this instance: they live in its memory, and their progress in the database.

Rules. A print stays in the instance that began it, until it is done or the drain's time is over; then
it is marked interrupted and its job queued again. Progress is written at least each second, so
a running print whose row is STALLED_SECONDS old has lost its instance. The tasks belong to Press;
an outage of the database delays what they write and never ends them.
"""

import asyncio
import logging
from uuid import UUID

from examples.print_erp.problems import Problem, absent
from examples.print_erp.settings import Settings
from examples.print_erp.store import Store, new_id

MAX_RUNNING = 1_000
MAX_SECONDS = 600.0
STEP_SECONDS = 1.0
SHORTEST_STEP_SECONDS = 0.05
SETTLE_TRIES = 30

_LOG = logging.getLogger("print_erp")

_START = """
WITH job AS (
    UPDATE jobs SET status = 'printing', updated_at = now()
    WHERE tenant_id = $1 AND id = $2 RETURNING id
)
INSERT INTO prints (tenant_id, id, job_id, pages, seconds, slot, version, instance)
SELECT $1, $3, job.id, $4, $5, $6, $7, $8 FROM job
RETURNING id
"""
_PROGRESS = """
UPDATE prints SET pages_done = $3, updated_at = now()
WHERE tenant_id = $1 AND id = $2 AND state = 'running'
"""
_SETTLE = """
WITH settled AS (
    UPDATE prints SET state = $3, updated_at = now(),
        pages_done = CASE WHEN $3 = 'done' THEN pages ELSE pages_done END
    WHERE tenant_id = $1 AND id = $2 AND state = 'running' RETURNING job_id
)
UPDATE jobs SET status = $4, updated_at = now() FROM settled
WHERE jobs.tenant_id = $1 AND jobs.id = settled.job_id
"""


class Press:
    """The prints that run in this instance."""

    def __init__(self, settings: Settings, store: Store) -> None:
        self._settings = settings
        self._store = store
        self._running: dict[tuple[str, UUID], asyncio.Task[None]] = {}

    def __len__(self) -> int:
        return len(self._running)

    async def start(self, tenant: str, job: UUID, pages: int, seconds: float) -> UUID:
        """Begin to print; the print's id. Problem 404 without the job, 503 over MAX_RUNNING."""
        if len(self._running) >= MAX_RUNNING:
            raise Problem(503, "busy", f"{MAX_RUNNING} prints run here", {"Retry-After": "5"})
        settings, key = self._settings, (tenant, new_id())
        who = (settings.slot, settings.version, settings.instance)
        if await self._store.row(_START, tenant, job, key[1], pages, seconds, *who) is None:
            raise absent("job")
        task = asyncio.create_task(self._print(key, pages, seconds), name=f"print {key[1]}")
        self._running[key] = task
        task.add_done_callback(lambda ended: self._ended(key, ended))
        return key[1]

    def task(self, tenant: str, identity: UUID) -> asyncio.Task[None] | None:
        """The task of a print that runs here."""
        return self._running.get((tenant, identity))

    async def drain(self, seconds: float) -> None:
        """Wait for what runs; what has not ended in time is marked interrupted."""
        if self._running and seconds > 0:
            await asyncio.wait(self._running.values(), timeout=seconds)
        left = dict(self._running)
        for task in left.values():
            task.cancel()
        await asyncio.gather(*left.values(), return_exceptions=True)
        for key in left:
            await self._settle(key, "interrupted", "queued", tries=1)

    async def _print(self, key: tuple[str, UUID], pages: int, seconds: float) -> None:
        clock = asyncio.get_running_loop().time
        began = clock()
        step = max(SHORTEST_STEP_SECONDS, min(STEP_SECONDS, seconds / pages))
        while (elapsed := clock() - began) < seconds:
            await asyncio.sleep(min(step, seconds - elapsed))
            done = min(pages, int(pages * (clock() - began) / seconds))
            if not await self._progress(key, done):
                return  # its job was deleted
        await self._settle(key, "done", "done", tries=SETTLE_TRIES)

    async def _progress(self, key: tuple[str, UUID], done: int) -> bool:
        try:
            return await self._store.run(_PROGRESS, *key, done) > 0
        except Problem:
            return True  # the next step writes it

    async def _settle(self, key: tuple[str, UUID], state: str, job: str, *, tries: int) -> None:
        for _ in range(tries):
            try:
                await self._store.run(_SETTLE, *key, state, job)
            except Problem:
                await asyncio.sleep(STEP_SECONDS)
            else:
                return
        _LOG.error("print %s is %s, but the database could not be told", key[1], state)

    def _ended(self, key: tuple[str, UUID], task: asyncio.Task[None]) -> None:
        self._running.pop(key, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            _LOG.error("print %s failed", key[1], exc_info=error)
