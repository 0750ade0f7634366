"""A command that is told something on its standard input, and ends in time with all that it started.

Rules: the arguments are a list from the settings, never a shell's line. Of our own environment it
gets what isn't ours, for `TURNOUT_*` holds secrets. Out of time, or cancelled, its whole group is
ended. Its output is dropped, or the end of it is kept; never all of it.
"""

import asyncio
import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from tempfile import TemporaryFile

KILL_S = 2.0
"""A command that is out of time gets this long after SIGTERM."""
_CHUNK = 65_536
_READS = 16


class CommandError(Exception):
    """The command did not end by itself, or never began. The message holds nothing that it said.

    begun: it was started. tail: the end of its output, as far as it is kept.
    """

    def __init__(self, message: str, *, begun: bool, tail: str = "") -> None:
        super().__init__(message)
        self.begun, self.tail = begun, tail


@dataclass(frozen=True, slots=True)
class Ended:
    """returncode: its exit status, or the signal that ended it as a negative number."""

    returncode: int
    tail: str


def environment(given: Mapping[str, str], ours: Mapping[str, str]) -> dict[str, str]:
    """What a command gets: this without our own settings, and these."""
    kept = {name: value for name, value in given.items() if not name.startswith("TURNOUT_")}
    return {**kept, **ours}


async def run(
    arguments: Sequence[str],
    told: bytes,
    environ: Mapping[str, str],
    limit_s: float,
    tail_bytes: int = 0,
) -> Ended:
    """Run it to its end. limit_s: seconds. tail_bytes: how much of its output is kept; 0: none.

    CommandError.
    """
    with _output(tail_bytes) as output:
        process = await _start(arguments, told, environ, output.write_end)
        output.begun()
        try:
            async with asyncio.timeout(limit_s):
                await process.wait()
        except TimeoutError:
            await end(process)
            message = f"the command did not end within {limit_s:.1f} s"
            raise CommandError(message, begun=True, tail=output.tail()) from None
        except BaseException:
            await end(process)
            raise
        return Ended(process.returncode or 0, output.tail())


async def _start(
    arguments: Sequence[str], told: bytes, environ: Mapping[str, str], output: int
) -> asyncio.subprocess.Process:
    try:
        # A file, not a pipe: a command may end without reading what it is told.
        with TemporaryFile() as given:
            given.write(told)
            given.seek(0)
            return await asyncio.create_subprocess_exec(
                *arguments,
                stdin=given,
                stdout=output,
                stderr=output,
                start_new_session=True,
                env=dict(environ),
            )
    except OSError as error:
        message = f"the command can't be started ({error.strerror})"
        raise CommandError(message, begun=False) from None


async def end(process: asyncio.subprocess.Process) -> None:
    """Its whole group: SIGTERM, a moment, SIGKILL. One that has ended is let go, what it started not."""
    for each in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, each)
        with suppress(TimeoutError):
            async with asyncio.timeout(KILL_S):
                await process.wait()


class _Output:
    """The end of what a command writes. Our own pipe: what it leaves running may keep it open."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept = bytearray()
        self._cut = False
        self._loop = asyncio.get_running_loop()
        self._read_end, self.write_end = os.pipe()
        os.set_blocking(self._read_end, False)
        self._loop.add_reader(self._read_end, self._read)

    def begun(self) -> None:
        """The command has its end of the pipe."""
        os.close(self.write_end)
        self.write_end = -1

    def tail(self) -> str:
        """The last of it, from the beginning of a line."""
        for _ in range(_READS):  # what it left running may write without end
            if not self._read():
                break
        kept = bytes(self._kept)
        if self._cut:  # half a line may be half a secret, which nobody would know for one
            kept = kept.partition(b"\n")[2]
        return kept.decode("utf-8", "replace")

    def close(self) -> None:
        self._loop.remove_reader(self._read_end)
        os.close(self._read_end)
        if self.write_end >= 0:
            os.close(self.write_end)

    def _read(self) -> bool:
        """Take what is there; whether there was anything."""
        try:
            data = os.read(self._read_end, _CHUNK)
        except BlockingIOError:
            return False
        if not data:
            self._loop.remove_reader(self._read_end)
            return False
        self._kept += data
        if len(self._kept) > self._most:
            self._cut = True
            del self._kept[: -self._most]
        return True


class _Dropped:
    write_end = asyncio.subprocess.DEVNULL

    def begun(self) -> None:
        """Nothing to close."""

    def tail(self) -> str:
        """Nothing is kept."""
        return ""


@contextmanager
def _output(most: int) -> Iterator[_Output | _Dropped]:
    if not most:
        yield _Dropped()
        return
    output = _Output(most)
    try:
        yield output
    finally:
        output.close()
