"""What a tenant's dashboard shows, read at most once a second however many watch."""

import asyncio
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

import msgspec

from examples.print_erp.equipment import SEEN_SECONDS
from examples.print_erp.settings import Settings
from examples.print_erp.store import Store

FRESH_SECONDS = 0.9
TENANTS = 1_000

_BOARD = """
SELECT
    (SELECT COALESCE(json_object_agg(status, n), '{}') FROM
        (SELECT status, count(*) AS n FROM jobs WHERE tenant_id = $1 GROUP BY status) AS s)::text AS jobs,
    (SELECT COALESCE(json_agg(p), '[]') FROM
        (SELECT id, job_id, pages, pages_done, slot FROM prints
         WHERE tenant_id = $1 AND state = 'running' ORDER BY id DESC LIMIT 20) AS p)::text AS prints,
    (SELECT count(*) FROM prints WHERE tenant_id = $1 AND state = 'running') AS prints_in_progress,
    (SELECT count(*) FROM equipment WHERE tenant_id = $1 AND connection IS NOT NULL
        AND seen_at > now() - make_interval(secs => $2)) AS equipment_connected
"""
# The nicer field of 1.3.0.
_PRIORITIES = """
SELECT priority, count(*) AS n FROM jobs
WHERE tenant_id = $1 AND status IN ('queued', 'printing') GROUP BY priority ORDER BY priority
"""


@dataclass(slots=True)
class _Seen:
    at: float = float("-inf")
    figures: dict[str, Any] = field(default_factory=dict)
    reading: asyncio.Lock = field(default_factory=asyncio.Lock)


class Boards:
    """The last figures of each tenant that is watched; at most TENANTS of them."""

    def __init__(self, settings: Settings, store: Store) -> None:
        self._settings = settings
        self._store = store
        self._seen: OrderedDict[str, _Seen] = OrderedDict()

    async def figures(self, tenant: str) -> dict[str, Any]:
        """Figures at most FRESH_SECONDS old. Problem 503 when the database does not answer."""
        seen = self._seen.setdefault(tenant, _Seen())
        self._seen.move_to_end(tenant)
        if len(self._seen) > TENANTS:
            self._seen.popitem(last=False)
        async with seen.reading:
            now = asyncio.get_running_loop().time()
            if now - seen.at >= FRESH_SECONDS:
                seen.figures, seen.at = await self._read(tenant), now
        return seen.figures

    async def _read(self, tenant: str) -> dict[str, Any]:
        row = await self._store.row(_BOARD, tenant, SEEN_SECONDS)
        figures = dict(row)
        figures["jobs"] = msgspec.json.decode(row["jobs"])
        figures["prints"] = msgspec.json.decode(row["prints"])
        if self._settings.has_preferences:
            rows = await self._store.rows(_PRIORITIES, tenant)
            figures["waiting_by_priority"] = {str(r["priority"] or 5): r["n"] for r in rows}
        return figures
