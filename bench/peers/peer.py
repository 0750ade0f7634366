"""What a peer is: it writes its configuration, starts, and lists its processes."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from bench.machine import Cores
from proxy.routing.model import Slot


@dataclass(frozen=True, slots=True)
class Site:
    """Where a proxy is set up, the same for all of them.

    folder: its own, to be made by it. endpoints: slot → loopback port. pins: tenant → slot.
    """

    folder: Path
    cores: Cores
    endpoints: Mapping[Slot, int]
    pins: Mapping[str, Slot]


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

    def version(self) -> str:
        """The version measured."""

    def serving(self, site: Site) -> AbstractContextManager[Proxy]:
        """The proxy, ready, until the block ends. StartError when it doesn't come up."""
