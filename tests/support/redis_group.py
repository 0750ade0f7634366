"""Several real Valkeys that belong together: a master with a replica and sentinels, or a cluster.

Rules: each server is one process, ends with this one, and lies in a folder of its own. They share
one password. What a test waits for is what the servers themselves say. The embedded Valkey has no TLS:
a group with TLS needs another server's binary (`OTHER_SERVER`), and any group can be run by it.
"""

import asyncio
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from admin.embedded import EmbeddedRedis
from admin.embedded.binaries import valkey_server
from admin.embedded.child import fork
from admin.embedded.ports import LOOPBACK, free_port
from admin.embedded.server import start_all, write_private
from proxy.routing.keys import Keys

OTHER_SERVER = os.environ.get("TEST_REDIS_SERVER") or shutil.which("redis-server")
"""A Redis or Valkey with TLS, if there is one."""
PASSWORD = "canary-password-of-redis"
SENTINEL_PASSWORD = "canary-password-of-sentinels"
SERVICE = "routing"
KEY_SLOTS = 16384
SECONDS = 30.0
_LOOK_S = 0.02
_COMMON = f"""\
bind {LOOPBACK}
dir .
save ""
appendonly no
requirepass {{password}}
"""
_REPLICATED = f"""\
masteruser replicator
masterauth {PASSWORD}
user replicator on >{PASSWORD} +psync +replconf +ping
repl-diskless-sync-delay 0
repl-ping-replica-period 1
"""
_CLUSTER = f"""\
masterauth {PASSWORD}
cluster-enabled yes
cluster-node-timeout 1000
cluster-replica-validity-factor 0
repl-diskless-sync-delay 0
"""
_SENTINEL = """\
sentinel monitor {service} 127.0.0.1 {master} 2
sentinel auth-pass {service} {password}
sentinel down-after-milliseconds {service} 500
sentinel failover-timeout {service} 3000
"""


@dataclass(frozen=True, slots=True)
class Tls:
    """Files of a group that speaks TLS only, and asks clients for a certificate."""

    ca: Path
    certificate: Path
    key: Path

    def lines(self, port: int) -> str:
        """As they stand in a server's configuration."""
        files = (
            f"tls-cert-file {self.certificate}\ntls-key-file {self.key}\ntls-ca-cert-file {self.ca}"
        )
        return f"port 0\ntls-port {port}\n{files}\ntls-replication yes\n"


