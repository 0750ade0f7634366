"""`turnout census`: what it asks the admin for, what it says, and its exit codes."""

import json
from typing import Any

import pytest

from tests.unit.cli.script import answer
from tests.unit.cli.test_cli_commands import Play, sent, turnout

NOW: dict[str, Any] = {
    "taken": True,
    "slots": {
        "blue": {"devices": 2, "connections": 3, "unnamed": {"tcp": 4, "events": 1}},
        "green": {"devices": 1, "connections": 1, "unnamed": {}},
    },
    "by_tenant": {"acme": 2, "": 1},
    "unknown": [],
    "items": [
        {
            "tenant": "acme",
            "device": "press-4",
            "slot": "blue",
            "kinds": ["tcp", "websocket"],
            "connections": 2,
            "since": "2026-11-28T01:02:03+00:00",
        }
    ],
    "next": "acme/press-4/blue",
}
ROLL: dict[str, Any] = {
    "before": 23,
    "back": 23,
    "still": 0,
    "missing": 0,
    "new": 0,
    "outcome": "complete",
    "beyond": 0,
    "unknown": [],
}
PAGE: dict[str, Any] = {"drain": "d-1", "roll": ROLL, "items": [], "next": None}
PATH = "/v1/slots/blue/drain/census"


def page(**differs: Any) -> dict[str, Any]:
    return {**PAGE, "roll": {**ROLL, **differs}}


def test_who_is_connected_now(play: Play) -> None:
    script = play(answer(NOW))
    done = turnout("census", "--tenant", "acme", "--url", script.url)
    assert done.exit_code == 0
    assert sent(script) == ("GET /v1/census?tenant=acme&limit=20", None)
    lines = done.stdout.splitlines()
    assert lines[:2] == [
        "blue: 2 devices, 3 connections; without a name: 1 events, 4 tcp",
        "green: 1 device, 1 connection",
    ]
    assert lines[3].split() == [
        *("acme", "press-4", "blue", "tcp", "websocket", "2", "2026-11-28T01:02:03+00:00")
    ]
    assert lines[-1] == "There are more: --limit, or --tenant"


def test_without_rules_it_says_where_they_are_set(play: Play) -> None:
    script = play(answer({**NOW, "taken": False}))
    assert "[[proxy.census]]" in turnout("census", "--url", script.url).stdout


@pytest.mark.parametrize("arguments", [[], ["blue"]])
def test_json_is_what_the_admin_said(play: Play, arguments: list[str]) -> None:
    document = PAGE if arguments else NOW
    script = play(answer(document))
    done = turnout("census", *arguments, "--json", "--url", script.url)
    assert (done.exit_code, json.loads(done.stdout)) == (0, document)


def test_all_are_back(play: Play) -> None:
    script = play(answer(PAGE))
    done = turnout("census", "blue", "--url", script.url)
    assert (done.exit_code, done.stdout) == (0, "23 of 23 are back on green\n")
    assert sent(script) == (f"GET {PATH}?standing=missing&limit=20", None)


def test_who_is_missing_is_named_and_is_an_exit_code(play: Play) -> None:
    missing = {"tenant": "acme", "device": "press-4", "standing": "missing", "since": "01:02"}
    found = page(back=20, still=1, missing=2, new=3, outcome="limit", beyond=7, unknown=["w1"])
    script = play(answer({**found, "items": [missing]}))
    done = turnout("census", "blue", "--url", script.url)
    assert done.exit_code == 5
    assert done.stdout.splitlines() == [
        "20 of 23 are back on green, 1 still on blue, 2 missing, 3 new",
        "It is not watched any more: nobody waits for them any more.",
        "tenant  missing  since",
        "acme    press-4  01:02",
        "  w1 has not told all it knows",
        "  7 devices more were too many to be written down",
    ]


def test_it_is_watched_until_all_are_back(play: Play) -> None:
    steps = [page(back=count, missing=23 - count, outcome="") for count in (21, 21, 23)]
    script = play(*(answer(each) for each in (*steps, PAGE, PAGE)))
    done = turnout("census", "blue", "--watch", "--url", script.url)
    assert (done.exit_code, done.stdout.splitlines()) == (
        0,
        ["21 of 23 are back on green, 2 missing", "23 of 23 are back on green"],
    )


def test_watched_as_json_each_step_is_a_line(play: Play) -> None:
    over = page(back=22, missing=1, outcome="limit")
    script = play(answer(page(back=21, missing=2, outcome="")), answer(over), answer(over))
    done = turnout("census", "blue", "--watch", "--json", "--url", script.url)
    assert done.exit_code == 5
    assert [json.loads(line)["roll"]["back"] for line in done.stdout.splitlines()] == [21, 22]


def test_only_a_slots_drain_is_watched(play: Play) -> None:
    assert turnout("census", "--watch", "--url", play(answer(NOW)).url).exit_code == 2
