"""What one instance is told when it starts: argv, and the environment for what is secret.

ERP_DATABASE_URL and ERP_REDIS_URL stand in for the options of the same meaning, because a command
line is readable by every user of the machine.
"""

import argparse
import os
import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Settings:
    """One instance: who it is, where it listens, what it stands on. Secrets stay out of repr."""

    slot: str
    version: str
    host: str
    port: int
    files: Path
    database_connections: int
    drain_seconds: float
    faults: bool
    with_parent: bool
    instance: str
    database_url: str = field(repr=False)
    redis_url: str | None = field(repr=False)

    @property
    def served_by(self) -> dict[str, str]:
        """What every JSON answer says of its server."""
        return {"slot": self.slot, "version": self.version, "instance": self.instance}

    @property
    def number(self) -> tuple[int, ...]:
        """The version as numbers, for comparing: (1, 3, 0)."""
        return version_number(self.version)

    @property
    def has_preferences(self) -> bool:
        """Whether this version knows customer preferences and job priority (from 1.3.0)."""
        return self.number >= (1, 3, 0)


def version_number(text: str) -> tuple[int, ...]:
    """'1.3.0' -> (1, 3, 0). ValueError unless three numbers."""
    if not re.fullmatch(r"\d{1,5}\.\d{1,5}\.\d{1,5}", text):
        raise ValueError("a version is three numbers, as 1.3.0")
    return tuple(int(part) for part in text.split("."))


def _version(text: str) -> str:
    version_number(text)
    return text


def _slot(text: str) -> str:
    if not re.fullmatch(r"[a-z0-9-]{1,32}", text):
        raise ValueError("a slot is a-z, 0-9 and -, at most 32")
    return text


def _listen(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise ValueError("listen is HOST:PORT")
    return host.removeprefix("[").removesuffix("]"), int(port)


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 3600:
        raise ValueError("seconds are 0..3600")
    return value


def _connections(text: str) -> int:
    value = int(text)
    if not 1 <= value <= 100:
        raise ValueError("connections are 1..100")
    return value


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m examples.print_erp", allow_abbrev=False)
    add = parser.add_argument
    add("--slot", type=_slot, required=True, help="blue or green")
    add("--version", type=_version, default="1.2.0", help="which release to run as (1.2.0)")
    add("--listen", type=_listen, default=("127.0.0.1", 0), help="HOST:PORT; port 0 takes any")
    add("--database-url", help="PostgreSQL; better in ERP_DATABASE_URL")
    add("--redis-url", help="Redis, optional; better in ERP_REDIS_URL")
    add("--files", type=Path, default=Path(".turnout/print-erp-files"), help="folder for uploads")
    add("--database-connections", type=_connections, default=8, help="at most this many (8)")
    add("--drain-seconds", type=_seconds, default=10.0, help="how long SIGTERM waits (10)")
    add("--faults", action="store_true", help="open POST /_faults")
    add("--with-parent", action="store_true", help="die when the parent process dies")
    return parser


def parse(argv: Sequence[str]) -> Settings:
    """Read argv and the environment; what is wrong ends the program with status 2."""
    parser = _parser()
    given = vars(parser.parse_args(argv))
    host, port = given.pop("listen")
    database_url = given.pop("database_url") or os.environ.get("ERP_DATABASE_URL")
    redis_url = given.pop("redis_url") or os.environ.get("ERP_REDIS_URL") or None
    if not database_url:
        parser.error("no database: set ERP_DATABASE_URL or give --database-url")
    instance = f"{given['slot']}-{os.getpid()}-{uuid.uuid4().hex[:6]}"
    return Settings(
        host=host,
        port=port,
        instance=instance,
        database_url=database_url,
        redis_url=redis_url,
        **given,
    )
