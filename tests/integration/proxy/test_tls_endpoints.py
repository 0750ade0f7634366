"""TLS to endpoints: whom Turnout believes, what it shows, and how failures end."""

import asyncio
import contextlib
import gc
import os
import socket
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from config import ConfigError
from proxy.observability import telemetry
from proxy.routing.model import Endpoint, Slot
from proxy.tls.endpoints import endpoint_security
from proxy.tls.settings import EndpointTls
from proxy.tls.transport import TlsTransport
from proxy.upstream.connection import EndpointConnection
from tests.support.certificates import Authority
from tests.support.clients import SECONDS, reset
from tests.support.front import Front, client, front
from tests.support.messages import Message

BOTH = ["blue", "green"]


@asynccontextmanager
async def before(
    authority: Authority, server: ssl.SSLContext | None, **tls: Any
) -> AsyncIterator[Front]:
    """A front of an endpoint that is such a server."""
    given = {"slots": BOTH, "ca": str(authority.ca), **tls}
    async with front(behind_tls=server, endpoint_tls=given) as found:
        yield found


async def status(found: Front) -> int:
    async with client(found.port) as connection:
        return (await connection.get()).status


async def test_an_endpoint_with_a_good_certificate_is_served_and_its_connection_kept(
    authority: Authority,
) -> None:
    server = authority.server(authority.issue("endpoint", "127.0.0.1"))
    async with before(authority, server) as found:
        async with client(found.port) as connection:
            for method in ("GET", "POST", "GET"):
                connection.send(method, "/", b"x" if method == "POST" else b"")
                assert (await connection.answer()).status == 200
        assert found.behind.connections == 1


