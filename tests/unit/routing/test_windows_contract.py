"""Windows: written and read back, added up, and what isn't one is refused."""

import json
from bisect import bisect_left
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proxy.observability import telemetry
from proxy.routing.change import ContractError
from proxy.routing.model import TENANT_PATTERN, Slot
from proxy.routing.windows import (
    BOUNDS_US,
    COHORTS,
    GAUGES,
    MAX_BYTES,
    MAX_LASTED_MS,
    MAX_LATE_S,
    MAX_TENANTS,
    NOTHING,
    Figures,
    TenantFigures,
    Window,
    add_up,
    added,
    by_second,
    decode,
    encode,
    quantile,
)
from tests.support.examples import examples

LARGE = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""Examples of hundreds of numbers take long to draw where the machine is busy."""
COUNT = st.integers(0, 10**9)
GROUPS = [(slot, cohort) for slot in Slot for cohort in COHORTS]


def rows(length: int) -> st.SearchStrategy[tuple[int, ...]]:
    return st.tuples(*[COUNT] * length)


@st.composite
def figures(draw: st.DrawFn) -> Figures:
    statuses, aborted = draw(rows(5)), draw(COUNT)
    named = {name: draw(COUNT) for name in ("connect_failures", "retries", "latency_us", *GAUGES)}
    return Figures(
        requests=sum(statuses),
        statuses=statuses,
        buckets=draw(rows(len(BOUNDS_US) + 1)),
        aborted=aborted,
        broken=draw(st.integers(0, aborted)),
        **named,
    )


@st.composite
def tenant_figures(draw: st.DrawFn) -> TenantFigures:
    parts = []
    for _ in Slot:
        requests = draw(COUNT)
        parts.append((requests, draw(st.integers(0, requests)), draw(COUNT)))
    (blue, green) = parts
    requests, failures, micros = (a + b for a, b in zip(blue, green, strict=True))
    return TenantFigures(requests, failures, micros, green)


WINDOWS = st.builds(
    Window,
    second=st.integers(0, 10**10),
    node=st.sampled_from(["a", "b", "ü·node"]),
    groups=st.dictionaries(st.sampled_from(GROUPS), figures().filter(bool), max_size=4),
    tenants=st.dictionaries(
        st.from_regex(TENANT_PATTERN, fullmatch=True), tenant_figures(), max_size=4
    ),
    lasted_ms=st.integers(0, MAX_LASTED_MS),
)


@LARGE
@given(WINDOWS)
def test_what_was_written_is_read(window: Window) -> None:
    assert decode(encode(window)) == window
    assert decode(encode(window), window.second) == window


def test_the_largest_that_a_node_tells_is_read() -> None:
    most = 2**53 - 1
    full = Figures(statuses=(most // 5,) * 5, aborted=most, broken=most)
    full = replace(full, requests=sum(full.statuses), buckets=(most,) * (len(BOUNDS_US) + 1))
    one = TenantFigures(most, most, most, (most, most, most))
    window = Window(
        10**10,
        "n" * 255,
        dict.fromkeys(GROUPS, full),
        {f"{number:063}": one for number in range(MAX_TENANTS)},
    )
    assert len(encode(window)) <= MAX_BYTES
    assert decode(encode(window)) == window


def test_an_empty_window_is_told_too_and_says_that_nothing_was_served() -> None:
    window = Window(7, "a", dict.fromkeys(GROUPS, NOTHING))
    assert decode(encode(window)) == Window(7, "a")
    assert len(encode(window)) < 100
    total = add_up([window])
    assert (total.windows, set(total.nodes), total.told_ms) == (1, {"a"}, 1_000)
    assert not total.of_slot(Slot.BLUE)
    assert add_up([]) == add_up([]).__class__(0, frozenset(), 0, {}, {})


# ── what isn't a window ───────────────────────────────────────────────────────────────────────

GOOD = Window(
    100,
    "a",
    {(Slot.BLUE, "rest"): Figures(3, (0, 2, 0, 0, 1), aborted=2, broken=1, in_flight=4)},
    {"acme": TenantFigures(3, 1, 9, (2, 1, 6))},
)
ROW = json.loads(encode(GOOD))["groups"]["blue/rest"]
VALUES: dict[str, list[Any]] = {
    "v": [0, 2, 1.0, True, "1", None],
    "second": [-1, 1.5, True, "7", 10**12, None],
    "node": ["", "a\n", "n" * 256, 7, None],
    "lasted_ms": [-1, MAX_LASTED_MS + 1, 1e3, None],
    "groups": [None, [], {"red/rest": ROW}, {"blue/all": ROW}],
    "tenants": [
        *(None, [], {"Not One": [0] * 6}, {"acme": [0] * 5}),
        {f"t-{number}": [0] * 6 for number in range(MAX_TENANTS + 1)},
    ],
    "more": [1],
}
ROWS: list[Any] = [
    *(None, {}, [], ROW[:-1], [*ROW, 0]),
    *([-1, *ROW[1:]], [0.5, *ROW[1:]], [True, *ROW[1:]], ["1", *ROW[1:]], [2**53, *ROW[1:]]),
    [*ROW[:6], 1, 2, *ROW[8:]],  # more answers broke off than exchanges
]
OF_TENANT: list[Any] = [
    [3, 1, 9, 4, 1, 6],  # green more than both
    [3, 1, 9, 0, 1, 0],  # it failed more than it was asked
    [3, 3, 9, 2, 1, 6],  # and so did blue
    [3, -1, 9, 0, 0, 0],
    [3, True, 9, 0, 0, 0],
]
BAD = [
    *((name, value) for name, values in VALUES.items() for value in values),
    *(("groups", {"blue/rest": row}) for row in ROWS),
    *(("tenants", {"acme": row}) for row in OF_TENANT),
]


@pytest.mark.parametrize(("name", "value"), BAD)
def test_one_bad_part_and_nothing_of_it_is_believed(name: str, value: Any) -> None:
    document = json.loads(encode(GOOD))
    assert decode(json.dumps(document).encode()) == GOOD
    document[name] = value
    with pytest.raises(ContractError):
        decode(json.dumps(document).encode())


@pytest.mark.parametrize("name", json.loads(encode(GOOD)))
def test_a_part_that_is_missing(name: str) -> None:
    document = json.loads(encode(GOOD))
    del document[name]
    with pytest.raises(ContractError):
        decode(json.dumps(document).encode())


@pytest.mark.parametrize(
    "body", [b"", b"null", b"[]", b"{", b"\xff", b"[" * 30_000, b'{"v":' + b"9" * 5_000 + b"}"]
)
def test_what_is_no_document_at_all(body: bytes) -> None:
    with pytest.raises(ContractError):
        decode(body)


def test_a_window_that_is_too_large_is_not_looked_at() -> None:
    with pytest.raises(ContractError, match="large"):
        decode(encode(GOOD) + b" " * MAX_BYTES)


@examples()
@given(st.binary(max_size=60))
def test_bytes_are_a_window_or_are_refused(body: bytes) -> None:
    with pytest.raises(ContractError):
        decode(body)


@pytest.mark.parametrize("late", [-1, -100, MAX_LATE_S + 1])
def test_a_second_that_it_could_not_have_told(late: int) -> None:
    assert decode(encode(GOOD), GOOD.second + MAX_LATE_S) == GOOD
    with pytest.raises(ContractError, match="could not"):
        decode(encode(GOOD), GOOD.second + late)


# ── adding up ─────────────────────────────────────────────────────────────────────────────────


@LARGE
@given(st.lists(WINDOWS, max_size=6))
def test_sums_are_of_all_windows_and_gauges_of_each_node_s_last(windows: list[Window]) -> None:
    total = add_up(windows)
    assert total.windows == len(windows)
    assert total.told_ms == sum(window.lasted_ms for window in windows)
    assert total.nodes == {window.node for window in windows}
    counted = [name for name in Figures.__dataclass_fields__ if name not in GAUGES]
    last = {window.node: window for window in sorted(windows, key=lambda each: each.second)}
    for group in GROUPS:
        found = total.groups.get(group, NOTHING)
        of_all = [window.groups.get(group, NOTHING) for window in windows]
        at_end = [window.groups.get(group, NOTHING) for window in last.values()]
        for names, parts in ((counted, of_all), (GAUGES, at_end)):
            for name in names:
                values = [getattr(each, name) for each in (NOTHING, *parts)]
                is_row = isinstance(values[0], tuple)
                exact = tuple(map(sum, zip(*values, strict=True))) if is_row else sum(values)
                assert getattr(found, name) == exact, name
    requests = Counter[str]()
    for window in windows:
        requests.update({tenant: each.requests for tenant, each in window.tenants.items()})
    assert {tenant: each.requests for tenant, each in total.tenants.items()} == dict(requests)


@LARGE
@given(st.lists(WINDOWS, min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_the_order_in_which_they_come_changes_no_count(windows: list[Window], lots: Any) -> None:
    shuffled = lots.sample(windows, len(windows))
    one, other = add_up(windows), add_up(shuffled)
    assert one.tenants == other.tenants
    for slot in Slot:
        first, second = one.of_slot(slot), other.of_slot(slot)
        assert (first.statuses, first.buckets) == (second.statuses, second.buckets)


@LARGE
@given(st.lists(figures(), max_size=4))
def test_figures_add_up_as_their_parts_do(several: list[Figures]) -> None:
    assert added(several) == sum(several, NOTHING)
    assert added(several).requests == sum(each.requests for each in several)
    assert added(several).failures == sum(each.statuses[4] for each in several)


def test_what_is_the_slot_s_is_in_all_its_cohorts_together() -> None:
    window = Window(
        1,
        "a",
        {
            (Slot.GREEN, "rest"): Figures(connect_failures=2, eligible=1, endpoints=3),
            (Slot.GREEN, "pilot"): Figures(5, (0, 5, 0, 0, 0)),
            (Slot.BLUE, "rest"): Figures(9, (0, 9, 0, 0, 0)),
        },
    )
    found = window.of_slot(Slot.GREEN)
    assert (found.requests, found.connect_failures, found.eligible) == (5, 2, 1)
    assert add_up([window, window]).of_slot(Slot.GREEN).connect_failures == 4
    assert add_up([window, window]).of_slot(Slot.GREEN).endpoints == 3


@examples()
@given(tenant_figures())
def test_a_tenant_s_figures_are_those_of_both_slots(of_tenant: TenantFigures) -> None:
    blue, green = of_tenant.of(Slot.BLUE), of_tenant.of(Slot.GREEN)
    assert blue + green == of_tenant
    for part in (blue, green):
        assert 0 <= part.failures <= part.requests
    assert (green.of(Slot.GREEN), blue.of(Slot.BLUE)) == (green, blue)


def test_seconds_that_nobody_told_are_not_there() -> None:
    windows = [Window(5, "a"), Window(3, "b"), Window(5, "b")]
    found = by_second(windows)
    assert [(second, [w.node for w in each]) for second, each in found.items()] == [
        (3, ["b"]),
        (5, ["a", "b"]),
    ]


# ── quantiles ─────────────────────────────────────────────────────────────────────────────────


def histogram(micros: list[int]) -> list[int]:
    """Counted as a worker does it."""
    group = telemetry.Group()
    for each in micros:
        group.finished(200, each)
    return group.values[telemetry.BUCKETS : telemetry.BUCKETS + len(BOUNDS_US) + 1]


@examples()
@given(
    st.lists(st.integers(0, 12_000_000), min_size=1, max_size=60),
    st.sampled_from([0.01, 0.07, 0.5, 0.9, 0.95, 0.99, 1.0]),
)
def test_a_quantile_lies_within_its_bounds(micros: list[int], share: float) -> None:
    found = quantile(histogram(micros), share)
    assert found is not None
    lower, upper = found
    hundredths = round(share * 100)
    rank = max(1, -(-len(micros) * hundredths // 100))
    exact = sorted(micros)[rank - 1]
    assert lower < exact or lower == 0
    assert upper is None or exact <= upper
    assert found in [*pairwise((0, *BOUNDS_US)), (BOUNDS_US[-1], None)]


def test_nothing_has_no_quantile() -> None:
    assert quantile(NOTHING.buckets, 0.5) is None


def test_the_histogram_s_bounds_are_the_workers() -> None:
    assert telemetry.BOUNDS_US == BOUNDS_US
    assert telemetry.COHORTS == COHORTS
    assert all(bisect_left(BOUNDS_US, bound) == place for place, bound in enumerate(BOUNDS_US))
