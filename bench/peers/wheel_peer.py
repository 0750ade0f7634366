"""What every peer that comes as a wheel has in common: where it lies, its version, its lack."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from bench import wheels
from bench.peers.peer import Work


class WheelPeer:
    """package: the wheel's. program: its path in there. tokens: why it verifies none here."""

    name: str
    title: str
    package: str
    program: str
    tokens: str
    tools: Mapping[str, str] = MappingProxyType({})

    def missing(self) -> str | None:
        """Its wheel."""
        return wheels.missing(self.package, self.program)

    def unable(self, work: Work) -> str | None:
        """Tokens, all of them."""
        return self.tokens if work.token else None

    def version(self) -> str:
        """The wheel's."""
        return wheels.version(self.package)

    def path(self) -> Path | None:
        """The program's."""
        return wheels.program(self.package, self.program)
