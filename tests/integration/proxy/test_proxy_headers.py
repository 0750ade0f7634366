"""PROXY headers on real connections: before HTTP and before TLS, from whom, and in time."""

import asyncio
import contextlib
import shutil
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from proxy.observability import telemetry
from tests.support.certificates import Authority
from tests.support.clients import SECONDS
from tests.support.front import Front, client, front
from tests.support.processes import Children

V1 = b"PROXY TCP4 192.0.2.7 192.0.2.1 50000 443\r\n"
V2 = b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x13\xc0\x00\x02\x07\xc0\x00\x02\x01\xc3\x50\x01\xbb\x02\x00\x04host"
LOCAL = b"\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00"
UNKNOWN = b"PROXY UNKNOWN\r\n"
LOOPBACK = {"mode": "required", "networks": ["127.0.0.0/8"]}
HEADERS = {"v1": V1, "v2": V2}
HAPROXY = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin")


@asynccontextmanager
async def told(folder: Path, **proxy: Any) -> AsyncIterator[tuple[Front, ssl.SSLContext]]:
    """A front behind balancers on loopback, and a client's context."""
    authority = Authority(folder)
    certificate, key = authority.issue("erp", "erp.test")
    given = {"proxy_protocol": LOOPBACK, **proxy}
    tls = {"certificates": [{"certificate": str(certificate), "key": str(key)}]}
    async with front(tls_listen="127.0.0.1:0", tls=tls, **given) as found:
        yield found, authority.trusted()


@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS)
@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
async def test_the_client_is_whom_the_balancer_names(
    tmp_path: Path, header: bytes, secure: bool
) -> None:
    async with told(tmp_path, trusted_networks=["127.0.0.0/8"]) as (found, context):
        port = found.tls_port if secure else found.port
        given = context if secure else None
        async with client(port, given, "erp.test", before=header) as connection:
            for _ in range(2):
                # The balancer's network is trusted, its client's is not.
                answer = await connection.get(
                    host="erp.test", X_Forwarded_For="198.51.100.1", tenant="forged"
                )
                assert answer.status == 200
        for request in found.behind.requests:
            assert request["X-Forwarded-For"] == b"192.0.2.7"
            assert request["X-Forwarded-Proto"] == (b"https" if secure else b"http")
            assert "X-Tenant-ID" not in request


async def test_a_named_client_of_a_trusted_network_is_trusted(tmp_path: Path) -> None:
    async with told(tmp_path, trusted_networks=["192.0.2.0/24"]) as (found, _):
        async with client(found.port, before=V1) as connection:
            assert (await connection.get(tenant="acme")).status == 200
        assert found.behind.requests[0]["X-Tenant-ID"] == b"acme"


@pytest.mark.parametrize(
    ("header", "trusted"), [(LOCAL, True), (UNKNOWN, False)], ids=["LOCAL", "UNKNOWN"]
)
async def test_a_balancer_without_a_client_is_itself_but_vouches_for_nobody_unnamed(
    tmp_path: Path, header: bytes, trusted: bool
) -> None:
    async with told(tmp_path, trusted_networks=["127.0.0.0/8"]) as (found, _):
        async with client(found.port, before=header) as connection:
            assert (await connection.get(tenant="acme")).status == 200
        (request,) = found.behind.requests
        assert request["X-Forwarded-For"] == b"127.0.0.1"
        assert ("X-Tenant-ID" in request) is trusted


@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS)
async def test_a_header_may_come_byte_by_byte_or_with_its_request(
    tmp_path: Path, header: bytes
) -> None:
    asked = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    async with told(tmp_path) as (found, _):
        for pieces in ([header + asked], [bytes([byte]) for byte in header + asked]):
            reader, writer = await asyncio.open_connection("127.0.0.1", found.port)
            for piece in pieces:
                writer.write(piece)
                await asyncio.sleep(0)
            async with asyncio.timeout(SECONDS):
                assert (await reader.read()).startswith(b"HTTP/1.1 200")
            writer.close()
        named = [request["X-Forwarded-For"] for request in found.behind.requests]
        assert named == [b"192.0.2.7"] * 2


@pytest.mark.parametrize(
    "said",
    [
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01",
        b"PROXY nonsense\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"PROXY TCP4 192.0.2.7",
        V2[:13],
        b"",
    ],
)
@pytest.mark.parametrize("ends", [True, False], ids=["ends", "stalls"])
async def test_who_brings_no_header_is_closed(tmp_path: Path, said: bytes, ends: bool) -> None:
    async with told(tmp_path, timeouts={"proxy_header_s": 0.2}) as (found, _):
        for port in (found.port, found.tls_port):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(said)
            if ends:
                writer.write_eof()
            with contextlib.suppress(ConnectionError):
                async with asyncio.timeout(SECONDS):
                    assert await reader.read() == b""
            writer.transport.abort()
        await found.empty()
        assert found.count(telemetry.PROXY_HEADER_REFUSALS) == 2
        assert not found.behind.requests


async def test_a_header_from_another_network_is_not_even_read(tmp_path: Path) -> None:
    networks = {"mode": "required", "networks": ["192.0.2.0/24", "2001:db8::/32"]}
    async with told(tmp_path, proxy_protocol=networks) as (found, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", found.port)
        with contextlib.suppress(ConnectionError):
            writer.write(V1 + b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            async with asyncio.timeout(SECONDS):
                assert await reader.read() == b""
        writer.transport.abort()
        assert found.count(telemetry.PROXY_HEADER_REFUSALS) == 1
        assert not found.behind.requests


async def test_off_a_header_is_a_bad_request(tmp_path: Path) -> None:
    async with (
        told(tmp_path, proxy_protocol={"mode": "off"}) as (found, _),
        client(found.port, before=V1) as connection,
    ):
        assert (await connection.answer()).status == 400


@pytest.mark.skipif(HAPROXY is None, reason="HAProxy is not installed")
@pytest.mark.parametrize("version", ["send-proxy", "send-proxy-v2", "send-proxy-v2-ssl-cn"])
@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
async def test_behind_haproxy(spawn: Children, tmp_path: Path, version: str, secure: bool) -> None:
    tls = "ssl verify required ca-file ca.pem sni str(erp.test)" if secure else ""
    async with told(tmp_path) as (found, _):
        port = found.tls_port if secure else found.port
        configuration, path = tmp_path / "haproxy.cfg", tmp_path / "in.sock"
        # It is told of the client as it tells: no address of this host's own is in the way.
        configuration.write_text(
            f"""defaults
    mode http
    timeout connect 5s
    timeout client 5s
    timeout server 5s
frontend in
    bind unix@{path} accept-proxy
    default_backend out
backend out
    http-request set-header Host erp.test
    server turnout 127.0.0.1:{port} {version} {tls}
""",
            "utf-8",
        )
        assert HAPROXY is not None
        child = spawn(HAPROXY, "-db", "-f", configuration, cwd=tmp_path, name="haproxy")

        async def listening() -> bool:
            return path.exists()

        await child.until(listening, "HAProxy listens")
        reader, writer = await asyncio.open_unix_connection(str(path))
        writer.write(V1 + b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        async with asyncio.timeout(SECONDS):
            assert (await reader.read()).startswith(b"HTTP/1.1 200")
        writer.close()
        assert found.behind.requests[-1]["X-Forwarded-For"] == b"192.0.2.7"
        child.stop()
