"""What reached this instance: totals by tenant, and a ring of the last requests.

Tests compare a client's count with this one, so each request is counted once, when its head has
been read and before anything can refuse it. Health checks and the /_ pages are counted apart:
whoever watches does not change what is seen.
"""

import time
from collections import Counter, deque
from itertools import islice
from typing import NamedTuple

RING = 10_000
TENANTS = 10_000
NOBODY = "(none)"
OTHERS = "(others)"


class Arrival(NamedTuple):
    """One request; t_monotonic_ns is the machine's CLOCK_MONOTONIC, the same in each process."""

    seq: int
    request_id: str
    tenant: str
    method: str
    path: str
    t_monotonic_ns: int
    slot: str


class Traffic:
    """Counters since start; at most RING arrivals and TENANTS names are remembered."""

    def __init__(self, slot: str) -> None:
        self._slot = slot
        self._ring: deque[Arrival] = deque(maxlen=RING)
        self._by_tenant: Counter[str] = Counter()
        self._seq = 0
        self._probes = 0

    def count_probe(self) -> None:
        """A health check, or a look at these figures."""
        self._probes += 1

    def count(self, request_id: str, tenant: str, method: str, path: str) -> None:
        """A client's request. tenant is NOBODY where it has none that is valid."""
        known = tenant in self._by_tenant or len(self._by_tenant) < TENANTS
        self._by_tenant[tenant if known else OTHERS] += 1
        self._seq += 1
        now = time.monotonic_ns()
        self._ring.append(
            Arrival(self._seq, request_id[:128], tenant, method, path[:512], now, self._slot)
        )

    def totals(self) -> dict[str, object]:
        """{total, by_tenant, probes}: total is the sum of by_tenant."""
        return {"total": self._seq, "by_tenant": dict(self._by_tenant), "probes": self._probes}

    def since(self, seq: int, monotonic_ns: int, limit: int) -> dict[str, object]:
        """The oldest `limit` arrivals after seq and at or after a time.

        next is the seq to ask from again; lost says how many after seq the ring has forgotten.
        """
        oldest = self._ring[0].seq if self._ring else self._seq + 1
        fresh = (a for a in self._ring if a.seq > seq and a.t_monotonic_ns >= monotonic_ns)
        items = [arrival._asdict() for arrival in islice(fresh, limit)]
        after = items[-1]["seq"] if items else self._seq
        return {"items": items, "next": after, "lost": max(0, oldest - seq - 1)}
