"""All peers and scenarios, by the names that options take. A new one is one file and one line."""

from collections.abc import Mapping

from bench.peers.nginx import Nginx
from bench.peers.peer import Peer
from bench.peers.turnout import Turnout
from bench.scenarios.scenario import Scenario
from bench.scenarios.small import SMALL

BASELINE = "nginx"

PEERS: Mapping[str, Peer] = {peer.name: peer for peer in (Nginx(), Turnout())}
SCENARIOS: Mapping[str, Scenario] = {scenario.name: scenario for scenario in (SMALL,)}


def choose_peers(only: frozenset[str]) -> list[Peer]:
    """The baseline, then the peers named, or all of them. ValueError on an unknown name."""
    unknown = only - PEERS.keys()
    if unknown:
        raise ValueError(f"no peer is called {min(unknown)}; there are {', '.join(PEERS)}")
    wanted = only or PEERS.keys()
    return [peer for name, peer in PEERS.items() if name == BASELINE or name in wanted]


def self_test_peers() -> list[Peer]:
    """The baseline against itself: the ratio must come out as 1."""
    return [Nginx(), Nginx("nginx-again", "nginx again")]
