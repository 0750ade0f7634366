"""The settings of [releases.notify], each with its unit, its default and its bounds."""

import re
from typing import Annotated

import msgspec
from msgspec import Meta

from admin.config import Positive, Seconds
from admin.migrations.references import is_reference
from admin.notify.events import EVENTS
from config.words import like

_NAME = re.compile(r"[a-z0-9-]{1,64}")


class Target(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whom to tell. url: where apprise's URL stands, for it is a secret. events: empty, all."""

    name: str
    url: str
    events: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError("`name` is 1 to 64 of a-z, 0-9 and -")
        if not is_reference(self.url):
            raise ValueError("`url` names where the URL stands: env:NAME, or file:/path")
        for event in self.events:
            if event not in EVENTS:
                raise ValueError(f"`events`: {unknown(event)}")


def unknown(event: str) -> str:
    """What is said of an event that there is not."""
    close = like(event, EVENTS)
    hint = f"did you mean {close}?" if close else f"there are {', '.join(EVENTS)}"
    return f"there is no event {event!r}; {hint}"


class Notify(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """[releases.notify]. templates: a file of your own on top of the shipped one. queue: messages that
    wait for one target. timeout_s: of one message. close_s: how long an admin that ends waits for what
    is left. link: what messages point to, as https://turnout.example.com/ui/release/{release}.
    still_s: a release that waits so long without anything happening stands still.
    """  # noqa: D205 - one sentence a field

    targets: tuple[Target, ...] = ()
    templates: str = ""
    queue: Positive = 256
    timeout_s: Seconds = 10.0
    close_s: Annotated[float, Meta(ge=0, le=60)] = 2.0
    link: str = ""
    still_s: Annotated[float, Meta(ge=1, le=2_592_000)] = 3600.0

    def __post_init__(self) -> None:
        names = [target.name for target in self.targets]
        if len(set(names)) < len(names):
            raise ValueError("`targets`: two have one name")
