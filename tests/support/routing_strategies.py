"""Hypothesis strategies for the routing contract: tables, operations, changes, logs.

Rules: what is drawn here is valid, whole and in its canonical form, so that a round trip through
the codec must give it back equal. Tenants come from a small pool as often as from all that are
allowed, so that operations meet each other's tenants.
"""

import string
from types import MappingProxyType

from hypothesis import strategies as st

from proxy.routing.change import (
    Change,
    Cutover,
    EndAffinities,
    EndAffinitiesOf,
    EndDrain,
    Forget,
    Hold,
    Operation,
    Pin,
    Register,
    Release,
    Rollback,
    SetCanary,
    SetDrain,
    SetEndpoints,
    Unpin,
)
from proxy.routing.model import BASIS_POINTS, Canary, Drain, Endpoint, RoutingTable, Slot, Unit
from proxy.routing.values import MAX_SALT

POOL = ("acme", "bravo", "c-3", "0", "-", "z" * 63)
_TENANT_LETTERS = string.ascii_lowercase + string.digits + "-"

slots = st.sampled_from(list(Slot))
units = st.sampled_from(list(Unit))
weights = st.integers(0, BASIS_POINTS)
tenants = st.sampled_from(POOL) | st.text(_TENANT_LETTERS, min_size=1, max_size=63)
salts = st.text(
    # str.isprintable(): no control, unassigned or separator characters, but the space.
    st.characters(exclude_categories=("C", "Z")) | st.just(" "),
    min_size=1,
    max_size=MAX_SALT,
)

_ports = st.integers(1, 65535)
_labels = st.text(string.ascii_lowercase + string.digits, min_size=1, max_size=12)
_names = st.lists(_labels, min_size=1, max_size=4).map(".".join)
endpoints = st.builds(
    Endpoint,
    _names | st.ip_addresses(v=4).map(str) | st.ip_addresses(v=6).map(str),
    _ports,
)
# Mostly from a few, for these are slow to draw and only `Endpoint.parse` looks into them.
_few = st.sampled_from([Endpoint("10.0.0.7", 8000), Endpoint("erp", 1), Endpoint("::1", 65535)])
endpoint_lists = (st.lists(_few, max_size=3, unique=True) | st.lists(endpoints, max_size=1)).map(
    tuple
)

_lists = st.frozensets(tenants, max_size=4)
_whose = st.none() | st.frozensets(tenants, min_size=1, max_size=4)
_paces = st.floats(0.01, 100_000)
_drain_names = st.sampled_from(["d-1", "d-2", "d-3"])
# One switch only: what another holds can't be held, and the change would not be valid.
SWITCH = "s-1"

operations: st.SearchStrategy[Operation] = st.one_of(
    st.builds(Pin, tenants, slots),
    st.builds(Unpin, tenants),
    st.builds(
        SetCanary,
        weights,
        *(st.none() | each for each in (units, salts, _lists, _lists)),
    ),
    st.builds(Cutover, slots),
    st.builds(Rollback),
    st.builds(SetEndpoints, slots, endpoint_lists),
    st.builds(Register, tenants),
    st.builds(Forget, tenants),
    st.builds(Hold, st.just(SWITCH), _whose),
    st.builds(Release, st.just(SWITCH)),
    st.builds(
        SetDrain,
        *(_drain_names, slots, st.none() | _paces, _whose, st.none() | st.booleans()),
        st.none() | _paces,
    ),
    st.builds(EndDrain, _drain_names),
    st.builds(EndAffinities, slots),
    st.builds(EndAffinitiesOf, _whose),
)
operation_lists = st.lists(operations, min_size=1, max_size=6).map(tuple)

tables = st.builds(
    RoutingTable,
    version=st.integers(0, 2**53 - 50),
    active=slots,
    fallback=slots,
    canary=st.builds(Canary, weights, units, salts, _lists, _lists),
    pins=st.dictionaries(tenants, slots, max_size=6).map(MappingProxyType),
    tenants=st.frozensets(tenants, max_size=6),
    endpoints=st.fixed_dictionaries(dict.fromkeys(Slot, endpoint_lists)).map(MappingProxyType),
    holds=st.dictionaries(tenants, st.just(SWITCH), max_size=4).map(MappingProxyType),
    hold_all=st.sampled_from(["", SWITCH]),
    drains=st.dictionaries(
        _drain_names, st.builds(Drain, slots, _whose, _paces, st.booleans(), st.just(0.0) | _paces)
    ).map(MappingProxyType),
    affinities_since=st.fixed_dictionaries(dict.fromkeys(Slot, st.integers(0, 2**53 - 50))).map(
        MappingProxyType
    ),
    tenant_affinities_since=st.dictionaries(tenants, st.integers(0, 2**53 - 50), max_size=4).map(
        MappingProxyType
    ),
)
changes = st.builds(Change, st.integers(0, 2**53 - 1), st.just(()) | operation_lists)


def following(table: RoutingTable, steps: list[tuple[Operation, ...]]) -> list[Change]:
    """The steps as the changes that follow this table, numbered without a gap."""
    return [Change(table.version + 1 + index, step) for index, step in enumerate(steps)]


@st.composite
def logs(draw: st.DrawFn, max_size: int = 8) -> tuple[RoutingTable, list[Change]]:
    """A table and the changes that follow it, some of them empty (a table published anew)."""
    table = draw(tables)
    steps = draw(st.lists(operation_lists | st.just(()), max_size=max_size))
    return table, following(table, steps)
