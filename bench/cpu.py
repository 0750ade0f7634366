"""CPU time of a proxy: user and system time of all of its processes, from /proc.

/proc/<pid>/stat counts in clock ticks, 10 ms as a rule: 1 % of a one-second round. The kernel's
own sum of the two is kept in nanoseconds, and a process's CPU clock (clock_getcpuclockid(3))
shows it, ended threads included. So the total is read there; the split is read from stat.
"""

import os
import time
from dataclasses import dataclass
from pathlib import Path

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_SCHEDULED_TIME = 2
"""CPUCLOCK_SCHED of the kernel's posix-timers.h: user + system as the scheduler counted it."""


@dataclass(frozen=True, slots=True)
class Stat:
    """What is used of /proc/<pid>/stat. Times in clock ticks since the process began."""

    pid: int
    parent: int
    state: str
    user_ticks: int
    system_ticks: int


@dataclass(frozen=True, slots=True)
class CpuTime:
    """Seconds since the processes began. total is exact; user + system is cut to ticks."""

    total_s: float
    user_s: float
    system_s: float

    def __sub__(self, earlier: "CpuTime") -> "CpuTime":
        return CpuTime(
            self.total_s - earlier.total_s,
            self.user_s - earlier.user_s,
            self.system_s - earlier.system_s,
        )


def parse_stat(text: str) -> Stat:
    """One line of /proc/<pid>/stat, proc(5). ValueError when it is not one.

    The command's name stands in brackets and may itself hold spaces and brackets: the fields
    are counted from the last closing one.
    """
    pid, opened, rest = text.partition(" (")
    _, closed, tail = rest.rpartition(") ")
    fields = tail.split()
    if not opened or not closed or len(fields) < 13:
        raise ValueError("is not a line of /proc/<pid>/stat")
    return Stat(int(pid), int(fields[1]), fields[0], int(fields[11]), int(fields[12]))


def read_stat(pid: int) -> Stat:
    """The process's line. ProcessLookupError when it is gone."""
    try:
        return parse_stat(Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace"))
    except FileNotFoundError:
        raise ProcessLookupError(f"process {pid} is gone") from None


def tree(root: int) -> tuple[int, ...]:
    """The process and all that descend from it, zombies left out, sorted."""
    children: dict[int, list[int]] = {}
    for stat in _all_processes():
        children.setdefault(stat.parent, []).append(stat.pid)
    found, ahead = [], [root]
    while ahead:
        pid = ahead.pop()
        found.append(pid)
        ahead.extend(children.get(pid, ()))
    return tuple(sorted(found))


def _all_processes() -> list[Stat]:
    stats = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stats.append(read_stat(int(entry.name)))
            except ProcessLookupError:
                continue
    return [stat for stat in stats if stat.state != "Z"]


def process_seconds(pid: int) -> float:
    """CPU time of one process, nanosecond steps. ProcessLookupError when it is gone."""
    try:
        # MAKE_PROCESS_CPUCLOCK of posix-timers_types.h; glibc's clock_getcpuclockid does the same.
        return time.clock_gettime_ns((~pid << 3) | _SCHEDULED_TIME) / 1e9
    except OSError:
        raise ProcessLookupError(f"process {pid} is gone") from None


def cpu_time(pids: tuple[int, ...]) -> CpuTime:
    """The sum over these processes. ProcessLookupError when one of them is gone."""
    stats = [read_stat(pid) for pid in pids]
    return CpuTime(
        sum(process_seconds(pid) for pid in pids),
        sum(stat.user_ticks for stat in stats) / TICKS_PER_S,
        sum(stat.system_ticks for stat in stats) / TICKS_PER_S,
    )
