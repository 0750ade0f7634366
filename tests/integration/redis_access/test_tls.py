"""TLS to Redis: a private authority, certificates of ours, names; and what is refused.

The embedded server has no TLS: a front of it has. Sentinels and clusters by TLS need a server that
has it itself; see `test_tls_server.py`.
"""

import logging
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from config import Shared
from redis_access import Access
from tests.support.certificates import Authority
from tests.support.endpoint import Endpoints
from tests.support.fleet import KEY
from tests.support.planes import both_planes
from tests.support.processes import Children
from tests.support.tls_front import tls_front

LIMIT_S = 5.0


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
async def shared(redis_url: str, authority: Authority) -> AsyncIterator[Shared]:
    """All that is needed to reach a Redis which believes our authority's clients alone."""
    certificate, key = authority.issue("client")
    security = authority.server(authority.issue("redis", "127.0.0.1"), clients=True)
    parts = urlsplit(redis_url)
    assert parts.port is not None
    async with tls_front(security, parts.port) as port:
        yield Shared(
            redis_url.replace("redis://", "rediss://").replace(f":{parts.port}/", f":{port}/"),
            redis_ca_file=str(authority.ca),
            redis_certificate_file=str(certificate),
            redis_key_file=str(key),
        )


async def ping(shared: Shared, access: Access | None = None, limit_s: float = LIMIT_S) -> None:
    access = access or Access(shared, "k")
    async with access.client(limit_s, limit_s) as client:
        await client.ping()


async def test_with_our_certificate_and_a_private_authority(shared: Shared) -> None:
    await ping(shared)


@pytest.mark.parametrize(
    "without",
    [
        {"redis_ca_file": ""},  # the system's authorities don't know it
        {"redis_certificate_file": "", "redis_key_file": ""},
    ],
)
async def test_without_a_part_of_it_nothing_goes(shared: Shared, without: dict[str, str]) -> None:
    with pytest.raises((RedisConnectionError, OSError)):
        await ping(msgspec.structs.replace(shared, **without))


async def test_another_authority_is_not_believed(shared: Shared, tmp_path: Path) -> None:
    other = Authority(tmp_path, "other")
    with pytest.raises(RedisConnectionError):
        await ping(msgspec.structs.replace(shared, redis_ca_file=str(other.ca)))


async def test_the_name_has_to_be_the_server_s(shared: Shared) -> None:
    named = msgspec.structs.replace(
        shared, redis_url=shared.redis_url.replace("127.0.0.1", "localhost")
    )
    with pytest.raises(RedisConnectionError):
        await ping(named)
    await ping(msgspec.structs.replace(named, redis_check_name=False))


async def test_a_server_without_tls_is_not_spoken_to(shared: Shared, redis_url: str) -> None:
    url = redis_url.replace("redis://", "rediss://")
    with pytest.raises(RedisTimeoutError):  # it waits for the end of the line
        await ping(msgspec.structs.replace(shared, redis_url=url), limit_s=0.5)


async def test_files_that_change_are_read_again(shared: Shared, authority: Authority) -> None:
    access = Access(shared, "k")
    await ping(shared, access)
    key = Path(shared.redis_key_file)
    shutil.copy(authority.issue("unfit")[1], key)  # another certificate's
    with pytest.raises(RedisConnectionError):
        await ping(shared, access)
    authority.issue("client")
    await ping(shared, access)


async def test_a_key_with_a_passphrase_asks_nobody(shared: Shared, authority: Authority) -> None:
    authority.issue("client", passphrase=b"secret")
    with pytest.raises(RedisConnectionError):
        await ping(shared)


async def test_both_planes_by_tls_with_a_password_from_a_file(
    spawn: Children,
    tmp_path: Path,
    shared: Shared,
    admin_database_url: str,
    endpoints: Endpoints,
    caplog: pytest.LogCaptureFixture,
) -> None:
    url = urlsplit(shared.redis_url)
    assert url.password is not None
    password = tmp_path / "password"
    password.write_text(f"{url.password}\n", "utf-8")
    own = msgspec.structs.replace(
        shared,
        redis_url=url._replace(netloc=f"127.0.0.1:{url.port}").geturl(),
        redis_password_file=str(password),
        database_url=admin_database_url,
        routing_key=KEY,
    )
    with caplog.at_level(logging.DEBUG):
        async with both_planes(spawn, tmp_path, own, endpoints) as planes:
            await planes.change("green")
            await planes.change("blue")
    assert url.password not in caplog.text + planes.fleet.child.output()


async def test_a_password_file_is_read_for_each_connection(redis_url: str, tmp_path: Path) -> None:
    parts = urlsplit(redis_url)
    assert parts.password is not None
    url = parts._replace(netloc=f"127.0.0.1:{parts.port}").geturl()
    password = tmp_path / "password"
    access = Access(Shared(url, redis_password_file=str(password)), "k")
    with pytest.raises(RedisConnectionError, match="redis_password_file can't be read"):
        await ping(Shared(url), access)
    password.write_text("wrong", "utf-8")
    with pytest.raises(RedisConnectionError):
        await ping(Shared(url), access)
    password.write_text(parts.password, "utf-8")
    await ping(Shared(url), access)
