"""What people are told of a release: every transition has an event that there is."""

from dataclasses import replace
from typing import Any

import pytest

from admin.notify.events import EVENTS
from admin.notify.templates import WORDS
from admin.releases.course import DRILL_OVER
from admin.releases.model import TRANSITIONS, Event, NotNowError, Release, State
from admin.releases.news import News, event_of, words
from admin.releases.ports import Judgement
from admin.releases.store import Record
from tests.unit.admin.releases.test_model import BEGUN


class Heard:
    def __init__(self) -> None:
        self.said: list[tuple[str, dict[str, Any]]] = []

    def tell(self, event: str, about: Any) -> None:
        self.said.append((event, dict(about)))


def recorded(release: Release) -> Record:
    """As the database has it, as far as news needs it."""
    row: Any = {"kind": "minor", "revision": 1}
    return Record(row, release)


@pytest.mark.parametrize(
    ("state", "event", "is_drill"),
    [
        (*pair, is_drill)
        for pair in TRANSITIONS
        for is_drill in (False, True)
        # A drill comes back.
        if not (is_drill and pair[1] is Event.STABLE)
    ],
)
def test_every_transition_is_told_as_an_event_that_there_is(
    state: State, event: Event, is_drill: bool
):
    release = replace(BEGUN, state=state, is_drill=is_drill, paused=event is Event.RESUME)
    try:
        after = release.take(event)
    except NotNowError:
        after = replace(release, step=1).take(event)
    name, _ = event_of(after, event)
    assert name in EVENTS
    assert words(after, "minor", "production").keys() <= {*WORDS, "fault"}


def test_a_drill_that_goes_back_as_planned_is_no_failure():
    drill = replace(BEGUN, state=State.STABILISING, is_drill=True)
    back = drill.take(Event.ROLLBACK, DRILL_OVER)
    assert event_of(back, Event.ROLLBACK) == ("drill", "everybody goes back to blue")
    over = back.take(Event.RETURNED)
    assert event_of(over, Event.RETURNED) == ("drill", "over: everybody is back on blue")
    failed = drill.take(Event.FAULT, "5 % errors")
    assert event_of(failed, Event.FAULT)[0] == "rolling-back"


def test_a_verdict_is_told_when_its_level_changes():
    heard = Heard()
    news, record = News(heard, "production"), recorded(BEGUN)
    for level in ("normal", "warning", "warning", "critical", "critical", "unmeasured", "warning"):
        news.judged(record, Judgement(level, f"it is {level}"))
    assert [(event, about["detail"]) for event, about in heard.said] == [
        *(("warning", "it is warning"), ("critical", "it is critical")),
        ("warning", "it is warning"),
    ]


def test_signatures_are_wanted_once_in_each_state():
    heard = Heard()
    news = News(heard, "production")
    for visit in (1, 1, 2):
        news.wants(recorded(replace(BEGUN, visit=visit)), ["qa", "code-review: developer"])
    news.wants(recorded(replace(BEGUN, visit=3)), [])
    assert [about["missing"] for _, about in heard.said] == [["qa", "code-review: developer"]] * 2
