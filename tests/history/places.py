"""Where the processes of a run live: all on loopback, or each node and admin in a network namespace.

Rules: a namespace has two wires, to a bridge for its traffic and to one for the stores, so that it can
be unplugged from the stores alone: its packets are gone then, and nobody is told. The bridges and
namespaces have the run's own names, and are taken away by `Places.close`.
"""

import os
import subprocess
from dataclasses import dataclass, field

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Place:
    """host: where its processes listen. before: the command that starts one there. wire: the end
    that we hold of its way to the stores; empty: it has none.
    """

    host: str = LOOPBACK
    before: tuple[str, ...] = ()
    wire: str = ""

    def unplug(self) -> None:
        """Its way to the stores is gone."""
        _ip("link", "set", "dev", self.wire, "down")

    def plug_in(self) -> None:
        """It is back."""
        _ip("link", "set", "dev", self.wire, "up")


class Loopback:
    """One place for all. traffic, stores: where endpoints and links to the stores listen."""

    traffic = stores = LOOPBACK

    def place(self, _: str) -> Place:
        """Loopback."""
        return Place()

    def close(self) -> None:
        """Nothing was made."""


@dataclass
class Namespaces:
    """A place for each name. Needs root, and the program `ip`; subprocess.CalledProcessError."""

    _number: int = field(default_factory=lambda: os.getpid() % 10_000)
    _made: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        first, second = 64 + self._number // 100 % 64, self._number % 100
        self._nets = {"d": f"10.{first}.{second}", "s": f"10.{first + 64}.{second}"}
        self.traffic, self.stores = (f"{net}.1" for net in self._nets.values())
        try:
            for kind, net in self._nets.items():
                bridge = f"tn{self._number}{kind}"
                _ip("link", "add", bridge, "type", "bridge")
                _ip("addr", "add", f"{net}.1/24", "dev", bridge)
                _ip("link", "set", "dev", bridge, "up")
        except subprocess.CalledProcessError:
            self.close()
            raise

    def place(self, name: str) -> Place:
        """A new namespace. name: short, and unlike the others'."""
        space = f"tn{self._number}-{name}"
        _ip("netns", "add", space)
        self._made.append(space)
        _ip("-n", space, "link", "set", "dev", "lo", "up")
        number = 10 + len(self._made)
        for kind, net in self._nets.items():
            wire = self._wire(kind)
            _ip("link", "add", wire, "type", "veth", "peer", "name", f"to-{kind}", "netns", space)
            _ip("link", "set", "dev", wire, "master", f"tn{self._number}{kind}", "up")
            _ip("-n", space, "addr", "add", f"{net}.{number}/24", "dev", f"to-{kind}")
            _ip("-n", space, "link", "set", "dev", f"to-{kind}", "up")
        host = f"{self._nets['d']}.{number}"
        return Place(host, ("ip", "netns", "exec", space), self._wire("s"))

    def _wire(self, kind: str) -> str:
        return f"tn{self._number}{kind}{len(self._made)}"

    def close(self) -> None:
        """Take all away; a namespace's wires go with it."""
        for space in self._made:
            _ip("netns", "del", space, check=False)
        for kind in self._nets:
            _ip("link", "del", f"tn{self._number}{kind}", check=False)


def _ip(*words: str, check: bool = True) -> None:
    subprocess.run(["ip", *words], check=check, capture_output=True, text=True)
