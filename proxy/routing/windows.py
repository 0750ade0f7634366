"""What a node served in one second, as it lies in Redis, and what is to be read from it.

Where: one stream for all nodes, an entry for each window. A stream and not a key for each second:
who reads goes on from the entry that it read last and misses none that comes late; two windows of one
node and second (of two programs during an upgrade, of two hosts of one name) stand side by side and
add up instead of taking each other's place; and one command reads many seconds. Entries are cut off
at the old end as new ones come, and the key expires as a whole once nobody tells any more.

Rules:
1. Windows end at whole seconds of Redis' clock, so that those of several nodes are of the same time.
   Workers publish their counters four times a second: an answer may be in the window after its own,
   if it came in the last 250 ms. Edges are off by no more, unless a worker's loop stands still; sums are exact.
2. A window is told at most once: what may have been told isn't told again. One that is lost (Redis
   away or slow, the teller killed) is missing, and what it had counted is in no other.
3. A node tells a window each second, an empty one too. So no window means that nothing is known of
   that node and second, and a window without figures means that nothing was served.
4. A window that is told late (the teller was held up) covers all the time since the one before:
   `second` is the last that it covers, `lasted_ms` says how long it is. A short one is a teller's
   first or last.
5. What isn't a window in all its parts is refused (ContractError): nothing of it is believed.
   Windows aren't signed; who may write to Redis may forge them.

What a group counts: a slot's requests by cohort. A cohort says why a request was there:

    pilot   its tenant is pinned to this slot: on standby the pilots; on the active slot those who are kept
            back, and pilots of a release that is through
    canary  a canary drew it (its tenant, session or request), to what was standby then
    rest    all others: on the active slot everybody else, on standby who is bound there by an affinity

What is the slot's and not a request's is in its group `rest`: connect_failures, retries,
endpoint_connections, eligible, endpoints. `of_slot` adds the three up. A request counts when it ends, where
it was sent: after a cutover those that were under way still count for the slot that they had. What the proxy
answered before it had chosen a slot is in no group.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate
from math import ceil
from operator import attrgetter
from typing import Any, Final

from proxy.routing.ack import MAX_NODE
from proxy.routing.change import ContractError
from proxy.routing.model import Slot, is_tenant

COHORTS: Final = ("rest", "canary", "pilot")
BOUNDS_US: Final = (
    *(500, 1_000, 2_000, 3_000, 5_000, 7_500, 10_000, 15_000, 25_000, 50_000),
    *(100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000, 10_000_000),
)
"""Upper bounds of the latency histogram, in microseconds; one more bucket is open above."""
MAX_TENANTS: Final = 200
"""Tenants that one window names."""
MAX_BYTES: Final = 65_536
"""Of a window's written form."""
MAX_LATE_S: Final = 120
"""So much later than its second a window may come; after that it isn't believed."""
MAX_LASTED_MS: Final = 3_600_000
"""So long a window covers at most; a teller that was held up for longer says no more."""
FIELD: Final = b"window"
"""An entry's only field."""
_VERSION: Final = 1
_CLASSES: Final = 5
_MAX_COUNT: Final = 2**53
_MAX_SECOND: Final = 10**11
_NO_STATUSES: Final = (0,) * _CLASSES
_NO_BUCKETS: Final = (0,) * (len(BOUNDS_US) + 1)

