"""Which folder and which ports.

Rules: what the user named is taken or refused, with the name of who has it; what the demo may
choose moves on to the next free one, and says so. A folder is claimed by a lock that ends with
this process. From the choice of ports until they are bound, demos wait for one another, so two
started at once don't choose the same.
"""

import contextlib
import fcntl
import os
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from admin.demo.options import Options

LOOPBACK = "127.0.0.1"
DEFAULT_FOLDER = Path(".turnout/demo")
DEFAULT_PORTS = {"proxy": 8080, "admin": 8081, "management": 8090}
MAX_DEMOS = 50
MAX_PORTS_TRIED = 200
PORTS_WAIT_S = 120.0
"""How long a demo waits for another that starts: longer than that one may take to be ready."""


class DemoError(Exception):
    """The demo can't be started or go on; the message says why, and never holds a secret."""


@dataclass(frozen=True, slots=True)
class Ports:
    """Where the three listeners are. notes: what to tell about the choice."""

    proxy: int
    admin: int
    management: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Claim:
    """A folder that is ours while `descriptor` is open."""

    folder: Path
    descriptor: int
    note: str = ""


def claim_folder(wanted: Path | None) -> Claim:
    """The folder asked for, or the first default one that no demo runs in. DemoError if taken."""
    if wanted is not None:
        descriptor, owner = _lock(wanted)
        if descriptor is None:
            raise DemoError(
                f"another demo (process {owner}) runs in {wanted}: end it, or choose another --data"
            )
        return Claim(wanted.absolute(), descriptor)
    for number in range(1, MAX_DEMOS + 1):
        folder = _default_folder(number)
        descriptor, owner = _lock(folder)
        if descriptor is not None:
            note = f"another demo runs in {DEFAULT_FOLDER}, so this one lies in {folder}"
            return Claim(folder.absolute(), descriptor, note if number > 1 else "")
    raise DemoError(f"{MAX_DEMOS} demos run already below {DEFAULT_FOLDER.parent}")


def choose_ports(options: Options) -> Ports:
    """Free ports. DemoError names who holds one that was asked for."""
    wanted = {
        "proxy": options.proxy_port,
        "admin": options.admin_port,
        "management": options.management_port,
    }
    named = [port for port in wanted.values() if port is not None]
    if len(set(named)) != len(named):
        raise DemoError(
            "the proxy, the admin and the management need a port each: one was named twice"
        )
    chosen: dict[str, int] = {}
    notes = []
    for part, port in wanted.items():
        if port is not None:
            _check_named(part, port)
            chosen[part] = port
            continue
        chosen[part] = _next_free(DEFAULT_PORTS[part], {*named, *chosen.values()})
        if chosen[part] != DEFAULT_PORTS[part]:
            holder = holder_of(DEFAULT_PORTS[part])
            why = f"taken by {holder}" if holder else "not free"
            notes.append(
                f"port {DEFAULT_PORTS[part]} is {why}: the {part} listens on {chosen[part]}"
            )
    return Ports(chosen["proxy"], chosen["admin"], chosen["management"], tuple(notes))


@contextlib.contextmanager
def ports_reserved(options: Options, say: Callable[[str], object]) -> Iterator[None]:
    """Other demos of this user choose no ports meanwhile. say: told if it has to be waited for one.

    DemoError after PORTS_WAIT_S: what the other has chosen and not bound yet would be chosen twice.
    """
    if None not in (options.proxy_port, options.admin_port, options.management_port):
        yield  # there is nothing to choose
        return
    path = Path(tempfile.gettempdir(), f"turnout-demo-ports-{os.geteuid()}.lock")
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        deadline = time.monotonic() + PORTS_WAIT_S
        has_it = _flock(descriptor)
        if not has_it:
            say("another demo is starting: this one waits until it has its ports")
        while not has_it and time.monotonic() < deadline:
            time.sleep(0.02)
            has_it = _flock(descriptor)
        if not has_it:
            raise DemoError(
                f"another demo is starting, and has not bound its ports within {PORTS_WAIT_S:.0f} s:"
                " end it, or name this one's (--proxy-port, --admin-port, --management-port)"
            )
        yield
    finally:
        os.close(descriptor)


def is_free(port: int) -> bool:
    """Whether the port could be listened on just now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
            probe.listen()
        except OSError:
            return False
    return True


def holder_of(port: int) -> str:
    """The process that listens on the port, as `name (process pid)`; empty if it can't be seen."""
    inodes = _listening_inodes(port)
    if not inodes:
        return ""
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and _holds(folder, inodes):
            with contextlib.suppress(OSError):
                name = (folder / "comm").read_text().strip()
                return f"{name} (process {folder.name})"
    return ""


def _default_folder(number: int) -> Path:
    return DEFAULT_FOLDER.with_name(f"demo-{number}") if number > 1 else DEFAULT_FOLDER


def _lock(folder: Path) -> tuple[int | None, str]:
    """(descriptor, "") if the folder is ours now, else (None, who has it). DemoError if unusable."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        descriptor = os.open(folder / "demo.lock", flags, 0o600)
    except OSError as error:
        raise DemoError(f"{folder} can't be used: {error.strerror}") from error
    if _flock(descriptor):
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        return descriptor, ""
    owner = os.pread(descriptor, 20, 0).decode("ascii", "replace")
    os.close(descriptor)
    return None, owner if owner.isdigit() else "unknown"


def _flock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _check_named(part: str, port: int) -> None:
    if is_free(port):
        return
    holder = holder_of(port)
    who = (
        f"it is taken by {holder}" if holder else "something holds it, or it is not allowed to you"
    )
    raise DemoError(
        f"the {part} can't listen on port {port}: {who}.\n"
        f"  Choose another (--{part}-port), or leave the option out."
    )


def _next_free(first: int, taken: set[int]) -> int:
    for port in range(first, min(first + MAX_PORTS_TRIED, 65536)):
        # The defaults of the other listeners are left to them.
        others = set(DEFAULT_PORTS.values()) - {first}
        if port not in taken | others and is_free(port):
            return port
    raise DemoError(f"no port is free from {first} on")


def _listening_inodes(port: int) -> set[str]:
    """Inodes of sockets that listen on the port, as /proc/net/tcp says them."""
    inodes = set()
    for table in ("tcp", "tcp6"):
        with contextlib.suppress(OSError):
            for line in Path("/proc/net", table).read_text().splitlines()[1:]:
                fields = line.split()
                is_listening = fields[3] == "0A"
                if is_listening and int(fields[1].rpartition(":")[2], 16) == port:
                    inodes.add(f"socket:[{fields[9]}]")
    return inodes


def _holds(process: Path, inodes: set[str]) -> bool:
    with contextlib.suppress(OSError):
        for descriptor in (process / "fd").iterdir():
            with contextlib.suppress(OSError):
                if str(descriptor.readlink()) in inodes:
                    return True
    return False
