"""How gates ask endpoints: TLS, the Host they name, redirects, answers that are none."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
from aiohttp import web

from admin.gates.asking import Ask, NoAnswerError, Reply, asking
from admin.gates.config import Health, Http
from admin.gates.health import HealthGate
from admin.gates.model import About, Outcome
from proxy.routing.model import Endpoint, RoutingTable, Slot
from tests.support.certificates import Authority

ABOUT = About("r-1", "1.3.0", "1.2.0", Slot.GREEN, Slot.BLUE)
DOCUMENT = {
    "status": "ok",
    "database": "ok",
    "cache": "disabled",
    "version": "v1.3.0+build.7",
    "environment": "green",
}


async def answer(request: web.Request) -> web.Response:
    if request.path == "/elsewhere":
        raise web.HTTPFound("/health")
    if request.path == "/cookie":
        response = web.json_response({"cookies": dict(request.cookies)})
        response.set_cookie("session", "1")
        return response
    return web.json_response(DOCUMENT | {"host": request.headers["Host"]})


@asynccontextmanager
async def serving(tls: ssl.SSLContext | None = None) -> AsyncIterator[Endpoint]:
    app = web.Application()
    app.router.add_get("/{rest:.*}", answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
    try:
        yield Endpoint("127.0.0.1", runner.addresses[0][1])
    finally:
        await runner.cleanup()


async def asked(endpoint: Endpoint, path: str = "/health", **http: object) -> Reply:
    async with asking(Http(**http)) as asker:  # type: ignore[arg-type]
        return await asker.ask(endpoint, Ask("GET", path), 5.0)


async def test_endpoints_with_tls_are_believed_by_their_certificates(tmp_path: Path) -> None:
    authority, stranger = Authority(tmp_path), Authority(tmp_path, "stranger")
    async with serving(authority.server(authority.issue("erp", "erp.test"))) as endpoint:

        async def table() -> RoutingTable:
            return RoutingTable(endpoints={Slot.BLUE: (), Slot.GREEN: (endpoint,)})

        good = Http(scheme="https", ca_file=str(authority.ca), server_name="erp.test")
        found = await HealthGate(Health(), good, table).measure(ABOUT)
        assert found.outcome is Outcome.PASSED, found
        for changed in (
            {"server_name": "other.test"},
            {"server_name": ""},
            {"ca_file": str(stranger.ca)},
            {"scheme": "http"},
        ):
            bad = msgspec.structs.replace(good, **changed)
            found = await HealthGate(Health(), bad, table).measure(ABOUT)
            assert found.outcome is Outcome.FAILED, changed
            assert "no answer (" in found.detail
        lost = msgspec.structs.replace(good, ca_file=str(tmp_path / "none.pem"))
        found = await HealthGate(Health(), lost, table).measure(ABOUT)
        assert found.outcome is Outcome.UNMEASURED
        assert "ca_file can't be read" in found.detail


async def test_a_host_may_be_named() -> None:
    async with serving() as endpoint:
        plain = msgspec.json.decode((await asked(endpoint)).body)
        named = msgspec.json.decode((await asked(endpoint, host="erp.test")).body)
    assert (plain["host"], named["host"]) == (str(endpoint), "erp.test")


async def test_redirects_are_answers_and_cookies_are_not_kept() -> None:
    async with serving() as endpoint, asking(Http()) as asker:
        assert (await asker.ask(endpoint, Ask("GET", "/elsewhere"), 5.0)).status == 302
        for _ in range(2):
            reply = await asker.ask(endpoint, Ask("GET", "/cookie"), 5.0)
            assert msgspec.json.decode(reply.body) == {"cookies": {}}


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"SSH-2.0-OpenSSH\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
async def test_what_is_no_answer(said: bytes) -> None:
    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(said)
        writer.close()

    server = await asyncio.start_server(speak, "127.0.0.1", 0)
    async with server:
        endpoint = Endpoint("127.0.0.1", server.sockets[0].getsockname()[1])
        with pytest.raises(NoAnswerError, match="no answer"):
            await asked(endpoint)
