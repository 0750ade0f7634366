"""What a history tells once its lines are held beside each other: tables, times, who is who.

Pure. Rules: what is promised is judged by the earliest moment at which it can hold, and what is
excused by the latest. A version can't have been decided before its call was made; and versions
are decided one after the other, so nor before the calls of those below it.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace

from proxy.routing.change import Change, apply
from proxy.routing.codec import decode_operations
from proxy.routing.decision import routed
from proxy.routing.model import RoutingTable
from tests.history.record import (
    FAIL,
    Changed,
    Fault,
    History,
    Request,
    Sample,
    Served,
    Version,
    Worker,
)


class Facts:
    """See the module. begun: version → the earliest moment at which it can have been decided.

    commits: switch → the version that moved its tenants.
    """

    def __init__(self, history: History) -> None:
        self.history = history
        self.plan = history.plan
        self.changes = history.all(Changed)
        self.requests = history.all(Request)
        self.served = history.all(Served)
        self.faults = history.all(Fault)
        self.versions = sorted(history.all(Version), key=lambda each: each.version)
        self.tries: defaultdict[str, list[Changed]] = defaultdict(list)
        for each in self.changes:
            self.tries[each.op].append(each)
        self.calls = {op: tries[0] for op, tries in self.tries.items()}
        self.workers = {each.prefix: each for each in history.all(Worker)}
        self.made: defaultdict[str, list[Version]] = defaultdict(list)
        for version in self.versions:
            self.made[version.author].append(version)
        self.tables = _tables(self.versions)
        self.numbers = sorted(self.tables)
        self.begun = self._begun()
        self.commits = _commits(self.versions)
        self._samples: defaultdict[int, list[Sample]] = defaultdict(list)
        for sample in history.all(Sample):
            self._samples[sample.pid].append(sample)
        self._acks = [each for each in self.changes if each.converged]
        self._acks.sort(key=lambda each: each.ended)

    def _begun(self) -> dict[int, float]:
        begun, latest = {}, float("-inf")
        for each in self.versions:
            call = self.calls.get(each.author)
            latest = max(latest, call.began if call else latest)
            begun[each.version] = latest
        return begun

    # ── what is promised ──────────────────────────────────────────────────────────────────────

    def least(self, request: Request) -> int:
        """The version below which this request must not be decided; 0: nothing is promised.

        A worker never goes back behind what it said. What was acknowledged binds the workers that
        were named; and all others too that wait without a lease ("park").
        """
        worker = self.workers.get(request.worker)
        parks = self.plan.policies.get(request.node) == "park"
        least = 0
        for ack in self._acks:
            if ack.ended > request.began:
                break
            if parks or (worker is not None and pid_in(ack.acked, worker)):
                least = max(least, ack.version)
        if worker is not None:
            said = [
                each.version for each in self.samples(worker.pid) if each.ended <= request.began
            ]
            least = max([least, *said[-1:]])
        return least

    def latest(self, moment: float) -> int:
        """The highest version that may have been decided before this moment."""
        return max((v for v in self.numbers if self.begun.get(v, 0.0) < moment), default=0)

    def slots(self, tenant: str, least: int, latest: int) -> set[str]:
        """Where the tables from one version to another send this tenant, held ones left out."""
        first = max(bisect_right(self.numbers, least) - 1, 0)
        tables = (self.tables[v] for v in self.numbers[first:] if v <= latest)
        return {str(routed(table, tenant).slot) for table in tables if not table.held_by(tenant)}

    def slot_at(self, tenant: str, version: int) -> str:
        """Where this table sends the tenant, held or not."""
        return str(routed(self.tables[version], tenant).slot)

    def samples(self, pid: int) -> list[Sample]:
        """What was heard of a worker, in order."""
        return self._samples[pid]

    @property
    def pids(self) -> list[int]:
        """All workers that were heard of."""
        return sorted(self._samples)

    # ── what is excused ───────────────────────────────────────────────────────────────────────

    def faults_at(
        self, began: float, ended: float, node: str = "", after_s: float = 0.0
    ) -> list[Fault]:
        """The faults that meet this time, or ended up to so many seconds before it."""
        return [
            fault
            for fault in self.faults
            if fault.began <= ended
            and began <= fault.ended + after_s
            and (not node or node in fault.nodes)
        ]

    def committed(self, call: Changed) -> list[Version]:
        """The versions by which the record has the call's own change."""
        return [each for each in self.made[call.op] if not _is_beside(each.action)]

    def was_refused(self, call: Changed) -> bool:
        """Whether its answers say, each time that it was tried, that nothing was changed."""
        return all(each.outcome == FAIL for each in self.tries[call.op])


def pid_in(names: Iterable[str], worker: Worker) -> bool:
    """Whether one of these names of workers, `node/pid.token`, is this one's."""
    return any(name.startswith(f"{worker.node}/{worker.pid}.") for name in names)


def pid_of(name: str) -> int:
    """The process of a worker by its name; 0 for another's form."""
    number = name.rpartition("/")[2].partition(".")[0]
    return int(number) if number.isdigit() else 0


def _is_beside(action: str) -> bool:
    """A switch's hold and release move nobody."""
    return action in {"switch-hold", "switch-release"}


def _tables(versions: Iterable[Version]) -> dict[int, RoutingTable]:
    """All tables that there were, by their version; 0: the empty one."""
    table = RoutingTable()
    tables = {0: table}
    for each in versions:
        if each.operations:
            operations = decode_operations(list(each.operations))
            table = apply(
                replace(table, version=each.version - 1), Change(each.version, operations)
            )
        else:
            table = replace(table, version=each.version)
        tables[each.version] = table
    return tables


def _commits(versions: Iterable[Version]) -> dict[str, Version]:
    """Each fenced switch's commit, by its name: it lets go what the hold of that name held."""
    return {
        operation["switch"]: each
        for each in versions
        if each.action == "switch-commit"
        for operation in each.operations
        if operation["op"] == "release"
    }
