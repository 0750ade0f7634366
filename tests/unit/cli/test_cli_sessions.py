"""`turnout sessions`: what it asks the admin for, and what it says of the answer."""

from collections.abc import Callable

import pytest

from tests.unit.cli.script import Script, answer
from tests.unit.cli.test_cli_commands import sent, turnout

Play = Callable[..., Script]
ITEM = {
    "session": "0123456789abcdef",
    "subject": "anna",
    "role": "operator",
    "tenants": ["acme", "bodoni"],
    "method": "oidc",
    "address": "192.0.2.1",
    "agent": "Mozilla/5.0",
    "began_at": "2026-11-28T09:00:00.5+00:00",
    "seen_at": "2026-11-28T09:30:00+00:00",
    "ends_at": "2026-11-28T10:30:00+00:00",
}


def test_a_list(play: Play):
    script = play(answer({"items": [ITEM], "next": "1.0123456789abcdef"}))
    done = turnout("sessions", "list", "--subject", "anna", "--url", script.url)
    assert done.exit_code == 0
    assert sent(script)[0] == "GET /v1/sessions?subject=anna&limit=100"
    assert "0123456789abcdef" in done.stdout
    assert "2 tenants" in done.stdout
    assert "2026-11-28 09:30" in done.stdout
    assert "--cursor 1.0123456789abcdef" in done.stdout


def test_nobody(play: Play):
    script = play(answer({"items": [], "next": None}))
    assert turnout("sessions", "list", "--url", script.url).stdout == "Nobody is logged in.\n"


@pytest.mark.parametrize(
    ("command", "line"),
    [
        ("sessions end 0123456789abcdef", "DELETE /v1/sessions/0123456789abcdef"),
        ("sessions end a/b", "DELETE /v1/sessions/a%2Fb"),
        (
            "sessions end --subject anna@example.com",
            "DELETE /v1/sessions?subject=anna%40example.com",
        ),
    ],
)
def test_an_end(play: Play, command: str, line: str):
    script = play(answer({"ended": ["0123456789abcdef"]}))
    done = turnout(*command.split(), "--url", script.url)
    assert (done.exit_code, done.stdout) == (0, "1 session ended: 0123456789abcdef\n")
    assert sent(script) == (line, None)


def test_an_end_of_something():
    for wrong in ((), ("a", "--subject", "anna")):
        done = turnout("sessions", "end", *wrong)
        assert done.exit_code == 2
        assert "--subject" in done.stderr