class Node(EmbeddedRedis):
    """One server. configuration: beside what all have. is_sentinel: it only watches others."""

    def __init__(
        self,
        folder: Path,
        configuration: str = "",
        tls: Tls | None = None,
        *,
        is_sentinel: bool = False,
    ) -> None:
        super().__init__(folder, free_port())
        self.configuration = configuration
        self._tls = tls
        self._is_sentinel = is_sentinel

    @asynccontextmanager
    async def client(self) -> Any:
        """Past Turnout, with all rights."""
        tls = self._tls
        secure: dict[str, Any] = {}
        if tls is not None:
            files = {"ca_certs": tls.ca, "certfile": tls.certificate, "keyfile": tls.key}
            secure = {"ssl": True, **{f"ssl_{name}": str(path) for name, path in files.items()}}
        async with Redis(
            host=LOOPBACK,
            port=self.port,
            password=self._password(),
            socket_timeout=5.0,
            protocol=2,
            **secure,
        ) as made:
            yield made

    def pause(self) -> None:
        """It answers nobody, and knows nothing of what happens."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """It goes on where it was."""
        os.kill(self.pid, signal.SIGCONT)

    def stop(self) -> None:
        if self.running:
            self.resume()
        super().stop()

    def _password(self) -> str:
        return SENTINEL_PASSWORD if self._is_sentinel else PASSWORD

    def _launch(self, log: IO[bytes]) -> subprocess.Popen[bytes]:
        listening = self._tls.lines(self.port) if self._tls else f"port {self.port}\n"
        lines = listening + _COMMON.format(password=self._password())
        write_private(self.folder / "valkey.conf", lines + self.configuration)
        chosen = self._tls or "TEST_REDIS_SERVER" in os.environ
        server = OTHER_SERVER if chosen and OTHER_SERVER else valkey_server()
        command: list[str | Path] = [server, "valkey.conf"]
        if self._is_sentinel:
            command.append("--sentinel")
        return fork(command, log=log, death_signal=signal.SIGKILL, cwd=self.folder)

    def _answers(self) -> bool:
        word = "Sentinel ID is" if self._is_sentinel else "Ready to accept connections"
        return word in self.log.read_text("utf-8", errors="replace")


class Watched:
    """A master, its replica, and three sentinels. first: who is the master at the start."""

    def __init__(self, folder: Path, tls: Tls | None = None) -> None:
        self.first = Node(folder / "first", _REPLICATED, tls)
        replica_of = f"replicaof {LOOPBACK} {self.first.port}\n"
        self.second = Node(folder / "second", _REPLICATED + replica_of, tls)
        self._scheme = "rediss" if tls else "redis"
        watching = _SENTINEL.format(service=SERVICE, master=self.first.port, password=PASSWORD)
        self.sentinels = [
            Node(folder / f"sentinel-{number}", watching, tls, is_sentinel=True)
            for number in range(3)
        ]
        self.servers = [self.first, self.second, *self.sentinels]

    @property
    def url(self) -> str:
        nodes = ",".join(f"{LOOPBACK}:{each.port}" for each in self.sentinels)
        return f"{self._scheme}+sentinel://:{PASSWORD}@{nodes}/{SERVICE}"

    async def ready(self) -> None:
        """Wait until the replica follows, and all sentinels know of it and of each other."""
        for each in self.sentinels:
            await until(each, _knows_all, "sentinels know of each other")
        await until(self.second, _is_linked, "the replica follows")

    async def fail_over(self) -> None:
        """Have the sentinels make the other one the master, as an operator does."""
        async with self.sentinels[0].client() as sentinel:
            await sentinel.execute_command("SENTINEL", "FAILOVER", SERVICE)

    async def named(self, master: Node, sentinels: Sequence[Node] = ()) -> None:
        """Wait until the sentinels name this one."""

        async def names(client: "Redis") -> bool:
            host_port = await client.execute_command("SENTINEL", "get-master-addr-by-name", SERVICE)
            return int(host_port[1]) == master.port

        for each in sentinels or self.sentinels:
            await until(each, names, "sentinels name the other")

    async def cut_replication(self) -> None:
        """From now on the master keeps what is written to itself."""
        async with self.first.client() as client:
            await client.execute_command("ACL", "SETUSER", "replicator", "off")
            await client.execute_command("CLIENT", "KILL", "TYPE", "replica")


class Sharded:
    """Three nodes with a third of the key slots each, and a replica of who has ours."""

    def __init__(self, folder: Path, tls: Tls | None = None) -> None:
        self._scheme = "rediss" if tls else "redis"
        self.masters = [_cluster_node(folder / f"node-{number}", tls) for number in range(3)]
        self.replica = _cluster_node(folder / "replica", tls)
        self.servers = [*self.masters, self.replica]
        self.ids: dict[int, str] = {}

    @property
    def url(self) -> str:
        nodes = ",".join(f"{LOOPBACK}:{each.port}" for each in self.masters)
        return f"{self._scheme}+cluster://:{PASSWORD}@{nodes}"

    async def ready(self) -> None:
        """Make them a cluster."""
        third = KEY_SLOTS // 3 + 1
        for number, node in enumerate(self.servers):
            async with node.client() as client:
                self.ids[node.port] = (await client.execute_command("CLUSTER", "MYID")).decode()
                await client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
                if node is not self.replica:
                    last = min((number + 1) * third, KEY_SLOTS) - 1
                    await client.execute_command("CLUSTER", "ADDSLOTSRANGE", number * third, last)
        async with self.replica.client() as client:  # only now: who is met has an epoch already
            for other in self.masters:
                bus = other.configuration.split()[-1]
                await client.execute_command("CLUSTER", "MEET", LOOPBACK, other.port, bus)
        for node in self.servers:
            await until(node, _is_whole, "the cluster is whole")
        owner = await self.owner()
        async with self.replica.client() as client:
            await client.execute_command("CLUSTER", "REPLICATE", self.ids[owner.port])
        await until(self.replica, _is_linked, "the replica follows")

    async def owner(self, key: str = Keys().table) -> Node:
        """Who has a key, by what the first node that runs says."""
        asked = next(each for each in self.servers if each.running)
        async with asked.client() as client:
            slot = await client.execute_command("CLUSTER", "KEYSLOT", key)
            for first, last, master, *_ in await client.execute_command("CLUSTER", "SLOTS"):
                if first <= slot <= last:
                    return next(each for each in self.servers if each.port == master[1])
        raise AssertionError("nobody has the key's slot")

    async def migrate(self, source: Node, target: Node, key: str = Keys().table) -> None:
        """Move the slot of a key, key by key, as `valkey-cli --cluster reshard` does."""
        async with source.client() as old, target.client() as new:
            slot = await old.execute_command("CLUSTER", "KEYSLOT", key)
            source_id, target_id = self.ids[source.port], self.ids[target.port]
            await new.execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", source_id)
            await old.execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", target_id)
            while keys := await old.execute_command("CLUSTER", "GETKEYSINSLOT", slot, 10):
                where = (LOOPBACK, target.port, "", 0, 5000)
                await old.execute_command("MIGRATE", *where, "AUTH", PASSWORD, "KEYS", *keys)
            for each in (new, old):
                await each.execute_command("CLUSTER", "SETSLOT", slot, "NODE", target_id)


def _cluster_node(folder: Path, tls: Tls | None) -> Node:
    secure = "tls-cluster yes\n" if tls else ""
    return Node(folder, f"{_CLUSTER}{secure}cluster-port {free_port()}\n", tls)


@contextmanager
def running(group: Watched | Sharded) -> Iterator[None]:
    """All servers of a group, until the end of the block."""
    with ExitStack() as stack:
        for each in group.servers:
            stack.callback(each.stop)
        start_all(*group.servers)
        yield


async def until(node: Node, condition: Callable[["Redis"], Any], what: str) -> None:
    """Wait until a condition on what a server says is met."""
    async with node.client() as client:
        try:
            async with asyncio.timeout(SECONDS):
                while True:
                    if await _met(condition, client):
                        return
                    await asyncio.sleep(_LOOK_S)
        except TimeoutError:
            raise AssertionError(f"never: {what}") from None


async def _met(condition: Callable[["Redis"], Any], client: "Redis") -> bool:
    try:
        return bool(await condition(client))
    except RedisError:
        return False


async def _knows_all(client: "Redis") -> bool:
    said = await client.execute_command("SENTINEL", "MASTER", SERVICE)
    about = said if isinstance(said, dict) else dict(zip(said[::2], said[1::2], strict=True))
    about = {_text(name): _text(value) for name, value in about.items()}
    return (about["num-slaves"], about["num-other-sentinels"]) == ("1", "2")


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


async def _is_linked(client: "Redis") -> bool:
    about = await client.info("replication")
    return bool(about.get("master_link_status") == "up")


async def _is_whole(client: "Redis") -> bool:
    about = await client.execute_command("CLUSTER", "INFO")
    text = about if isinstance(about, str) else _text(about)
    return "cluster_state:ok" in text and "cluster_known_nodes:4" in text
