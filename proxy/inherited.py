"""What a worker has from the supervisor that forked it."""

import os
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from config import Shared
from proxy.config import Settings
from proxy.observability.telemetry import Block
from proxy.tls.certificates import Certificates
from proxy.tls.endpoints import EndpointSecurity


@dataclass(frozen=True, slots=True)
class Inherited:
    """See the module.

    sockets: what listens, by name. certificates: by which clients are met with TLS. endpoints: TLS
    to endpoints, if any speaks it. block: its own of the blocks of all. lifeline: a pipe that ends
    with the supervisor. others_serve: whether other workers serve by a table now, so that this one
    takes no connections before it has one too. newest: the highest version that others here serve
    by. token: what makes its name unlike any other's.
    """

    shared: Shared
    settings: Settings
    sockets: Mapping[str, socket.socket]
    certificates: Certificates | None
    endpoints: EndpointSecurity | None
    block: Block
    blocks: Sequence[Block]
    lifeline: int
    others_serve: Callable[[], bool]
    newest: Callable[[], int]
    token: str

    @property
    def name(self) -> str:
        """This process's in the fleet."""
        return worker_name(self.settings, os.getpid(), self.token)


def worker_name(settings: Settings, pid: int, token: str) -> str:
    """A worker's name in the fleet; unique for each start."""
    return f"{settings.node_name()}/{pid}.{token}"
