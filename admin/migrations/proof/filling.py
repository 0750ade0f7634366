"""Filling a clone: from a database by pg_dump, or from a file that pg_dump wrote.

Rules:
1. The dump goes through a pipe: no row and no password of a user mapping is put on a disk.
2. An extension that holds nothing of the application's may be missing where the clone lies.
"""

import asyncio
import os
import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from admin.embedded.child import end_with_parent
from admin.migrations.proof.limits import CannotProve, Limits, milliseconds
from admin.migrations.proof.programs import Programs
from admin.migrations.proof.servers import Place

_COMMON = ("--no-owner", "--no-privileges", "--no-comments")
_SECURITY = ("--no-security-labels", "--no-publications", "--no-subscriptions")
_SPARE = re.compile(
    r'extension "(pg_stat_statements|pg_cron|pg_buffercache|pgaudit|pg_repack|pg_prewarm)"'
)
# pg_restore 17 sets it for every server.
_UNKNOWN = 'unrecognized configuration parameter "transaction_timeout"'
_ERROR = re.compile(r"(?:pg_dump|pg_restore): (?:error: |\[archiver\] )(.*)")
_MAX_SAID = 65_536
_SIGTERM = 15


async def from_database(
    source: Place,
    clone: Place,
    tools: Programs,
    limits: Limits,
    *,
    data: bool,
    schemas: Sequence[str] = (),
) -> None:
    """pg_dump into pg_restore. schemas: only these, with all extensions; empty: all. CannotProve."""
    dump = [
        *(str(tools.dump), "--format=custom", "--compress=0", *_COMMON, *_SECURITY),
        f"--lock-wait-timeout={milliseconds(limits.lock_timeout_s)}",
        *(() if data else ("--schema-only",)),
        *(f"--schema={pattern(each)}" for each in schemas),
        *(("--extension=*",) if schemas else ()),
        f"--dbname={source.safe_url}",
    ]
    reading, writing = os.pipe()
    try:
        feeder = await _started(dump, source, stdout=writing)
    except BaseException:
        os.close(reading)
        raise
    finally:
        os.close(writing)
    try:
        eater = await _started(_restore(tools, clone, data=data), clone, stdin=reading)
    except BaseException:
        await _stop(feeder)
        raise
    finally:
        os.close(reading)
    await _finished([feeder, eater], limits)


async def from_snapshot(
    file: Path, clone: Place, tools: Programs, limits: Limits, *, data: bool
) -> None:
    """pg_restore of a file (or folder) of pg_dump's formats but the plain one. CannotProve."""
    _check(file)
    command = [*_restore(tools, clone, data=data), str(file)]
    await _finished([await _started(command, clone)], limits)


def pattern(name: str) -> str:
    """What pg_dump takes for this name alone: its patterns have wildcards, but not within quotes."""
    return '"' + name.replace('"', '""') + '"'


def _check(file: Path) -> None:
    if not file.exists():
        raise CannotProve(f"{file}: there is no such snapshot")
    if file.is_file() and not _is_archive(file):
        raise CannotProve(
            f"{file}: not an archive of pg_dump. A plain script may connect elsewhere: make it with "
            "pg_dump --format=custom"
        )


def _is_archive(file: Path) -> bool:
    with file.open("rb") as opened:
        head = opened.read(512)
    return head.startswith(b"PGDMP") or head[257:262] == b"ustar"


def _restore(tools: Programs, clone: Place, *, data: bool) -> list[str]:
    return [
        *(str(tools.restore), *_COMMON, *_SECURITY),
        *(() if data else ("--schema-only",)),
        f"--dbname={clone.safe_url}",
    ]


async def _started(
    command: Sequence[str],
    place: Place,
    stdin: int = asyncio.subprocess.DEVNULL,
    stdout: int = asyncio.subprocess.DEVNULL,
) -> asyncio.subprocess.Process:
    parent = os.getpid()
    return await asyncio.create_subprocess_exec(
        *command,
        stdin=stdin,
        stdout=stdout,
        stderr=asyncio.subprocess.PIPE,
        env={"PATH": os.defpath, "LC_ALL": "C", **place.environment},
        start_new_session=True,
        preexec_fn=lambda: end_with_parent(_SIGTERM, parent),
    )


async def _finished(processes: Sequence[asyncio.subprocess.Process], limits: Limits) -> None:
    """Wait for all of them; end them if that takes too long, or is broken off."""
    try:
        async with asyncio.timeout(limits.copy_s):
            said = await asyncio.gather(*(_said(each) for each in processes))
    except TimeoutError:
        raise CannotProve(
            f"the clone was not filled in {limits.copy_s:g} s: raise --copy-limit-s, or take it "
            "without data"
        ) from None
    finally:
        for each in processes:
            await _stop(each)
    for process, text in zip(processes, said, strict=True):
        faults = _faults(text)
        if faults or (process.returncode and not _is_harmless(text)):
            raise CannotProve(f"the clone can't be filled: {(faults or ['it ended early'])[0]}")


def _faults(text: str) -> list[str]:
    """The first line of each fault that matters; what follows may hold rows."""
    found = [each[1][:300] for each in map(_ERROR.match, text.splitlines()) if each]
    return [each for each in found if not _is_harmless(each)]


def _is_harmless(text: str) -> bool:
    return bool(_SPARE.search(text)) or _UNKNOWN in text


async def _said(process: asyncio.subprocess.Process) -> str:
    assert process.stderr is not None  # noqa: S101 - it is piped
    kept = b""
    while part := await process.stderr.read(8192):
        kept = (kept + part)[:_MAX_SAID]
    await process.wait()
    return kept.decode(errors="replace")


async def _stop(process: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError):
        if process.returncode is None:
            process.kill()
    await process.wait()
