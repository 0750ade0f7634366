"""TLS with clients: certificates by name, versions, how connections begin and how they end."""

import asyncio
import contextlib
import gc
import socket
import ssl
import struct
import sys
import time
from typing import Any

import pytest

from proxy.observability import telemetry
from proxy.tls.certificates import drop_unreadable_names
from tests.support.certificates import Authority
from tests.support.clients import SECONDS
from tests.support.front import client, talk
from tests.support.messages import Message
from tests.support.tls import ASK, pair, serving, subject

# ── certificates by name ──────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("erp.test", "CN=erp"),
        ("acme.erp.test", "CN=wild"),
        ("OTHER.test", "CN=other"),
        ("a.b.erp.test", "CN=erp"),  # a wildcard stands for one label (RFC 6125 §6.4.3)
        ("unknown.test", "CN=erp"),
        (None, "CN=erp"),
    ],
)
async def test_a_name_chooses_its_certificate(
    authority: Authority, name: str | None, shown: str
) -> None:
    context = authority.trusted()
    context.check_hostname = False
    async with serving(authority) as found:
        said = await talk(found.tls_port, context, name, ASK.replace(b"erp.test", b"unknown.test"))
        assert subject(said.shown) == shown
        assert found.count(telemetry.HANDSHAKES) == 1


async def test_unknown_names_can_be_refused(authority: Authority) -> None:
    context = authority.trusted()
    context.check_hostname = False
    async with serving(authority, tls={"unknown_names": "refuse"}) as found:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await talk(found.tls_port, context, "unknown.test", ASK)
        assert (await talk(found.tls_port, context, None, ASK)).got.startswith(b"HTTP/1.1 200")
        await found.until(
            lambda: found.count(telemetry.HANDSHAKE_FAILURES) == 1, "the failure is counted"
        )


async def test_names_of_the_settings_choose_too(authority: Authority) -> None:
    made = pair(authority.issue("second", "second.test"), "Alias.Test")
    async with serving(
        authority, tls={"certificates": [pair(authority.issue("first", "first.test")), made]}
    ) as found:
        context = authority.trusted()
        context.check_hostname = False
        said = await talk(found.tls_port, context, "alias.test", ASK.replace(b"erp", b"alias"))
        assert subject(said.shown) == "CN=second"


# ── what is spoken ────────────────────────────────────────────────────────────────────────────


async def test_alpn_is_http_1_1_whatever_else_is_offered(authority: Authority) -> None:
    context = authority.trusted()
    context.set_alpn_protocols(["h2", "http/1.1"])
    async with serving(authority) as found:
        for name in ("erp.test", "acme.erp.test"):
            said = await talk(
                found.tls_port, context, name, ASK.replace(b"erp.test", name.encode())
            )
            assert said.protocol == "http/1.1"
            assert said.got.startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    ("least", "most", "works"),
    [("1.2", "TLSv1_2", True), ("1.2", "TLSv1_1", False), ("1.3", "TLSv1_2", False)],
)
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated")
async def test_the_oldest_version_is_a_setting(
    authority: Authority, least: str, most: str, works: bool
) -> None:
    context = authority.trusted()
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.maximum_version = ssl.TLSVersion[most]
    async with serving(authority, tls={"min_version": least}) as found:
        if works:
            assert (await talk(found.tls_port, context, "erp.test", ASK)).version == "TLSv1.2"
        else:
            with pytest.raises((ssl.SSLError, ConnectionError)):
                await talk(found.tls_port, context, "erp.test", ASK)


@pytest.mark.parametrize("most", ["TLSv1_2", "TLSv1_3"])
async def test_sessions_are_resumed(authority: Authority, most: str) -> None:
    context = authority.trusted()
    context.maximum_version = ssl.TLSVersion[most]
    asked = ASK.replace(b"erp", b"other")
    async with serving(authority) as found:
        first = await talk(found.tls_port, context, "other.test", asked)
        assert not first.resumed
        again = await talk(found.tls_port, context, "other.test", asked, first.session)
        assert again.resumed


async def test_the_endpoint_is_told_of_https(authority: Authority) -> None:
    async with serving(authority) as found:
        async with client(found.tls_port, authority.trusted(), "erp.test") as connection:
            await connection.get(host="erp.test", X_Forwarded_Proto="http")
        async with client(found.port) as connection:
            await connection.get(host="erp.test", X_Forwarded_Proto="https")
        said = [request["X-Forwarded-Proto"] for request in found.behind.requests]
        assert said == [b"https", b"http"]


@pytest.mark.parametrize("given", ["", "X-Forwarded-Proto: http\r\n"])
async def test_a_trusted_peer_s_word_on_the_protocol_counts(
    authority: Authority, given: str
) -> None:
    asked = ASK.replace(b"\r\n\r\n", f"\r\nX-Forwarded-For: 192.0.2.1\r\n{given}\r\n".encode())
    async with serving(authority, trusted_networks=["127.0.0.0/8"]) as found:
        await talk(found.tls_port, authority.trusted(), "erp.test", asked)
        (request,) = found.behind.requests
        assert request["X-Forwarded-For"] == b"192.0.2.1, 127.0.0.1"
        assert request["X-Forwarded-Proto"] == (b"http" if given else b"https")


