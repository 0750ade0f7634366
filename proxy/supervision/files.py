"""Open files: raise the limit, compute what is needed, take no more clients than there is room for.

A worker that has no descriptor left can't connect to an endpoint for the clients that it has
accepted, so what falls short is taken off the clients, beforehand: the rest wait in the kernel's
queue, and nobody is refused half-way.
"""

import resource
from dataclasses import dataclass
from typing import Final

import msgspec

from proxy.config import Settings

RESERVE: Final = 256
"""Files of a worker beside its connections: sockets that listen, Redis, logs, idle endpoints."""
PER_CONNECTION: Final = 2
"""A client's connection, and the endpoint's for its request."""


@dataclass(frozen=True, slots=True)
class Fit:
    """What the limit on open files leaves.

    needed: files that a worker may come to need. limit: files that it may open. connections:
    clients that fit, at most as many as are set.
    """

    needed: int
    limit: int
    connections: int
    wanted: int

    @property
    def advice(self) -> str:
        """What to change; empty if nothing has to be."""
        if self.connections == self.wanted:
            return ""
        return (
            f"open files: a worker may need {self.needed} ({self.wanted} connections x "
            f"{PER_CONNECTION} + {RESERVE}), the hard limit is {self.limit}: it takes "
            f"{self.connections} connections. Raise the limit to {self.needed} (LimitNOFILE= in "
            f"the unit, ulimit -Hn in a shell), or lower proxy.limits.connections"
        )


def raise_limit() -> int:
    """Raise the soft limit of this process, and of those it forks, to the hard one; what it is."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (OSError, ValueError):  # a sandbox, or a kernel that sets a lower bound
            return soft
    return hard


def hard_limit() -> int:
    """The files that a process may open at most, once its limit is raised."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[1]


def fit(connections: int, limit: int) -> Fit:
    """How many of so many connections a worker has room for within a limit."""
    needed = connections * PER_CONNECTION + RESERVE
    if limit == resource.RLIM_INFINITY or limit >= needed:
        return Fit(needed, limit, connections, connections)
    room = max(1, (limit - RESERVE) // PER_CONNECTION)
    return Fit(needed, limit, min(room, connections), connections)


def fitted(settings: Settings, limit: int) -> tuple[Settings, str]:
    """The settings with what there is room for, and the advice, empty if it is all of it."""
    found = fit(settings.limits.connections, limit)
    limits = msgspec.structs.replace(settings.limits, connections=found.connections)
    return msgspec.structs.replace(settings, limits=limits), found.advice
