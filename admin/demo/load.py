"""`python -m admin.demo.load`: live traffic and its board, in a process of its own.

Rules: the token comes from the environment (TURNOUT_TOKEN). On a terminal there is a board, else
a line a second. Lines on standard input, if it is a pipe, are shown among the events; its end is
ours. SIGTERM and SIGINT end it, with exit code 0.
"""

import argparse
import asyncio
import json
import os
import signal
import stat
import sys
import time
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import uvloop

from admin.demo.board import board, line
from admin.demo.figures import Figures
from admin.demo.traffic import Traffic, tenant_names
from admin.demo.watch import Control, Watch

if TYPE_CHECKING:
    from rich.live import Live

BOARD_S = 0.5
LINE_S = 1.0


@dataclass(frozen=True, slots=True)
class Options:
    """proxy, admin: URLs."""

    proxy: str
    admin: str
    token: str
    rate: int
    tenants: int
    is_quiet: bool = False


def main(argv: Sequence[str] | None = None) -> int:
    """Run until told to end."""
    parser = argparse.ArgumentParser(prog="python -m admin.demo.load", description=__doc__)
    parser.add_argument("--demo", type=Path, required=True, help="demo.json of a running demo")
    parser.add_argument("--rate", type=int, default=200, help="requests a second (200)")
    parser.add_argument("--tenants", type=int, default=40, help="how many tenants (40)")
    parser.add_argument("--quiet", action="store_true", help="show nothing")
    given = parser.parse_args(argv)
    try:
        demo = json.loads(given.demo.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        parser.error(f"{given.demo} can't be read: is the demo running? ({type(error).__name__})")
    token = os.environ.get("TURNOUT_TOKEN") or demo["token"]
    options = Options(
        demo["proxy"], demo["admin"], token, given.rate, given.tenants, is_quiet=given.quiet
    )
    with suppress(asyncio.CancelledError, KeyboardInterrupt):
        uvloop.run(_run(options))
    return 0


async def _run(options: Options) -> None:
    figures, control = Figures(time.monotonic()), Control()
    traffic = Traffic(options.proxy, tenant_names(options.tenants), options.rate, figures)
    watch = Watch(options.admin, options.token, control)
    this = asyncio.current_task()
    assert this is not None  # noqa: S101 - a coroutine runs in a task
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, this.cancel)
    async with asyncio.TaskGroup() as group:
        group.create_task(traffic.run(), name="traffic")
        if not options.is_quiet:
            group.create_task(watch.run(), name="watch")
            group.create_task(_show(figures, control), name="show")
        if stat.S_ISFIFO(os.fstat(0).st_mode):
            group.create_task(_notes(control, this), name="notes")


async def _show(figures: Figures, control: Control) -> None:
    """Draw, until cancelled."""
    with _live() as live:
        while True:
            await asyncio.sleep(BOARD_S if live else LINE_S)
            snapshot = figures.snapshot(time.monotonic())
            if live:
                live.update(board(snapshot, control), refresh=True)
            else:
                sys.stdout.write(f"{line(snapshot, control)}\n")
                sys.stdout.flush()


def _live() -> "Live | nullcontext[None]":
    """A terminal to draw on; nothing elsewhere."""
    if not sys.stdout.isatty():
        return nullcontext()
    from rich.live import Live  # noqa: PLC0415 - a line needs no rich

    return Live(auto_refresh=False)


async def _notes(control: Control, owner: "asyncio.Task[None]") -> None:
    """What the demo tells, shown among the events."""
    reader = asyncio.StreamReader(limit=65536)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while raw := await reader.readline():
        control.events.append(f"demo         {raw.decode('utf-8', 'replace').strip()}")
    owner.cancel()


if __name__ == "__main__":
    sys.exit(main())
