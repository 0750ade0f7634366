"""A release as lines."""

from admin.cli.release_board import board

TRIGGERS = [
    {"name": name, "level": "unmeasured", "detail": "not measured yet: 14 of the 30 requests"}
    for name in ("error-rate", "response-time")
]


def test_what_the_monitor_says_names_what_is_watched():
    found = {"state": "canary", "verdict": {"level": "unmeasured", "triggers": TRIGGERS}}
    lines = [line.strip() for line in board(found)]
    assert "error-rate unmeasured: not measured yet: 14 of the 30 requests" in lines
    assert "response-time unmeasured: not measured yet: 14 of the 30 requests" in lines
