"""What is said of events."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from admin.gates.files import FileFault
from admin.hooks.model import STATES
from admin.notify.config import Target
from admin.notify.events import EVENTS
from admin.notify.templates import (
    TITLE_MAX,
    VALUE_MAX,
    WORDS,
    Message,
    Template,
    load,
    message,
)
from tests.support.examples import examples

ABOUT = {
    "release": "r-1",
    "version": "1.3.0",
    "from_version": "1.2.0",
    "active": "blue",
    "standby": "green",
    "reason": "error rate 5.1 % against 0.2 %",
}


def test_every_event_has_a_template_and_every_state_is_an_event() -> None:
    templates = load()
    assert templates.events.keys() == {"default", *EVENTS}
    assert set(STATES) <= EVENTS.keys()
    for event in EVENTS:
        template = templates.of(event)
        assert template is not None
        told = message(template, event, ABOUT)
        assert told.title
        assert "{" not in told.title + told.body


def test_what_a_rollback_says() -> None:
    template = load().events["rolling-back"]
    told = message(template, "rolling-back", ABOUT, "https://t.example/releases/{release}")
    assert told == Message(
        "1.3.0 is being rolled back: traffic returns to blue",
        "r-1\nReason: error rate 5.1 % against 0.2 %\nhttps://t.example/releases/r-1",
        "failure",
    )


def test_lines_about_nothing_are_left_out() -> None:
    template = Template("{version}", "always\nBy {by}\n{note} and {reason}\n{link}")
    assert message(template, "x", {"reason": "that", "by": None}).body == "always\n and that"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            '[events.done]\ntitle = "{nobody}"\nbody = ""\n',
            ":1: events.done: `title`: {nobody} stands for nothing; there are {event}",
        ),
        ('[events.done]\ntitle = "x"\nbody = ""\nlevel = "loud"\n', "`level` is one of info"),
        ('[events.done]\ntitle = "x"\n', "needs `body`"),
        ('[events.finished]\ntitle = "x"\nbody = ""\n', "there is no event 'finished'"),
        ('[events.done]\ntitle = "a\\nb"\nbody = ""\n', "`title` is one line"),
    ],
)
def test_errors_of_templates(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "templates.toml"
    path.write_text(text)
    with pytest.raises(FileFault) as caught:
        load(str(path))
    assert said in str(caught.value)
    assert str(caught.value).startswith(str(path))


def test_a_target_is_told_of_events_that_there_are() -> None:
    with pytest.raises(
        ValueError, match=r"there is no event 'roled-back'; did you mean rolled-back"
    ):
        Target("chat", "env:CHAT", ("done", "roled-back"))
    with pytest.raises(ValueError, match="there are planned, deploying"):
        Target("chat", "env:CHAT", ("lunch",))


def test_a_file_replaces_single_events(tmp_path: Path) -> None:
    path = tmp_path / "templates.toml"
    path.write_text('[events.done]\ntitle = "{version}!"\nbody = ""\n')
    own, shipped = load(str(path)), load()
    assert own.events["done"].title == "{version}!"
    assert own.events["aborted"] == shipped.events["aborted"]


@examples()
@given(st.dictionaries(st.sampled_from(WORDS), st.text() | st.integers() | st.lists(st.text())))
def test_no_value_breaks_out_of_its_place(values: dict[str, object]) -> None:
    template = Template("{version} {reason}", "\n".join(f"{{{word}}}" for word in WORDS))
    told = message(template, "done", values)
    assert len(told.title) <= TITLE_MAX
    assert "\n" not in told.title
    assert len(told.body.splitlines()) <= len(WORDS)
    assert len(told.body) <= (VALUE_MAX + 1) * len(WORDS)


@pytest.mark.parametrize("value", ["{link}", "{reason.__class__}", "%s", "{0}", "${HOME}"])
def test_values_are_not_templates(value: str) -> None:
    told = message(Template("{version}", "{version}"), "x", {"version": value, "link": "no"})
    assert told.title == told.body == value
