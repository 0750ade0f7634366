"""The names of scratch clones: they say when one was made, and how old it may become. Pure.

`turnout_scratch_20261128t054826_21600_1f00ab34`: made at that moment (UTC), left behind after 21 600 s.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import blake2b

PREFIX = "turnout_scratch_"
_MOMENT = "%Y%m%dt%H%M%S"
_FORM = re.compile(rf"{PREFIX}(\d{{8}}t\d{{6}})_(\d{{1,8}})_[0-9a-f]{{8}}", re.ASCII)
_UTC = UTC


@dataclass(frozen=True, slots=True)
class Born:
    """What a clone's name says. age_s: how old it may become."""

    made_at: datetime
    age_s: int

    def is_over(self, now: datetime) -> bool:
        """Whether it is older than it may become."""
        return now > self.made_at + timedelta(seconds=self.age_s)


def clone_name(now: datetime, age_s: int, token: str) -> str:
    """The name of a clone that is made now. token: eight hexadecimal digits, for it alone."""
    return f"{PREFIX}{now.astimezone(_UTC).strftime(_MOMENT)}_{age_s}_{token}"


def read_clone_name(name: str) -> Born | None:
    """What the name says; None: it is no clone's."""
    found = _FORM.fullmatch(name)
    if found is None:
        return None
    try:
        made_at = datetime.strptime(found[1], _MOMENT).replace(tzinfo=_UTC)
    except ValueError:
        return None
    return Born(made_at, int(found[2]))


def lock_number(name: str) -> int:
    """Of the advisory lock that a clone's maker holds for as long as it lives."""
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "big", signed=True)
