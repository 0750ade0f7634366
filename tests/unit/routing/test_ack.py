"""When the fleet has converged, and the written form of a worker's status."""

import json
from dataclasses import asdict, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.routing.ack import (
    MAX_DETAILED,
    MAX_ERROR,
    MAX_TENANTS_TOLD,
    WorkerStatus,
    converge,
    decode_status,
    encode_status,
)
from proxy.routing.change import ContractError

SERVING = WorkerStatus("node-a/12.ab", "node-a", 12, 7, "serving", 3)


def worker(name: str, version: int, error: str = "") -> WorkerStatus:
    return WorkerStatus(name, "node-a", 1, version, "serving", 0, error)


printable = st.characters(blacklist_categories=("C", "Z"))
statuses = st.builds(
    WorkerStatus,
    st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=200),
    st.text(printable, max_size=40),
    st.integers(0, 2**22),
    st.integers(0, 2**53 - 1),
    st.sampled_from(["starting", "serving", "draining"]),
    st.integers(0, 10**6),
    st.text(printable, max_size=MAX_ERROR),
)


def test_a_fleet_of_nobody_has_converged() -> None:
    state = converge(7, [])
    assert state.converged
    assert (state.acked, state.pending, state.refused) == ((), (), {})


def test_a_worker_at_the_version_or_past_it_has_acked() -> None:
    state = converge(7, [worker("b", 7), worker("a", 9)])
    assert state.converged
    assert state.acked == ("a", "b")


def test_laggards_are_named_in_order() -> None:
    state = converge(7, [worker("c", 6), worker("b", 7), worker("a", 0)])
    assert not state.converged
    assert (state.acked, state.pending) == (("b",), ("a", "c"))


def test_a_refusal_is_reported_and_still_waited_for() -> None:
    state = converge(7, [worker("a", 6, "is not JSON"), worker("b", 7)])
    assert not state.converged
    assert state.refused == {"a": "is not JSON"}


def test_an_error_of_the_past_is_no_refusal_once_the_version_is_served() -> None:
    assert converge(7, [worker("a", 7, "was not JSON")]).refused == {}


@settings(deadline=None)
@given(st.integers(0, 20), st.lists(st.integers(0, 20), max_size=12))
def test_everybody_is_either_acked_or_pending(version: int, served: list[int]) -> None:
    fleet = [worker(f"w{number}", at) for number, at in enumerate(served)]
    state = converge(version, iter(fleet))
    assert sorted((*state.acked, *state.pending)) == sorted(one.worker for one in fleet)
    assert state.converged == (min(served, default=version) >= version)


@settings(deadline=None)
@given(statuses)
def test_a_status_is_read_as_it_was_written(status: WorkerStatus) -> None:
    assert decode_status(encode_status(status)) == status


def test_fields_of_newer_workers_are_passed_over() -> None:
    body = json.dumps(asdict(SERVING) | {"cpu": [1, 2], "op": None}).encode()
    assert decode_status(body) == SERVING


def test_in_flight_and_error_may_be_left_out() -> None:
    document = asdict(SERVING)
    del document["in_flight"], document["error"]
    assert decode_status(json.dumps(document).encode()) == replace(SERVING, in_flight=0)


@pytest.mark.parametrize("name", ["worker", "node", "pid", "version", "state"])
def test_a_missing_field_is_named(name: str) -> None:
    document = asdict(SERVING)
    del document[name]
    with pytest.raises(ContractError, match=f"has no {name}$"):
        decode_status(json.dumps(document).encode())


@pytest.mark.parametrize("value", [None, True, 1.0, [], {"s-1": -1}])
@pytest.mark.parametrize("name", list(asdict(SERVING)))
def test_a_value_of_the_wrong_type_is_refused(name: str, value: object) -> None:
    if name in {"from_disk", "census"} and value is True:
        value = 1
    body = json.dumps(asdict(SERVING) | {name: value}).encode()
    with pytest.raises(ContractError, match=f"has a bad {name}$"):
        decode_status(body)


@pytest.mark.parametrize("name", ["pid", "version", "in_flight"])
def test_a_number_is_not_read_from_text(name: str) -> None:
    with pytest.raises(ContractError):
        decode_status(json.dumps(asdict(SERVING) | {name: "7"}).encode())


@pytest.mark.parametrize("name", ["", "a b", "a\n", "\x1b[2J", "größe", "w" * 201])
def test_a_worker_s_name_is_short_and_printable(name: str) -> None:
    with pytest.raises(ContractError, match="bad worker"):
        decode_status(encode_status(replace(SERVING, worker=name)))


def test_an_error_has_a_bound() -> None:
    with pytest.raises(ContractError, match="bad error"):
        decode_status(encode_status(replace(SERVING, error="e" * (MAX_ERROR + 1))))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'"serving"',
        b"\xff\xfe",
        b'{"worker":"\xff"}',
        b"[" * 100_000,
        encode_status(SERVING)[:-1],
    ],
)
def test_what_is_no_status_is_refused_shortly(body: bytes) -> None:
    with pytest.raises(ContractError) as caught:
        decode_status(body)
    assert len(str(caught.value)) < 100


@settings(deadline=None)
@given(st.binary(max_size=80))
def test_any_bytes_are_a_status_or_a_contract_error(body: bytes) -> None:
    try:
        decode_status(body)
    except ContractError as error:
        reason = str(error)
    else:
        return
    assert reason.isprintable()


LEFT = {"d-1": {"kinds": {"websocket": 3, "tcp": 1}, "tenants": {"acme": 2, "": 1}}}


def test_what_is_left_is_told_by_kind_and_tenant() -> None:
    status = replace(SERVING, draining={"d-1": 4}, left=LEFT)
    assert decode_status(encode_status(status)) == status


def test_older_workers_tell_the_count_alone() -> None:
    document = asdict(replace(SERVING, draining={"d-1": 4}))
    del document["left"]
    assert decode_status(json.dumps(document).encode()).left == {}


def detail(**parts: object) -> dict[str, object]:
    return {"d-1": {"kinds": {}, "tenants": {}} | parts}


@pytest.mark.parametrize(
    "left",
    [
        {"d-1": {}},
        {"d-1": {"kinds": {}}},
        {"D 1": {"kinds": {}, "tenants": {}}},
        detail(others=1),
        detail(kinds=[]),
        detail(kinds={"a b": 1}),
        detail(kinds={"tcp": -1}),
        detail(kinds={"tcp": True}),
        detail(kinds={f"k{number}": 1 for number in range(17)}),
        detail(tenants={"ACME": 1}),
        detail(tenants={"acme": 2**53}),
        detail(tenants={f"t{number}": 1 for number in range(MAX_TENANTS_TOLD + 1)}),
        {f"d-{number}": {"kinds": {}, "tenants": {}} for number in range(MAX_DETAILED + 1)},
    ],
)
def test_what_is_left_is_told_within_bounds(left: object) -> None:
    body = json.dumps(asdict(SERVING) | {"left": left}).encode()
    with pytest.raises(ContractError, match=r"has a bad left$"):
        decode_status(body)


def test_a_status_stays_small() -> None:
    """It goes with each renewal, and with each that changes the news."""
    tenants = {f"{number:02}" + "t" * 61: 10_000 for number in range(MAX_TENANTS_TOLD)}
    kinds = dict.fromkeys(("websocket", "tunnel", "tcp", "events", "request"), 10_000)
    part = {"kinds": kinds, "tenants": tenants}
    status = replace(SERVING, left={f"d-{number}": part for number in range(MAX_DETAILED)})
    assert len(encode_status(status)) < 16_384
