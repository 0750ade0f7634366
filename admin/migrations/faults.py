"""What can go wrong with a migration: what is tried again, what fails it, and what to do then. Pure.

Rule: only what may pass by itself is tried again; its SQLSTATEs stand in `RETRYABLE` (PostgreSQL's
documentation, appendix A). Everything else fails the job at once, for a second try would fail too.
"""

import re
from collections.abc import Mapping
from typing import Final

import msgspec

RETRYABLE: Final[Mapping[str, str]] = {
    "55P03": "a lock was not to be had in time",
    "40001": "it could not be serialised with another transaction",
    "40P01": "a deadlock",
    "08000": "the connection was lost",
    "08001": "the connection could not be made",
    "08003": "the connection was lost",
    "08006": "the connection was lost",
    "08007": "the connection was lost in the middle of a transaction",
    "53300": "the server has no connection left",
    "57P01": "the server ended the session",
    "57P02": "the server crashed",
    "57P03": "the server is starting or stopping",
    "25P03": "the session was idle in its transaction for too long",
}
"""SQLSTATE → what it means here. A lost connection that has no SQLSTATE counts as 08006."""
LOST: Final = "08006"
_OPEN: Final = ("08", "57P", "25P03")
ADVICE: Final[Mapping[str, str]] = {
    "22": "Its data don't fit what the statement makes of them: mend the rows, or the statement.",
    "23": "Its data break the constraint: mend the rows, or add it NOT VALID and validate it later.",
    "25001": "It can't run in a transaction: write -- turnout:transaction off at the file's top.",
    "2D": "A migration neither begins nor ends transactions: take that out of the file.",
    "28": "The server refuses the worker's role: see its URL's reference, and pg_hba.conf.",
    "3D000": "The database is not there: make it, or take its target off the registry.",
    "42501": "The worker's role may not do this: see its grants in docs/operations.md.",
    "42601": "The statement has a fault that the grammar only shows when it runs.",
    "42701": "The column is there already, made by hand perhaps: see `turnout migrations drift`.",
    "42703": "The column is not there: is an earlier migration missing in this target?",
    "42710": "The object is there already, made by hand perhaps: see `turnout migrations drift`.",
    "42P01": (
        "The table is not there: is an earlier migration missing in this target, or is it in"
        " another schema (migrations.extra_schemas)?"
    ),
    "42P07": "The table or index is there already: see `turnout migrations drift`.",
    "42883": "The function is not there: is its schema in migrations.extra_schemas?",
    "53100": "The server's disk is full.",
    "57014": (
        "It took longer than migrations.statement_timeout_s: divide it into smaller steps, or make"
        " it a backfill by batches."
    ),
}
"""SQLSTATE, or its class → what to do."""
OTHERWISE: Final = "Mend the target, or the file."
THEN: Final = (
    "Then `turnout migrations retry {plan}`; a changed file needs a new plan, for a plan runs what"
    " was planned."
)


MAX_TEXT: Final = 2000
"""How many characters of a message, a hint or a statement are kept."""


class Failure(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why a job has failed, as the ledger keeps it. remedy: what to do. line, column: from 1.

    Of PostgreSQL's report `detail` is left out: it holds values of rows. See `message_of`.
    """

    message: str
    remedy: str
    code: str = ""
    sqlstate: str = ""
    hint: str = ""
    file: str = ""
    line: int = 0
    column: int = 0
    statement: str = ""


def tells_all(sqlstate: str) -> bool:
    """Whether the server itself has said that a transaction failed, so that nothing of it is left.

    After a lost connection its commit may have been made.
    """
    return bool(sqlstate) and not sqlstate.startswith(_OPEN)


def message_of(sqlstate: str, message: str) -> str:
    """PostgreSQL's message, bounded; in class 22 it quotes values of rows, which are left out."""
    if sqlstate.startswith("22"):
        message = re.sub('".*"', '"…"', message, flags=re.DOTALL)
    return message[:MAX_TEXT]


def remedy(sqlstate: str, plan: str) -> str:
    """What to do about an error of this SQLSTATE."""
    advice = ADVICE.get(sqlstate) or ADVICE.get(sqlstate[:2]) or OTHERWISE
    return f"{advice} {THEN.format(plan=plan)}"


class Again(Exception):  # noqa: N818 - it asks for another try
    """It may pass by itself: to be tried again. sqlstate: of RETRYABLE. message: in words."""

    def __init__(self, sqlstate: str, message: str = "", failure: Failure | None = None) -> None:
        self.sqlstate = sqlstate
        self.message = message or RETRYABLE.get(sqlstate, "")
        self.failure = failure
        super().__init__(self.message)


class Failed(Exception):  # noqa: N818 - the job has
    """It fails, and would again."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


class Fenced(Exception):  # noqa: N818 - what has happened to the worker
    """Another worker has come after this one: it may write nothing more.

    fence: what the target says its fence is; 0: it didn't say.
    """

    def __init__(self, message: str, fence: int = 0) -> None:
        super().__init__(message)
        self.fence = fence


class Interrupted(Exception):  # noqa: N818 - what has happened to the job
    """It was asked to make room, between two of its steps; what is done of it stays."""


def backoff_s(tries: int, first_s: float, most_s: float, chance: float) -> float:
    """How long to wait before the next try, in seconds: doubled each time, jittered, bounded.

    tries: how many there were, from 1. chance: between 0 and 1; half of the time is left to it, so
    that many who failed together don't come back together.
    """
    full = min(most_s, first_s * float(2 ** min(tries - 1, 30)))
    return full * (0.5 + chance / 2)
