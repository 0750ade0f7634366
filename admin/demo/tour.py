"""The guided tour: commands to paste into a second terminal, and what each shows.

Rule: `STEPS` is the only list of them. The demo prints it, docs/tour.md and the README carry it,
and a test pastes every line of it into a shell.
"""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

WHERE = "curl -si -H 'X-Tenant-ID: {tenant}' $TURNOUT_PROXY_URL/api/jobs | grep -i x-turnout-slot"

FAULT = """curl -s --retry 9 --retry-connrefused -d '{"error_rate": 0.5}' $DEMO_GREEN_URL/_faults"""
RELEASE_NOT_DONE = 5


@dataclass(frozen=True, slots=True)
class Step:
    """shows: what to see. command: what to paste. code: its exit code."""

    shows: str
    command: str
    code: int = 0


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
    Step("a release deploys 1.3.0 to green", "turnout release start 1.3.0"),
    Step("what it has measured; it waits for a signature", "turnout release status"),
    Step("a fault that nobody sees yet: half of green's answers are errors", FAULT),
    Step("qa signs, so a quarter of the tenants go to green", "turnout release approve qa"),
    Step("it goes back by itself, and says why", "turnout release watch", RELEASE_NOT_DONE),
    Step("the next one deploys anew, which mends it", "turnout release start 1.3.0"),
    Step("qa signs again", "turnout release approve qa"),
    Step("25 %, 50 %, all, each watched: a minute", "turnout release watch"),
    Step("all that happened, as a page", "turnout release report --output report.html"),
    Step("nobody has changed its trail", "turnout audit verify"),
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
