"""Sentinels and a cluster that speak TLS only, by a server that has it: run where there is one.

The embedded Valkey has none. TEST_REDIS_SERVER names a binary; else redis-server of PATH is
taken (Debian's has TLS).
"""

from pathlib import Path

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from config import Shared
from proxy.routing.keys import Keys
from redis_access import Access
from tests.support.certificates import Authority
from tests.support.redis_group import (
    OTHER_SERVER,
    SENTINEL_PASSWORD,
    Sharded,
    Tls,
    Watched,
    running,
)

LIMIT_S = 5.0
pytestmark = pytest.mark.skipif(OTHER_SERVER is None, reason="no Redis with TLS here")


@pytest.fixture
def tls(tmp_path: Path) -> Tls:
    authority = Authority(tmp_path)
    return Tls(authority.ca, *authority.issue("node", "127.0.0.1"))


def files_of(tls: Tls) -> dict[str, str]:
    return {
        "redis_ca_file": str(tls.ca),
        "redis_certificate_file": str(tls.certificate),
        "redis_key_file": str(tls.key),
    }


async def test_sentinels_and_the_master_that_they_name(tmp_path: Path, tls: Tls) -> None:
    group = Watched(tmp_path / "watched", tls)
    with running(group):
        await group.ready()
        own = Shared(group.url, redis_sentinel_password=SENTINEL_PASSWORD, **files_of(tls))  # type: ignore[arg-type]
        async with Access(own, Keys().table).client(LIMIT_S, LIMIT_S) as client:
            await client.set("k", "1")
            await group.fail_over()
            await group.named(group.second)
        async with Access(own, Keys().table).client(LIMIT_S, LIMIT_S) as client:
            assert await client.get("k") == b"1"
        plain = Shared(
            group.url.replace("rediss", "redis"), redis_sentinel_password=SENTINEL_PASSWORD
        )
        async with Access(plain, Keys().table).client(LIMIT_S, LIMIT_S) as client:
            with pytest.raises(RedisConnectionError):
                await client.get("k")


async def test_the_node_of_a_cluster_that_has_our_keys(tmp_path: Path, tls: Tls) -> None:
    group = Sharded(tmp_path / "sharded", tls)
    with running(group):
        await group.ready()
        own = Shared(group.url, **files_of(tls))  # type: ignore[arg-type]
        access = Access(own, Keys().table)
        async with access.client(LIMIT_S, LIMIT_S) as client:
            await client.set(Keys().log, "1")
        assert access.place == ("127.0.0.1", (await group.owner()).port)
