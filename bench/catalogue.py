"""All peers and scenarios, by the names that options take. A new one is one file and one line."""

from collections.abc import Iterable, Mapping

from bench.peers.caddy import Caddy
from bench.peers.envoy import Envoy
from bench.peers.haproxy import HAProxy
from bench.peers.nginx import Nginx
from bench.peers.peer import Peer
from bench.peers.traefik import Traefik
from bench.peers.turnout import Turnout
from bench.scenarios.idle import IDLE
from bench.scenarios.jwt import JWT
from bench.scenarios.large import LARGE
from bench.scenarios.scenario import Scenario
from bench.scenarios.small import SMALL
from bench.scenarios.start import START
from bench.scenarios.table import TABLE
from bench.scenarios.tls import TLS
from bench.scenarios.upload import UPLOAD

BASELINE = "nginx"

_PEERS: Iterable[Peer] = (
    Nginx(),
    HAProxy(),
    Envoy(),
    Traefik(),
    Caddy(),
    Turnout(),
    Turnout(compiled=True),
)
_SCENARIOS: Iterable[Scenario] = (SMALL, JWT, LARGE, UPLOAD, TLS, IDLE, START, TABLE)
PEERS: Mapping[str, Peer] = {peer.name: peer for peer in _PEERS}
SCENARIOS: Mapping[str, Scenario] = {scenario.name: scenario for scenario in _SCENARIOS}


def choose_peers(only: frozenset[str]) -> list[Peer]:
    """The baseline, then the peers named, or all of them. ValueError on an unknown name."""
    unknown = only - PEERS.keys()
    if unknown:
        raise ValueError(f"no peer is called {min(unknown)}; there are {', '.join(PEERS)}")
    wanted = only or PEERS.keys()
    return [peer for name, peer in PEERS.items() if name == BASELINE or name in wanted]


def choose_scenarios(only: frozenset[str]) -> list[Scenario]:
    """The scenarios named, or all of them. ValueError on an unknown name."""
    unknown = only - SCENARIOS.keys()
    if unknown:
        raise ValueError(f"no scenario is called {min(unknown)}; there are {', '.join(SCENARIOS)}")
    return [scenario for name, scenario in SCENARIOS.items() if not only or name in only]


def self_test_peers() -> list[Peer]:
    """The baseline against itself: the ratio must come out as 1."""
    return [Nginx(), Nginx("nginx-again", "nginx again")]
