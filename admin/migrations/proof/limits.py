"""How long each part of a proof may take, and how much is looked at."""

from dataclasses import dataclass


class CannotProve(Exception):  # noqa: N818 - not a fault of this program
    """The proof can't be carried out; the message says why and what to do. It holds no secret."""


class CannotReach(CannotProve):
    """A server doesn't answer."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds end in `_s`.

    connect_s: for a connection. copy_s: for making a clone. lock_timeout_s, statement_timeout_s: of each
    statement of a migration. try_s: of each query that is tried. command_s: of the user's command;
    command_stop_s: what it gets to end by itself after that. remove_s: for dropping a clone.
    clone_age_s: how old a clone becomes before the next run takes it for left behind.
    queries: how many are looked at, those called most first. samples: of logged values for each.
    variants: of invented values for each. output_bytes: of the command's output that are kept.
    """

    connect_s: float = 10.0
    copy_s: float = 1800.0
    lock_timeout_s: float = 2.0
    statement_timeout_s: float = 600.0
    try_s: float = 2.0
    command_s: float = 1800.0
    command_stop_s: float = 5.0
    remove_s: float = 60.0
    clone_age_s: int = 6 * 3600
    queries: int = 2000
    samples: int = 8
    variants: int = 40
    output_bytes: int = 65_536


def milliseconds(seconds: float) -> str:
    """As PostgreSQL's settings take it."""
    return str(max(1, round(seconds * 1000)))
