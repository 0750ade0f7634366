"""A streaming standby of an embedded PostgreSQL."""

import contextlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from admin.embedded import EmbeddedPostgres


@contextlib.contextmanager
def standby_of(server: EmbeddedPostgres, folder: Path) -> Iterator[EmbeddedPostgres]:
    """One that follows the server for as long as the block runs; the server is restarted for it."""
    folder.mkdir(mode=0o700)
    server.stop()
    subprocess.run(["/bin/cp", "-a", server.data, folder / "data"], check=True)
    shutil.copy2(server.folder / "password", folder / "password")
    server.start()
    (folder / "data" / "standby.signal").touch()
    url = urlsplit(server.url)
    source = f"host={url.hostname} port={url.port} user={url.username} password={url.password}"
    with EmbeddedPostgres(folder, settings={"primary_conninfo": source}) as standby:
        yield standby
