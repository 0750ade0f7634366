"""What went wrong, in words that say what to do, and with which exit code.

Rule: `explain_*` are pure: from what happened to the text. The text never holds a token.
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import click

from admin.cli.client import Refused, Unreachable
from admin.cli.output import printable, show_json

REFUSED = 1
USAGE = 2
UNREACHABLE = 3
NOT_CONVERGED = 4
INCOMPLETE = 5
INTERRUPTED = 130

GET_ONE = """\
  Make one:   export TURNOUT_TOKEN=$(turnout token create --role operator --config FILE)
  or use a running demo's:   . .turnout/demo/env"""


class Failure(click.ClickException):
    """A command's end other than success: message to stderr; with --json a document to stdout."""

    def __init__(
        self, message: str, exit_code: int, document: dict[str, Any] | None = None
    ) -> None:
        super().__init__(message)
        self.exit_code = exit_code  # type: ignore[misc] # click reads it from the instance
        self.document = document

    def show(self, file: IO[Any] | None = None) -> None:
        """Called by click."""
        if self.document is not None:
            show_json(self.document)
        click.echo(f"turnout: {self.message}", file=file or sys.stderr)


@dataclass(frozen=True, slots=True)
class Target:
    """Which admin was asked, and where its address came from. expected: of --expect-version."""

    url: str
    source: str
    has_token: bool
    expected: int | None = None


def unreachable(error: Unreachable, target: Target, *, as_json: bool) -> Failure:
    """The admin gave no answer."""
    document = {"code": "unreachable", "url": target.url, "detail": str(error)}
    message = explain_unreachable(error, target, _running_demos())
    return Failure(message, UNREACHABLE, document if as_json else None)


def refused(error: Refused, target: Target, *, as_json: bool) -> Failure:
    """The admin answered with a problem."""
    code = UNREACHABLE if error.status >= 500 else REFUSED
    message = explain_refused(error, target)
    return Failure(message, code, error.problem if as_json else None)


def explain_unreachable(error: Unreachable, target: Target, demos: list[str]) -> str:
    """Why nothing was reached, and the ways on. demos: env files of demos near here."""
    lines = [f"the admin can't be reached at {target.url} ({error})."]
    if error.unsure:
        lines.append(
            "  The change may have been made: `turnout audit` and `turnout routing show` tell."
        )
    lines.append(f"  The address is from {target.source}; --url or TURNOUT_ADMIN_URL set another.")
    if demos:
        lines.append(f"  A demo was started in this folder; to use it: . {demos[0]}")
    else:
        lines.append("  Is it running? `turnout demo` starts everything on this machine,")
        lines.append("  `turnout admin --config FILE` the admin alone.")
    return "\n".join(lines)


def explain_refused(error: Refused, target: Target) -> str:
    """What the admin said, and what to do about it."""
    said = printable(str(error)).rstrip(".")
    request = printable(error.problem.get("request_id", "-"))
    if error.status == 401:
        return _explain_token(said, target)
    lines = [f"{said} (HTTP {error.status}, {printable(error.problem.get('code', '-'))})."]
    if error.problem.get("code") == "version-conflict":
        lines += _explain_conflict(error, target)
    elif error.status == 403:
        lines.append("  A token with another role or scope: turnout token create --role …")
    elif error.status == 429:
        lines.append("  Too many tokens were refused; wait a little, then try a good one.")
    elif error.status >= 500:
        lines.append("  Nothing was changed unless `turnout audit` says so.")
    lines += [f"  {line}" for line in _details(error.problem)]
    lines.append(f"  Request {request}: the admin's log says more.")
    return "\n".join(lines)


def _explain_token(said: str, target: Target) -> str:
    first = f"the admin at {target.url} did not accept the token: {said}."
    if not target.has_token:
        first = f"the admin at {target.url} wants a token, and none was given."
    return f"{first}\n{GET_ONE}"


def _explain_conflict(error: Refused, target: Target) -> list[str]:
    version = error.problem.get("version")
    if not isinstance(version, int):
        return []
    return [
        f"  The table is at version {version}, not {target.expected}: somebody changed it meanwhile,",
        "  and nothing was changed now. See `turnout audit` and `turnout routing show`;",
        f"  if your change is still right, repeat it with --expect-version {version}.",
    ]


def _details(problem: dict[str, Any]) -> list[str]:
    errors = problem.get("errors")
    return [printable(item) for item in errors[:10]] if isinstance(errors, list) else []


def _running_demos() -> list[str]:
    """Demos that were started from this folder, by the file their tour begins with."""
    return sorted(str(path) for path in Path(".turnout").glob("demo*/env"))
