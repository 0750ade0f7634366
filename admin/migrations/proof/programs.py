"""PostgreSQL's own programs: pg_dump and pg_restore.

Rule: pg_dump refuses a server that is newer than itself, and a newer one writes settings that an older
server doesn't know. So the oldest that is new enough is taken.
"""

import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from admin.embedded.binaries import postgres_tree
from admin.embedded.errors import EmbeddedServerError
from admin.migrations.proof.limits import CannotProve

_DISTRIBUTIONS = (Path("/usr/lib/postgresql"), Path("/usr/pgsql"), Path("/opt/postgresql"))
_VERSION = re.compile(r"\(PostgreSQL\) (\d+)")
_ASK_S = 10.0


@dataclass(frozen=True, slots=True)
class Programs:
    """A folder with both programs. major: their version."""

    folder: Path
    major: int

    @property
    def dump(self) -> Path:
        """pg_dump."""
        return self.folder / "pg_dump"

    @property
    def restore(self) -> Path:
        """pg_restore."""
        return self.folder / "pg_restore"


def programs(server_major: int, given: Path | None = None) -> Programs:
    """Those for a server of this version: in the folder given, or else found. CannotProve."""
    folders = [given] if given else list(_folders())
    found = [each for each in map(_asked, folders) if each and each.major >= server_major]
    if not found:
        where = f"in {given}" if given else "on PATH, nor in the usual folders"
        raise CannotProve(
            f"no pg_dump and pg_restore of PostgreSQL {server_major} or newer {where}: install "
            f"postgresql-client-{server_major}, name their folder with --programs, or install "
            "'turnout[demo]', which brings them"
        )
    return min(found, key=lambda each: each.major)


def _folders() -> Iterator[Path]:
    on_path = shutil.which("pg_dump")
    if on_path:
        yield Path(on_path).parent
    for base in _DISTRIBUTIONS:
        yield from sorted(base.glob("*/bin"))
    try:
        yield from sorted(postgres_tree().parent.glob("pginstall*/bin"))
    except EmbeddedServerError:
        return


def _asked(folder: Path) -> Programs | None:
    """What lies there; None, if it is of no use."""
    try:
        said = subprocess.run(  # noqa: S603 - found above; no argument of others
            [folder / "pg_dump", "--version"],
            capture_output=True,
            text=True,
            timeout=_ASK_S,
            check=True,
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    version = _VERSION.search(said)
    if version is None or not (folder / "pg_restore").is_file():
        return None
    return Programs(folder, int(version[1]))
