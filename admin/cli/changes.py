"""What became of a change, for people and programs, and the exit code that says so."""

from typing import Any

import click

from admin.cli.failures import NOT_CONVERGED
from admin.cli.options import Session
from admin.cli.output import counted, milliseconds, printable, say, show_json, warn

MAX_LAGGARDS = 20
"""Workers that are named, of those that are waited for."""
MAX_NODES = 8
"""Nodes that are named on the line that says who serves a change."""


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
    nodes = by_node(result)
    if len(nodes) > 1:
        text += f" ({', '.join(nodes)})"
    if result.get("converged"):
        return f"{text} after {milliseconds(result.get('ack_ms'))}."
    return f"{text} so far."


def laggards(result: dict[str, Any]) -> list[str]:
    """What to say of a change that not every worker serves yet."""
    lines = ["turnout: the change is made, but not every worker has confirmed it in time."]
    if result.get("published") is False:
        lines = ["turnout: the change is made, but has not reached the workers: is Redis running?"]
    refused, known = result.get("refused") or {}, _laggards(result)
    for worker in _names(result, "pending")[:MAX_LAGGARDS]:
        why = refused.get(worker) or "has not answered"
        where = known.get(worker)
        at = f" on node {where.get('node')}, at version {where.get('version')}" if where else ""
        lines.append(f"  {printable(worker)}{printable(at)}: {printable(why)}")
    lines.append("  What they serve: `turnout workers`. To go on waiting: ")
    lines[-1] += f"`turnout routing wait {result.get('version', 'VERSION')}`."
    return lines


def by_node(result: dict[str, Any]) -> list[str]:
    """Who serves it, node by node: "node-a 2 of 2"; those that are waited for come first."""
    nodes = result.get("nodes")
    counts = [
        (name, node.get("acked") or 0, node.get("pending") or 0)
        for name, node in (nodes.items() if isinstance(nodes, dict) else ())
    ]
    counts.sort(key=lambda count: -count[2])
    parts = [f"{name} {acked} of {acked + pending}" for name, acked, pending in counts]
    more = len(parts) - MAX_NODES
    return [*parts[:MAX_NODES], f"{more} more nodes"] if more > 0 else parts


def _laggards(result: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The workers that are waited for, by name."""
    found = result.get("laggards")
    return {each["worker"]: each for each in found} if isinstance(found, list) else {}


def _names(result: dict[str, Any], field: str) -> list[str]:
    names = result.get(field)
    return [str(name) for name in names] if isinstance(names, list) else []
