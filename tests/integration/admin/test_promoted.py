"""PostgreSQL's standby takes over without the last commit, and Redis' replica without it too."""

import contextlib
import subprocess
from pathlib import Path
from typing import Any

import asyncpg
from redis.asyncio import Redis

from admin.embedded import EmbeddedPostgres
from admin.routing.store import LEAP
from config import Shared
from proxy.routing.model import Slot
from tests.integration.admin.conftest import Start, published
from tests.integration.admin.follower import Follower

NEVER_S = 3600.0


def replica_of(server: EmbeddedPostgres, folder: Path) -> Path:
    """All that the server has now, in a folder."""
    server.stop()
    subprocess.run(["/bin/cp", "-a", server.data, folder], check=True)
    server.start()
    return folder


def replace_by_standby(server: EmbeddedPostgres, replica: Path) -> None:
    """The replica takes the server's place, as a standby."""
    server.stop()
    server.data.rename(replica.with_name("failed"))
    replica.rename(server.data)
    (server.data / "standby.signal").touch()
    server.start()


async def promote(server: EmbeddedPostgres) -> None:
    connection = await asyncpg.connect(server.url)
    assert await connection.fetchval("SELECT pg_promote()")
    await connection.close()


async def kept(redis: Redis) -> dict[Any, Any]:
    """All that Redis has."""
    return {name: await redis.dump(name) for name in await redis.keys()}


async def put_back(redis: Redis, held: dict[Any, Any]) -> None:
    async with redis.pipeline() as pipeline:
        pipeline.flushdb()
        for name, value in held.items():
            pipeline.restore(name, 0, value)
        await pipeline.execute()


async def test_no_version_is_given_out_twice(
    fresh_postgres: EmbeddedPostgres, redis_url: str, start: Start, tmp_path: Path
) -> None:
    own = Shared(redis_url, "promoted", fresh_postgres.url, "")
    async with contextlib.AsyncExitStack() as stack:
        redis = await stack.enter_async_context(Redis.from_url(redis_url))
        call = await start(own, reconcile_interval_s=NEVER_S)
        await published(call)
        worker = await stack.enter_async_context(Follower(own, "w1"))
        assert (await call("PUT", "/v1/canary", {"percent": 5}))[1]["version"] == 2
        replica, held = replica_of(fresh_postgres, tmp_path / "replica"), await kept(redis)
        status, lost, _ = await call("PUT", "/v1/tenants/acme/pin", {"slot": "green"})
        assert (status, lost["version"], lost["acked"]) == (200, 3, ["w1"])

        replace_by_standby(fresh_postgres, replica)
        await promote(fresh_postgres)
        await put_back(redis, held)
        status, made, _ = await call("PUT", "/v1/tenants/globex/pin", {"slot": "green"})

        assert (status, made["version"], made["acked"]) == (200, 2 + LEAP + 2, ["w1"]), made
        assert worker.table is not None
        assert dict(worker.table.pins) == {"globex": Slot.GREEN}
        why = (await call("GET", "/v1/audit?action=republish"))[1]["items"][0]
        assert "another timeline" in str(why)
