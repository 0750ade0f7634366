"""What is known of the fleet, from two sources: the registry as read, and news as it comes.

Pure: time is passed in (seconds, monotonic). Rules:
1. News is newer than a reading that was asked for before it came.
2. A worker's version never goes down, and a worker that said goodbye is gone: names are
   unique for each start.
3. A worker is given up only by a reading of the registry that says that its lease is over, or
   that doesn't know it, and only once its lease, as last heard, would be over. So a registry that was
   emptied, or that forgot the last renewals (a failover), makes nobody vanish who may still serve an
   old table.
4. Who is given up without a goodbye is silent, and may still serve: as long as the registry knows
   it, and if it has lost it, for as long as it would have.
"""

from dataclasses import asdict, dataclass
from typing import Any

from admin.routing.publish import Lease, Snapshot
from proxy.routing.ack import WorkerStatus

DEFAULT_LEASE_S = 3.0
"""What a worker's lease is taken for until the registry has told."""
FORGET_S = 60.0
"""How long a worker is remembered that fell silent, unless the settings say."""
FAREWELL_S = 60.0
MAX_FAREWELLS = 10_000

Event = tuple[str, dict[str, Any]]


@dataclass(slots=True)
class Member:
    """A worker that counts. ends: when its lease ends. heard: when it last spoke itself."""

    status: WorkerStatus
    ends: float
    heard: float
    lease_s: float = DEFAULT_LEASE_S


@dataclass(frozen=True, slots=True)
class Silent:
    """What a worker last said, and when its lease ended."""

    status: WorkerStatus
    since: float


class FleetView:
    """The workers that are waited for.

    forget_s: how long a worker is remembered whose lease is over.
    """

    def __init__(self, forget_s: float = FORGET_S) -> None:
        self._forget_s = forget_s
        self._silent: dict[str, Silent] = {}
        self._members: dict[str, Member] = {}
        self._farewells: dict[str, float] = {}

    def __repr__(self) -> str:
        members = ", ".join(f"{w}@{m.status.version}" for w, m in sorted(self._members.items()))
        return f"<FleetView {members or 'empty'}>"

    @property
    def silent(self) -> tuple[WorkerStatus, ...]:
        """What those last said whose lease is over without a goodbye: they may still serve.

        By the registry: who was heard since it forgot renewals counts as well.
        """
        return tuple(each.status for each in self._silent.values())

    def live(self) -> list[WorkerStatus]:
        """What the workers that count last said."""
        return [member.status for member in self._members.values()]

    def ends(self, workers: tuple[str, ...]) -> float:
        """When the first of these leases ends, as far as known; infinity without any."""
        members = self._members
        return min((members[w].ends for w in workers if w in members), default=float("inf"))

    def hear(self, status: WorkerStatus, now: float) -> list[Event]:
        """A worker has spoken."""
        if status.state == "gone":
            self._part(status.worker, now)
            return [("worker", asdict(status))]
        if status.worker in self._farewells:
            return []
        known = self._members.get(status.worker)
        lease_s = known.lease_s if known else DEFAULT_LEASE_S
        events = self._take(status, now + lease_s)
        self._members[status.worker].heard = now
        return events

    def read(self, snapshot: Snapshot, now: float) -> list[Event]:
        """The registry was read, after all earlier readings."""
        events: list[Event] = []
        for status in snapshot.departed:
            if status.worker in self._members or status.worker in self._silent:
                events += self.hear(status, now)
        for lease in snapshot.leases:
            if lease.worker in self._farewells:
                continue
            member = self._members.get(lease.worker)
            if lease.remaining_ms <= 0:
                if member is None or member.heard <= snapshot.asked:
                    over = now + lease.remaining_ms / 1000
                    self._silent[lease.worker] = Silent(lease.status, over)
            else:
                events += self._take(lease.status, now + lease.remaining_ms / 1000)
                member = self._members[lease.worker]
                member.lease_s = max(member.lease_s, lease.remaining_ms / 1000)
        events += self._give_up(snapshot.leases, snapshot.asked, now)
        self._forget(now)
        return events

    def _forget(self, now: float) -> None:
        """Those who have been silent for long."""
        for worker, silent in list(self._silent.items()):
            if silent.since <= now - self._forget_s:
                del self._silent[worker]

    def _take(self, status: WorkerStatus, ends: float) -> list[Event]:
        self._silent.pop(status.worker, None)
        member = self._members.get(status.worker)
        if member is None:
            self._members[status.worker] = Member(status, ends, float("-inf"))
            return [("worker", asdict(status))]
        member.ends = max(member.ends, ends)
        before = member.status
        if status.version < before.version:
            return []
        member.status = status
        told = (status.version, status.state, status.error)
        if told == (before.version, before.state, before.error):
            return []
        return [("worker", asdict(status))]

    def _give_up(self, leases: tuple[Lease, ...], asked: float, now: float) -> list[Event]:
        remaining = {lease.worker: lease.remaining_ms for lease in leases}
        events: list[Event] = []
        for worker, member in list(self._members.items()):
            left = remaining.get(worker)
            is_over = (left is None or left <= 0) and member.ends <= now
            if is_over and member.heard <= asked:
                del self._members[worker]
                self._silent.setdefault(worker, Silent(member.status, member.ends))
                events.append(("worker-lost", {"worker": worker}))
        return events

    def _part(self, worker: str, now: float) -> None:
        self._members.pop(worker, None)
        self._silent.pop(worker, None)
        self._farewells[worker] = now
        for name, at in list(self._farewells.items()):
            if at > now - FAREWELL_S and len(self._farewells) <= MAX_FAREWELLS:
                break
            del self._farewells[name]
