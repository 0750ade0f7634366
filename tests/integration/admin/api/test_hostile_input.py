"""What no client sends on purpose is refused in the right words, and breaks nothing."""

from itertools import product
from typing import Any

import pytest
from yarl import URL

from tests.integration.admin.conftest import Client, is_problem

UNWRITABLE = ("\0", "a\0b", "\ud800", "\udfff tail")
"""What PostgreSQL, or UTF-8, has no place for, though JSON can name it."""
NOTED: tuple[tuple[str, str, dict[str, Any], str], ...] = (
    ("POST", "/v1/releases", {"version": "1.3.0"}, "note"),
    ("POST", "/v1/drills", {}, "note"),
    ("POST", "/v1/releases/current/pause", {}, "note"),
    ("POST", "/v1/releases/current/sign", {"signer": "qa"}, "note"),
    ("POST", "/v1/migrations/plans", {}, "to"),
)
NAMED = (
    *("/v1/releases/{}", "/v1/releases/{}/events", "/v1/releases/{}/report"),
    *("/v1/switches/{}", "/v1/migrations/plans/{}", "/v1/slots/{}/drain"),
    *("/v1/slots/{}/endpoints", "/v1/routing/changes/{}"),
)


@pytest.fixture
async def ready(call: Client) -> Client:
    """A release could begin."""
    for slot in ("blue", "green"):
        await call("PUT", f"/v1/slots/{slot}/endpoints", {"endpoints": ["127.0.0.1:1"]})
    return call


async def sent(call: Client, method: str, path: str, **more: Any) -> tuple[int, Any, Any]:
    """As `call`, with the path just as it is written."""
    url = URL(f"http://{call.address}{path}", encoded=True)
    headers = {"Authorization": f"Bearer {call.token}"}
    async with call.session.request(method, url, headers=headers, **more) as response:
        return response.status, await response.json(content_type=None), response.headers


async def test_a_text_that_can_t_be_kept_is_refused(ready: Client) -> None:
    for (method, path, body, field), text in product(NOTED, UNWRITABLE):
        is_problem(await ready(method, path, {**body, field: text}), 400, "invalid-change")
    assert (await ready("GET", "/v1/releases"))[1]["releases"] == []


async def test_wherever_it_stands(ready: Client) -> None:
    for text in UNWRITABLE:
        for body in (
            {"tenants": [text]},
            {"pilots": [text]},
            {text: 1},
            {"to": {"deep": [{text: None}]}},
        ):
            is_problem(await ready("POST", "/v1/migrations/plans", body), 400, "invalid-change")


async def test_a_word_ends_where_it_ends(ready: Client) -> None:
    """A pattern's `$` lets a line feed pass, which no word of the code has."""
    steps = {"steps": [1], "dwell_s": [1]}
    for method, path, body in (
        ("PUT", "/v1/canary", {"percent": 1, "by": "count\n"}),
        ("PUT", "/v1/canary", {"percent": 1, "by": "traffic\n"}),
        ("POST", "/v1/canary/ramp", {**steps, "by": "count\n"}),
        ("POST", "/v1/routing/whatif", {"canary": {"percent": 1, "by": "count\n"}}),
        ("POST", "/v1/cutover", {"to": "green", "mode": "fenced\n"}),
        ("POST", "/v1/cutover", {"to": "green", "step": {"webhook": None}}),
        ("POST", "/v1/drills", {"mode": "fenced\n"}),
        ("POST", "/v1/releases", {"version": "1.3.0", "kind": "minor\n"}),
        ("POST", "/v1/releases", {"version": "1.3.0", "plan": {"unit": "tenant\n"}}),
        ("POST", "/v1/releases", {"version": "1.3.0", "plan": {"cutover": "fenced\n"}}),
        ("POST", "/v1/releases", {"version": "1.3.0", "plan": {"signers": ["qa\n"]}}),
        ("POST", "/v1/releases", {"version": "1.3.0", "plan": {"unmeasured": "go\n"}}),
        ("POST", "/v1/migrations/plans", {"phases": ["expand\n"]}),
    ):
        is_problem(await ready(method, path, body), 400, "invalid-change")


