"""What is said of each event: a title and a body with words in braces.

    [events.rolled-back]
    level = "failure"
    title = "{version} was rolled back"
    body = "Reason: {reason}"

Rules: the words are a fixed vocabulary, and nothing is evaluated. A line all of whose words stand for
nothing is left out. Values are cut and lose their control characters, for they go into mails and chats.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import msgspec

from admin.gates.files import FileFault, read
from admin.gates.words import fill, unknown
from admin.notify.config import unknown as unknown_event
from admin.notify.events import EVENTS

WORDS = (
    "event",
    "release",
    "version",
    "from_version",
    "kind",
    "state",
    "phase",
    "active",
    "standby",
    "percent",
    "reason",
    "detail",
    "missing",
    "by",
    "note",
    "environment",
    "link",
)
LEVELS = ("info", "success", "warning", "failure")
DEFAULT = "default"
"""The event whose template is used for those without one."""
VALUE_MAX = 500
TITLE_MAX = 200
_WORD = re.compile(r"\{([a-z_]+)\}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


class Template(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """level: what apprise shows it as."""

    title: str
    body: str
    level: str = "info"

    def __post_init__(self) -> None:
        if self.level not in LEVELS:
            raise ValueError(f"`level` is one of {', '.join(LEVELS)}")
        for name in ("title", "body"):
            missing = next(unknown(getattr(self, name), WORDS), "")
            if missing:
                known = ", ".join(f"{{{word}}}" for word in WORDS)
                raise ValueError(f"`{name}`: {{{missing}}} stands for nothing; there are {known}")
        if "\n" in self.title:
            raise ValueError("`title` is one line")


class Templates(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """By event."""

    events: dict[str, Template] = {}

    def __post_init__(self) -> None:
        for event in self.events:
            if event not in {DEFAULT, *EVENTS}:
                raise ValueError(unknown_event(event))

    def of(self, event: str) -> Template | None:
        """The event's, or the default one."""
        return self.events.get(event) or self.events.get(DEFAULT)


@dataclass(frozen=True, slots=True)
class Message:
    """What a target is told."""

    title: str
    body: str
    level: str


def load(file: str = "") -> Templates:
    """The shipped templates, with those of a file in place of theirs (empty: none). FileFault."""
    base = read(files("admin.notify").joinpath("templates.toml"), Templates)
    own = read(Path(file), Templates) if file else Templates()
    return Templates({**base.events, **own.events})


def message(template: Template, event: str, about: Mapping[str, object], link: str = "") -> Message:
    """The words filled in. about: by word; what is no word is not looked at. link: see `config`."""
    words = dict.fromkeys(WORDS, "")
    words |= {word: _plain(about[word]) for word in WORDS if about.get(word) is not None}
    words["event"] = event
    words["link"] = words["link"] or fill(link, words)
    lines = [fill(line, words) for line in template.body.splitlines() if _says(line, words)]
    title = fill(template.title, words)[:TITLE_MAX]
    return Message(" ".join(title.split()), "\n".join(lines).strip(), template.level)


def _says(line: str, words: Mapping[str, str]) -> bool:
    """Whether one of the line's words stands for something; a line without words says itself."""
    named = _WORD.findall(line)
    return not named or any(words[name] for name in named)


def _plain(value: object) -> str:
    if isinstance(value, list | tuple | set | frozenset):
        value = ", ".join(str(each) for each in value)
    text = _CONTROL.sub(" ", str(value)).strip()
    return text if len(text) <= VALUE_MAX else f"{text[: VALUE_MAX - 1]}…"


__all__ = ["FileFault", "Message", "Template", "Templates", "load", "message"]
