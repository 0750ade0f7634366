"""What the kernel says of the proxy's processes: memory, descriptors, connections."""

import os
import statistics
import time
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

PAGE = os.sysconf("SC_PAGE_SIZE")
TOLERANCE = 0.05
"""How much larger the median of the last fifth may be than that of the second …"""
TOLERANCE_BYTES = 2 << 20
"""… if it is more than this, too: the allocator's grain, and pages shared until written."""
LIFE_S = 60.0
"""Who has been watched for less is not judged."""


@dataclass(slots=True)
class Life:
    """One process. samples: (monotonic seconds, resident bytes, proportional bytes)."""

    pid: int
    role: str
    samples: list[tuple[float, int, int]] = field(default_factory=list)

    def sample(self, at: float) -> bool:
        """Look at it now; whether it is still there."""
        try:
            resident = int(Path(f"/proc/{self.pid}/statm").read_text("utf-8").split()[1]) * PAGE
            share = _pss(self.pid)
        except (OSError, IndexError):
            return False
        if resident:
            self.samples.append((at, resident, share))
        return bool(resident)

    @property
    def watched_s(self) -> float:
        return self.samples[-1][0] - self.samples[0][0] if self.samples else 0.0

    def fifths(self) -> tuple[float, float]:
        """Median resident bytes in the second and in the last fifth of its life."""
        resident = [sample[1] for sample in self.samples]
        return fifths(resident)


def fifths(values: Sequence[float]) -> tuple[float, float]:
    """The medians of the second and of the last fifth of a series of ten or more."""
    fifth = len(values) // 5
    if fifth < 2:
        raise ValueError("too few to compare")
    return statistics.median(values[fifth : 2 * fifth]), statistics.median(values[-fifth:])


def grows(before: float, after: float) -> bool:
    """Whether that is a trend upwards."""
    return after - before > max(TOLERANCE * before, TOLERANCE_BYTES)


def _pss(pid: int) -> int:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text("utf-8").splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return 0


def descriptors(pid: int) -> Counter[str]:
    """Its open descriptors by kind: socket, pipe, anon_inode:…, or a path."""
    kinds: Counter[str] = Counter()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            kinds[str(entry.readlink()).split("[", 1)[0].rstrip(":")] += 1
        except FileNotFoundError:
            continue
    return kinds


def resident(pid: int) -> int:
    """Resident bytes now."""
    return int(Path(f"/proc/{pid}/statm").read_text("utf-8").split()[1]) * PAGE


def clients_of(pid: int, ports: Collection[int]) -> set[tuple[int, int]]:
    """The connections that the process holds: the listening port, one of these, and the client's."""
    inodes = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        target = str(entry.readlink())
        if target.startswith("socket:["):
            inodes.add(target[8:-1])
    found = set()
    for line in Path(f"/proc/{pid}/net/tcp").read_text("utf-8").splitlines()[1:]:
        words = line.split()
        own, other = (int(address.split(":")[1], 16) for address in words[1:3])
        if words[9] in inodes and own in ports and other:
            found.add((own, other))
    return found


def wait_stopped(pid: int) -> None:
    """Wait until it has stopped (SIGSTOP): a millisecond or so."""
    while Path(f"/proc/{pid}/stat").read_text("utf-8").rsplit(")", 1)[1].split()[0] != "T":
        time.sleep(0.001)
