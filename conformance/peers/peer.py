"""What a peer is: it writes its configuration, starts, and ends with the block."""

import socket
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

DOMAIN: Final = "erp.test"
"""Its subdomains are tenants."""
DEAD, NOBODY = "dead", "nobody"
"""Tenants whose slot can't be reached, and whose slot has no endpoint."""


@dataclass(frozen=True, slots=True)
class Site:
    """Where a proxy is set up.

    folder: its own, to be made by it. endpoint: the recorder's port. dead: a port that takes no
    connection and doesn't refuse it. quick: with time-outs below a second. proxied: every
    connection begins with a PROXY header, and loopback may say so.
    """

    folder: Path
    endpoint: int
    dead: int
    quick: bool = False
    proxied: bool = False


class Peer(Protocol):
    """A kind of proxy. title: as people write it. limit_s: how long it may take to answer."""

    @property
    def name(self) -> str:
        """Its short name."""

    @property
    def title(self) -> str:
        """Its name as people write it."""

    @property
    def limit_s(self) -> float:
        """How long to wait for what a row requires."""

    @property
    def sites(self) -> tuple[str, ...]:
        """Which of the rows' sites it can be set up as."""

    def missing(self) -> str | None:
        """Why it can't run here; None when it can."""

    def version(self) -> str:
        """The version measured."""

    def serving(self, site: Site) -> AbstractContextManager[int]:
        """The proxy, ready, until the block ends: its port. StartError when it doesn't come up."""


@contextmanager
def black_hole() -> Iterator[int]:
    """A loopback port whose queue is full: a connection to it is never decided."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        fillers = []
        for _ in range(3):
            filler = socket.socket()
            filler.setblocking(False)
            with suppress(BlockingIOError):
                filler.connect(listening.getsockname())
            fillers.append(filler)
        try:
            yield listening.getsockname()[1]
        finally:
            for filler in fillers:
                filler.close()
