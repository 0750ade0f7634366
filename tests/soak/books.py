"""The books of a soak: what each request's client got, what endpoints saw of it, what is allowed.

Rules:
1. Each request has one record, opened before its first byte is sent and closed with one outcome.
   An endpoint adds a sight when it has read the request's head. Who sees a request without an
   open record has met one that no client sent (or one long over): a complaint.
2. A record is judged once, some time after it was closed, so that a late sight is not missed.
3. Nothing here waits or reads a clock: times (monotonic seconds) are handed in.
"""

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

SETTLE_S = 6.0
"""From a record's end to its judgement."""
LAG_S = 1.0
"""How much of its counting a killed worker may take along: a sweep (250 ms), and its lateness."""
CROSSING_S = 0.2
"""What happens within this time on both sides of the proxy may have crossed."""
MAX_COMPLAINTS = 50
_DOWNS_LOOKED_AT = 20


class Outcome(StrEnum):
    """What became of a request, as its client saw it."""

    ANSWERED = "answered"  # whole, by an endpoint
    REFUSED = "refused"  # by the proxy, with a problem code
    CUT = "cut"  # the connection ended before the answer did
    UNSERVED = "unserved"  # pipelined behind an answer that was the connection's last
    ABANDONED = "abandoned"  # the client left
    LOST = "lost"  # no answer, no end: never allowed


class Plan(StrEnum):
    """What an endpoint does to a request. DOWN: not planned, its endpoint was taken away."""

    NONE = ""
    RESET_BEFORE = "reset before the head"
    RESET_HEAD = "reset within the head"
    RESET_BODY = "reset within the body"
    STALL_HEAD = "stall before the head"
    STALL_BODY = "stall within the body"
    GARBAGE = "garbage"
    EARLY = "early answer"
    CLOSE_IDLE = "close after the answer"
    DOWN = "endpoint down"


NO_BYTE = frozenset({Plan.RESET_BEFORE, Plan.DOWN})
"""After these a repeatable request may be sent a second time (RFC 9110 §9.2.2)."""
CUTTING = frozenset({Plan.RESET_BODY, Plan.STALL_BODY, Plan.DOWN})
STALLING = frozenset({Plan.STALL_HEAD, Plan.STALL_BODY})
HARMLESS = frozenset({Plan.NONE, Plan.EARLY, Plan.CLOSE_IDLE})
CAUSES: dict[str, frozenset[Plan]] = {
    "no-answer": frozenset({Plan.RESET_BEFORE, Plan.RESET_HEAD, Plan.DOWN}),
    "bad-answer": frozenset({Plan.GARBAGE}),
    "answer-timeout": frozenset({Plan.STALL_HEAD}),
    "connect-failed": NO_BYTE,
}
"""The problem codes that an endpoint's fault explains. Others are the client's own doing."""
BAD_TOKEN = "bad-token"
UNSENT = frozenset({"no-answer", "connect-failed"})
"""Codes that need no sight: the endpoint was gone before it read the request."""


@dataclass(slots=True, eq=False)
class Line:
    """A client's connection. ports: the proxy's and its own. killed: its worker was.

    worker: see `Answer.worker`.
    """

    ports: tuple[int, int]
    worker: str = ""
    killed: bool = False


@dataclass(slots=True)
class Sight:
    """A request's head at an endpoint. fault: what was done to it, once it was done. whole: all
    of its answer was written (an endpoint that goes down later may still lose the end of it).
    down_at: when its endpoint went down.
    """

    endpoint: str
    slot: str
    tenant: str
    at: float
    fault: Plan = Plan.NONE
    whole: bool = False
    down_at: float = 0.0


@dataclass(slots=True)
class Record:
    """One request. repeatable: GET without a body. expects: the problem code that the client's
    own conduct asks for. down: some endpoint was, meanwhile. head_sent: whether the head went out whole. upgraded: 101 was seen.
    """

    name: str
    kind: str
    tenant: str
    repeatable: bool
    began: float
    plan: Plan = Plan.NONE
    plan_once: bool = False
    expects: str = ""
    head_sent: bool = True
    upgraded: bool = False
    ended: float = 0.0
    outcome: Outcome | None = None
    status: int = 0
    code: str = ""
    slot: str = ""
    wrong: str = ""
    killed: bool = False
    down: bool = False
    sights: list[Sight] = field(default_factory=list)

    def plan_here(self) -> Plan:
        """What the endpoint that has just seen it shall do."""
        return Plan.NONE if self.plan_once and len(self.sights) > 1 else self.plan


