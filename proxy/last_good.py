"""The table that was served last, on disk: what a proxy starts with while Redis is away.

Rules:
1. The file holds the table as it was published, body and signature, and a digest of all of it. What
   isn't whole, or isn't from a holder of the key, is not used.
2. It is replaced as a whole, once its bytes are on the disk, and never by a lower version.
"""

import fcntl
import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote

from proxy.config import Follow
from proxy.routing.change import ContractError
from proxy.routing.envelope import verify
from proxy.store import Store

_HEAD: Final = re.compile(rb"turnout-table 1 (\d{1,16}) (\d{1,12}) ([0-9a-f]*) ([0-9a-f]{64})\n")
_HEAD_BYTES: Final = 256  # more than its longest


@dataclass(frozen=True, slots=True)
class Sealed:
    """A table as it was published. written_s: when it was kept, in seconds since 1970."""

    version: int
    body: bytes
    mac: bytes
    written_s: int


@dataclass(frozen=True, slots=True)
class LastGood:
    """The file of one installation in a folder. prefix: of the installation's keys in Redis."""

    folder: Path
    prefix: str
    key: bytes

    @property
    def path(self) -> Path:
        """Where it is."""
        return self.folder / f"table-{quote(self.prefix, safe='')}"

    def read(self) -> Sealed | None:
        """What is kept; None: nothing is. ContractError: it must not be used. OSError."""
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return None
        head = _HEAD.match(content[:_HEAD_BYTES])
        if head is None:
            raise ContractError("it doesn't begin as such a file does")
        version, written_s = int(head[1]), int(head[2])
        found = Sealed(version, content[head.end() :], head[3], written_s)
        if _digest(found) != head[4]:
            raise ContractError("it is torn: its digest is another one")
        verify("table", version, found.body, found.mac, self.key)
        return found

    def write(self, table: Sealed) -> int:
        """Keep this one, unless there is a newer one; the version that is kept now. OSError.

        What lies there and must not be used is replaced.
        """
        self.folder.mkdir(mode=0o700, exist_ok=True)
        folder = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)  # after an upgrade another may write too
            kept = self._version()
            if kept >= table.version:
                return kept
            unfinished = self.path.with_name(f"{self.path.name}.new")
            _write_through(unfinished, _head(table) + table.body)
            unfinished.replace(self.path)
            os.fsync(folder)
        finally:
            os.close(folder)
        return table.version

    def _version(self) -> int:
        try:
            kept = self.read()
        except ContractError:
            return -1
        return -1 if kept is None else kept.version


def last_good(store: Store, settings: Follow) -> LastGood | None:
    """The file that an installation's table is kept in; None: it isn't kept."""
    if not settings.state_dir:
        return None
    return LastGood(Path(settings.state_dir), store.keys.prefix, store.key)


def _head(table: Sealed) -> bytes:
    numbers = b"%d %d" % (table.version, table.written_s)
    return b"turnout-table 1 %b %b %b\n" % (numbers, table.mac, _digest(table))


def _digest(table: Sealed) -> bytes:
    begun = hashlib.sha256(b"%d %d %b\n" % (table.version, table.written_s, table.mac))
    begun.update(table.body)
    return begun.hexdigest().encode()


def _write_through(path: Path, content: bytes) -> None:
    """Write a file that only this user may read, down to the disk."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "wb", buffering=0) as file:  # noqa: PTH123 - a descriptor, for its mode
        left = memoryview(content)
        while left:
            left = left[file.write(left) :]
        os.fsync(descriptor)