Group = tuple[Slot, str]
"""A slot and a cohort of COHORTS."""


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one group. Counts are of what ended in that time, gauges as of its end.

    requests: answers, the sum of statuses; an upgrade counts once, as 1xx, when it is made. statuses: 1xx to 5xx;
    what the proxy answered in the slot's place (502, 503, 504) too. connect_failures: connections to an
    endpoint that could not be made. aborted: exchanges that broke off, which have no status and aren't
    requests: the client left, or the answer broke off. broken: the latter alone. retries: requests sent a second time.
    latency_us: of all requests together, from the head to the answer's end, and buckets: how many took how long, by
    BOUNDS_US. Gauges: in_flight, endpoint_connections, tunnels; eligible, endpoints: once for each worker.
    """

    requests: int = 0
    statuses: tuple[int, ...] = _NO_STATUSES
    connect_failures: int = 0
    aborted: int = 0
    retries: int = 0
    latency_us: int = 0
    buckets: tuple[int, ...] = _NO_BUCKETS
    in_flight: int = 0
    endpoint_connections: int = 0
    tunnels: int = 0
    eligible: int = 0
    endpoints: int = 0
    broken: int = 0

    def __add__(self, other: "Figures") -> "Figures":
        """Both together, of one time: gauges are added up too."""
        return added((self, other))

    def __bool__(self) -> bool:
        """Whether there is anything in it."""
        return self != NOTHING

    @property
    def failures(self) -> int:
        """Answers of 500 and above."""
        return self.statuses[4]


GAUGES: Final = ("in_flight", "endpoint_connections", "tunnels", "eligible", "endpoints")
NOTHING: Final = Figures()
_ROW: Final = (*("connect_failures", "aborted", "broken", "retries", "latency_us"), *GAUGES)
"""The single numbers of a written group, after its statuses and before its buckets."""
_ROW_LENGTH: Final = _CLASSES + len(_ROW) + len(_NO_BUCKETS)
_SINGLE: Final[Callable[[Figures], tuple[int, ...]]] = attrgetter("requests", *_ROW)


def added(figures: Iterable[Figures]) -> Figures:
    """All of them together, of one time: gauges are added up too."""
    several = tuple(figures)
    if len(several) < 2:
        return several[0] if several else NOTHING
    singles = map(sum, zip(*map(_SINGLE, several), strict=True))
    return Figures(
        statuses=tuple(map(sum, zip(*(each.statuses for each in several), strict=True))),
        buckets=tuple(map(sum, zip(*(each.buckets for each in several), strict=True))),
        **dict(zip(("requests", *_ROW), singles, strict=True)),
    )


@dataclass(frozen=True, slots=True)
class TenantFigures:
    """Of one tenant: answers, those of 500 and above, how long they took together (µs).

    green: the same three, of those that the slot green served. Never too high; of tenants that a
    window doesn't name, or that a worker had left out of its summary meanwhile, it lacks some.
    What broke off is not in it.
    """

    requests: int = 0
    failures: int = 0
    micros: int = 0
    green: tuple[int, int, int] = (0, 0, 0)

    def __add__(self, other: "TenantFigures") -> "TenantFigures":
        """Both together."""
        return tenant_added((self, other))

    def of(self, slot: Slot) -> "TenantFigures":
        """The part that a slot served."""
        requests, failures, micros = self.green
        if slot is Slot.GREEN:
            return TenantFigures(requests, failures, micros, self.green)
        return TenantFigures(
            self.requests - requests, self.failures - failures, self.micros - micros
        )


_OF_TENANT: Final[Callable[[TenantFigures], tuple[int, int, int]]] = attrgetter(
    "requests", "failures", "micros"
)


@dataclass(frozen=True, slots=True)
class Window:
    """One second of one node. second: POSIX, by Redis' clock. Groups without figures are left out.

    tenants: at most MAX_TENANTS, those with failures first, then the busiest.
    """

    second: int
    node: str
    groups: Mapping[Group, Figures] = field(default_factory=dict)
    tenants: Mapping[str, TenantFigures] = field(default_factory=dict)
    lasted_ms: int = 1_000

    def of_slot(self, slot: Slot) -> Figures:
        """All cohorts of a slot together."""
        return _of_slot(self.groups, slot)


@dataclass(frozen=True, slots=True)
class Total:
    """Windows added up: counts over all of them, gauges of each node's last.

    windows: how many. nodes: who told them. told_ms: the time that they cover, of all nodes
    together: figures per second and node are theirs by it.
    """

    windows: int
    nodes: frozenset[str]
    told_ms: int
    groups: Mapping[Group, Figures]
    tenants: Mapping[str, TenantFigures]

    def of_slot(self, slot: Slot) -> Figures:
        """All cohorts of a slot together."""
        return _of_slot(self.groups, slot)


def _of_slot(groups: Mapping[Group, Figures], slot: Slot) -> Figures:
    return added(groups[slot, cohort] for cohort in COHORTS if (slot, cohort) in groups)


def add_up(windows: Iterable[Window], *, of_tenants: bool = True) -> Total:
    """Over nodes and seconds, in whatever order they come. of_tenants: theirs too.

    An hour of one node takes some 20 ms, with 50 tenants in each window some 300.
    """
    groups: defaultdict[Group, list[Figures]] = defaultdict(list)
    tenants: defaultdict[str, list[TenantFigures]] = defaultdict(list)
    last: dict[str, Window] = {}
    count = told_ms = 0
    for window in windows:
        count += 1
        told_ms += window.lasted_ms
        before = last.get(window.node)
        if before is None or window.second >= before.second:
            last[window.node] = window
        for group, figures in window.groups.items():
            groups[group].append(figures)
        for tenant, of_tenant in window.tenants.items() if of_tenants else ():
            tenants[tenant].append(of_tenant)
    return Total(
        count,
        frozenset(last),
        told_ms,
        {group: _over_time(group, each, last.values()) for group, each in groups.items()},
        {tenant: tenant_added(each) for tenant, each in tenants.items()},
    )


def _over_time(group: Group, figures: list[Figures], last: Iterable[Window]) -> Figures:
    """The counts of all, the gauges of the last windows."""
    at_end = added(window.groups[group] for window in last if group in window.groups)
    return replace(added(figures), **{name: getattr(at_end, name) for name in GAUGES})


def tenant_added(figures: Sequence[TenantFigures]) -> TenantFigures:
    """One tenant's, all of them together."""
    if len(figures) == 1:
        return figures[0]
    requests, failures, micros = map(sum, zip(*map(_OF_TENANT, figures), strict=True))
    green = tuple(map(sum, zip(*(each.green for each in figures), strict=True)))
    return TenantFigures(requests, failures, micros, (green[0], green[1], green[2]))


def by_second(windows: Iterable[Window]) -> dict[int, list[Window]]:
    """The windows of each second of which there are any, the oldest first."""
    found: dict[int, list[Window]] = {}
    for window in windows:
        found.setdefault(window.second, []).append(window)
    return dict(sorted(found.items()))


