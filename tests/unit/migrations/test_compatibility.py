"""Which versions a schema serves, and whom a change would leave unserved."""

from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from admin.migrations.catalogue.model import Phase
from admin.migrations.compatibility import (
    Schemas,
    Serves,
    Step,
    Unserved,
    misplaced,
    serves,
    unserved,
    ways,
)
from admin.migrations.version import Version
from proxy.routing.change import (
    Change,
    Cutover,
    Pin,
    Rollback,
    SetCanary,
    Unpin,
    apply,
)
from proxy.routing.model import RoutingTable, Slot, Unit

V = Version.parse
STEPS = (
    Step(V("1.2.0"), Phase.EXPAND),
    Step(V("1.3.0"), Phase.EXPAND),
    Step(V("1.3.1"), Phase.BACKFILL),
    Step(V("1.4.0"), Phase.CONTRACT, V("1.3.0")),
    Step(V("1.5.0"), Phase.EXPAND),
)
OLD, BOTH, NEW = (
    serves(STEPS, {V("1.2.0")}),
    serves(STEPS, {V("1.2.0"), V("1.3.0")}),
    serves(STEPS, {V("1.2.0"), V("1.3.0"), V("1.3.1"), V("1.4.0")}),
)
VERSIONS = {Slot.BLUE: V("1.2.0"), Slot.GREEN: V("1.3.0")}


@pytest.mark.parametrize(
    ("applied", "served", "not_served"),
    [
        ([], ["1.1.9", "1.2.0-rc.1"], ["1.2.0", "2.0.0"]),
        (["1.2.0"], ["1.1.0", "1.2.0", "1.2.9", "1.3.0-rc.1"], ["1.3.0", "1.4.0"]),
        # Between expansion and contract both may run: that is what blue/green needs.
        (["1.2.0", "1.3.0"], ["1.2.0", "1.3.0", "1.4.2"], ["1.5.0"]),
        (["1.2.0", "1.3.0", "1.3.1"], ["1.2.0", "1.3.0", "1.4.2"], ["1.5.0"]),
        (["1.2.0", "1.3.0", "1.4.0"], ["1.3.0", "1.4.2"], ["1.2.0", "1.2.9", "1.5.0"]),
        (["1.2.0", "1.3.0", "1.4.0", "1.5.0"], ["1.3.0", "9.0.0"], ["1.2.9"]),
        # A later expansion alone doesn't help who needs an earlier one.
        (["1.2.0", "1.5.0"], ["1.2.0"], ["1.3.0", "1.5.0"]),
    ],
)
def test_what_a_schema_serves(applied, served, not_served):
    found = serves(STEPS, {V(each) for each in applied})
    assert [each for each in served if V(each) not in found] == []
    assert [each for each in not_served if V(each) in found] == []


def test_why_not():
    assert OLD.why_not(V("1.3.0")) == "migration 1.3.0 is not applied"
    assert NEW.why_not(V("1.2.0")) == "what is applied requires 1.3.0"
    assert OLD.both(NEW) == Serves(V("1.3.0"), V("1.3.0"))


def table(*operations) -> RoutingTable:
    return changed(RoutingTable(), *operations)


def changed(before: RoutingTable, *operations) -> RoutingTable:
    return apply(before, Change(before.version + 1, operations))


def names(found: list[Unserved]) -> list[tuple[str, str]]:
    return [(each.tenant, str(each.slot)) for each in found]


def test_a_cutover_names_whom_it_would_leave_unserved():
    schemas = Schemas(VERSIONS, {"a": OLD, "b": BOTH, "c": OLD, "d": OLD, "e": NEW})
    before = table(Pin("d", Slot.BLUE))
    found = unserved(before, changed(before, Cutover(Slot.GREEN)), schemas)
    assert found == [
        Unserved(tenant, Slot.GREEN, V("1.3.0"), "migration 1.3.0 is not applied")
        for tenant in ("a", "c")
    ]
    migrated = replace(schemas, of=dict.fromkeys("abcde", BOTH))
    assert unserved(before, changed(before, Cutover(Slot.GREEN)), migrated) == []


