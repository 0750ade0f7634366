"""The guided tour: commands to paste into a second terminal, and what each shows.

Rule: `STEPS` is the only list of them. The demo prints it, docs/tour.md and the README carry it,
and a test pastes every line of it into a shell.
"""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

WHERE = "curl -si -H 'X-Tenant-ID: {tenant}' $TURNOUT_PROXY_URL/api/jobs | grep -i x-turnout-slot"


@dataclass(frozen=True, slots=True)
class Step:
    """shows: what to see. command: what to paste."""

    shows: str
    command: str


STEPS = (
    Step("acme is served by blue, like everybody", WHERE.format(tenant="acme")),
    Step("move acme, the pilot tenant, to green", "turnout tenants pin acme green"),
    Step("its next request is served by green", WHERE.format(tenant="acme")),
    Step("why that is so", "turnout tenants explain acme"),
    Step("a quarter of the other tenants follow", "turnout canary set 25"),
    Step("linotype is one of them", "turnout tenants explain linotype"),
    Step("quarto is not; would it be at 50 %?", "turnout tenants explain quarto --weight 50"),
    Step("everybody moves, in one step", "turnout cutover green"),
    Step("quarto with them", WHERE.format(tenant="quarto")),
    Step("and back, for there is always a way back", "turnout rollback"),
    Step("acme is still pinned: let it go", "turnout tenants unpin acme"),
    Step("who serves which version of the table", "turnout workers"),
    Step("who did what", "turnout audit"),
)


def first_line(env: Path) -> str:
    """What makes the other terminal ready."""
    return f". {shown(env)}"


def shown(path: Path) -> str:
    """The path as people paste it: short if it lies below the folder they are in."""
    try:
        relative = path.relative_to(Path.cwd())
    except ValueError:
        return shlex.quote(str(path))
    return shlex.quote(str(relative) if len(relative.parts) > 1 else f"./{relative}")


def lines(env: Path, steps: Sequence[Step] = STEPS) -> list[str]:
    """The tour as printed: what a step shows, and, further right, what to paste."""
    printed = ["The tour: paste line by line into a second terminal, in this folder.", ""]
    for step in (Step("first, where everything is, and a token", first_line(env)), *steps):
        printed += [f"  {step.shows}", f"      {step.command}"]
    return printed


def commands(printed: str) -> list[str]:
    """The lines to paste, taken from what was printed."""
    indent = " " * 6
    return [line.strip() for line in printed.splitlines() if line.startswith(indent)]