# ── SNI and Host ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("name", "host", "status"),
    [
        ("erp.test", b"erp.test", 200),
        ("erp.test", b"ERP.test:443", 200),
        ("acme.erp.test", b"other-tenant.erp.test", 200),  # one certificate for both
        ("erp.test", b"other.test", 421),
        ("acme.erp.test", b"erp.test", 421),
        ("erp.test", b"nobody.test", 421),
        (None, b"other.test", 200),
    ],
)
async def test_a_host_of_another_certificate_is_misdirected(
    authority: Authority, name: str | None, host: bytes, status: int
) -> None:
    context = authority.trusted()
    context.check_hostname = False
    async with serving(authority) as found:
        said = await talk(found.tls_port, context, name, ASK.replace(b"erp.test", host))
        assert said.got.startswith(b"HTTP/1.1 %d" % status)
        assert (b'"misdirected"' in said.got) is (status == 421)


# ── how answers end ───────────────────────────────────────────────────────────────────────────


async def test_the_last_answer_ends_with_close_notify(authority: Authority) -> None:
    async with serving(authority) as found:
        said = await talk(found.tls_port, authority.trusted(), "erp.test", ASK)
        assert said.got.endswith(b"\r\n\r\nok")
        assert said.end == "close_notify"


async def test_a_refusal_ends_with_close_notify(authority: Authority) -> None:
    async with serving(authority) as found:
        said = await talk(found.tls_port, authority.trusted(), "erp.test", b"\0\0\r\n\r\n" * 4096)
        assert said.got.startswith(b"HTTP/1.1 400")
        assert said.end == "close_notify"


@pytest.mark.parametrize("size", [30_000, 3_000_000, 8_000_000])
async def test_an_answer_comes_whole_to_a_slow_client(authority: Authority, size: int) -> None:
    body = bytes(size)

    async def script(_: Any, writer: asyncio.StreamWriter, __: Message) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()

    def read_slowly() -> int:
        """The size of the answer's body, read after a pause that is longer than `linger_s`."""
        with socket.socket() as plain:
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            plain.settimeout(SECONDS)
            plain.connect(("127.0.0.1", found.tls_port))
            with authority.trusted().wrap_socket(plain, server_hostname="erp.test") as made:
                made.sendall(ASK)
                time.sleep(0.5)  # slow: there is nothing to wait for
                whole = bytearray()
                while piece := made.recv(65_536):
                    whole += piece
        return len(whole.partition(b"\r\n\r\n")[2])

    async with serving(authority, timeouts={"linger_s": 0.1}) as found:
        found.behind.script = script
        assert await asyncio.to_thread(read_slowly) == size


@pytest.mark.parametrize("kind", ["length", "chunks", "close"])
async def test_a_broken_answer_looks_broken(authority: Authority, kind: str) -> None:
    head = {
        "length": b"Content-Length: 100",
        "chunks": b"Transfer-Encoding: chunked",
        "close": b"Connection: close",
    }[kind]
    part = b"5\r\nhello\r\n" if kind == "chunks" else b"hello"

    async def script(_: Any, writer: asyncio.StreamWriter, __: Message) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n\r\n" + part)
        await writer.drain()
        await asyncio.sleep(0.05)  # so that the head is relayed before it breaks off
        made = writer.get_extra_info("socket")
        made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    async with serving(authority) as found:
        found.behind.script = script
        asked = ASK.replace(b"HTTP/1.1", b"HTTP/1.0") if kind == "close" else ASK
        said = await talk(found.tls_port, authority.trusted(), "erp.test", asked)
        assert said.got.startswith(b"HTTP/1.1 200")
        assert said.end != "close_notify"


async def test_an_idle_connection_is_closed_with_close_notify(authority: Authority) -> None:
    async with serving(authority, timeouts={"keep_alive_s": 0.2}) as found:
        asked = ASK.replace(b"Connection: close\r\n", b"")
        said = await talk(found.tls_port, authority.trusted(), "erp.test", asked)
        assert said.got.startswith(b"HTTP/1.1 200")
        assert said.end == "close_notify"


async def test_who_never_ends_is_cut_after_a_while(authority: Authority) -> None:
    async with serving(authority, timeouts={"write_idle_s": 0.3}) as found:
        context = authority.trusted()
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        made = context.wrap_bio(incoming, outgoing, server_hostname="erp.test")
        reader, writer = await asyncio.open_connection("127.0.0.1", found.tls_port)
        while True:
            try:
                made.do_handshake()
                break
            except ssl.SSLWantReadError:
                writer.write(outgoing.read())
                incoming.write(await reader.read(65_536))
        made.write(ASK)
        writer.write(outgoing.read())
        with contextlib.suppress(ConnectionResetError):
            async with asyncio.timeout(SECONDS):
                while await reader.read(65_536):
                    pass
        await found.empty()  # this side never ended
        writer.transport.abort()


