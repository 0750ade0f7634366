"""`turnout release watch` on a terminal: the whole board, drawn over when something changes."""

from tests.support.terminal import on_terminal
from tests.unit.cli.script import answer
from tests.unit.cli.test_cli_commands import Play

RELEASE = {
    "name": "r",
    "version": "1.3.0",
    "from_version": "1.2.0",
    "active": "blue",
    "standby": "green",
    "kind": "minor",
    "started_by": "ada",
}
STABILISING = {**RELEASE, "state": "stabilising", "verdict": {"level": "normal", "triggers": []}}
BACK = {**RELEASE, "state": "rolled-back", "fault": "5 % of requests fail"}


async def test_the_board_is_drawn_in_place(play: Play) -> None:
    script = play(answer(STABILISING), answer(BACK))
    environment = {"TURNOUT_ADMIN_URL": script.url, "TURNOUT_TOKEN": "secret"}
    code, text = await on_terminal(environment, "release", "watch")
    assert code == 5
    assert "monitor: normal" in text
    assert "\x1b[1A" in text, "the lines are drawn over"
    assert "fault: 5 % of requests fail" in text