def quantile(buckets: Sequence[int], share: float) -> tuple[int, int | None] | None:
    """Between what bounds (µs) a quantile lies: above the first, at most the second.

    share: above 0, at most 1: at least so large a share of the requests took no longer. The
    second is None in the bucket that is open above. None without requests.
    """
    total = sum(buckets)
    if not total:
        return None
    rank = max(1, ceil(total * share - 1e-9))
    place = next(index for index, below in enumerate(accumulate(buckets)) if below >= rank)
    lower = BOUNDS_US[place - 1] if place else 0
    return lower, BOUNDS_US[place] if place < len(BOUNDS_US) else None


# ── the written form ──────────────────────────────────────────────────────────────────────────


def encode(window: Window) -> bytes:
    """The window's written form."""
    document = {
        "v": _VERSION,
        "second": window.second,
        "node": window.node,
        "lasted_ms": window.lasted_ms,
        "groups": {
            f"{slot}/{cohort}": _row(figures)
            for (slot, cohort), figures in window.groups.items()
            if figures
        },
        "tenants": {
            tenant: [each.requests, each.failures, each.micros, *each.green]
            for tenant, each in window.tenants.items()
        },
    }
    return json.dumps(document, separators=(",", ":")).encode()


def decode(body: bytes, arrived_s: int | None = None) -> Window:
    """The window from its written form. ContractError: it is none, or one of another version.

    arrived_s: the second in which it came, by the same clock: one that claims a second which was not
    over then, or too long over, is refused.
    """
    if len(body) > MAX_BYTES:
        raise ContractError("a window is too large")
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        raise ContractError("a window is not JSON") from None
    if not isinstance(document, dict) or repr(document.get("v")) != str(_VERSION):
        raise ContractError("not a window of this version")
    if document.keys() != {"v", "second", "node", "lasted_ms", "groups", "tenants"}:
        raise ContractError("a window lacks a part, or has one that is not its own")
    second, node, lasted_ms = document["second"], document["node"], document["lasted_ms"]
    if not _is_count(second) or second > _MAX_SECOND:
        raise ContractError("a window has a bad second")
    if not _is_count(lasted_ms) or lasted_ms > MAX_LASTED_MS:
        raise ContractError("a window has a bad length")
    if arrived_s is not None and not 0 <= arrived_s - second <= MAX_LATE_S:
        raise ContractError("a window came when it could not")
    if not isinstance(node, str) or not 0 < len(node) <= MAX_NODE or not node.isprintable():
        raise ContractError("a window has a bad node")
    groups = _groups(document["groups"])
    return Window(second, node, groups, _tenants(document["tenants"]), lasted_ms)


def _row(figures: Figures) -> list[int]:
    return [
        *figures.statuses,
        *(getattr(figures, name) for name in _ROW),
        *figures.buckets,
    ]


_GROUPS: Final = {f"{slot}/{cohort}": (slot, cohort) for slot in Slot for cohort in COHORTS}


def _groups(document: Any) -> dict[Group, Figures]:
    if not isinstance(document, dict) or not document.keys() <= _GROUPS.keys():
        raise ContractError("a window has bad groups")
    return {_GROUPS[name]: _figures(row) for name, row in document.items()}


def _figures(row: Any) -> Figures:
    if not isinstance(row, list) or len(row) != _ROW_LENGTH or not _are_counts(row):
        raise ContractError("a window has bad figures")
    statuses, singles, buckets = (
        tuple(row[:_CLASSES]),
        row[_CLASSES : -len(_NO_BUCKETS)],
        tuple(row[-len(_NO_BUCKETS) :]),
    )
    named = dict(zip(_ROW, singles, strict=True))
    if named["broken"] > named["aborted"]:
        raise ContractError("a window has bad figures")
    return Figures(requests=sum(statuses), statuses=statuses, buckets=buckets, **named)


def _tenants(document: Any) -> dict[str, TenantFigures]:
    if not isinstance(document, dict) or len(document) > MAX_TENANTS:
        raise ContractError("a window has bad tenants")
    return {tenant: _tenant(tenant, row) for tenant, row in document.items()}


def _tenant(tenant: str, row: Any) -> TenantFigures:
    if not is_tenant(tenant) or not isinstance(row, list) or len(row) != 6:
        raise ContractError("a window has a bad tenant")
    if not _are_counts(row):
        raise ContractError("a window has a bad tenant's figures")
    requests, failures, micros, green, green_failed, green_micros = row
    within = green <= requests and green_failed <= failures and green_micros <= micros
    # Each slot failed no more than it was asked.
    if not within or green_failed > green or failures - green_failed > requests - green:
        raise ContractError("a window has a bad tenant's figures")
    return TenantFigures(requests, failures, micros, (green, green_failed, green_micros))


def _are_counts(row: list[Any]) -> bool:
    """Whether all of them are; of hundreds in each window."""
    return set(map(type, row)) == {int} and min(row) >= 0 and max(row) < _MAX_COUNT


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value < _MAX_COUNT