async def test_a_client_s_close_notify_during_its_request_ends_it(authority: Authority) -> None:
    arrived = asyncio.Event()

    async def script(*_: Any) -> None:
        arrived.set()
        await asyncio.Event().wait()

    async with serving(authority) as found:
        found.behind.script = script
        async with client(found.tls_port, authority.trusted(), "erp.test") as connection:
            connection.send("GET", "/", host="erp.test")
            await arrived.wait()
            connection.writer.close()
            await found.empty()


# ── handshakes that go wrong ──────────────────────────────────────────────────────────────────


async def test_garbage_in_place_of_a_handshake_is_closed(authority: Authority) -> None:
    async with serving(authority) as found:
        for garbage in (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"\0" * 600, b"\x16\x03\x01\xff\xff"):
            reader, writer = await asyncio.open_connection("127.0.0.1", found.tls_port)
            writer.write(garbage)
            writer.write_eof()
            with contextlib.suppress(ConnectionError):
                await asyncio.wait_for(reader.read(), SECONDS)
            writer.transport.abort()
        await found.until(
            lambda: found.count(telemetry.HANDSHAKE_FAILURES) == 3, "each failure is counted"
        )
        assert not found.behind.requests


async def test_a_name_that_is_no_text_ends_its_handshake_and_fills_no_log(
    authority: Authority, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)  # put back afterwards
    drop_unreadable_names()
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    made = authority.trusted().wrap_bio(incoming, outgoing, server_hostname="erp.test")
    with pytest.raises(ssl.SSLWantReadError):
        made.do_handshake()
    hello = outgoing.read().replace(b"erp.test", b"\xffrp.test")
    async with serving(authority) as found:
        reader, writer = await asyncio.open_connection("127.0.0.1", found.tls_port)
        writer.write(hello)
        with contextlib.suppress(ConnectionError):
            await asyncio.wait_for(reader.read(), SECONDS)
        writer.transport.abort()
        await found.empty()
        assert found.count(telemetry.HANDSHAKE_FAILURES) == 1
    assert capfd.readouterr().err == ""


async def test_a_handshake_that_stalls_ends_in_time(authority: Authority) -> None:
    async with serving(authority, timeouts={"tls_handshake_s": 0.2}) as found:
        reader, writer = await asyncio.open_connection("127.0.0.1", found.tls_port)
        writer.write(b"\x16\x03\x01\x02\x00\x01")
        with contextlib.suppress(ConnectionError):
            assert await asyncio.wait_for(reader.read(), SECONDS) == b""
        await found.empty()
        assert found.count(telemetry.HANDSHAKE_FAILURES) == 1
        writer.transport.abort()


async def test_clients_that_vanish_within_the_handshake_leave_nothing(authority: Authority) -> None:
    async with serving(authority) as found:
        for _ in range(20):
            made = socket.create_connection(("127.0.0.1", found.tls_port))
            made.send(b"\x16\x03\x01")
            made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            made.close()
        await found.until(
            lambda: found.count(telemetry.ACCEPTED) == 20, "all of them were accepted"
        )
        await found.empty()


async def test_openssl_s_memory_goes_with_the_connection(authority: Authority) -> None:
    """Not when the collector comes by: it does so seldom in a worker, and each is 30 KiB."""
    context = authority.trusted()
    async with serving(authority) as found:

        async def one(said: bytes) -> None:
            reader, writer = await asyncio.open_connection("127.0.0.1", found.tls_port)
            writer.write(said)
            writer.write_eof()
            with contextlib.suppress(ConnectionError):
                await asyncio.wait_for(reader.read(), SECONDS)
            writer.transport.abort()

        gc.collect()
        gc.disable()
        try:
            for _ in range(3):
                await talk(found.tls_port, context, "erp.test", ASK)
                await one(b"GET / HTTP/1.1\r\n\r\n")
                await one(b"\x16\x03\x01")
            await found.empty()
            left = [each for each in gc.get_objects() if isinstance(each, ssl.SSLObject)]
            assert not left
        finally:
            gc.enable()


async def test_connections_in_their_handshake_count_against_the_limit(authority: Authority) -> None:
    async with serving(authority, limits={"connections": 2}) as found:
        held = [await asyncio.open_connection("127.0.0.1", found.tls_port) for _ in range(2)]
        await found.until(lambda: len(found.listener.connections) == 2, "both are in")
        async with asyncio.timeout(SECONDS):
            waiting = asyncio.create_task(
                talk(found.tls_port, authority.trusted(), "erp.test", ASK)
            )
            for _, writer in held:
                writer.transport.abort()
            assert (await waiting).got.startswith(b"HTTP/1.1 200")


async def test_a_drain_gives_up_handshakes_only_at_its_limit(authority: Authority) -> None:
    async with serving(authority) as found:
        reader, writer = await asyncio.open_connection("127.0.0.1", found.tls_port)
        await found.until(lambda: len(found.listener.connections) == 1, "it is in")
        (preparing,) = found.listener.connections
        preparing.drain(found.services.now)
        assert found.listener.connections
        preparing.close()
        with contextlib.suppress(ConnectionError):
            assert await asyncio.wait_for(reader.read(), SECONDS) == b""
        writer.transport.abort()
