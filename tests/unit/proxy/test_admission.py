"""Who may be under way and who waits: bounds, turns, and that nobody is forgotten."""

from collections import defaultdict, deque
from itertools import cycle, islice

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from proxy.upstream.admission import (
    ADMITTED,
    QUEUE_FULL,
    TENANT_BUSY,
    WAIT,
    Admission,
    AdmissionLimits,
    Place,
)


class Nobody:
    """Who waits, where nobody is told."""

    def turn(self) -> None: ...
    def waited_too_long(self) -> None: ...


def admission(slot: int = 0, tenant: int = 0, queue: int = 9, tenant_queue: int = 0) -> Admission:
    limits = AdmissionLimits(slot=slot, tenant=tenant, queue=queue, tenant_queue=tenant_queue)
    return Admission(limits)


def place(tenant: bytes, until: float = 0.0) -> Place:
    return Place(Nobody(), tenant, until)


def stand(line: Admission, tenants: str) -> dict[Place, str]:
    """One of each of these tenants stands in line, in this order."""
    places = {place(tenant.encode()): tenant for tenant in tenants}
    for each in places:
        assert line.wait(each) == WAIT
    return places


def turns(line: Admission, places: dict[Place, str]) -> str:
    return "".join(places[line.next()] for _ in range(line.waiting))


def test_without_limits_everybody_is_let_in() -> None:
    line = admission()
    assert {line.admit(b"a") for _ in range(10_000)} == {ADMITTED}
    for _ in range(10_000):
        line.leave(b"a")
    assert line.counts_nobody


def test_a_tenant_gets_no_more_than_its_limit_and_others_theirs() -> None:
    line = admission(tenant=2)
    assert [line.admit(b"a") for _ in range(3)] == [ADMITTED, ADMITTED, TENANT_BUSY]
    assert line.admit(b"b") == ADMITTED
    line.leave(b"a")
    assert line.admit(b"a") == ADMITTED


def test_who_waits_counts_for_its_tenant() -> None:
    line = admission(slot=1, tenant=2)
    assert line.admit(b"a") == ADMITTED
    assert line.admit(b"a") == WAIT
    waiting = place(b"a")
    assert line.wait(waiting) == WAIT
    assert line.admit(b"a") == TENANT_BUSY
    line.give_up(waiting)
    assert line.admit(b"a") == WAIT


def test_nobody_overtakes_who_waits() -> None:
    line = admission(slot=1)
    line.admit(b"a")
    stand(line, "b")
    line.leave(b"a")
    assert line.has_room
    assert line.admit(b"c") == WAIT


def test_the_line_is_bounded_as_a_whole_and_for_each_tenant() -> None:
    line = admission(queue=3, tenant_queue=2)
    stand(line, "aa")
    assert line.wait(place(b"a")) == TENANT_BUSY
    stand(line, "b")
    assert line.wait(place(b"c")) == QUEUE_FULL
    assert line.waiting == 3


def test_without_a_queue_nobody_waits() -> None:
    assert admission(queue=0).wait(place(b"a")) == QUEUE_FULL


@pytest.mark.parametrize(
    ("arrivals", "order"),
    [
        ("aaa", "aaa"),
        ("aaaab", "abaaa"),
        ("aaabbc", "abcaba"),
        ("abcabc", "abcabc"),
        ("baaa", "baaa"),
    ],
)
def test_turns_go_round_the_tenants(arrivals: str, order: str) -> None:
    line = admission(slot=1)
    places = stand(line, arrivals)
    assert turns(line, places) == order


def test_a_tenant_is_served_in_order_of_arrival() -> None:
    line = admission()
    own = [place(b"a") for _ in range(5)]
    for each in own:
        line.wait(each)
    line.give_up(own[2])
    assert [line.next() for _ in range(4)] == [own[0], own[1], own[3], own[4]]


def test_who_has_waited_longest_is_known() -> None:
    line = admission()
    first, second, third = place(b"a"), place(b"b"), place(b"a")
    for each in (first, second, third):
        line.wait(each)
    assert line.first() is first
    line.give_up(first)
    assert line.first() is second
    line.next()
    assert line.first() in {second, third}


def test_a_tenant_that_floods_the_line_waits_for_itself() -> None:
    line = admission(slot=1, queue=1_000)
    stand(line, "x" * 500)
    late = stand(line, "abc")
    let_in = [line.next() for _ in range(8)]
    assert [late.get(each, "x") for each in let_in] == list("xabcxxxx")


