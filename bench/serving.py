"""A peer, started on its core and answering, until the block ends."""

from collections.abc import Iterator
from contextlib import contextmanager
from subprocess import Popen

from bench.ask import wait_until_answering
from bench.cpu import tree
from bench.peers.peer import Launch, Peer, Proxy, Site
from bench.processes import running


@contextmanager
def serving(peer: Peer, site: Site) -> Iterator[Proxy]:
    """The proxy, answering. StartError when it doesn't come up."""
    with peer.prepared(site) as launch, started(launch, site) as process:
        wait_until_answering(process, launch.port, site)
        yield Proxy(peer.name, launch.port, lambda: tree(process.pid))


@contextmanager
def started(launch: Launch, site: Site) -> "Iterator[Popen[bytes]]":
    """The process, not necessarily ready, until the block ends."""
    with running(
        launch.argv,
        site.cores.proxy,
        site.folder,
        cwd=launch.cwd,
        environment=launch.environment,
    ) as process:
        yield process
