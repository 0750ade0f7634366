"""`turnout canary`, its what-if and its ramp, and `turnout traffic`: what is asked, what is said."""

import json
from typing import Any

import pytest

from admin.cli.output import seconds
from admin.cli.ramp import lines
from tests.unit.cli.script import answer
from tests.unit.cli.test_cli_commands import DONE, Play, sent, turnout

RAMP: dict[str, Any] = {
    "ramp": "r-1",
    "state": "dwelling",
    "by": "count",
    "steps": [
        {"percent": 1, "dwell_s": 600.0},
        {"percent": 5, "dwell_s": 3900.0},
        {"percent": 100, "dwell_s": 0.0},
    ],
    "step": 2,
    "direction": "up",
    "percent": 5,
    "weight": 5,
    "pending": [],
    "dwelt_s": 1950.0,
    "left_s": 1950.0,
    "reason": "",
    "outcome": "",
}
TRIED: dict[str, Any] = {
    "moves": [
        {
            "tenant": "acme",
            "from_slot": "blue",
            "from_reason": "active",
            "to_slot": "green",
            "to_reason": "canary",
            "part": 1.0,
            "requests": 30,
            "percent": 3.0,
        }
    ],
    "moving": 3,
    "explanation": "3 of 9 known tenants would move, with 4 % of the last hour's traffic.",
    "refusal": None,
}
CHOSEN = {"asked": 5, "percent": 7.31, "share": 4.8, "explanation": "asked for 5 %; got 4.8 %."}
PATH = "/v1/canary/ramp"


@pytest.mark.parametrize(
    ("command", "line", "body"),
    [
        (
            "canary set 5 --by traffic --deny acme,bravo --allow=",
            "PUT /v1/canary",
            {
                "percent": 5,
                "by": "traffic",
                "allow": [],
                "deny": ["acme", "bravo"],
                "timeout_ms": 5000,
            },
        ),
        (
            "canary what-if 25 --by traffic --unit request",
            "POST /v1/routing/whatif",
            {"canary": {"percent": 25, "by": "traffic", "unit": "request"}},
        ),
        (
            "cutover green --what-if",
            "POST /v1/routing/whatif",
            {"cutover": {"to": "green", "tenants": "all"}},
        ),
        (
            "cutover green --tenants acme --what-if",
            "POST /v1/routing/whatif",
            {"cutover": {"to": "green", "tenants": ["acme"]}},
        ),
        (
            "canary ramp 1,5,100 --dwell 10m,1h --expect-version 3",
            f"POST {PATH}",
            {"steps": [1, 5, 100], "dwell_s": [600, 3600], "expected_version": 3},
        ),
        (
            "canary ramp start 0.5 --dwell 30s --by traffic --salt two",
            f"POST {PATH}",
            {"steps": [0.5], "dwell_s": [30], "by": "traffic", "salt": "two"},
        ),
        ("canary ramp show", f"GET {PATH}", None),
        ("canary ramp pause", f"POST {PATH}/pause", {}),
        ("canary ramp resume", f"POST {PATH}/resume", {}),
        ("canary ramp reverse", f"POST {PATH}/reverse", {}),
        ("canary ramp stop", f"POST {PATH}/stop", {}),
        ("traffic --limit 5 --cursor 10", "GET /v1/traffic?limit=5&cursor=10", None),
    ],
)
def test_it_asks_for_what_was_said(
    play: Play, command: str, line: str, body: dict[str, object] | None
) -> None:
    script = play(answer({**DONE, **RAMP}))
    done = turnout(*command.split(), "--json", "--url", script.url)
    assert (done.exit_code, done.stderr) == (0, "")
    assert json.loads(done.stdout) == {**DONE, **RAMP}
    assert sent(script) == (line, body)


@pytest.mark.parametrize(
    "command",
    [
        "canary ramp 1,5 ",
        "canary ramp 1,x --dwell 1m",
        "canary ramp 1,101 --dwell 1m",
        "canary ramp 1,5 --dwell 1m,x",
        "canary ramp 1,5 --dwell 1m --by luck",
        "canary ramp nonsense",
        "canary what-if 5 --deny Acme",
        "traffic --cursor -1",
    ],
)
def test_wrong_usage_exits_2(command: str) -> None:
    assert turnout(*command.split()).exit_code == 2


def test_a_weight_by_traffic_is_explained(play: Play) -> None:
    script = play(answer({**DONE, "chosen": CHOSEN}))
    done = turnout("canary", "set", "5", "--by", "traffic", "--url", script.url)
    assert done.stdout.startswith("the canary is 7.31 %: version 8, served by 1 of 1 worker")
    assert done.stdout.endswith("\nAsked for 5 %; got 4.8 %.\n")