class Line(RuleBasedStateMachine):
    """Against a model: lists, walked from end to end."""

    SLOT, TENANT, QUEUE, TENANT_QUEUE = 3, 4, 6, 3

    def __init__(self) -> None:
        super().__init__()
        self.line = admission(self.SLOT, self.TENANT, self.QUEUE, self.TENANT_QUEUE)
        self.under_way: list[bytes] = []
        self.waiting: list[Place] = []
        self.ring: deque[bytes] = deque()

    def of(self, tenant: bytes) -> int:
        waits = sum(each.tenant == tenant for each in self.waiting)
        return self.under_way.count(tenant) + waits

    @rule(tenant=st.sampled_from([b"", b"a", b"b", b"c"]))
    def arrive(self, tenant: bytes) -> None:
        verdict = self.line.admit(tenant)
        if self.of(tenant) >= self.TENANT:
            assert verdict == TENANT_BUSY
        elif self.waiting or len(self.under_way) >= self.SLOT:
            assert verdict == WAIT
            self.stand(tenant)
        else:
            assert verdict == ADMITTED
            self.under_way.append(tenant)

    def stand(self, tenant: bytes) -> None:
        new = place(tenant)
        own = sum(each.tenant == tenant for each in self.waiting)
        verdict = self.line.wait(new)
        if len(self.waiting) >= self.QUEUE:
            assert verdict == QUEUE_FULL
        elif own >= self.TENANT_QUEUE:
            assert verdict == TENANT_BUSY
        else:
            assert verdict == WAIT
            self.waiting.append(new)
            if not own:
                self.ring.append(tenant)

    @precondition(lambda self: self.under_way)
    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        tenant = data.draw(st.sampled_from(self.under_way))
        self.under_way.remove(tenant)
        self.line.leave(tenant)

    @precondition(lambda self: self.under_way)
    @rule(data=st.data())
    def find_no_connection(self, data: st.DataObject) -> None:
        """Let in, and then all connections were in use: back into the line."""
        tenant = data.draw(st.sampled_from(self.under_way))
        self.under_way.remove(tenant)
        self.line.leave(tenant)
        self.stand(tenant)

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def go_away(self, data: st.DataObject) -> None:
        gone = data.draw(st.sampled_from(self.waiting))
        self.waiting.remove(gone)
        if all(each.tenant != gone.tenant for each in self.waiting):
            self.ring.remove(gone.tenant)
        self.line.give_up(gone)

    @precondition(lambda self: self.waiting and self.line.has_room)
    @rule()
    def let_in(self) -> None:
        tenant = self.ring.popleft()
        expected = next(each for each in self.waiting if each.tenant == tenant)
        assert self.line.next() is expected
        self.waiting.remove(expected)
        self.under_way.append(tenant)
        if any(each.tenant == tenant for each in self.waiting):
            self.ring.append(tenant)

    @invariant()
    def nobody_is_forgotten(self) -> None:
        assert self.line.in_flight == len(self.under_way) <= self.SLOT
        assert self.line.waiting == len(self.waiting) <= self.QUEUE
        assert self.line.first() is (self.waiting[0] if self.waiting else None)
        counts: defaultdict[bytes, int] = defaultdict(int)
        for tenant in [*self.under_way, *(each.tenant for each in self.waiting)]:
            counts[tenant] += 1
        assert self.line.tenants == counts
        assert max(counts.values(), default=0) <= self.TENANT
        assert list(self.line._lines) == list(self.ring)

    def teardown(self) -> None:
        for each in self.waiting:
            self.line.give_up(each)
        for tenant in self.under_way:
            self.line.leave(tenant)
        assert self.line.counts_nobody


TestLine = Line.TestCase
TestLine.settings = settings(stateful_step_count=60, deadline=None)


def test_every_tenant_gets_its_turn_within_one_round() -> None:
    line = admission(slot=1, queue=10_000)
    places: dict[Place, str] = {}
    for tenant, times in (("a", 100), ("b", 3), ("c", 40)):
        places |= stand(line, tenant * times)
    served = turns(line, places)
    assert served[:9] == "".join(islice(cycle("abc"), 9))
    assert served.count("a") == 100
