"""What must hold in every history, and the books that it is read from.

In words:
1. **Versions only grow.** A worker never goes back to an older table, whatever Redis lost.
2. **Converged means served.** After somebody was told that a version is served by all, no worker
   decides a request by an older one while its lease runs by its own clock. Where the policy is
   `park`, a worker without a lease decides none at all, but for what it reads in the first turn after it
   stood still. (Where it is `serve`, it goes on by its table: that is the choice.)
3. **The fence holds.** A tenant that is moved by fenced switches alone is never under way on both slots
   at once, as the endpoints see it; and while a switch's step runs, nothing is under way of those
   whom it holds.
4. **Each request is answered once**, parked or not, unless its client left or its worker was
   killed; and reaches at most one endpoint, once. None is refused but for the bounds of parking
   or because its worker has no table yet.
5. **Every switch ends**, once the faults do; nothing is left held.
6. **One of two wins.** Of changes that expect the same version at most one is made; a change that expected
   a version makes the next one.
7. **What is decided is what is served**: within `SETTLES_S` of the end of all faults Redis and every
   worker have PostgreSQL's table.
8. **At most once.** A change with a key is made at most once, each of a switch's changes too, and never both
   commit and release; a step's command runs at most once. Who is told that nothing was changed is
   told the truth, and who is told that a change was made too.

A failover of Redis that loses what was published takes it back until an admin has published it anew. A worker
that was cut off, and gets its lease again just then, believes Redis: 2 is not asked of it until it has a newer
table.

A worker that fell silent as Redis lost all it knew, and that an admin which began since has never heard of,
is known to nobody: 3 is not asked of what it sends on.

A failover of PostgreSQL that loses commits takes back what was said: of those histories 1, 4, 5 and 7 are
asked, and of 6 and 8 what concerns the commits that are left.
"""

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from proxy.routing.model import Slot
from tests.sim.postgres_data import Data
from tests.sim.world import World

SETTLES_S = 8.0
FENCED = ("f1", "f2")
"""Tenants that are moved by fenced switches alone."""
_BOUNDS = frozenset({"parked-too-long", "parking-full", "no-routing-table"})
_NOTHING = frozenset({"nothing", "conflict"})
_HELD_STILL = frozenset({"stepping", "committing"})


@dataclass(eq=False)
class Asked:
    """A request of a client. answers: status and code or slot of each answer. cut: its worker died."""

    name: str
    tenant: str
    began: float
    answers: list[str] = field(default_factory=list)
    left: bool = False
    cut: bool = False

    @property
    def is_over(self) -> bool:
        return bool(self.answers) or self.left or self.cut


@dataclass
class Wished:
    """A change that somebody asked for. outcome: made, unknown, nothing, conflict or empty: none yet.

    unsure: an earlier try under its key may have made it, so that "nothing" is said of the last alone.
    """

    name: str
    expected: int | None
    key: str
    outcome: str = ""
    unsure: bool = False


