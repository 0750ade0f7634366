"""The demo's parts, put together: which there are, and how each is started and asked."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO

from admin.demo.files import VERSIONS, kept_versions
from admin.demo.load_part import Load
from admin.demo.options import Options
from admin.demo.parts import Part, Process, Server, answers, rotate
from admin.demo.plan import LOOPBACK, Ports
from admin.embedded import EmbeddedPostgres, EmbeddedRedis
from admin.embedded.ports import free_port

ERP_DRAIN_S = 2
PORT_TRIES = 3


class Instance(Process):
    """One instance of the example ERP. It keeps its port once it has served on it."""

    def __init__(self, slot: str, number: int, folder: Path, environment: dict[str, str]) -> None:
        self.slot = slot
        self.port = 0
        self._served = False
        self._tries = PORT_TRIES
        self._folder = folder
        log = folder / "logs" / f"{slot}-{number}.log"
        super().__init__(f"{slot}-{number}", log, (), self._is_healthy, environment)

    @property
    def endpoint(self) -> str:
        """Where it listens, as host:port."""
        return f"{LOOPBACK}:{self.port}"

    def is_ready(self) -> bool:
        """Whether it is healthy. Something else may have been quicker to its port: it is moved."""
        is_taken = not self.running and not self._served and "OSError" in self.tail()
        if is_taken and self._tries:
            self._tries -= 1
            self.begin()
            return False
        return super().is_ready()

    def _begin(self) -> None:
        if not self._served:
            self.port = free_port()
        self._arguments = (
            *("-m", "examples.print_erp", "--slot", self.slot),
            *("--version", kept_versions(self._folder)[self.slot], "--listen", self.endpoint),
            *("--files", str(self._folder / "files"), "--drain-seconds", str(ERP_DRAIN_S)),
            "--faults",
        )
        super()._begin()

    def _is_healthy(self) -> bool:
        self._served = answers(self.port, "/health")
        return self._served


class System:
    """All parts of one demo. They are made here, and started by `run`."""

    def __init__(self, options: Options, folder: Path, ports: Ports) -> None:
        self.folder, self.ports, self._options = folder, ports, options
        self.redis_server = EmbeddedRedis(folder / "redis")
        self.postgres_server = EmbeddedPostgres(folder / "postgres")
        self.redis = Server("redis", self.redis_server)
        self.postgres = Server("postgres", self.postgres_server)
        self.proxy = self._turnout("proxy", lambda: answers(ports.management, "/healthz"))
        self.admin = self._turnout("admin", lambda: answers(ports.admin, "/readyz"))
        self.instances: list[Instance] = []
        self.load: Load | None = None

    @property
    def parts(self) -> list[Part]:
        """What there is, in the order in which it is stopped."""
        load = [self.load] if self.load else []
        return [*load, self.proxy, self.admin, *self.instances, self.postgres, self.redis]

    @property
    def endpoints(self) -> dict[str, list[str]]:
        """Slot → where its instances listen."""
        return {
            slot: [one.endpoint for one in self.instances if one.slot == slot] for slot in VERSIONS
        }

    def make_instances(self, database_url: str) -> list[Instance]:
        """The ERP's instances, none of them started."""
        secrets = {
            "ERP_DATABASE_URL": database_url,
            "ERP_REDIS_URL": self.redis_server.url_for(1),
        }
        self.instances = [
            Instance(slot, number, self.folder, secrets)
            for slot in VERSIONS
            for number in range(1, self._options.instances + 1)
        ]
        return self.instances

    def make_load(self, token: str) -> Load:
        """The load and its board, not started. Its output is ours, or stderr beside JSON."""
        options = self._options
        arguments = (
            *("-m", "admin.demo.load", "--demo", str(self.folder / "demo.json")),
            *("--rate", str(options.requests_per_s), "--tenants", str(options.tenants)),
            *(() if options.load else ("--quiet",)),
        )
        output: IO[bytes] | None = sys.stderr.buffer if options.as_json else None
        log = self.folder / "logs" / "load.log"
        self.load = Load(log, arguments, {"TURNOUT_TOKEN": token}, output)
        return self.load

    def stop_load(self, limit_s: float) -> None:
        """End the load and its board."""
        if self.load is not None:
            self.load.stop(limit_s)

    def stop_instances(self, limit_s: float) -> None:
        """End the ERP; its instances drain side by side."""
        for instance in self.instances:
            instance.terminate()
        for instance in self.instances:
            instance.stop(limit_s)

    def renew_logs(self) -> None:
        """Begin new logs; the servers' own are linked beside the others."""
        for part in self.parts:
            if isinstance(part, Process):
                rotate(part.log)
            else:
                link = self.folder / "logs" / f"{part.name}.log"
                link.unlink(missing_ok=True)
                link.symlink_to(part.log)

    def _turnout(self, name: str, probe: Callable[[], bool]) -> Process:
        arguments = ("-m", name, "--config", str(self.folder / "turnout.toml"))
        return Process(name, self.folder / "logs" / f"{name}.log", arguments, probe)
