"""The same bytes read by others: what an endpoint takes them for.

A proxy is safe when everybody behind it reads what it sends on as the same requests. Three read:
the own strict reading, llhttp (Node's parser, through httptools), and nginx where it is here.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import httptools

from bench import nginx
from bench.machine import find_command
from bench.processes import free_ports, wait_until_listening
from conformance.client import Client
from conformance.cutting import whole
from conformance.peers.process import running
from conformance.reading import Message, read_requests
from conformance.recorder import PROBE, Recorder

One = tuple[bytes, bytes, bytes, bytes]
Seen = tuple[One, ...]
"""Method, target, body and tenant of each request."""
REFUSES: Final = " refuses it: "
_NGINX_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class Account:
    """What a reader made of a stream. refused: why it read no further, if it didn't."""

    seen: Seen
    refused: str = ""


def strict(stream: bytes) -> Account:
    """By the own reading."""
    reading = read_requests(stream)
    return Account(_asked(map(_one, reading.messages)), reading.fault)


def _one(message: Message) -> One:
    tenant = b",".join(message.all("X-Tenant-ID"))
    return message.method, message.target, message.body, tenant


def _asked(seen: Iterable[One]) -> Seen:
    """Without the questions whether the connection is still served."""
    return tuple(each for each in seen if each[1] != PROBE)


@dataclass(slots=True)
class _Listener:
    """llhttp's callbacks."""

    targets: list[bytes] = field(default_factory=list)
    body: bytearray = field(default_factory=bytearray)
    tenants: list[bytes] = field(default_factory=list)
    done: list[One] = field(default_factory=list)
    parser: "httptools.HttpRequestParser | None" = None

    def on_message_begin(self) -> None:
        """A request begins."""
        self.targets.clear()
        self.body.clear()
        self.tenants.clear()

    def on_header(self, name: bytes, value: bytes) -> None:
        """A field; a trailer passes for one here."""
        if name.lower() == b"x-tenant-id":
            self.tenants.append(value)

    def on_url(self, url: bytes) -> None:
        """A piece of its target."""
        self.targets.append(url)

    def on_body(self, body: bytes) -> None:
        """A piece of its body."""
        self.body += body

    def on_message_complete(self) -> None:
        """It is whole."""
        method = self.parser.get_method() if self.parser else b""
        tenant = b",".join(self.tenants)
        self.done.append((method, b"".join(self.targets), bytes(self.body), tenant))


def llhttp(stream: bytes) -> Account:
    """By llhttp, strict as Node has it."""
    listener = _Listener()
    while True:
        listener.parser = httptools.HttpRequestParser(listener)
        try:
            listener.parser.feed_data(stream)
        except httptools.HttpParserUpgrade as upgrade:
            # It stops behind a request that offers one; what follows is a request if nobody takes it.
            stream = stream[int(upgrade.args[0]) :]
            if stream:
                continue
        except httptools.HttpParserError as error:
            return Account(_asked(listener.done), str(error) or type(error).__name__)
        return Account(_asked(listener.done))


class NginxReader:
    """An nginx that passes on what it reads to a recorder."""

    def __init__(self, port: int, recorder: Recorder) -> None:
        self._port = port
        self._recorder = recorder

    def read(self, stream: bytes) -> Account:
        """By nginx."""
        wanted = [each.method for each in read_requests(stream).messages]
        with self._recorder.take((), whole) as take:
            with Client(self._port, wanted or [b"GET"]) as client:
                client.send([stream])
                client.wait_answers(len(wanted), _NGINX_S)
                if not client.ended:
                    client.half_close()
                    client.wait_end(_NGINX_S)
                answers = client.read().messages
            seen = tuple(map(_one, take.requests))
        refused = [answer.status for answer in answers if answer.status >= 400]
        return Account(seen, f"answered {refused[0]}" if refused else "")


@contextmanager
def nginx_reader(folder: Path) -> "Iterator[NginxReader | None]":
    """Nginx as an endpoint, until the block ends; None where it is not installed."""
    if find_command("nginx") is None:
        yield None
        return
    recorder = Recorder()
    (port,) = free_ports(1)
    folder.mkdir()
    text = nginx.configuration(_configuration(port, recorder.port))
    (folder / "nginx.conf").write_text(text, encoding="utf-8")
    argv = [nginx.binary(), "-e", "stderr", "-p", f"{folder}/", "-c", "nginx.conf"]
    try:
        with running(argv, folder) as process:
            wait_until_listening(process, port, folder)
            yield NginxReader(port, recorder)
    finally:
        recorder.close()


def _configuration(port: int, behind: int) -> str:
    return f"""    client_max_body_size 0;
    large_client_header_buffers 8 64k;
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://127.0.0.1:{behind};
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $http_host;
        }}
    }}
"""


def disagreements(stream: bytes, by_nginx: NginxReader | None) -> list[str]:
    """How the readers differ about one stream; empty if they don't."""
    ours = strict(stream)
    found = [f"not strictly HTTP/1.1: {ours.refused}"] if ours.refused else []
    others = {"llhttp": llhttp(stream)}
    if by_nginx is not None:
        others["nginx"] = by_nginx.read(stream)
    for name, theirs in others.items():
        if theirs.refused and theirs.seen == ours.seen[: len(theirs.seen)]:
            if not ours.refused:
                found.append(f"{name}{REFUSES}{theirs.refused}")
        elif theirs.seen != ours.seen:
            found.append(f"{name} reads {_told(theirs.seen)}, not {_told(ours.seen)}")
    return found


def _told(seen: Seen) -> str:
    lines = (
        f"{method.decode()} {target!r:.40} {body!r:.40} {tenant!r:.20}"
        for method, target, body, tenant in seen
    )
    return f"{len(seen)} ({'; '.join(lines)})"
