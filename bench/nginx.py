"""What every nginx of a run has in common: its main section, its paths, its start.

All paths lie in one folder of the run; nothing of the machine's own nginx is read or written.
"""

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench.machine import find_command
from bench.processes import running, wait_until_listening

_TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
CONNECTIONS = 2_048


def configuration(
    http: str, connections: int = CONNECTIONS, workers: int = 1, modules: Sequence[Path] = ()
) -> str:
    """A whole nginx.conf around the lines of the http section.

    connections: of both sides, of each worker. modules: to be loaded, in this order.
    """
    paths = "\n".join(f"    {name}_temp_path tmp-{name};" for name in _TEMPORARY)
    # As root the worker keeps root: the folder of the run is closed to everybody else.
    user = "user root;\n" if os.geteuid() == 0 else ""
    loaded = "".join(f"load_module {module};\n" for module in modules)
    return f"""{loaded}daemon off;
{user}worker_processes {workers};
pid nginx.pid;
error_log stderr warn;
events {{
    worker_connections {connections};
}}
http {{
    access_log off;
    keepalive_requests 1000000000;
{paths}
{http.rstrip()}
}}
"""


def prepare(
    http: str,
    folder: Path,
    connections: int = CONNECTIONS,
    workers: int = 1,
    modules: Sequence[Path] = (),
) -> list[str]:
    """Write the configuration to a new folder; gives the command line."""
    folder.mkdir()
    text = configuration(http, connections, workers, modules)
    (folder / "nginx.conf").write_text(text, encoding="utf-8")
    return command(folder)


def command(folder: Path) -> list[str]:
    """The command line for the configuration that lies in the folder."""
    return [binary(), "-e", "stderr", "-p", f"{folder}/", "-c", "nginx.conf"]


@contextmanager
def serving(http: str, folder: Path, core: int, port: int) -> Iterator["subprocess.Popen[bytes]"]:
    """An nginx with this http section, listening, until the block ends. StartError if not."""
    argv = prepare(http, folder)
    with running(argv, core, folder) as process:
        wait_until_listening(process, port, folder)
        yield process


def binary() -> str:
    """Where nginx lies; Debian's is outside of most people's PATH."""
    return find_command("nginx") or "nginx"


def version() -> str:
    """As in "1.22.1"."""
    said = subprocess.run([binary(), "-v"], capture_output=True, text=True, timeout=10, check=False)
    return said.stderr.strip().rpartition("/")[2]
