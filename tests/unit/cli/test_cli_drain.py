"""`turnout drain`: what it asks the admin for, and what it says of the answer."""

import json
from typing import Any

import pytest

from tests.unit.cli.script import answer
from tests.unit.cli.test_cli_commands import Play, sent, turnout

RUNNING: dict[str, Any] = {
    "slot": "blue",
    "state": "draining",
    "tenants": None,
    "left": None,
    "unknown": [],
    "outcome": "",
    "note": "",
}
PATH = "/v1/slots/blue/drain"


@pytest.mark.parametrize(
    ("command", "line", "body"),
    [
        ("drain start blue", f"POST {PATH}", {"tenants": "all"}),
        (
            "drain start blue --tenants a,b --per-second 7.5 --tenant-per-second 2 --webhook http://h/",
            f"POST {PATH}",
            {
                "tenants": ["a", "b"],
                "per_second": 7.5,
                "tenant_per_second": 2.0,
                "webhook": "http://h/",
            },
        ),
        ("drain start blue --limit-s 60", f"POST {PATH}", {"tenants": "all", "limit_s": 60.0}),
        ("drain show blue", f"GET {PATH}", None),
        ("drain stop blue", f"DELETE {PATH}", None),
    ],
)
def test_it_asks_for_what_was_said(
    play: Play, command: str, line: str, body: dict[str, object] | None
) -> None:
    script = play(answer(RUNNING))
    done = turnout(*command.split(), "--json", "--url", script.url)
    assert (done.exit_code, done.stderr) == (0, "")
    assert json.loads(done.stdout) == RUNNING
    assert sent(script) == (line, body)


@pytest.mark.parametrize(
    ("differs", "said"),
    [
        ({}, "blue is being drained; the workers have not counted yet\n"),
        ({"left": 7, "tenants": ["a"]}, "blue is being drained of 1 tenant; left: 7\n"),
        (
            {"left": 0, "state": "hurrying", "unknown": ["w1"]},
            "blue is being drained, all at once; left: 0\n  w1 has not said what is left there\n",
        ),
        (
            {"left": 9, "kinds": {"events": 2, "websocket": 7}, "by_tenant": {"a": 4, "": 5}},
            "blue is being drained; left: 9 (7 websocket, 2 events; nobody 5, a 4)\n",
        ),
        (
            {
                "left": 9,
                "kinds": {"tcp": 9},
                "by_tenant": {"a": 4, "b": 3, "c": 1},
                "others": 1,
                "census": {"before": 5, "back": 2},
            },
            "blue is being drained; left: 9 (9 tcp; a 4, b 3, c 1, …); 2 of 5 devices are back\n",
        ),
        ({"state": "done", "outcome": "empty"}, "blue was drained: nothing was left\n"),
        (
            {"state": "done", "outcome": "limit", "note": "the webhook answered 500"},
            "blue was drained: its time was over\n  the webhook answered 500\n",
        ),
    ],
)
def test_it_says_how_it_stands(play: Play, differs: dict[str, Any], said: str) -> None:
    script = play(answer({**RUNNING, **differs}))
    done = turnout("drain", "show", "blue", "--url", script.url)
    assert (done.exit_code, done.stdout) == (0, said)


def test_it_is_watched_to_its_end(play: Play) -> None:
    left = [{**RUNNING, "left": count} for count in (2, 2, 1)]
    ended = {**RUNNING, "state": "done", "outcome": "empty"}
    script = play(*(answer(each) for each in (*left, ended)))
    done = turnout("drain", "watch", "blue", "--url", script.url)
    assert (done.exit_code, done.stdout.splitlines()) == (
        0,
        [
            "blue is being drained; left: 2",
            "blue is being drained; left: 1",
            "blue was drained: nothing was left",
        ],
    )


@pytest.mark.parametrize("command", ["drain watch blue", "drain start blue --watch"])
def test_what_was_left_is_an_exit_code_and_each_step_a_line_of_json(
    play: Play, command: str
) -> None:
    ended = {**RUNNING, "state": "done", "outcome": "limit"}
    first = [answer(RUNNING)] if "start" in command else []
    script = play(*first, answer({**RUNNING, "left": 1}), answer(ended))
    done = turnout(*command.split(), "--json", "--url", script.url)
    assert done.exit_code == 5
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["state"] for line in lines] == ["draining", "done"]