class Books:
    """All that is written down of one history. violations: which rule was broken, and how."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.violations: list[str] = []
        self.takes_back = False
        self.requests: list[Asked] = []
        self.wishes: list[Wished] = []
        self.converged = 0
        self.counts: Counter[str] = Counter()
        self.step_runs: Counter[str] = Counter()
        self._versions: dict[str, int] = {}
        self._misled: set[str] = set()
        self._under_way: dict[str, tuple[str, Slot, str]] = {}
        self._seen: Counter[str] = Counter()
        self.data = Data()
        self.is_forgotten: Callable[[str], bool] = lambda _: False

    def broken(self, rule: int, how: str) -> None:
        self.world.tell("BOOKS", f"rule {rule} is broken: {how}")
        self.violations.append(f"rule {rule}: {how} (at {self.world.now:.6f})")

    # ── workers ───────────────────────────────────────────────────────────────────────────────

    def takes(self, worker: str, version: int) -> None:
        """A worker decides by this version from now on."""
        before = self._versions.get(worker, 0)
        if version <= before:
            self.broken(1, f"{worker} went from version {before} to {version}")
        self._versions[worker] = version
        if version >= self.converged:
            self._misled.discard(worker)

    def is_renewed(self, worker: str, published: int) -> None:
        """A worker's lease is renewed, by a Redis that has this version."""
        if published < self.converged:
            self._misled.add(worker)

    def decides(self, worker: str, version: int, *, leased: bool, parks: bool, first: bool) -> None:
        """A worker sends a request on. first: in the first turn after it stood still."""
        self.counts["decisions"] += 1
        if self.takes_back or first:
            return
        if worker in self._misled:
            self.counts["decided while Redis had lost a version"] += 1
        elif leased and version < self.converged:
            self.broken(
                2, f"{worker} decided by version {version} after {self.converged} had converged"
            )
        if parks and not leased:
            self.broken(2, f"{worker} decided without a lease, and its policy is to park")

    def tells_converged(self, version: int) -> None:
        """Somebody was told that all serve this version."""
        self.counts["converged"] += 1
        self.converged = max(self.converged, version)

    # ── endpoints ─────────────────────────────────────────────────────────────────────────────

    def reaches(self, request: str, tenant: str, slot: Slot, worker: str) -> None:
        """A request has reached an endpoint."""
        self._seen[request] += 1
        if self._seen[request] > 1:
            self.broken(4, f"request {request} reached an endpoint twice")
        self._under_way[request] = (tenant, slot, worker)
        if self.takes_back:
            return
        if self.is_forgotten(worker):
            self.counts["sent on by a worker that nobody knows of"] += 1
            return
        if tenant in FENCED and any(where is slot.other for _, where in self._counted({tenant})):
            self.broken(3, f"{tenant} is under way on both slots, by {request} on {slot}")
        for name in self._held_by(tenant):
            self.broken(3, f"{request} of {tenant} is under way while {name} holds it still")

    def leaves(self, request: str) -> None:
        """An endpoint has nothing more to do with a request."""
        del self._under_way[request]

    def _counted(self, tenants: Collection[str] | None) -> list[tuple[str, Slot]]:
        """What is under way of these tenants (None: of all), and where."""
        return [
            (request, slot)
            for request, (tenant, slot, worker) in self._under_way.items()
            if (tenants is None or tenant in tenants) and not self.is_forgotten(worker)
        ]

    def _held_by(self, tenant: str) -> list[str]:
        return [
            name
            for name, row in self.data.switches.items()
            if row["state"] in _HELD_STILL
            and (row["tenants"] is None or tenant in row["tenants"])
            and not _made(self.data, name, "switch-commit")
        ]

    # ── the database ──────────────────────────────────────────────────────────────────────────

    def commits(self, data: Data) -> None:
        """PostgreSQL has this now."""
        before, self.data = self.data, data
        for name, row in data.switches.items():
            was = before.switches.get(name)
            if was is not row:
                self._moves(name, row["state"], "" if was is None else was["state"])

    def _moves(self, name: str, state: str, before: str) -> None:
        if state == before:
            return
        self.counts[f"switch {state}"] += 1
        self.world.tell("postgres", f"switch {name} is {state}")
        if state != "stepping" or self.takes_back:
            return
        left = self._counted(self.data.switches[name]["tenants"])
        if left:
            self.broken(3, f"{name} was drained while these were under way: {left}")

    def says_nothing(self, wished: Wished) -> None:
        """Somebody was told that a change was not made."""
        made = any(row["request_id"] == wished.name for row in self.data.audit)
        if made and wished.outcome in _NOTHING and not wished.unsure:
            self.broken(8, f"{wished.name} was answered {wished.outcome}, but was made")

    def runs_step(self, name: str, kind: str) -> None:
        """A switch's step begins, outside."""
        self.step_runs[name] += 1
        if kind == "command" and self.step_runs[name] > 1 and not self.takes_back:
            self.broken(8, f"the command of {name} ran twice")

    # ── the end ───────────────────────────────────────────────────────────────────────────────

    def close(self, data: Data, left: list[str]) -> None:
        """All faults are over, and time enough has passed. left: why the planes don't agree."""
        for reason in left:
            self.broken(7, reason)
        self._close_requests()
        for name, row in data.switches.items():
            if row["state"] not in {"done", "undone"}:
                self.broken(5, f"{name} is still {row['state']}")
        if data.holds or data.head["hold_all"]:
            self.broken(5, f"still held: {dict(data.holds)} {data.head['hold_all']}")
        self._close_changes(data)

    def _close_requests(self) -> None:
        for asked in self.requests:
            code = asked.answers[0] if asked.answers else ""
            self.counts[f"answer {code}" if code else "no answer"] += 1
            if not asked.is_over:
                self.broken(4, f"request {asked.name} of {asked.tenant} was never answered")
            elif len(asked.answers) > 1:
                self.broken(4, f"request {asked.name} was answered {asked.answers}")
            elif code and not code.startswith("200") and code.partition(" ")[2] not in _BOUNDS:
                self.broken(4, f"request {asked.name} was answered {code}")

    def _close_changes(self, data: Data) -> None:
        made: dict[str, list[int]] = {}
        actions: Counter[tuple[str, str]] = Counter()
        for row in data.audit:
            made.setdefault(row["request_id"], []).append(row["version"])
            actions[row["request_id"], row["action"]] += 1
        for wished in self.wishes:
            self._close_wish(wished, made.get(wished.name, []))
        for (name, action), count in actions.items():
            if action.startswith("switch-") and count > 1:
                self.broken(8, f"{action} of {name} was made {count} times")
            if action == "switch-commit" and actions[name, "switch-release"]:
                self.broken(8, f"{name} was committed and released")

    def _close_wish(self, wished: Wished, versions: list[int]) -> None:
        self.counts[f"change {wished.outcome or 'without an answer'}"] += 1
        if len(versions) > 1:
            self.broken(8, f"{wished.name} was made as versions {versions}")
        if versions and wished.expected not in {None, versions[0] - 1}:
            self.broken(6, f"{wished.name} expected {wished.expected}, and made {versions[0]}")
        if versions and wished.outcome in _NOTHING and not wished.unsure:
            self.broken(8, f"{wished.name} was answered {wished.outcome}, but was made")
        if not versions and wished.outcome == "made" and not self.takes_back:
            self.broken(8, f"{wished.name} was answered as made, but is not")

    def summary(self) -> Mapping[str, int]:
        """How often what happened."""
        return dict(sorted(self.counts.items()))


def _made(data: Data, name: str, action: str) -> bool:
    return any(row["request_id"] == name and row["action"] == action for row in data.audit)
