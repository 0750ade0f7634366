"""One scenario to be measured, with everything that it takes."""

from collections.abc import Sequence
from dataclasses import dataclass

from bench.machine import Cores
from bench.options import Options
from bench.peers.peer import Peer
from bench.scenarios.scenario import Scenario


@dataclass(frozen=True, slots=True)
class Job:
    """peers: those that are measured, the baseline first where it is among them."""

    scenario: Scenario
    peers: Sequence[Peer]
    cores: Cores
    options: Options

    @property
    def turns(self) -> int:
        """How many turns there will be, a warm-up for each proxy included."""
        count, _ = self.scenario.lasts(self)
        return len(self.peers) * (count + 1)
