"""Free loopback ports.

Rules: a port comes from below the range that the kernel uses for outgoing connections. There, a
client that retries against a stopped server can be given the server's own port and connect to
itself, and the server can't come back. Free is only a guess until the server has bound it.
"""

import secrets
import socket
from pathlib import Path

from admin.embedded.errors import EmbeddedServerError

LOOPBACK = "127.0.0.1"
_LOWEST = 15_000
_ENOUGH = 1_000
"""Ports between the lowest and the ephemeral range that make random choice worth it."""
_TRIES = 100


def free_port() -> int:
    """A loopback port that nothing listens on now. EmbeddedServerError if none is found."""
    ephemeral = _first_ephemeral_port()
    for _ in range(_TRIES):
        span = ephemeral - _LOWEST
        port = _bound_port(_LOWEST + secrets.randbelow(span) if span >= _ENOUGH else 0)
        if port:
            return port
    raise EmbeddedServerError(f"no free port found on {LOOPBACK} in {_TRIES} tries")


def _first_ephemeral_port() -> int:
    try:
        return int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text("utf-8").split()[0])
    except (OSError, ValueError):
        return 0


def _bound_port(port: int) -> int:
    """The port, or the one that the kernel chose for 0; 0 if it is taken."""
    with socket.socket() as probe:
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return 0
        return int(probe.getsockname()[1])
