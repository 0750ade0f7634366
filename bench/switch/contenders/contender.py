"""What a contender is: something that routes requests by tenant and can be told to move them."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from bench.processes import StartError
from proxy.routing.model import Slot

BEGIN = Slot.BLUE
"""Where all tenants are before the first switch."""
ALL = "all"
"""Beside the tenants' names, in maps and keys that have a line for everybody; no tenant's name."""


class SwitchError(Exception):
    """A contender did not take a change; the message says what it answered."""


@dataclass(frozen=True, slots=True)
class Site:
    """Where a contender is set up. folder: its own, to be made by it.

    endpoints: slot → loopback port. tenants: all names. moved_alone: switches move one tenant, so
    there is a route for each. workers: processes or threads that route. connections: of the load,
    WebSockets included. fenced: Turnout's mode.
    """

    folder: Path
    endpoints: Mapping[Slot, int]
    tenants: Sequence[str]
    moved_alone: bool
    workers: int
    connections: int
    fenced: bool = False

    def routes(self) -> dict[str, Slot]:
        """Where requests go at the beginning: everybody's line, and each tenant's if it has one."""
        return {ALL: BEGIN} | dict.fromkeys(self.tenants if self.moved_alone else (), BEGIN)


class Door(Protocol):
    """A contender that runs. port: on loopback."""

    @property
    def port(self) -> int:
        """Where requests go."""

    def switch(self, to: Slot, tenant: str | None) -> float | None:
        """Move all, or one tenant, and return at its ack; gives ms by its own word if it has one.

        SwitchError.
        """

    def drain(self, slot: Slot) -> int | None:
        """End the WebSockets that are open at the slot that was left; how many are left.

        None: there is no such thing. SwitchError.
        """


class Contender(Protocol):
    """A kind of proxy and a way to switch it. title: as people write it."""

    @property
    def name(self) -> str:
        """Its short name, for options and files."""

    @property
    def title(self) -> str:
        """Its name as people write it."""

    @property
    def ack(self) -> str:
        """What its ack is, in words."""

    @property
    def tools(self) -> Mapping[str, str]:
        """What must be installed: command → Debian package."""

    def missing(self) -> str | None:
        """What else is not here and what to do about it; None when it can run."""

    def version(self) -> str:
        """The version measured."""

    def serving(self, site: Site) -> AbstractContextManager[Door]:
        """Set up, running and answering, until the block ends. StartError."""


def written(path: Path, text: str) -> None:
    """A file in place of the one before, whole or not at all."""
    unfinished = path.with_name(f"{path.name}.new")
    unfinished.write_text(text, encoding="utf-8")
    unfinished.replace(path)


@contextmanager
def as_start_error(*kinds: type[Exception]) -> Iterator[None]:
    """Errors of these kinds become StartError."""
    try:
        yield
    except kinds as error:
        raise StartError(str(error)) from error
