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
            "drain start blue --tenants a,b --per-second 7.5 --limit-s 60 --webhook http://h/",
            f"POST {PATH}",
            {"tenants": ["a", "b"], "per_second": 7.5, "limit_s": 60.0, "webhook": "http://h/"},
        ),
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
