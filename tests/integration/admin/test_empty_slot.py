"""Nobody is sent to a slot that has no endpoint while the other has."""

import pytest

MOVES = {
    "pin": ("PUT", "/v1/tenants/acme/pin", {"slot": "green"}),
    "canary": ("PUT", "/v1/canary", {"percent": 1}),
    "cutover": ("POST", "/v1/cutover", {"to": "green"}),
    "cutover of some": ("POST", "/v1/cutover", {"to": "green", "tenants": ["acme"]}),
    "change": ("POST", "/v1/routing/changes", {"operations": [{"op": "cutover", "to": "green"}]}),
}


@pytest.mark.parametrize("move", MOVES.values(), ids=MOVES)
async def test_a_move_to_an_empty_slot_is_refused(call, move):
    await call("PUT", "/v1/slots/blue/endpoints", {"endpoints": ["127.0.0.1:8000"]})
    before = (await call("GET", "/v1/routing"))[1]["version"]
    status, problem, _ = await call(*move)
    assert (status, problem["code"]) == (409, "slot-empty"), problem
    assert (await call("GET", "/v1/routing"))[1]["version"] == before
    await call("PUT", "/v1/slots/green/endpoints", {"endpoints": ["127.0.0.1:8001"]})
    assert (await call(*move))[0] in {200, 202}


async def test_ending_the_canary_and_changes_in_one_step_are_not(call):
    await call("PUT", "/v1/slots/blue/endpoints", {"endpoints": ["127.0.0.1:8000"]})
    assert (await call("PUT", "/v1/canary", {"percent": 0}))[0] in {200, 202}
    assert (await call("POST", "/v1/rollback", {}))[0] in {200, 202}
    operations = [
        {"op": "cutover", "to": "green"},
        {"op": "endpoints", "slot": "green", "endpoints": ["127.0.0.1:8001"]},
    ]
    assert (await call("POST", "/v1/routing/changes", {"operations": operations}))[0] in {200, 202}
