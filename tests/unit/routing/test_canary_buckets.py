"""The canary: stable in every process, even, and monotonic at every step of the weight."""

import json
import os
import subprocess
import sys
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.routing.canary import bucket
from proxy.routing.change import Change, SetCanary, apply
from proxy.routing.decision import Forward, Policy, Reason, decide, in_canary
from proxy.routing.model import BASIS_POINTS, Canary, RoutingTable, Slot, Unit
from tests.support.routing_strategies import salts, slots, tenants, units, weights

# Computed outside Python: printf "%s\0%s" SALT KEY | b2sum -l 64, modulo 10 000. A tenant that moves to
# another bucket moves to another version of the system behind: never edit these to make them pass.
GOLDEN = [
    ("turnout", "acme", 5229),
    ("turnout", "bravo", 675),
    ("turnout", "a", 1885),
    ("turnout", "0", 1601),
    ("turnout", "-", 2455),
    ("turnout", "tenant-0001", 4028),
    ("turnout", "z" * 63, 5635),
    ("turnout", "acme/session-7", 1984),
    ("spring 2027", "acme", 135),
    ("Größe", "acme", 1498),
]

IN_ANOTHER_PROCESS = """
import json, sys
from proxy.routing.canary import bucket
print(json.dumps([bucket(salt, key) for salt, key in json.load(sys.stdin)]))
"""


@pytest.mark.parametrize(("salt", "key", "expected"), GOLDEN)
def test_a_bucket_is_what_the_published_hash_says(salt: str, key: str, expected: int) -> None:
    assert bucket(salt, key) == expected


@pytest.mark.parametrize("seed", ["0", "1", "4294967295"])
def test_a_bucket_is_the_same_in_a_process_with_another_hash_seed(seed: str) -> None:
    keys = [("turnout", f"tenant-{number}") for number in range(200)]
    keys += [(salt, key) for salt, key, _ in GOLDEN]
    answer = subprocess.run(
        [sys.executable, "-c", IN_ANOTHER_PROCESS],
        input=json.dumps(keys),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert json.loads(answer.stdout) == [bucket(salt, key) for salt, key in keys]


def test_100_000_keys_spread_evenly_over_the_10_000_buckets() -> None:
    counts = [0] * BASIS_POINTS
    for number in range(100_000):
        counts[bucket("turnout", f"tenant-{number}")] += 1
    chi_square = sum((count - 10) ** 2 for count in counts) / 10
    # Mean 9 999 and standard deviation 141 for an even spread: five of them either way, for a
    # spread that is too regular is no hash either.
    assert 9_300 < chi_square < 10_700


@pytest.mark.parametrize("weight", [1, 100, 500, 2_500, 5_000, 9_999])
def test_the_share_in_the_canary_is_the_weight(weight: int) -> None:
    keys = 100_000
    share = weight / BASIS_POINTS
    drawn = sum(bucket("spread", f"t{number}") < weight for number in range(keys))
    assert abs(drawn - keys * share) < 5 * (keys * share * (1 - share)) ** 0.5


def test_two_salts_draw_different_orders() -> None:
    keys = [f"tenant-{number}" for number in range(1_000)]
    same = sum(bucket("one", key) == bucket("two", key) for key in keys)
    assert same < 10


def drawn(table: RoutingTable, tenant: str) -> bool:
    return in_canary(table, tenant, affinity_key="session-7", request_key=f"{tenant}.42")


@pytest.mark.parametrize("unit", Unit)
def test_each_of_the_10_000_steps_only_adds(unit: Unit) -> None:
    inside: set[str] = set()
    names = {f"tenant-{number}" for number in range(6)}
    for weight in range(BASIS_POINTS + 1):
        table = RoutingTable(canary=Canary(weight, unit))
        now = {name for name in names if drawn(table, name)}
        assert inside <= now, f"{inside - now} left at {weight}"
        inside = now
    assert inside == names


@settings(deadline=None)
@given(
    st.sets(tenants, min_size=1, max_size=20),
    units,
    salts,
    st.lists(weights, min_size=1, max_size=20),
)
def test_raising_only_adds_and_lowering_removes_only_the_last_added(
    names: set[str], unit: Unit, salt: str, walk: list[int]
) -> None:
    table = RoutingTable(canary=Canary(0, unit, salt))
    joined: list[set[str]] = []  # who was added by each raise, oldest first
    for weight in walk:
        raised = weight >= table.canary.basis_points
        table = apply(table, Change(table.version + 1, (SetCanary(weight),)))
        now = {name for name in names if drawn(table, name)}
        before = set().union(*joined)
        if raised:
            assert before <= now
            joined.append(now - before)
            continue
        assert now <= before
        gone = before - now
        while joined and joined[-1] <= gone:
            gone -= joined.pop()
        # What is left of those that went all came with one raise, the last that still counts.
        assert not joined or gone <= joined[-1]
        if joined:
            joined[-1] -= gone
    assert all(not drawn(replace(table, canary=Canary(0, unit, salt)), name) for name in names)


@settings(deadline=None)
@given(tenants, slots, units, st.tuples(weights, weights))
def test_raising_the_weight_never_takes_a_decision_back_to_active(
    tenant: str, active: Slot, unit: Unit, pair: tuple[int, int]
) -> None:
    low, high = (
        decide(RoutingTable(active=active, canary=Canary(weight, unit)), Policy(), tenant)
        for weight in sorted(pair)
    )
    if low == Forward(active.other, Reason.CANARY):
        assert high == low


@settings(deadline=None)
@given(tenants, slots, weights, slots)
def test_no_weight_moves_a_pinned_tenant(
    tenant: str, active: Slot, weight: int, pinned: Slot
) -> None:
    table = RoutingTable(active=active, canary=Canary(weight), pins={tenant: pinned})
    assert decide(table, Policy(), tenant) == Forward(pinned, Reason.PIN)