def test_the_rollback_that_would_break_is_found():
    schemas = Schemas(VERSIONS, {"a": BOTH, "b": NEW})
    before = changed(table(), Cutover(Slot.GREEN))
    found = unserved(before, changed(before, Rollback()), schemas)
    assert found == [
        Unserved("b", Slot.BLUE, V("1.2.0"), "what is applied requires 1.3.0"),
    ]


def test_a_pin_is_looked_at_alone():
    schemas = Schemas(VERSIONS, {"a": OLD, "b": OLD})
    before = table()
    assert names(unserved(before, changed(before, Pin("a", Slot.GREEN)), schemas)) == [
        ("a", "green")
    ]
    assert unserved(before, changed(before, Pin("x", Slot.GREEN)), schemas) == []
    on_green = changed(before, Pin("a", Slot.GREEN))
    assert unserved(on_green, changed(on_green, Unpin("a")), schemas) == []


def test_who_is_there_already_stops_no_other_change():
    schemas = Schemas(VERSIONS, {"a": OLD, "b": BOTH})
    before = table(Pin("a", Slot.GREEN))
    assert names(misplaced(before, schemas)) == [("a", "green")]
    assert unserved(before, changed(before, Pin("b", Slot.GREEN)), schemas) == []
    assert unserved(before, changed(before, Cutover(Slot.GREEN)), schemas) == []


@pytest.mark.parametrize("unit", list(Unit))
def test_a_canary_is_refused_for_those_that_it_could_draw(unit):
    schemas = Schemas(VERSIONS, {f"t{n}": OLD for n in range(100)})
    before = table()
    after = changed(before, SetCanary(2_000, unit))
    drawn = names(unserved(before, after, schemas))
    assert len(drawn) == 100 if unit is not Unit.TENANT else 5 < len(drawn) < 40
    assert all(Slot.GREEN in ways(after, tenant) for tenant, _ in drawn)


def test_a_schema_that_all_share():
    schemas = Schemas(VERSIONS, {}, OLD)
    before = table()
    to_all = unserved(before, changed(before, Cutover(Slot.GREEN)), schemas)
    assert names(to_all) == [("", "green")]
    assert names(unserved(before, changed(before, SetCanary(1)), schemas)) == [("", "green")]
    assert names(unserved(before, changed(before, Pin("a", Slot.GREEN)), schemas)) == [
        ("a", "green")
    ]
    both = Schemas(VERSIONS, {"a": OLD}, BOTH)
    assert names(unserved(before, changed(before, Cutover(Slot.GREEN)), both)) == [("a", "green")]


def test_nothing_is_refused_where_nothing_is_known():
    before = table()
    after = changed(before, Cutover(Slot.GREEN))
    assert unserved(before, after, Schemas({}, {"a": OLD}, OLD)) == []
    assert unserved(before, after, Schemas(VERSIONS, {})) == []
    assert unserved(before, after, Schemas({Slot.BLUE: V("1.2.0")}, {"a": OLD})) == []


tenants = st.sampled_from(["a", "b", "c"])
slots = st.sampled_from(list(Slot))
operations = st.one_of(
    st.builds(Pin, tenants, slots),
    st.builds(Cutover, slots),
    st.builds(SetCanary, st.integers(0, 10_000), st.sampled_from(list(Unit))),
)


@given(
    st.lists(operations, max_size=4),
    st.lists(operations, max_size=6),
    st.dictionaries(tenants, st.sampled_from([OLD, BOTH, NEW])),
    st.sampled_from([None, OLD, BOTH, NEW]),
)
def test_accepted_changes_misplace_nobody(before, steps, of, of_all):
    schemas = Schemas(VERSIONS, of, of_all)
    at = table(*before)
    assume(not misplaced(at, schemas))
    for operation in steps:
        after = changed(at, operation)
        if not unserved(at, after, schemas):
            at = after
    assert misplaced(at, schemas) == []
