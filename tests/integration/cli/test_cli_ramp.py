"""A ramp from the command line, against a real admin: begun, watched, paused, turned, stopped."""

from tests.integration.cli.conftest import Turnout
from tests.support.terminal import on_terminal


async def test_a_ramp_is_begun_and_watched_to_its_end(turnout: Turnout):
    tried = await turnout("canary", "what-if", "25", "--json")
    assert (tried.code, tried.json["known"], tried.json["percent"]) == (0, 0, 25)
    begun = await turnout("canary", "ramp", "1,100", "--dwell", "1s")
    assert begun.code == 0, begun.stderr
    assert begun.stdout.startswith("ramp r-")
    watched = await turnout("canary", "ramp", "show", "--watch")
    assert watched.code == 0
    assert watched.stdout.splitlines()[-1].endswith("it has walked all its steps, at 100 %")
    assert (await turnout("canary", "show", "--json")).json["percent"] == 100
    again = await turnout("canary", "ramp", "pause")
    assert (again.code, again.stdout) == (1, "")
    assert "the ramp is done (HTTP 409, ramp-state)" in again.stderr


async def test_words_to_a_ramp(turnout: Turnout):
    assert (await turnout("canary", "ramp", "5,50", "--dwell", "1h", "--json")).code == 0
    assert (await turnout("canary", "ramp", "pause", "--json")).json["state"] == "paused"
    assert (await turnout("canary", "ramp", "resume", "--json")).json["state"] == "stepping"
    assert (await turnout("canary", "ramp", "reverse", "--json")).json["direction"] == "down"
    watched = await turnout("canary", "ramp", "show", "--watch", "--json")
    assert watched.code == 0
    assert (await turnout("canary", "ramp", "5,50", "--dwell", "1h")).code == 0
    stopped = await turnout("canary", "ramp", "stop")
    assert "it was stopped; the canary stays as it is" in stopped.stdout
    assert (await turnout("canary", "ramp", "show", "--watch")).code == 1


async def test_on_a_terminal_it_is_drawn_in_place(turnout: Turnout):
    assert (await turnout("canary", "ramp", "1,100", "--dwell", "2s")).code == 0
    code, text = await on_terminal(turnout.environment, "canary", "ramp", "show", "--watch")
    assert code == 0
    assert "█" in text
    assert "\x1b[1A" in text, "the lines are drawn over"
    assert "it has walked all its steps, at 100 %" in text
