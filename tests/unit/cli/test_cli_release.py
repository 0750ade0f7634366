"""`turnout release`: whom a signature is for, and the go/no-go as lines."""

import json
from typing import Any

import pytest

from admin.cli.release_board import board, line
from tests.support.shown import release
from tests.unit.cli.script import answer
from tests.unit.cli.test_cli_commands import Play, sent, turnout

PATH = "/v1/releases/current/sign"


@pytest.mark.parametrize(
    ("command", "path", "body"),
    [
        ("qa", "current", {"signer": "qa", "approve": True}),
        ("qa r-1 --note fine", "r-1", {"signer": "qa", "approve": True, "note": "fine"}),
        ("--item code-review", "current", {"item": "code-review", "approve": True}),
        ("--item qa r-1 --refuse --note no", "r-1", {"item": "qa", "approve": False, "note": "no"}),
    ],
)
def test_a_role_or_an_item_is_signed(
    play: Play, command: str, path: str, body: dict[str, Any]
) -> None:
    script = play(answer(release()))
    done = turnout("release", "approve", *command.split(), "--json", "--url", script.url)
    assert (done.exit_code, done.stderr) == (0, "")
    assert json.loads(done.stdout) == release()
    assert sent(script) == (f"POST /v1/releases/{path}/sign", {"note": "", **body})


@pytest.mark.parametrize("command", ["", "qa r-1 --item qa"])
def test_one_of_both_says_what_is_signed(play: Play, command: str) -> None:
    script = play(answer(release()))
    done = turnout("release", "approve", *command.split(), "--url", script.url)
    assert done.exit_code == 2
    assert "SIGNER or --item" in done.stderr


def test_the_board_has_the_whole_go_no_go() -> None:
    gates = [
        {"gate": "health", "item": "deployed", "phase": 2, "outcome": "passed", "detail": "2 of 2"},
        {"gate": "qa", "item": "qa", "phase": 3, "outcome": "signed", "signed_by": "ada", "note": "ok"},
        {"gate": "window", "item": "window", "phase": 5, "outcome": "unmeasured", "detail": "not measured yet"},
        {"gate": "dba", "item": "database", "phase": 5, "outcome": "awaited"},
    ]  # fmt: skip
    shown = board(release(gates=gates))
    at = shown.index("  phase 2")
    assert shown[at : at + 7] == [
        "  phase 2",
        "    ✓ deployed (health) passed: 2 of 2",
        "  phase 3",
        "    ✓ qa signed, ada: ok",
        "  phase 5",
        "    · window unmeasured: not measured yet",
        "    · database (dba) awaited",
    ]
    assert "lacks" in line(release())
