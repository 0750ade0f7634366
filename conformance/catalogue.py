"""All rows and all proxies, in one place."""

from collections import Counter
from typing import Final

from conformance.peers.haproxy import Haproxy
from conformance.peers.nginx import Nginx
from conformance.peers.peer import Peer
from conformance.peers.turnout import Turnout
from conformance.rows import answers, connections, framing, heads, hops, proxied, times
from conformance.rows.row import Row

ROWS: Final[tuple[Row, ...]] = (
    *framing.ROWS,
    *heads.ROWS,
    *hops.ROWS,
    *times.ROWS,
    *answers.ROWS,
    *connections.ROWS,
    *proxied.ROWS,
)
PEERS: Final[tuple[Peer, ...]] = (Turnout(), Nginx(), Haproxy())
_TWICE = [name for name, count in Counter(row.id for row in ROWS).items() if count > 1]
if _TWICE:
    raise ValueError(f"two rows are called {', '.join(_TWICE)}")


def rows(only: frozenset[str]) -> tuple[Row, ...]:
    """Those asked for, all if none is named. ValueError for one that is not there."""
    unknown = only - {row.id for row in ROWS}
    if unknown:
        raise ValueError(f"no row is called {', '.join(sorted(unknown))}")
    return tuple(row for row in ROWS if not only or row.id in only)


def peers(only: frozenset[str]) -> tuple[list[Peer], dict[str, str]]:
    """The proxies asked for that can run here, all if none is named; and why others can't.

    ValueError for one that is not known, or was asked for and is missing.
    """
    unknown = only - {peer.name for peer in PEERS}
    if unknown:
        known = ", ".join(peer.name for peer in PEERS)
        raise ValueError(f"no proxy is called {', '.join(sorted(unknown))}; there are {known}")
    found, missing = [], {}
    for peer in PEERS:
        if only and peer.name not in only:
            continue
        reason = peer.missing()
        if reason is None:
            found.append(peer)
        elif peer.name in only or peer.name == "turnout":
            raise ValueError(reason)
        else:
            missing[peer.name] = reason
    return found, missing
