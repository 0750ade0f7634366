"""One worker's data plane on real sockets, in the test's own loop, with a played endpoint.

Where a fleet is too much and the playbooks' memory too little: TLS, PROXY headers, what the
kernel does. When it ends nothing may be left: no connection, no count.
"""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import msgspec

from proxy.config import Settings
from proxy.downstream.listener import Listener
from proxy.downstream.share import Share
from proxy.exchange.services import Services
from proxy.observability import telemetry
from proxy.observability.telemetry import Telemetry
from proxy.routing.model import Endpoint, RoutingTable, Slot
from proxy.supervision.listening import HTTP, HTTPS, tcp
from proxy.tls.certificates import Certificates
from proxy.tls.endpoints import endpoint_security
from proxy.upstream.plain import PlainEndpoints
from proxy.worker import _services as services_of_worker
from proxy.worker import doors_of, plain_slots
from tests.support.clients import SECONDS, Connection
from tests.support.messages import Message, take_message

Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter, Message], Any]
_SWEEP_S = 0.02


@dataclass
class Played:
    """The endpoint. requests: what it got. script: what it does with the next ones.

    greeting: what it says unasked to who connects.
    """

    server: asyncio.Server
    requests: list[Message] = field(default_factory=list)
    script: Script | None = None
    greeting: bytes = b""
    connections: int = 0
    tasks: set["asyncio.Task[Any]"] = field(default_factory=set)

    async def end(self) -> None:
        """Leave whoever is connected."""
        self.server.close()
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    @property
    def port(self) -> int:
        found: int = self.server.sockets[0].getsockname()[1]
        return found


@dataclass
class Front:
    """ports: where clients come in, by name. behind: the endpoint of both slots."""

    services: Services
    listener: Listener
    behind: Played
    ports: Mapping[str, int]
    certificates: Certificates | None

    @property
    def port(self) -> int:
        return self.ports[HTTP]

    @property
    def tls_port(self) -> int:
        return self.ports[HTTPS]

    def count(self, cell: int) -> int:
        """A cell of the worker."""
        return self.services.block.cells[cell]

    def sum(self, cell: int) -> int:
        """A cell of the groups, summed over them."""
        return sum(group.values[cell] for group in self.services.block.groups)

    async def until(self, condition: Callable[[], bool], what: str) -> None:
        """Wait until a condition on the front is met."""
        try:
            async with asyncio.timeout(SECONDS):
                while not condition():
                    await asyncio.sleep(_SWEEP_S / 2)
        except TimeoutError:
            raise AssertionError(f"never: {what}") from None

    async def empty(self) -> None:
        """Wait until no client is connected."""
        await self.until(lambda: not self.listener.connections, "every client has left")
        assert self.count(telemetry.CONNECTIONS) == 0


@contextlib.asynccontextmanager
async def front(*, behind_tls: ssl.SSLContext | None = None, **proxy: Any) -> AsyncIterator[Front]:
    """Start it. proxy: the [proxy] section. behind_tls: how the endpoint speaks it."""
    settings = msgspec.convert(proxy, Settings)
    behind = await _played(behind_tls)
    services = services_of_worker(
        settings,
        Telemetry(1).blocks[0],
        endpoints=endpoint_security(settings.endpoint_tls),
    )
    endpoints = (Endpoint("127.0.0.1", behind.port),)
    by_slot = MappingProxyType(dict.fromkeys(Slot, endpoints))
    services.slots.update(by_slot)
    services.router.swap(RoutingTable(version=1, endpoints=by_slot))
    certificates = Certificates(settings.tls) if settings.tls.certificates else None
    plain = [PlainEndpoints(each, plain_slots(settings, services.block)) for each in settings.tcp]
    for each in plain:
        each.update(by_slot)
    names = [HTTP, *([HTTPS] if certificates else []), *(tcp(index) for index in range(len(plain)))]
    sockets = {name: _listening() for name in names}
    ports = {name: each.getsockname()[1] for name, each in sockets.items()}
    share = Share(services.block, [services.block])
    listener = Listener(doors_of(services, sockets, certificates, plain), services, share)
    listener.start()
    sweep = asyncio.get_running_loop().create_task(_sweep(services, listener), name="sweep")
    found = Front(services, listener, behind, ports, certificates)
    try:
        yield found
        await found.empty()
    finally:
        sweep.cancel()
        listener.stop()
        for connection in list(listener.connections):
            connection.close()
        for listening in sockets.values():
            listening.close()
        await services.slots.close()
        for each in plain:
            await each.close()
        await behind.end()
    assert sum(pool.in_flight for group in services.slots.groups for pool in group.pools) == 0