async def test_what_only_looks_like_it_is_a_text(ready: Client) -> None:
    body = {"version": "1.3.0", "note": "C:\\u0000 and \\ud800, a line\nand 😀"}
    status, release, _ = await ready("POST", "/v1/releases", body)
    assert (status, release["note"]) == (202, body["note"])


async def test_a_name_with_a_zero_is_not_found(call: Client) -> None:
    for path in NAMED:
        is_problem(await sent(call, "GET", path.format("x%00")), 404, "not-found")
    is_problem(await sent(call, "DELETE", "/v1/sessions/x%00"), 404, "not-found")
    is_problem(await sent(call, "PUT", "/v1/tenants/x%00", json={}), 400, "invalid-tenant")
    is_problem(await sent(call, "PUT", "/v1/signals/x%00", json={"value": 1}), 404, "not-found")
    path = "/v1/migrations/plans/x%00/run"
    is_problem(await sent(call, "POST", path, json={}), 404, "not-found")


async def test_a_query_has_no_control_characters(call: Client) -> None:
    for query in ("before=%00", "before=a%0Ab", "before=%C2%85", "limit=%00"):
        answer = await sent(call, "GET", f"/v1/switches?{query}")
        is_problem(answer, 400, "invalid-query")
    for path in (
        "audit?cursor=null",
        "migrations/plans?cursor=Null",
        "tenants/acme/route?weight=null",
    ):
        is_problem(await sent(call, "GET", f"/v1/{path}"), 400, "invalid-query")
    # A space that doesn't break, a mark of direction, no UTF-8, an emoji: they name nobody.
    for name in ("%C2%A0", "%E2%80%AE", "%ff", "%F0%9F%98%80"):
        status, page, _ = await sent(call, "GET", f"/v1/audit?actor={name}")
        assert (status, page["items"]) == (200, [])


async def test_a_key_is_of_printable_ascii(call: Client) -> None:
    for key in ("", "x" * 201, "über", "a\tb", "\u00a0"):
        answer = await call("PUT", "/v1/tenants/acme", {}, headers={"Idempotency-Key": key})
        is_problem(answer, 400, "invalid-idempotency-key")


async def test_a_whole_number_may_have_a_point(ready: Client) -> None:
    """JSON Schema's integers do; what has more behind it is none."""
    version = float(await ready.version())
    body = {"slot": "green", "expected_version": version, "timeout_ms": 1e3}
    status, result, _ = await ready("PUT", "/v1/tenants/acme/pin", body)
    assert (status, result["version"]) in {(200, version + 1), (202, version + 1)}
    for number in (version + 1.5, 1e300):
        answer = await ready("PUT", "/v1/tenants/acme/pin", {**body, "expected_version": number})
        is_problem(answer, 400, "invalid-change")


@pytest.mark.parametrize("of", [{"tenants": ["acme"]}, {}])
async def test_who_is_held_is_listed_and_explained(ready: Client, of: dict[str, Any]) -> None:
    """As while a fenced switch holds them: where they go, once they go."""
    await ready("PUT", "/v1/tenants/acme", {})
    hold = {"op": "hold", "switch": "s-1", **of}
    assert (await ready("POST", "/v1/routing/changes", {"operations": [hold]}))[0] in {200, 202}
    status, page, _ = await ready("GET", "/v1/tenants")
    assert (status, page["items"][0]["slot"]) == (200, "blue")
    status, found, _ = await ready("GET", "/v1/tenants/acme/route?active=green")
    assert (status, found["slot"], found["proposed"]["slot"]) == (200, "blue", "green")
    assert found["explanation"].endswith("Its requests wait for the switch s-1.")


async def test_a_slot_that_isn_t_is_the_query_s_fault(call: Client) -> None:
    for path in (
        "/v1/census?slot=red",
        "/v1/tenants?slot=red",
        "/v1/tenants/acme/route?active=red",
    ):
        is_problem(await call("GET", path), 400, "invalid-query")


async def test_whoever_isn_t_known_is_told_what_is_asked_for(call: Client) -> None:
    nobody = Client(call.session, call.address)
    nobody.token = "nothing"
    answer = await nobody("GET", "/v1/routing")
    is_problem(answer, 401, "invalid-token")
    assert answer[2]["WWW-Authenticate"].startswith("Bearer ")
