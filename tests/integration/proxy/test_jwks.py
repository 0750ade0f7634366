"""Key sets, fetched from real servers: good, slow, huge, redirecting, lying, rotating."""

import asyncio
import contextlib
import gzip
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from proxy.observability import telemetry
from proxy.observability.key_sets import Fetches, KeySets, read
from proxy.tasks import Tasks
from proxy.tokens.bearer import BearerError, BearerVerifier
from proxy.tokens.jwks import FetchError, KeySource, fetch
from proxy.tokens.keyset import NO_KEYS
from proxy.tokens.settings import Jwks
from tests.support.key_server import KeyServer, Reply, certificate, document, key_server, until
from tests.support.processes import SECONDS
from tests.support.tokens import ISSUER, issuer, jwk, jwks, token

A, B = jwk("ES256", "a"), jwk("ES256", "b", 1)
TOKEN_A, TOKEN_B = token("ES256", "a"), token("ES256", "b", 1)
SOON = {"refresh_s": 0.05, "retry_s": 0.05, "unknown_key_s": 0.05}
LATER = {"refresh_s": 3600.0, "retry_s": 3600.0}


class Door:
    """A verifier with one issuer, whose keys are fetched."""

    def __init__(self, url: str, settings: dict[str, Any]) -> None:
        self.area = memoryview(bytearray(telemetry.KEY_SETS_BYTES))
        self.issuer = issuer("ES256", keys=NO_KEYS)
        self.verifier = BearerVerifier([self.issuer])
        self.source = KeySource(
            self.verifier, self.issuer, url, Jwks(**settings), KeySets(self.area)
        )

    def outcome(self, given: bytes) -> str | None:
        """The tenant, or why not."""
        try:
            return self.verifier.tenant(b"Bearer " + given)
        except BearerError as error:
            return error.reason

    @property
    def fetches(self) -> Fetches:
        """What is told of it."""
        return read(self.area).get(ISSUER, Fetches())

    @property
    def failures(self) -> int:
        return self.fetches.failures


@asynccontextmanager
async def door(url: str, **settings: Any) -> AsyncIterator[Door]:
    """The first fetch has ended."""
    made = Door(url, settings)
    tasks = Tasks("test")
    running = tasks.start(made.source.run(), "keys")
    try:
        async with asyncio.timeout(SECONDS):
            await made.source.tried.wait()
        yield made
        assert not running.done()
    finally:
        await tasks.cancel()


@pytest.fixture
async def server() -> AsyncIterator[KeyServer]:
    async with key_server() as started:
        yield started


