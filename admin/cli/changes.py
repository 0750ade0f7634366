"""What became of a change, for people and programs, and the exit code that says so."""

from typing import Any

import click

from admin.cli.failures import NOT_CONVERGED
from admin.cli.options import Session
from admin.cli.output import counted, milliseconds, printable, say, show_json, warn


def report(session: Session, done: str, result: dict[str, Any], *more: str) -> None:
    """Say what was done and who serves it; exits 4 if not every worker does yet.

    done: the change in words ("acme is pinned to green"). more: further lines about it.
    """
    if session.as_json:
        show_json(result)
    else:
        for line in (f"{done}: {served(result)}", *more):
            say(line)
    if not result.get("converged"):
        for line in laggards(result):
            warn(line)
        click.get_current_context().exit(NOT_CONVERGED)


def served(result: dict[str, Any]) -> str:
    """Who serves the version: "version 8, served by 2 of 2 workers after 3.2 ms."."""
    acked, pending = _names(result, "acked"), _names(result, "pending")
    version = f"version {result.get('version', '-')}"
    if not acked and not pending:
        return f"{version}; no worker is running, the next one to start will serve it."
    text = f"{version}, served by {len(acked)} of {counted(len(acked) + len(pending), 'worker')}"
    if result.get("converged"):
        return f"{text} after {milliseconds(result.get('ack_ms'))}."
    return f"{text} so far."


def laggards(result: dict[str, Any]) -> list[str]:
    """What to say of a change that not every worker serves yet."""
    lines = ["turnout: the change is made, but not every worker has confirmed it in time."]
    if result.get("published") is False:
        lines = ["turnout: the change is made, but has not reached the workers: is Redis running?"]
    refused = result.get("refused") or {}
    for worker in _names(result, "pending")[:20]:
        why = refused.get(worker) or "has not answered"
        lines.append(f"  {printable(worker)}: {printable(why)}")
    lines.append("  What they serve: `turnout workers`. To go on waiting: ")
    lines[-1] += f"`turnout routing wait {result.get('version', 'VERSION')}`."
    return lines


def _names(result: dict[str, Any], field: str) -> list[str]:
    names = result.get(field)
    return [str(name) for name in names] if isinstance(names, list) else []
