"""An issuer's key server, played: real sockets, and whatever answer a test wants of it."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.support.processes import SECONDS

_LOOK_AGAIN_S = 0.005
Reply = bytes | Callable[[asyncio.StreamWriter], Awaitable[None]]


def document(body: bytes, status: str = "200 OK", *fields: str) -> bytes:
    """An answer with this body."""
    lines = "".join(f"{field}\r\n" for field in fields)
    head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{lines}\r\n"
    return head.encode() + body


class KeyServer:
    """Answers each request with `reply`. asked: when each came (loop time); heads: what it said.

    most: the most requests that were open at once.
    """

    def __init__(self) -> None:
        self.reply: Reply = document(b"", "503 Service Unavailable")
        self.asked: list[float] = []
        self.heads: list[bytes] = []
        self.most = 0
        self.port = 0
        self.scheme = "http"
        self._open = 0
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}/keys"

    async def start(self, tls: ssl.SSLContext | None = None) -> None:
        """Listen; again on the same port after a stop."""
        self.scheme = "http" if tls is None else "https"
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, ssl=tls)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Refuse connections, and break off what is open."""
        if self._server is not None:
            self._server.close()
            for writer in self._writers:
                writer.transport.abort()
            await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open += 1
        self._writers.add(writer)
        self.most = max(self.most, self._open)
        with contextlib.suppress(OSError, EOFError):
            self.heads.append(await reader.readuntil(b"\r\n\r\n"))
            self.asked.append(asyncio.get_running_loop().time())
            if callable(self.reply):
                await self.reply(writer)
            else:
                writer.write(self.reply)
                await writer.drain()
        self._open -= 1
        self._writers.discard(writer)
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


@contextlib.asynccontextmanager
async def key_server(tls: ssl.SSLContext | None = None) -> AsyncIterator[KeyServer]:
    server = KeyServer()
    await server.start(tls)
    try:
        yield server
    finally:
        await server.stop()


async def until(condition: Callable[[], object], what: str) -> None:
    """Wait until a condition is met."""
    deadline = asyncio.get_running_loop().time() + SECONDS
    while True:
        if condition():
            return
        assert asyncio.get_running_loop().time() < deadline, f"never: {what}"
        await asyncio.sleep(_LOOK_AGAIN_S)


def certificate(folder: Path) -> tuple[ssl.SSLContext, Path]:
    """A server's context for 127.0.0.1, and the file of the authority that signed it (itself)."""
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False
        )
        .sign(private, hashes.SHA256())
    )
    public, secret = folder / "key-server.pem", folder / "key-server.key"
    public.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(public, secret)
    return context, public