def test_what_if_shows_who_moves(play: Play) -> None:
    script = play(answer({**TRIED, "chosen": CHOSEN, "refusal": "slot-empty: none there"}))
    done = turnout("canary", "what-if", "5", "--url", script.url)
    assert sent(script)[1] == {"canary": {"percent": 5}, "limit": 20}
    words = [line.split() for line in done.stdout.splitlines()]
    assert words[0][:3] == ["Asked", "for", "5"]
    assert words[2] == ["acme", "blue", "green", "active", "→", "canary", "30", "3", "%", "all"]
    assert done.stdout.splitlines()[3:] == [
        "and 2 tenants more, with less traffic",
        TRIED["explanation"],
        "As things are it would be refused: slot-empty: none there",
    ]


def test_a_question_that_is_lost_is_no_change_that_may_have_been_made(play: Play) -> None:
    script = play(b"")
    script.close()
    done = turnout("canary", "what-if", "5", "--url", script.url)
    assert done.exit_code == 3
    assert "may have been made" not in done.stderr


@pytest.mark.parametrize(
    ("differs", "said"),
    [
        ({}, "step 2 of 3, 5 % by count, weight 5 %: 32 min 30 s left"),
        (
            {"state": "stepping", "pending": ["w1", "w2"]},
            "step 2 of 3, 5 % by count, weight 5 %: waiting for w1, w2",
        ),
        ({"state": "stepping", "weight": None}, "step 2 of 3, 5 % by count: being set"),
        (
            {"state": "paused", "direction": "down", "step": 0, "percent": 0, "weight": 0},
            "where it began, on the way down, 0 % by count, weight 0 %: paused",
        ),
        (
            {"state": "done", "outcome": "arrived", "step": 3, "weight": 100},
            "it has walked all its steps, at 100 %",
        ),
        (
            {"state": "done", "outcome": "switched"},
            "a cutover or a rollback ended it, at 5 %",
        ),
    ],
)
def test_how_a_ramp_stands(differs: dict[str, Any], said: str) -> None:
    assert lines({**RAMP, **differs})[0] == f"ramp r-1: {said}"


def bars(ramp: dict[str, Any]) -> list[str]:
    return [next(word for word in line.split() if word[0] in "█░") for line in lines(ramp)[1:]]


def test_the_bars_of_a_ramp() -> None:
    full, half, empty = "█" * 24, "█" * 12 + "░" * 12, "░" * 24
    assert bars(RAMP) == [full, half, empty]
    assert bars({**RAMP, "direction": "down"}) == [empty, half, empty]
    assert [line.split()[-1] for line in lines(RAMP)[1:]] == ["min", "min", "-"]
    assert lines({**RAMP, "reason": "carol\x1b[2J"})[-1] == "  carol\\x1b[2J"


def test_watched_it_says_what_happens_until_it_ends(play: Play) -> None:
    ended = {**RAMP, "state": "done", "outcome": "arrived", "step": 3, "weight": 100}
    script = play(answer(RAMP), answer(RAMP), answer(ended))
    done = turnout("canary", "ramp", "show", "--watch", "--url", script.url)
    assert done.exit_code == 0
    assert done.stdout.splitlines() == [lines(RAMP)[0], lines(ended)[0]]


def test_watched_as_json_it_is_a_document_a_line(play: Play) -> None:
    ended = {**RAMP, "state": "done", "outcome": "switched"}
    script = play(answer(RAMP), answer(ended))
    done = turnout("canary", "ramp", "show", "--watch", "--json", "--url", script.url)
    assert done.exit_code == 1
    assert [json.loads(line) for line in done.stdout.splitlines()] == [RAMP, ended]


def test_no_figures_are_said_to_be_none(play: Play) -> None:
    script = play(answer({"items": [], "requests": 0}))
    assert "No figures" in turnout("traffic", "--url", script.url).stdout


def test_traffic_as_a_table(play: Play) -> None:
    item = {"tenant": "acme", "requests": 3, "percent": 75.0, "slot": "blue", "reason": "active"}
    page = {"items": [item], "tenants": 2, "requests": 4, "others_percent": 0.0, "minutes": 1}
    script = play(answer({**page, "next": 1}))
    said = turnout("traffic", "--limit", "1", "--url", script.url).stdout.splitlines()
    assert said[1].split() == ["acme", "3", "75", "%", "blue", "active"]
    assert said[2].startswith("4 requests of 2 tenants in 1 minute; 0 % of")
    assert said[3] == "There are more: --cursor 1"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0 s"),
        (59.4, "59 s"),
        (60, "1 min"),
        (90, "1 min 30 s"),
        (3600, "1 h"),
        (3900, "1 h 5 min"),
        (180_000, "2 d 2 h"),
    ],
)
def test_durations(value: float, text: str) -> None:
    assert seconds(value) == text
