"""Runs a command of the user's against a clone: the old version's test suite, say.

Rules:
1. The clone's URL is in the command's environment only; where the source's URL stood in ours, it is taken out.
2. The command is bounded in time, and what it says in bytes: the end of it is kept, without the password.
3. When it ends, all that it has started ends: its process group, and whoever else carries its mark in the
   environment (a process that has left the group, say).
"""

import asyncio
import os
import signal
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from admin.embedded.child import end_with_parent
from admin.migrations.proof.limits import CannotProve, Limits
from admin.migrations.proof.model import CommandRun
from admin.migrations.proof.servers import Place

MARK = "TURNOUT_SCRATCH"
"""The variable with the clone's name, by which the command's processes are known."""
_SHELL = "/bin/sh"
_LOOKS = 3


async def run_command(
    command: str, clone: Place, variable: str, hidden: Iterable[str], limits: Limits
) -> CommandRun:
    """Run it in a shell, to its end or the limit. CannotProve: there is no shell.

    variable: gets the clone's URL. hidden: variables that it must not see.
    """
    hidden = frozenset(hidden)
    environment = {key: value for key, value in os.environ.items() if key not in hidden}
    environment |= {variable: clone.url, MARK: clone.database}
    parent, begun = os.getpid(), time.monotonic()
    # A pipe of our own: asyncio's wait() would last until whoever holds the other end has closed it.
    ours, theirs = os.pipe()
    try:
        process = await asyncio.create_subprocess_exec(
            *(_SHELL, "-c", command),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=theirs,
            stderr=asyncio.subprocess.STDOUT,
            env=environment,
            start_new_session=True,
            preexec_fn=lambda: end_with_parent(signal.SIGTERM, parent),
        )
    except OSError as error:
        os.close(ours)
        raise CannotProve(f"the command can't be run: {error.strerror}") from None
    finally:
        os.close(theirs)
    tail = bytearray()
    reading = asyncio.get_running_loop().create_task(
        _read(ours, tail, limits.output_bytes), name="the command's output"
    )
    try:
        code = await _wait(process, limits)
    finally:
        await _end_all(process, clone.database, limits)
        # All writers are gone, so what is still in the pipe is read, and then it ends.
        await asyncio.wait([reading], timeout=limits.command_stop_s)
        reading.cancel()
        await asyncio.wait([reading])
    seconds = time.monotonic() - begun
    return CommandRun(command, code, seconds, _told(bytes(tail), clone.password))


async def _wait(process: asyncio.subprocess.Process, limits: Limits) -> int | None:
    """Its exit code; None: it took too long."""
    try:
        return await asyncio.wait_for(process.wait(), limits.command_s)
    except TimeoutError:
        return None


async def _read(pipe: int, tail: bytearray, most: int) -> None:
    """Keep the end of what comes. pipe: closed at the end."""
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(pipe, "rb")
    )
    try:
        while part := await reader.read(8192):
            tail += part
            del tail[:-most]
    finally:
        transport.close()


async def _end_all(process: asyncio.subprocess.Process, mark: str, limits: Limits) -> None:
    """Ask the group to end, wait a little, then kill all that is left."""
    if process.returncode is None:
        _signal_group(process.pid, signal.SIGTERM)
        with suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), limits.command_stop_s)
    _signal_group(process.pid, signal.SIGKILL)
    for _ in range(_LOOKS):  # a process may fork while it is looked for
        for pid in _marked(mark):
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)
    await process.wait()


def _signal_group(group: int, number: signal.Signals) -> None:
    with suppress(OSError):
        os.killpg(group, number)


def _marked(mark: str) -> Iterable[int]:
    """The processes that carry the mark in the environment that they began with."""
    wanted = f"{MARK}={mark}".encode()
    for folder in Path("/proc").iterdir():
        if not folder.name.isdecimal():
            continue
        try:
            environment = (folder / "environ").read_bytes()
        except OSError:
            continue
        if wanted in environment.split(b"\0"):
            yield int(folder.name)


def _told(tail: bytes, password: str) -> str:
    text = tail.decode(errors="replace")
    return text.replace(password, "…") if password else text
