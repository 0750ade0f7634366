"""HAProxy, by its runtime map and by reload.

The map is the reference: `set map` over the stats socket changes what all threads of one process read
next, and its answer is the ack. Nothing of it is on disk: a reload or a crash forgets it, and no
second process hears of it. A reload reads the map file anew in a new process; the ack is that
the master shows the new worker as its own.
"""

import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from bench.machine import find_command
from bench.processes import free_ports, running, wait_until_listening
from bench.scenarios.scenario import TENANT_HEADER
from bench.switch.contenders.contender import ALL, Site, SwitchError, written
from proxy.routing.model import Slot

MAP, STATS, MASTER = "routes.map", "stats.sock", "master.sock"
ANSWER_S, RELOAD_S = 5.0, 30.0
LOOK_S = 0.001
"""Between two looks at the master while it reloads."""


def configuration(site: Site, port: int) -> str:
    """haproxy.cfg."""
    backends = "\n".join(
        f"backend {slot}\n    server {slot} 127.0.0.1:{at}" for slot, at in site.endpoints.items()
    )
    path = site.folder / MAP
    own = f"req.hdr({TENANT_HEADER}),map_str({path})"
    return f"""global
    nbthread {site.workers}
    maxconn {site.connections + 1_000}
    stats socket {site.folder / STATS} mode 600 level admin expose-fd listeners
defaults
    mode http
    timeout connect 3s
    timeout client 75s
    timeout server 60s
    timeout tunnel 1h
    http-reuse always
frontend door
    bind 127.0.0.1:{port}
    http-request set-var(txn.slot) str({ALL}),map_str({path})
    http-request set-var(txn.slot) {own} if {{ {own} -m found }}
    use_backend %[var(txn.slot)]
{backends}
"""


def map_text(routes: Mapping[str, Slot]) -> str:
    """The map file."""
    return "".join(f"{name} {slot}\n" for name, slot in routes.items())


def asked(path: Path, command: str) -> str:
    """What a command socket of HAProxy answers. OSError."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(ANSWER_S)
        connection.connect(str(path))
        connection.sendall(f"{command}\n".encode())
        connection.shutdown(socket.SHUT_WR)  # the master waits for more commands otherwise
        parts = []
        while data := connection.recv(65_536):
            parts.append(data)
    return b"".join(parts).decode("utf-8", "replace").strip()


def workers_of(listing: str) -> tuple[int, ...]:
    """The pids of the current workers in the master's `show proc`."""
    part = listing.partition("# workers")[2].partition("# old workers")[0]
    lines = (line.split() for line in part.splitlines())
    return tuple(int(words[0]) for words in lines if words and words[0].isdigit())


class ByMap:
    """A HAProxy whose map is set at run time."""

    def __init__(self, site: Site, port: int) -> None:
        self.port = port
        self._site = site

    def switch(self, to: Slot, tenant: str | None) -> None:
        """One `set map`."""
        folder = self._site.folder
        try:
            said = asked(folder / STATS, f"set map {folder / MAP} {tenant or ALL} {to}")
        except OSError as error:
            raise SwitchError(repr(error)) from error
        if said:
            raise SwitchError(f"set map: {said}")

    def drain(self, slot: Slot) -> None:
        """Tunnels stay; closing them (`shutdown sessions`) sends no close frame."""


class ByReload:
    """A HAProxy that is reloaded for each change."""

    def __init__(self, site: Site, port: int) -> None:
        self.port = port
        self._site = site
        self._routes = site.routes()

    def switch(self, to: Slot, tenant: str | None) -> None:
        """Rewrite the map file, have the master reload, wait until it shows a new worker."""
        folder = self._site.folder
        self._routes[tenant or ALL] = to
        written(folder / MAP, map_text(self._routes))
        before = self._workers()
        try:
            asked(folder / MASTER, "reload")
        except ConnectionError:
            pass  # the master executes itself anew, and the answer may be lost with it
        except OSError as error:
            raise SwitchError(repr(error)) from error
        deadline = time.monotonic() + RELOAD_S
        while (now := self._workers()) == before or not now:
            if time.monotonic() > deadline:
                raise SwitchError(f"no new worker after {RELOAD_S:.0f} s")
            time.sleep(LOOK_S)

    def _workers(self) -> tuple[int, ...]:
        """None while the master is about to be another."""
        try:
            return workers_of(asked(self._site.folder / MASTER, "show proc"))
        except OSError:
            return ()

    def drain(self, slot: Slot) -> None:
        """Old processes keep their WebSockets."""


class HAProxy:
    """HAProxy as Debian packages it. reload: by reload in place of the map."""

    tools: Mapping[str, str] = {"haproxy": "haproxy"}

    def __init__(self, *, reload: bool = False) -> None:
        self._reload = reload
        self.name = "haproxy-reload" if reload else "haproxy-map"
        self.title = "HAProxy reload" if reload else "HAProxy set map"
        self.ack = "the master shows a new worker" if reload else "the stats socket has answered"

    def missing(self) -> str | None:
        """Nothing but its tools."""
        return None

    def version(self) -> str:
        """As in "2.6.12-1+deb12u3"."""
        argv = [_binary(), "-v"]
        said = subprocess.run(argv, capture_output=True, text=True, timeout=10, check=False)
        return said.stdout.split()[2]

    @contextmanager
    def serving(self, site: Site) -> Iterator[ByMap | ByReload]:
        """Its configuration and its map, written; the process, running."""
        (port,) = free_ports(1)
        site.folder.mkdir(mode=0o700)
        written(site.folder / MAP, map_text(site.routes()))
        path = site.folder / "haproxy.cfg"
        path.write_text(configuration(site, port), encoding="utf-8")
        master = ["-W", "-S", f"{site.folder / MASTER},mode,600"] if self._reload else []
        argv = [_binary(), *master, "-db", "-f", str(path)]
        with running(argv, None, site.folder) as process:
            wait_until_listening(process, port, site.folder)
            yield ByReload(site, port) if self._reload else ByMap(site, port)


def _binary() -> str:
    return find_command("haproxy") or "haproxy"
