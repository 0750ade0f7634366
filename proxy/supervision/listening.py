"""The listening sockets, by name: inherited where there is one, else bound.

Rules: a part that listens adds itself to `wanted` under a name of its own; the supervisor opens
all of them before the first fork and each child gets those that it serves. A socket comes from
the one who started us (systemd, or the supervisor that we are the upgrade of) in the way of
sd_listen_fds(3): LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES, from descriptor 3 on. One is taken by
its name, else by its address. What nobody wants is closed.
"""

import logging
import os
import socket
from collections.abc import Iterable, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Final

from config import ConfigError, split_address
from proxy.config import Settings

log = logging.getLogger("turnout.listening")

HTTP: Final = "http"
HTTPS: Final = "https"
MANAGEMENT: Final = "management"
FIRST_DESCRIPTOR: Final = 3
"""SD_LISTEN_FDS_START of sd_listen_fds(3)."""
MAX_DESCRIPTORS: Final = 1024
_MANAGEMENT_BACKLOG = 128


@dataclass(frozen=True, slots=True)
class Wanted:
    """A socket that has to listen. address: host:port. setting: the one in [proxy] that says so."""

    name: str
    address: str
    backlog: int
    setting: str


@dataclass(frozen=True, slots=True)
class Inherited:
    """A socket that was handed over.

    address: as the settings of who bound it had it; empty: nobody said, so its name decides.
    """

    name: str
    socket: socket.socket
    address: str = ""


@dataclass(slots=True)
class Sockets:
    """All that listen, by name, and the address that the settings gave for each."""

    by_name: dict[str, socket.socket] = field(default_factory=dict)
    addresses: dict[str, str] = field(default_factory=dict)

    def keep(self, *names: str) -> None:
        """Close all but these. A port is refused once nobody holds its socket."""
        for name, each in self.by_name.items():
            if name not in names:
                each.close()

    def close(self) -> None:
        """Close all; closing twice does nothing."""
        self.keep()


def tcp(index: int) -> str:
    """The name of a plain TCP listener's socket. index: its place in the settings, from 0."""
    return f"tcp-{index}"


def wanted(settings: Settings) -> tuple[Wanted, ...]:
    """Everything that these settings let listen."""
    backlog = settings.backlog
    plain = Wanted(HTTP, settings.listen, backlog, "listen") if settings.listen else None
    tls = Wanted(HTTPS, settings.tls_listen, backlog, "tls_listen") if settings.tls_listen else None
    return (
        *(each for each in (plain, tls) if each is not None),
        Wanted(MANAGEMENT, settings.management_listen, _MANAGEMENT_BACKLOG, "management_listen"),
        *(
            Wanted(tcp(index), each.listen, settings.backlog, "tcp")
            for index, each in enumerate(settings.tcp)
        ),
    )


def inherited(
    environ: MutableMapping[str, str], addresses: Mapping[str, str] | None = None
) -> list[Inherited]:
    """Take what was handed over, and its variables out of the environment.

    addresses: of those sockets whose settings are known. ConfigError: a descriptor does not listen.
    """
    pid = environ.pop("LISTEN_PID", "")
    count = environ.pop("LISTEN_FDS", "")
    names = environ.pop("LISTEN_FDNAMES", "").split(":")
    if pid != str(os.getpid()) or not count.isascii() or not count.isdigit():
        return []
    found = []
    for index in range(min(int(count), MAX_DESCRIPTORS)):
        name = names[index] if index < len(names) else ""
        address = (addresses or {}).get(name, "")
        found.append(Inherited(name, _adopted(FIRST_DESCRIPTOR + index, name), address))
    return found


def _adopted(descriptor: int, name: str) -> socket.socket:
    try:
        os.set_inheritable(descriptor, False)
        adopted = socket.socket(fileno=descriptor)
        listens = adopted.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError as error:
        raise ConfigError(f"descriptor {descriptor} ({name}): {reason(error)}") from error
    if adopted.type != socket.SOCK_STREAM or not listens:
        raise ConfigError(f"descriptor {descriptor} ({name}) is not a listening stream socket")
    adopted.setblocking(False)
    return adopted


def opened(sockets: Iterable[Wanted], handed: Iterable[Inherited] = ()) -> Sockets:
    """All that is wanted, listening. ConfigError: one can't be bound, and none is left open."""
    left = list(handed)
    result = Sockets()
    try:
        for each in sockets:
            own = _matching(each, left)
            if own is not None:
                left.remove(own)
                own.socket.listen(each.backlog)
            result.by_name[each.name] = listen(each) if own is None else own.socket
            result.addresses[each.name] = each.address
    except BaseException:
        result.close()
        raise
    finally:
        for unused in left:
            log.warning(
                "closing an inherited socket that nothing is set to use: %s at %s",
                unused.name or "(no name)",
                address_of(unused.socket),
            )
            unused.socket.close()
    return result


def _matching(one: Wanted, handed: list[Inherited]) -> Inherited | None:
    for each in handed:
        if each.name == one.name and each.address in {"", one.address}:
            return each
    for each in handed:
        if not each.address and address_of(each.socket) == one.address:
            return each
    return None


def listen(one: Wanted) -> socket.socket:
    """Bind and listen, non-blocking. ConfigError says why that can't be."""
    try:
        listening = bound(one.address)
        listening.listen(one.backlog)
    except OSError as error:
        raise ConfigError(f"can't listen on {one.address}: {reason(error)}") from error
    listening.setblocking(False)
    return listening


def bound(address: str) -> socket.socket:
    """A socket at host:port that does not listen yet. OSError."""
    host, port = split_address(address)
    family, _, _, _, target = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    own = socket.socket(family, socket.SOCK_STREAM)
    try:
        own.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            own.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        own.bind(target[:2])
    except BaseException:
        own.close()
        raise
    return own


def address_of(listening: socket.socket) -> str:
    """Where a socket listens, as host:port, or a Unix socket's path."""
    name = listening.getsockname()
    if not isinstance(name, tuple):
        return f"unix:{os.fsdecode(name)}"
    host, port = name[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def reason(error: OSError) -> str:
    """In the system's words: asyncio and socket add the address to theirs, the look-up has own."""
    number = error.errno or 0
    return os.strerror(number) if number > 0 else str(error.strerror)