Allowed = Callable[[str, float, float], frozenset[str]]
"""(tenant, from, to) → the slots that a request under way in that time may reach."""


def complaints(record: Record, allowed: Allowed) -> list[str]:
    """What is wrong with a closed record; nothing if the books balance."""
    found = [record.wrong] if record.wrong else []
    found += _sights(record, allowed)
    found += _RULES[record.outcome or Outcome.LOST](record)
    return [f"{record.name} ({record.kind}): {text} {_story(record)}" for text in found]


def _story(record: Record) -> str:
    seen = [
        (each.endpoint, str(each.fault), round(each.at - record.began, 3)) for each in record.sights
    ]
    return (
        f"[{record.outcome} {record.status} {record.code} {record.slot} "
        f"{record.began:.3f} + {record.ended - record.began:.3f} s, plan {record.plan!s}, seen {seen}]"
    )


def _sights(record: Record, allowed: Allowed) -> list[str]:
    found, sights = [], record.sights
    for earlier in sights[:-1]:
        if not record.repeatable:
            found.append("not repeatable, and sent more than once")
        elif earlier.fault not in NO_BYTE:
            found.append("sent again although an answer had begun")
    if len(sights) > 2:
        found.append("sent more than twice")
    for sight in sights:
        if sight.tenant != record.tenant:
            found.append(f"reached its endpoint as {sight.tenant!r}, not {record.tenant!r}")
        if sight.slot not in allowed(record.tenant, record.began, max(record.ended, sight.at)):
            found.append(f"reached {sight.slot}, which was not its slot")
    return found


def _answered(record: Record) -> list[str]:
    if not record.sights:
        return ["answered, and no endpoint saw it"]
    found = []
    if record.slot != record.sights[-1].slot:
        found.append(f"says it was answered by {record.slot}")
    last = record.sights[-1]
    harmless = last.fault in HARMLESS or (last.fault is Plan.DOWN and last.whole)
    if record.expects == BAD_TOKEN:
        found.append("answered, and its token is not good")
    if not harmless and not record.upgraded:
        found.append("looks whole, and its endpoint broke it off")
    return found


def _refused(record: Record) -> list[str]:
    code = record.code
    if code == record.expects:
        sent_on = code == BAD_TOKEN and record.sights
        return ["sent on, and its token is not good"] if sent_on else []
    causes = CAUSES.get(code)
    if causes is None:
        return ["refused for no known reason"]
    if record.sights:
        last = record.sights[-1]
        explained = last.fault in causes or _stalled_until_it_went_down(record, last)
        return [] if explained else ["refused, and its endpoint did nothing"]
    if code == "connect-failed" and not record.down:
        return ["could not be sent, and every endpoint was there"]
    return [] if code in UNSENT else ["refused, and no endpoint saw it"]


def _stalled_until_it_went_down(record: Record, last: Sight) -> bool:
    """Whether it did so in the moment in which the proxy gave up."""
    late = record.ended - last.down_at < CROSSING_S
    return record.plan is Plan.STALL_HEAD and last.fault is Plan.DOWN and late


def _cut(record: Record) -> list[str]:
    ended_by_endpoint = bool(record.sights) and record.sights[-1].fault in CUTTING
    return [] if record.killed or ended_by_endpoint else ["cut for no known reason"]


def _unserved(record: Record) -> list[str]:
    return ["sent on, and never answered"] if record.sights else []


def _abandoned(record: Record) -> list[str]:
    part = record.sights and not record.head_sent
    return ["half a head was sent on"] if part else []


_RULES: dict[Outcome, Callable[[Record], list[str]]] = {
    Outcome.ANSWERED: _answered,
    Outcome.REFUSED: _refused,
    Outcome.CUT: _cut,
    Outcome.UNSERVED: _unserved,
    Outcome.ABANDONED: _abandoned,
    Outcome.LOST: lambda record: ["neither answered nor ended"],
}


