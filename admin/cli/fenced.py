"""`--fenced` of cutover and rollback: asked for, watched on its way, and told in numbers."""

import functools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import click

from admin.cli.changes import report
from admin.cli.client import Refused, Unreachable
from admin.cli.options import Session
from admin.cli.output import console, counted, milliseconds, warn

LOOK_S = 0.3
DEFAULT_LIMIT_MS = 20_000
STATES = {
    "holding": "held; waiting for what is under way",
    "stepping": "nothing is under way; the step runs",
    "committing": "moving",
    "undoing": "undoing",
}
"""What a switch is doing, in words."""


@dataclass(frozen=True, slots=True)
class Fence:
    """How a fenced switch is wanted. command, webhook: its step; at most one of them."""

    command: str | None
    webhook: str | None
    limit_ms: int
    accept_lost: bool

    def fields(self) -> dict[str, object]:
        """As the API takes it."""
        step = {"command": self.command} if self.command else {"webhook": self.webhook}
        return {
            "mode": "fenced",
            "step": step if any(step.values()) else None,
            "accept_lost": self.accept_lost,
        }


def fencing(function: Callable[..., None]) -> Callable[..., None]:
    """Gives a command its `fence` (None without --fenced) from options."""

    @functools.wraps(function)  # the options that it has already lie on it
    def run(*args: Any, **options: Any) -> None:
        fenced, command, webhook = (options.pop(name) for name in ("fenced", "step", "webhook"))
        limit_ms, accept_lost = options.pop("limit_ms"), options.pop("accept_lost")
        if command and webhook:
            raise click.UsageError("--step and --webhook: one of them")
        if not fenced and (command or webhook or accept_lost):
            raise click.UsageError("--step, --webhook and --accept-lost go with --fenced")
        fence = Fence(command, webhook, limit_ms, accept_lost) if fenced else None
        function(*args, fence=fence, **options)

    for option in reversed(_OPTIONS):
        option(run)
    return run


_OPTIONS = (
    click.option(
        "--fenced", is_flag=True, help="Park requests until none is in flight on the old slot."
    ),
    click.option("--step", metavar="NAME", help="With --fenced: run this command of admin.steps."),
    click.option("--webhook", metavar="URL", help="With --fenced: call this URL in the middle."),
    click.option(
        "--limit-ms",
        type=click.IntRange(100, 60_000),
        default=DEFAULT_LIMIT_MS,
        show_default=True,
        help="With --fenced: undo it after so long, the step included.",
    ),
    click.option(
        "--accept-lost",
        is_flag=True,
        help="With --fenced: go on although a worker fell silent, which may still serve.",
    ),
)


def carry_out(
    session: Session, path: str, fields: dict[str, object], fence: Fence, done: str
) -> None:
    """Ask for the switch, show how it goes, tell what became of it. Exits as any change does."""
    with _watched(session):
        answer = session.client.change("POST", path, fields | fence.fields(), fence.limit_ms)
    switch, result = answer.get("switch") or {}, answer.get("change") or {}
    if session.as_json:
        report(session, done, {**answer, **result})
        return
    report(session, done, result, *numbers(switch))


def numbers(switch: dict[str, Any]) -> list[str]:
    """A switch that has ended, in figures."""
    tenants = switch.get("tenants")
    lines = [f"  held      {counted(len(tenants), 'tenant') if tenants else 'everybody'}"]
    lines.append(f"  drained   after {milliseconds(switch.get('drain_ms'))}")
    if switch.get("step"):
        lines.append(f"  {switch['step']:<9} took {milliseconds(switch.get('step_ms'))}")
    lines.append(
        f"  longest   {milliseconds(switch.get('held_ms'))} that a request may have waited"
    )
    return lines


@contextmanager
def _watched(session: Session) -> Iterator[None]:
    """Say on a terminal what the newest switch is doing, until the block ends."""
    if session.as_json or not console(stderr=True).is_terminal:
        yield
        return
    over = threading.Event()
    watch = threading.Thread(target=_watch, args=(session, over), daemon=True)
    watch.start()
    try:
        yield
    finally:
        over.set()
        watch.join()


def _watch(session: Session, over: threading.Event) -> None:
    told = ""
    while not over.wait(LOOK_S):
        try:
            page = session.client.read("/v1/switches", {"limit": 1})
        except (Unreachable, Refused):
            continue
        state = STATES.get(str((page.get("switches") or [{}])[0].get("state")), "")
        if state and state != told:
            told = state
            warn(f"  {state} …")