def _listening() -> socket.socket:
    listening = socket.create_server(("127.0.0.1", 0))
    listening.setblocking(False)
    return listening


async def _sweep(services: Services, listener: Listener) -> None:
    """As the worker's, but more often."""
    loop = asyncio.get_running_loop()
    while True:
        services.now = loop.time()
        listener.sweep(services.now)
        services.slots.sweep(services.now)
        await asyncio.sleep(_SWEEP_S)


async def _played(tls: ssl.SSLContext | None) -> Played:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        played.connections += 1
        task = asyncio.current_task()
        assert task is not None
        played.tasks.add(task)
        buffer = bytearray()
        writer.write(played.greeting)
        try:
            while data := await reader.read(65_536):
                buffer += data
                while (request := take_message(buffer, b"")) is not None:
                    played.requests.append(request)
                    if played.script is not None:
                        await played.script(reader, writer, request)
                    else:
                        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        except (OSError, EOFError):
            pass  # the proxy has left
        finally:
            writer.transport.abort()

    played = Played(await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls))
    return played


@contextlib.asynccontextmanager
async def client(
    port: int, context: ssl.SSLContext | None = None, name: str = "", before: bytes = b""
) -> AsyncIterator[Connection]:
    """A client. name: of the server that it asks for. before: sent ahead of the handshake."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(SECONDS):
        made = socket.socket()
        made.setblocking(False)
        await loop.sock_connect(made, ("127.0.0.1", port))
        if before:
            await loop.sock_sendall(made, before)
        asked = name if context is not None else None
        connection = Connection(
            *await asyncio.open_connection(sock=made, ssl=context, server_hostname=asked)
        )
    try:
        yield connection
    finally:
        await connection.close()


@dataclass(frozen=True)
class Talk:
    """What a client got. end: "close_notify", "cut" (an end of file without it) or "reset"."""

    got: bytes
    end: str
    shown: bytes
    protocol: str | None
    version: str | None
    resumed: bool | None
    session: ssl.SSLSession | None


async def talk(
    port: int,
    context: ssl.SSLContext,
    name: str | None,
    said: bytes,
    session: ssl.SSLSession | None = None,
) -> Talk:
    """Say something over TLS and read to the end, told apart exactly. Raises as `ssl` does."""
    return await asyncio.to_thread(_talk, port, context, name, said, session)


def _talk(
    port: int,
    context: ssl.SSLContext,
    name: str | None,
    said: bytes,
    session: ssl.SSLSession | None,
) -> Talk:
    with (
        socket.create_connection(("127.0.0.1", port), timeout=SECONDS) as plain,
        context.wrap_socket(
            plain, server_hostname=name, suppress_ragged_eofs=False, session=session
        ) as made,
    ):
        facts = (
            made.getpeercert(binary_form=True) or b"",
            made.selected_alpn_protocol(),
            made.version(),
            made.session_reused,
        )
        made.sendall(said)
        got, end = bytearray(), "close_notify"
        try:
            while piece := made.recv(65_536):
                got += piece
        except ssl.SSLEOFError:
            end = "cut"
        except ConnectionResetError:
            end = "reset"
        return Talk(bytes(got), end, *facts, made.session)