async def stall(writer: asyncio.StreamWriter) -> None:
    """Never answers; ends when the other side does."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n{")
    with contextlib.suppress(OSError):
        while not writer.is_closing():
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.01)


async def flood(writer: asyncio.StreamWriter) -> None:
    """An answer without an end."""
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    while not writer.is_closing():
        writer.write(b" " * 65_536)
        await writer.drain()


async def hang_up(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


async def test_keys_are_fetched_and_tokens_verified(server: KeyServer) -> None:
    server.reply = document(jwks(A))
    async with door(server.url, **LATER) as opened:
        assert opened.outcome(TOKEN_A) == "acme"
        assert opened.outcome(TOKEN_B) == "key"
        assert opened.failures == 0
    head = server.heads[0].lower()
    assert head.startswith(b"get /keys http/1.1\r\n")
    assert b"accept-encoding: identity\r\n" in head
    assert b"cookie" not in head
    assert b"authorization" not in head


async def test_a_certificate_is_checked(tmp_path: Path) -> None:
    context, authority = certificate(tmp_path)
    async with key_server(context) as server:
        server.reply = document(jwks(A))
        async with door(server.url, **LATER, ca_file=str(authority)) as opened:
            assert opened.outcome(TOKEN_A) == "acme"
        async with door(server.url, **LATER) as opened:
            assert opened.outcome(TOKEN_A) == "no-keys"
        assert len(server.asked) == 1


BAD: dict[str, tuple[Reply, str]] = {
    "500": (document(jwks(A), "500 Internal Server Error"), "answered with 500"),
    "204": (b"HTTP/1.1 204 No Content\r\n\r\n", "answered with 204"),
    "garbage": (b"\x15\x03\x01garbage\r\n\r\n", "can't be fetched"),
    "no JSON": (document(b"<html>"), "strictly"),
    "no set": (document(b"{}"), "no list"),
    "two keys with one id": (document(jwks(A, {**B, "kid": "a"})), "one id"),
    "51 keys": (document(jwks(*({**A, "kid": f"k{n}"} for n in range(51)))), "too many keys"),
    "huge": (document(b" " * 300_000), "larger than allowed"),
    "endless": (flood, "larger than allowed"),
    "compressed": (
        document(gzip.compress(jwks(A)), "200 OK", "Content-Encoding: gzip"),
        "content coding",
    ),
    "slow": (stall, "no answer in time"),
    "cut short": (
        b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n" + jwks(A),
        "can't be fetched",
    ),
    "hangs up": (hang_up, "can't be fetched"),
}


@pytest.mark.parametrize("name", BAD)
async def test_a_bad_answer_leaves_the_old_keys(
    server: KeyServer, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    server.reply = document(jwks(A))
    async with door(server.url, **SOON, timeout_s=0.3) as opened:
        assert opened.outcome(TOKEN_A) == "acme"
        server.reply, said = BAD[name]
        await until(lambda: opened.failures, "a fetch fails")
        assert opened.outcome(TOKEN_A) == "acme"
        assert opened.fetches.failing == 1
        assert said in caplog.text
        server.reply = document(jwks(A, B))
        await until(lambda: opened.outcome(TOKEN_B) == "acme", "a good set is taken")
        assert opened.fetches.failing == 0
        assert opened.verifier.generation == 0


async def test_a_redirect_is_not_followed(server: KeyServer) -> None:
    async with key_server() as other:
        other.reply = document(jwks(A))
        for status in ("301 Moved", "302 Found", "307 Temporary Redirect", "308 Permanent"):
            server.reply = document(b"", status, f"Location: {other.url}")
            async with door(server.url, **LATER) as opened:
                assert opened.outcome(TOKEN_A) == "no-keys"
        assert (len(server.asked), len(other.asked)) == (4, 0)


async def test_nobody_listens_then_somebody_does(server: KeyServer) -> None:
    await server.stop()
    async with door(server.url, **SOON) as opened:
        assert opened.outcome(TOKEN_A) == "no-keys"
        server.reply = document(jwks(A))
        await server.start()
        await until(lambda: opened.outcome(TOKEN_A) == "acme", "the keys are there")


async def test_rotation_ends_what_the_old_key_signed(server: KeyServer) -> None:
    server.reply = document(jwks(A))
    async with door(server.url, **SOON) as opened:
        assert opened.outcome(TOKEN_A) == "acme"
        server.reply = document(jwks(A, B))
        await until(lambda: opened.outcome(TOKEN_B) == "acme", "the new key is there")
        assert opened.outcome(TOKEN_A) == "acme"
        assert opened.verifier.generation == 0
        server.reply = document(jwks(B))
        await until(lambda: opened.verifier.generation, "the old key is gone")
        assert opened.outcome(TOKEN_A) == "key"
        assert opened.outcome(TOKEN_B) == "acme"


async def test_a_set_that_is_emptied_ends_all(server: KeyServer) -> None:
    server.reply = document(jwks(A))
    async with door(server.url, **SOON) as opened:
        assert opened.outcome(TOKEN_A) == "acme"
        server.reply = document(jwks())
        await until(lambda: opened.outcome(TOKEN_A) == "key", "no key is left")
        assert opened.verifier.generation == 1


async def test_a_set_that_is_empty_from_the_first_is_no_set_that_is_missing(
    server: KeyServer,
) -> None:
    server.reply = document(jwks())
    async with door(server.url, **LATER) as opened:
        assert opened.outcome(TOKEN_A) == "key"


async def test_an_unknown_key_asks_for_a_fetch_one_at_a_time_and_not_too_soon(
    server: KeyServer,
) -> None:
    """A flood of tokens with unknown keys; the gap is 0.2 s here."""
    server.reply = document(jwks(A))
    gap = 0.2
    async with door(server.url, **LATER, unknown_key_s=gap) as opened:
        number = 0

        def fetched_again() -> bool:
            nonlocal number
            for _ in range(20):
                number += 1
                assert opened.outcome(token("ES256", f"unknown{number}", 1)) == "key"
            return len(server.asked) >= 3

        await until(fetched_again, "the third fetch")
        server.reply = document(jwks(A, B))
        await until(lambda: opened.outcome(TOKEN_B) == "acme", "the key that was asked for")
    times = server.asked
    assert min(after - before for before, after in pairwise(times)) > gap * 0.9
    assert server.most == 1


async def test_known_keys_ask_for_nothing(server: KeyServer) -> None:
    server.reply = document(jwks(A))
    async with door(server.url, **LATER, unknown_key_s=0.001) as opened:
        for bad in (token("ES256", "a", 1), token("ES256", "b", exp=1), b"x", TOKEN_A):
            opened.outcome(bad)
        assert not opened.source._asked.is_set()
    assert len(server.asked) == 1


async def test_old_keys_are_kept_for_a_time_and_no_longer(server: KeyServer) -> None:
    server.reply = document(jwks(A))
    async with door(server.url, **SOON, keep_s=0.4) as opened:
        assert opened.outcome(TOKEN_A) == "acme"
        server.reply = document(b"", "500 Internal Server Error")
        await until(lambda: opened.failures >= 2, "two fetches fail")
        assert opened.outcome(TOKEN_A) == "acme"
        await until(lambda: opened.verifier.generation, "the keys are too old")
        assert opened.outcome(TOKEN_A) == "no-keys"
        server.reply = document(jwks(A))
        await until(lambda: opened.outcome(TOKEN_A) == "acme", "the keys are back")


async def test_an_error_that_nobody_foresaw_does_not_end_the_fetching(
    server: KeyServer, caplog: pytest.LogCaptureFixture
) -> None:
    server.reply = document(jwks(A))
    async with door(server.url, **SOON) as opened:
        wanted = opened.issuer.algorithms
        opened.issuer.algorithms = None  # type: ignore[assignment]
        server.reply = document(jwks(B))
        await until(lambda: "could not be renewed" in caplog.text, "the error")
        opened.issuer.algorithms = wanted
        await until(lambda: opened.outcome(TOKEN_B) == "acme", "fetched all the same")


async def test_a_file_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "a set.json"
    path.write_bytes(jwks(A))
    async with door(path.as_uri(), **SOON) as opened:
        assert opened.outcome(TOKEN_A) == "acme"
        new = tmp_path / "new"
        new.write_bytes(jwks(B))
        new.replace(path)
        await until(lambda: opened.outcome(TOKEN_B) == "acme", "the new file is read")
        assert opened.outcome(TOKEN_A) == "key"
        path.unlink()
        await until(lambda: opened.failures, "the file is gone")
        assert opened.outcome(TOKEN_B) == "acme"


async def test_what_is_no_plain_file_of_bounded_size_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "large").write_bytes(b" " * 300_000)
    (tmp_path / "link").symlink_to("/dev/zero")
    for name in ("fifo", "large", "link", "missing", "."):
        with pytest.raises(FetchError):
            await fetch((tmp_path / name).as_uri(), Jwks())


async def test_what_is_logged_names_no_key_and_no_address(
    server: KeyServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    server.reply = document(jwks(A))
    async with door(server.url, **SOON) as opened:
        server.reply = document(b'{"secret-of-the-server":')
        await until(lambda: opened.failures, "a fetch fails")
        await server.stop()
        failed = opened.failures
        await until(lambda: opened.failures > failed + 1, "nobody listens")
    assert "secret-of-the-server" not in caplog.text
    assert A["x"] not in caplog.text
    assert str(server.port) not in caplog.text
