"""Both planes, real, on one Redis and one PostgreSQL: an admin in this process, a fleet beside it."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from admin.bootstrap import running
from admin.config import Settings as AdminSettings
from config import Shared
from tests.integration.admin.conftest import SECRET, Client, published
from tests.support.endpoint import Endpoints
from tests.support.fleet import Fleet, settings, start_fleet
from tests.support.processes import Children

WORKERS = 2
ADMIN = AdminSettings(
    listen="127.0.0.1:0",
    token_secret=SECRET,
    reconcile_interval_s=0.1,
    database_wait_s=5.0,
    shutdown_timeout_s=1.0,
)


@dataclass
class Planes:
    """Both. call: the admin's API."""

    call: Client
    fleet: Fleet

    async def change(self, slot: str, tenant: str = "acme") -> dict[str, Any]:
        """Pin the tenant; the answer, which says that all workers serve it."""
        status, answer, _ = await self.call("PUT", f"/v1/tenants/{tenant}/pin", {"slot": slot})
        assert status == 200, (status, answer)
        assert (answer["converged"], len(answer["acked"])) == (True, WORKERS), answer
        served = await self.fleet.get("/", tenant=tenant)
        assert served.slot == slot
        found: dict[str, Any] = answer
        return found

    async def changes(self, slot: str, tenant: str = "acme") -> dict[str, Any]:
        """As `change`, once it is possible again."""
        while True:
            status, answer, _ = await self.call("PUT", f"/v1/tenants/{tenant}/pin", {"slot": slot})
            if status == 200 and answer["converged"] and len(answer["acked"]) == WORKERS:
                return await self.change(slot, tenant)


@asynccontextmanager
async def both_planes(
    children: Children,
    folder: Path,
    shared: Shared,
    endpoints: Endpoints,
    of_proxy: Mapping[str, object] | None = None,
    of_admin: AdminSettings = ADMIN,
    **proxy: object,
) -> AsyncIterator[Planes]:
    """Started, with the two endpoints in their slots, and all workers serving.

    of_proxy: what differs for the proxy from the keys that all share, as its own user in Redis.
    proxy: of its section, see `fleet.settings`.
    """
    own = settings(folder, shared.redis_url, workers=WORKERS, node="test", **proxy)
    given = {**msgspec.structs.asdict(shared), **(of_proxy or {})}
    async with AsyncExitStack() as stack:
        address = await stack.enter_async_context(running(shared, of_admin))
        session = await stack.enter_async_context(aiohttp.ClientSession())
        call = Client(session, address)
        await published(call)
        fleet = await start_fleet(children, replace(own, shared=given))
        await fleet.serving()
        for slot, endpoint in zip(("blue", "green"), endpoints, strict=True):
            answer = await call(
                "PUT", f"/v1/slots/{slot}/endpoints", {"endpoints": [endpoint.address]}
            )
            assert answer[0] == 200, answer
        yield Planes(call, fleet)