class Books:
    """All records of a run, and their sums. allowed: see there."""

    def __init__(self, allowed: Allowed) -> None:
        self.open: dict[str, Record] = {}
        self.lines: dict[tuple[int, int], Line] = {}
        self.complaints: list[str] = []
        self.wrong = 0
        self.sent: Counter[str] = Counter()
        self.outcomes: Counter[str] = Counter()
        self.kinds: Counter[tuple[str, str]] = Counter()
        self.codes: Counter[str] = Counter()
        self.classes: Counter[int] = Counter()
        self.faults: Counter[str] = Counter()
        self.sights = 0
        self.repeated = 0
        self.answers_by_slot: Counter[str] = Counter()
        self.opened_lines = 0
        self.handshakes = 0
        self.cut_handshakes = 0
        self.downs: list[list[float]] = []
        self.certain = 0
        self.uncertain = 0
        self.lagging = 0
        self.killed_lines = 0
        self._allowed = allowed
        self._doomed: set[tuple[int, int]] = set()
        self._closed: deque[Record] = deque()
        self._recent: deque[tuple[float, str]] = deque()

    def complain(self, text: str) -> None:
        """Note what is wrong; the first few in words."""
        self.wrong += 1
        if len(self.complaints) < MAX_COMPLAINTS:
            self.complaints.append(text)

    def open_line(self, ports: tuple[int, int]) -> Line:
        """A client has connected. ports: as in Line."""
        line = self.lines[ports] = Line(ports, killed=ports in self._doomed)
        self._doomed.discard(ports)
        self.opened_lines += 1
        return line

    def shook_hands(self, line: Line, failed: OSError | None) -> None:
        """TLS was agreed on, or not: only because the worker was killed."""
        if failed is None:
            self.handshakes += 1
            return
        del self.lines[line.ports]
        self.cut_handshakes += 1
        if not line.killed:
            self.complain(f"a handshake failed: {failed!r}")

    def start(self, record: Record) -> Record:
        """A request is about to be sent."""
        self.open[record.name] = record
        self.sent[record.kind] += 1
        return record

    def see(self, name: str, sight: Sight) -> Record | None:
        """An endpoint has read a request's head."""
        self.sights += 1
        record = self.open.get(name)
        if record is None:
            self.complain(
                f"{sight.endpoint} saw {name!r}, which no client sent or which is long over"
            )
            return None
        record.sights.append(sight)
        return record

    def close(self, record: Record, outcome: Outcome, line: Line, at: float) -> None:
        """The client is done with it."""
        if record.outcome is not None:
            raise RuntimeError(f"{record.name} is closed twice")
        record.outcome, record.ended, record.killed = outcome, at, line.killed
        record.down = any(
            down <= at and up >= record.began for down, up in self.downs[-_DOWNS_LOOKED_AT:]
        )
        self.outcomes[outcome] += 1
        self.kinds[record.kind, outcome] += 1
        if outcome is Outcome.REFUSED:
            self.codes[record.code] += 1
        if (record.status and outcome in {Outcome.ANSWERED, Outcome.REFUSED}) or record.upgraded:
            self.classes[record.status // 100] += 1
        if outcome is Outcome.ANSWERED:
            self.answers_by_slot[record.slot] += 1
        self._recent.append((at, line.worker))
        while self._recent and self._recent[0][0] < at - 2 * LAG_S:
            self._recent.popleft()
        self._closed.append(record)

    def kill(self, ports: set[tuple[int, int]], at: float) -> None:
        """A worker with these clients was killed: its lines, and what it may not have told."""
        victims = [self.lines[port] for port in ports if port in self.lines]
        # Accepted already, and their clients have not been told that they are connected.
        self._doomed = ports - self.lines.keys()
        workers = {line.worker for line in victims if line.worker}
        for line in victims:
            line.killed = True
        self.lagging += len(victims) + sum(
            when >= at - LAG_S and (not workers or worker in workers or not worker)
            for when, worker in self._recent
        )
        self.killed_lines += len(ports)

    def settle(self, now: float) -> None:
        """Judge what has been closed for long enough."""
        while self._closed and self._closed[0].ended < now - SETTLE_S:
            self._judge(self._closed.popleft())

    def settle_all(self) -> None:
        """Judge everything; what is still open was lost."""
        while self._closed:
            self._judge(self._closed.popleft())
        for record in list(self.open.values()):
            record.outcome = Outcome.LOST
            self._judge(record)

    def _judge(self, record: Record) -> None:
        del self.open[record.name]
        for text in complaints(record, self._allowed):
            self.complain(text)
        for sight in record.sights:
            if sight.fault:
                self.faults[sight.fault] += 1
        self.repeated += len(record.sights) > 1
        if self._counted_surely(record):
            self.certain += 1
        elif record.head_sent and record.outcome is not Outcome.UNSERVED:
            self.uncertain += 1

    @staticmethod
    def _counted_surely(record: Record) -> bool:
        """Whether the proxy must have counted it as finished or as broken off."""
        if record.killed:
            return False
        if record.outcome is Outcome.ABANDONED:
            return bool(record.sights)
        return record.outcome in {Outcome.ANSWERED, Outcome.REFUSED, Outcome.CUT}
