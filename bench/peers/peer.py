"""What a peer is: it writes its configuration and says how it is started."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from bench.credentials import Certificate
from bench.machine import Cores
from proxy.routing.model import Slot


@dataclass(frozen=True, slots=True)
class Work:
    """What a scenario asks of a proxy beside routing by the tenant header.

    token: the tenant is named by a verified bearer token in place of the header. canary: every
    other tenant is routed by the canary in place of a pin, where there is such a thing. tls: the
    listener speaks TLS. streamed: bodies are passed on as they come. connections: of clients, at
    once.
    """

    token: bool = False
    canary: bool = False
    tls: bool = False
    streamed: bool = False
    connections: int = 1_000


PLAIN = Work()
"""Routing by the tenant header, and nothing else."""


@dataclass(frozen=True, slots=True)
class Site:
    """Where a proxy is set up, the same for all of them.

    folder: its own, to be made by it. endpoints: slot → loopback port. pins: tenant → slot.
    certificate: of the listener, where the work says TLS.
    """

    folder: Path
    cores: Cores
    endpoints: Mapping[Slot, int]
    pins: Mapping[str, Slot]
    work: Work = PLAIN
    certificate: Certificate | None = None


@dataclass(frozen=True, slots=True)
class Launch:
    """How a configured proxy is started. port: where it will listen, on loopback."""

    argv: list[str]
    port: int
    cwd: Path | None = None
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy that is ready. port: on loopback. pids: lists all of its processes now."""

    name: str
    port: int
    pids: Callable[[], tuple[int, ...]]


class Peer(Protocol):
    """A kind of proxy. title: as people write it. tools: command → Debian package."""

    @property
    def name(self) -> str:
        """Its short name, for options and files."""

    @property
    def title(self) -> str:
        """Its name as people write it."""

    @property
    def tools(self) -> Mapping[str, str]:
        """What must be installed: command → Debian package."""

    def missing(self) -> str | None:
        """What else is not here and what to do about it; None when it can run."""

    def unable(self, work: Work) -> str | None:
        """The part of this work that it can't do, in words; None when it can do all of it."""

    def version(self) -> str:
        """The version measured."""

    def prepared(self, site: Site) -> AbstractContextManager[Launch]:
        """Configured, with what it needs beside it running, until the block ends. StartError."""
