"""Judges a turn's history: what failed, what went astray, how long a change took to be true. Pure.

The rule (an ack that means something): a request begun after the ack of a switch, and answered
before the next switch of its tenant is asked for, is answered by the slot that the switch named.
What begins while a switch is under way, or is still under way when the next is asked for, may go
either way and is not judged. That is said of every contender, whatever its ack is.
"""

import math
from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from bench.switch.history import History, Request, Switch
from proxy.routing.model import Slot


@dataclass(frozen=True, slots=True)
class Timing:
    """One switch, in ms from when it was asked for; infinite where it did not come to that.

    acked: the ack, by the asking clock. told: by the contender's own word, if it has one. first: the
    first answer of the new slot. after_ack: from the ack to the first answer of the new slot to a
    request that began after it. true: since when no request was sent to the old slot any more, and
    the ack was there.
    """

    acked: float
    told: float | None
    first: float
    after_ack: float
    true: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a turn came to. judged: requests that the rule speaks of.

    failed: fault → how often. misrouted: judged ones that the wrong slot answered. went_back:
    requests to the old slot that began when the new one had answered (an instant switch without a
    fence allows that before its ack). unacked: switches without an ack.
    """

    requests: int
    judged: int
    failed: Mapping[str, int]
    misrouted: int
    went_back: int
    unacked: int
    timings: Sequence[Timing] = field(repr=False)


class Timeline:
    """The switches that concern one tenant, in order, and the slot before the first."""

    def __init__(self, standing: Slot, switches: Sequence[Switch]) -> None:
        self.standing = standing
        self.switches = switches
        self._asked = [switch.asked for switch in switches]

    def expected(self, request: Request) -> Slot | None:
        """The slot that has to answer the request; None if it is not judged."""
        index = bisect_right(self._asked, request.begun) - 1
        if index >= 0 and self.switches[index].acked > request.begun:
            return None
        if self.next_asked(index) < request.ended:
            return None
        return self.standing if index < 0 else self.switches[index].to

    def next_asked(self, index: int) -> float:
        """When the switch after this one was asked for; infinite after the last."""
        return self._asked[index + 1] if index + 1 < len(self._asked) else math.inf

    def index(self, switch: Switch) -> int:
        """Which of its switches this is."""
        return bisect_left(self._asked, switch.asked)

    def settled_before(self, index: int) -> float:
        """Since when the slot before this switch was settled."""
        return self.switches[index - 1].acked if index else -math.inf


def timelines(history: History) -> dict[str, Timeline]:
    """Tenant → its timeline."""
    return {
        tenant: Timeline(slot, [each for each in history.switches if each.tenant in {None, tenant}])
        for tenant, slot in history.standing.items()
    }


def judge(history: History) -> Verdict:
    """The verdict on a turn."""
    lines = timelines(history)
    expected = [(each, lines[each.tenant].expected(each)) for each in history.requests]
    judged = [(each, slot) for each, slot in expected if slot is not None and not each.fault]
    timings, went_back = _timings(history, lines)
    return Verdict(
        requests=len(history.requests),
        judged=len(judged),
        failed=Counter(each.fault for each in history.requests if each.fault),
        misrouted=sum(each.slot is not slot for each, slot in judged),
        went_back=went_back,
        unacked=sum(not switch.is_acked for switch in history.switches),
        timings=timings,
    )


def _timings(history: History, lines: Mapping[str, Timeline]) -> tuple[list[Timing], int]:
    """Of each acknowledged switch, in order; and how many requests went back."""
    by_tenant: defaultdict[str, list[Request]] = defaultdict(list)
    for request in sorted(history.requests, key=lambda each: each.begun):
        by_tenant[request.tenant].append(request)
    everybody = [each for own in by_tenant.values() for each in own]
    everybody.sort(key=lambda each: each.begun)
    found, went_back = [], 0
    for switch in history.switches:
        if not switch.is_acked:
            continue
        own = everybody if switch.tenant is None else by_tenant[switch.tenant]
        line = lines[switch.tenant or next(iter(lines))]
        timing, back = _timing(line, line.index(switch), own)
        found.append(timing)
        went_back += back
    return found, went_back


def _timing(line: Timeline, index: int, requests: Sequence[Request]) -> tuple[Timing, int]:
    """requests: of those that it moves, in the order in which they began."""
    switch, until = line.switches[index], line.next_asked(index)
    seen = [
        each
        for each in _begun(requests, line.settled_before(index), until)
        if switch.asked <= each.ended < until and not each.fault
    ]
    new = [each for each in seen if each.slot is switch.to]
    first = _first(each.ended for each in new)
    after = _first(each.ended for each in new if each.begun >= switch.acked)
    old = [each for each in seen if each.slot is switch.to.other and each.begun >= switch.asked]
    true = max([switch.acked, *(each.begun for each in old)])
    timing = Timing(
        switch.client_ms,
        switch.ack_ms,
        (first - switch.asked) * 1000,
        (after - switch.acked) * 1000,
        # Without an answer of the new slot nobody knows whether it ever came true.
        (true - switch.asked) * 1000 if math.isfinite(first) else math.inf,
    )
    return timing, sum(each.begun > first for each in old)


def _begun(requests: Sequence[Request], since: float, until: float) -> Sequence[Request]:
    """Those that began in this time."""
    low = bisect_left(requests, since, key=lambda each: each.begun)
    return requests[low : bisect_left(requests, until, key=lambda each: each.begun)]


def _first(times: Iterable[float]) -> float:
    return min(times, default=math.inf)
