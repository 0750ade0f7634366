"""Squawk's findings beside ours, if its program is installed.

Rule: it is given a migration's text and nothing else. What it says about lock_timeout and statement_timeout is left
out: the worker sets both, always.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from admin.migrations.catalogue.model import Migration
from admin.migrations.lint.model import Finding
from admin.migrations.lint.run import Beside, Place

LEFT_OUT = "require-lock-timeout,require-statement-timeout"
_GOOD = (0, 1)
"""Exit codes: nothing found, something found."""


class SquawkError(Exception):
    """It is installed, and failed. The message says how to go on."""


def program() -> str | None:
    """The program, on the PATH or beside this Python; None: it isn't installed."""
    beside = Path(sys.executable).parent
    return shutil.which("squawk") or shutil.which("squawk", path=str(beside))


def findings_of(migrations: Iterable[Migration], squawk: str, timeout_s: float) -> Beside:
    """Its findings, by the statements that they are about. timeout_s: for one file. SquawkError."""
    found: dict[Place, list[Finding]] = {}
    for migration in migrations:
        for each in _told(migration, squawk, timeout_s):
            place = _place(migration, each["line"] + 1, each["column"] + 1)
            found.setdefault(place, []).append(_finding(each))
    return found


def _told(migration: Migration, squawk: str, timeout_s: float) -> list[dict[str, Any]]:
    """What it says of a file, as it says it."""
    command = [squawk, "--reporter", "json", "--exclude", LEFT_OUT]
    command += ["--stdin-filepath", migration.path]
    if migration.transactional:
        command.append("--assume-in-transaction")
    try:
        done = subprocess.run(  # noqa: S603 - the program that is installed here, and our own words
            command,
            input=migration.text,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SquawkError(
            f"squawk failed on {migration.path} ({_words(error)}): --no-squawk leaves it out"
        ) from None
    if done.returncode not in _GOOD:
        raise SquawkError(
            f"squawk ended with {done.returncode} on {migration.path}: --no-squawk leaves it out"
        )
    return list(json.loads(done.stdout))


def _place(migration: Migration, line: int, column: int) -> Place:
    """The statement that lies there: the last that begins before; else the first."""
    before = [each for each in migration.statements if (each.line, each.column) <= (line, column)]
    statement = before[-1] if before else migration.statements[0]
    return migration.path, statement.line, statement.column


def _finding(told: dict[str, Any]) -> Finding:
    said = " ".join(str(told[key]) for key in ("message", "help") if told.get(key))
    return Finding(f"squawk/{told['rule_name']}", said)


def _words(error: Exception) -> str:
    if isinstance(error, subprocess.TimeoutExpired):
        return f"no answer in {error.timeout:g} s"
    return str(getattr(error, "strerror", None) or error)