async def test_large_bodies_pass_both_ways(authority: Authority) -> None:
    size = 3_000_000

    async def script(_: Any, writer: asyncio.StreamWriter, request: Message) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(request.body))
        writer.write(request.body)
        await writer.drain()

    server = authority.server(authority.issue("endpoint", "127.0.0.1"))
    async with before(authority, server) as found:
        found.behind.script = script
        async with client(found.port) as connection:
            body = bytes(range(256)) * (size // 256)
            connection.send("POST", "/", body)
            assert (await connection.answer()).body == body


@pytest.mark.parametrize(
    ("names", "days", "reason"),
    [
        (["elsewhere.test"], (-1, 1), "IP address mismatch"),
        (["127.0.0.1"], (-2, -1), "certificate has expired"),
    ],
)
async def test_a_bad_certificate_is_a_502_whose_reason_is_logged_once(
    authority: Authority,
    caplog: pytest.LogCaptureFixture,
    names: list[str],
    days: tuple[float, float],
    reason: str,
) -> None:
    server = authority.server(authority.issue("endpoint", *names, days=days))
    async with before(authority, server) as found:
        assert [await status(found), await status(found)] == [502, 502]
        assert found.sum(telemetry.CONNECT_FAILURES) >= 2
        assert not found.behind.requests
        errors = [each.getMessage() for each in caplog.records if each.name == "turnout.tls"]
        assert len(errors) == 1
        assert reason in errors[0]
        assert str(found.behind.port) in errors[0]


async def test_an_authority_that_is_not_configured_is_not_believed(
    authority: Authority, tmp_path: Path
) -> None:
    server = authority.server(Authority(tmp_path, "other").issue("endpoint", "127.0.0.1"))
    async with before(authority, server) as found:
        assert await status(found) == 502


async def test_the_name_that_endpoints_must_have_can_be_set(authority: Authority) -> None:
    server = authority.server(authority.issue("endpoint", "erp.internal.test"))
    async with before(authority, server, server_name="erp.internal.test") as found:
        assert await status(found) == 200
    async with before(authority, server, server_name="other.internal.test") as found:
        assert await status(found) == 502


async def test_verification_can_be_left_out_loudly(
    authority: Authority, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server = authority.server(Authority(tmp_path, "other").issue("endpoint", "elsewhere.test"))
    async with before(authority, server, verify=False) as found:
        assert await status(found) == 200
    assert "ENDPOINTS ARE NOT VERIFIED" in caplog.text


async def test_endpoints_can_be_shown_a_certificate(authority: Authority) -> None:
    server = authority.server(authority.issue("endpoint", "127.0.0.1"), clients=True)
    certificate, key = authority.issue("turnout")
    shown = {"certificate": str(certificate), "key": str(key)}
    async with before(authority, server, **shown) as found:
        assert await status(found) == 200
    async with before(authority, server) as found:
        assert await status(found) == 502


async def test_only_the_named_slots_speak_tls(authority: Authority) -> None:
    server = authority.server(authority.issue("endpoint", "127.0.0.1"))
    async with before(authority, server, slots=["green"]) as found:
        assert await status(found) == 502  # blue is active
    async with before(authority, None, slots=["green"]) as found:
        assert await status(found) == 200


@pytest.mark.parametrize(
    "greeting", [b"", b"SSH-2.0-OpenSSH_9.2\r\n", b"\x15\x03\x03\x00\x02\x02\x28"]
)
async def test_an_endpoint_that_does_not_shake_hands_is_a_502_within_the_connect_time(
    authority: Authority, greeting: bytes
) -> None:
    tls = {"slots": BOTH, "ca": str(authority.ca)}
    async with front(endpoint_tls=tls, timeouts={"connect_s": 0.3}) as found:
        found.behind.greeting = greeting
        async with asyncio.timeout(SECONDS / 3):
            assert await status(found) == 502
        assert found.sum(telemetry.ENDPOINT_CONNECTIONS) == 0


async def test_a_client_that_leaves_while_its_endpoint_shakes_hands_leaves_nothing(
    authority: Authority,
) -> None:
    tls = {"slots": BOTH, "ca": str(authority.ca)}
    async with front(endpoint_tls=tls, timeouts={"connect_s": 0.3}) as found:
        async with client(found.port) as connection:
            connection.send("GET", "/")
            await found.until(lambda: found.behind.connections == 1, "it is called")
        await found.empty()
        assert found.sum(telemetry.IN_FLIGHT) == 0


@pytest.mark.parametrize("honest", [True, False])
async def test_an_answer_that_ends_with_its_connection_needs_close_notify(
    authority: Authority, honest: bool
) -> None:
    """RFC 9112 §9.8: without one it is incomplete, whatever the kernel says."""

    async def script(_: Any, writer: asyncio.StreamWriter, __: Message) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello")
        await writer.drain()
        await asyncio.sleep(0.05)  # so that the head is relayed before the end
        if honest:
            writer.close()
            return
        own = socket.socket(fileno=os.dup(writer.get_extra_info("socket").fileno()))
        own.shutdown(socket.SHUT_WR)
        own.close()

    server = authority.server(authority.issue("endpoint", "127.0.0.1"))
    async with before(authority, server) as found:
        found.behind.script = script
        async with client(found.port) as connection:
            connection.send("GET", "/")
            if honest:
                assert (await connection.answer()).body == b"hello"
            else:
                with pytest.raises((EOFError, ConnectionError)):
                    await connection.answer()


async def test_an_endpoint_that_resets_costs_its_request_alone(authority: Authority) -> None:
    """Its TLS is gone by then: there is nothing left to be read of what it has still said."""

    async def script(_: Any, writer: asyncio.StreamWriter, __: Message) -> None:
        reset(writer)

    server = authority.server(authority.issue("endpoint", "127.0.0.1"))
    async with before(authority, server) as found:
        found.behind.script = script
        async with client(found.port) as connection:
            connection.send("POST", "/", b"x")
            assert (await connection.answer()).json["code"] == "no-answer"
            found.behind.script = None
            connection.send("POST", "/", b"x")
            assert (await connection.answer()).status == 200
        assert found.sum(telemetry.IN_FLIGHT) == 0


async def test_a_request_does_not_meet_a_connection_that_is_just_lost(authority: Authority) -> None:
    """TLS is gone a step before `connection_lost`; a POST may come in between."""
    server = authority.server(authority.issue("endpoint", "127.0.0.1"))
    async with before(authority, server) as found, client(found.port) as connection:
        assert (await connection.get()).status == 200
        (kept,) = [each for group in found.services.slots.groups for each in group.pools[0].idle]
        assert isinstance(kept.transport, TlsTransport)
        kept.transport.let_go()
        connection.send("POST", "/", b"x")
        assert (await connection.answer()).status == 200
        assert found.behind.connections == 2


async def test_nothing_of_a_connection_waits_for_the_collector(authority: Authority) -> None:
    """It comes by seldom in a worker, and OpenSSL's memory of each is 30 KiB and more."""

    async def script(_: Any, writer: asyncio.StreamWriter, __: Message) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        writer.close()

    server = authority.server(authority.issue("endpoint", "127.0.0.1"))
    gc.collect()
    gc.disable()
    try:
        async with before(authority, server) as found:
            found.behind.script = script
            assert [await status(found) for _ in range(3)] == [200] * 3
            await found.until(lambda: not found.sum(telemetry.ENDPOINT_CONNECTIONS), "all ended")
            kinds = (EndpointConnection, TlsTransport)
            assert not [each for each in gc.get_objects() if type(each) in kinds]
    finally:
        gc.enable()


# ── settings ──────────────────────────────────────────────────────────────────────────────────


def test_without_slots_nothing_is_loaded() -> None:
    assert endpoint_security(EndpointTls(ca="/not/there")) is None


@pytest.mark.parametrize("setting", ["ca", "certificate"])
@pytest.mark.parametrize("content", [None, "no PEM"])
def test_files_that_can_t_be_used_are_named(
    tmp_path: Path, setting: str, content: str | None
) -> None:
    path = tmp_path / "file.pem"
    if content is not None:
        path.write_text(content, "ascii")
    given = EndpointTls(slots=(Slot.BLUE,), ca=str(path))
    if setting == "certificate":
        given = EndpointTls(slots=(Slot.BLUE,), certificate=str(path), key=str(path))
    with pytest.raises(ConfigError, match=str(path)):
        endpoint_security(given)


def answer_and_leave(listening: socket.socket, context: ssl.SSLContext, size: int) -> None:
    """An endpoint that ends its connection at once after its answer, as blocking servers do."""
    accepted, _ = listening.accept()
    with context.wrap_socket(accepted, server_side=True) as made:
        while b"\r\n\r\n" not in made.recv(65_536):
            pass
        made.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + bytes(size))


def read_slowly(port: int) -> int:
    """The size of the answer's body, asked for by a client that stalls first."""
    with socket.socket() as plain:
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        plain.settimeout(SECONDS)
        plain.connect(("127.0.0.1", port))
        plain.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        time.sleep(0.3)  # slow: there is nothing to wait for
        whole = bytearray()
        with contextlib.suppress(ConnectionResetError):
            while piece := plain.recv(65_536):
                whole += piece
    return len(whole.partition(b"\r\n\r\n")[2])


async def test_an_endpoint_that_ends_at_once_loses_nothing_to_a_slow_client(
    authority: Authority,
) -> None:
    """Whatever of an answer has come and was not asked for yet when its connection ends."""
    context = authority.server(authority.issue("endpoint", "127.0.0.1"))
    tls = {"slots": BOTH, "ca": str(authority.ca)}
    async with front(endpoint_tls=tls) as found:
        # From what the kernel and we hold for the client, by less than TLS holds for us.
        for size in range(2_500_000, 4_500_000, 125_000):
            with socket.create_server(("127.0.0.1", 0)) as listening:
                there = (Endpoint("127.0.0.1", listening.getsockname()[1]),)
                found.services.slots.update(dict.fromkeys(Slot, there))
                endpoint = asyncio.to_thread(answer_and_leave, listening, context, size)
                client = asyncio.to_thread(read_slowly, found.port)
                _, got = await asyncio.gather(endpoint, client)
            assert got == size
