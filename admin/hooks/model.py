"""A hook as the settings have it, and what came of one. Pure.

[[releases.hooks]]
name = "deploy"
before = "deploying"
webhook = "https://deploy.example.com/turnout"
secret = "env:DEPLOY_HOOK_SECRET"
"""

import re
from dataclasses import dataclass
from typing import Annotated

import msgspec
from msgspec import Meta

from admin.migrations.references import is_reference

STATES = (
    "planned",
    "deploying",
    "validating",
    "canary",
    "cutting-over",
    "stabilising",
    "finalising",
    "done",
    "rolling-back",
    "rolled-back",
    "aborting",
    "aborted",
)
"""The states of a release."""
ACTING = tuple(state for state in STATES if state not in {"done", "rolled-back", "aborted"})
"""Those that a hook may stand in: a release that has ended does nothing more."""
UNKNOWN = ("", "pause", "repeat", "back")
"""What is done if it is not known whether the hook was done: what the plan says, ask a person, do it
again, or go back."""
_NAME = re.compile(r"[a-z0-9-]{1,64}")


class Hook(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Something that is done as a release begins with a state, or ends with it.

    before: it stands before all else that is done and waited for in this state; after: after all of it.
    timeout_s: of one try, in seconds. tries: of a webhook; a command is run once. backoff_s: before the
    second try; it doubles. secret: where the secret stands that signs what is sent, or that a command
    gets as TURNOUT_SECRET.
    """

    name: str
    before: str = ""
    after: str = ""
    webhook: str = ""
    command: tuple[str, ...] = ()
    timeout_s: Annotated[float, Meta(gt=0, le=86_400)] = 60.0
    tries: Annotated[int, Meta(ge=1, le=20)] = 3
    backoff_s: Annotated[float, Meta(gt=0, le=300)] = 1.0
    secret: str = ""
    on_unknown: str = ""

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError("`name` is 1 to 64 of a-z, 0-9 and -")
        for field in ("before", "after"):
            state = getattr(self, field)
            if state and state not in ACTING:
                raise ValueError(f"`{field}` is one of {', '.join(ACTING)}")
        if bool(self.before) == bool(self.after):
            raise ValueError("`before` or `after` names the state, and not both")
        if bool(self.webhook) == bool(self.command):
            raise ValueError("`webhook` or `command` says what is done, and not both")
        if self.webhook and not self.webhook.startswith(("http://", "https://")):
            raise ValueError("`webhook` begins with http:// or https://")
        if self.secret and not is_reference(self.secret):
            raise ValueError("`secret` names where the secret stands: env:NAME, or file:/path")
        if self.on_unknown not in UNKNOWN:
            raise ValueError(f"`on_unknown` is one of {', '.join(UNKNOWN[1:])}")

    @property
    def longest_s(self) -> float:
        """How long all its tries may take, in seconds."""
        tries = self.tries if self.webhook else 1
        return self.timeout_s * tries + sum(pauses(tries, self.backoff_s))


@dataclass(frozen=True, slots=True)
class HookResult:
    """What came of a hook. ok: it was done. detail: a sentence, which holds no secret.

    output_tail: the end of a command's output, scrubbed. known: False, it may have been done though it
    is not ok: `on_unknown` says what follows. tries: how often it was tried.
    """

    ok: bool
    detail: str
    output_tail: str = ""
    known: bool = True
    tries: int = 1


BACKOFF_MAX_S = 60.0


def pauses(tries: int, first_s: float) -> list[float]:
    """The pauses between so many tries, in seconds."""
    return [min(first_s * 2**number, BACKOFF_MAX_S) for number in range(tries - 1)]


def around(hooks: tuple[Hook, ...], *, before: str = "", after: str = "") -> tuple[Hook, ...]:
    """Those that stand before, or after, this state, in their order."""
    return tuple(
        hook
        for hook in hooks
        if (before and hook.before == before) or (after and hook.after == after)
    )


def check_names(hooks: tuple[Hook, ...]) -> None:
    """ValueError if two have one name: effects are known by it."""
    names = [hook.name for hook in hooks]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"`hooks`: two are called {twice[0]}")
