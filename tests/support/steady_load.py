"""A load of so many requests a second, as a process of its own: `python -m tests.support.steady_load PORT RATE TENANT…`.

Each connection is kept, and has one request at a time; one that is due while all are busy begins as soon as
one is free. A line for each answer: when it began and when it was whole (monotonic seconds, which
all processes of a host share), tenant, slot, status. It tells no line for a connection that breaks: status 0.
"""

import asyncio
import sys
import time
from itertools import count

CONNECTIONS = 64
PATH = "/api/jobs?limit=1"
_HEAD_BYTES = 65_536


class Load:
    """The requests, in turn."""

    def __init__(self, port: int, rate: float, tenants: list[str]) -> None:
        self._port, self._rate, self._tenants = port, rate, tenants
        self._numbers, self._began = count(), time.monotonic()

    async def client(self) -> None:
        """One connection, opened anew when it breaks."""
        while True:
            try:
                reader, writer = await asyncio.open_connection(
                    "127.0.0.1", self._port, limit=_HEAD_BYTES
                )
            except OSError:
                await asyncio.sleep(0.1)
                continue
            try:
                while await self._ask(reader, writer):
                    pass
            finally:
                writer.close()

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request; False: the connection is no good any more."""
        number = next(self._numbers)
        tenant = self._tenants[number % len(self._tenants)]
        await asyncio.sleep(max(0.0, self._began + number / self._rate - time.monotonic()))
        began = time.monotonic()
        writer.write(f"GET {PATH} HTTP/1.1\r\nHost: erp\r\nX-Tenant-ID: {tenant}\r\n\r\n".encode())
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            fields = {
                name.lower(): value.strip()
                for name, _, value in (line.partition(":") for line in head.split("\r\n")[1:])
            }
            await reader.readexactly(int(fields["content-length"]))
        except (OSError, asyncio.IncompleteReadError, KeyError):
            _tell(began, tenant, "-", 0)
            return False
        _tell(began, tenant, fields.get("x-turnout-slot", "-"), int(head.split()[1]))
        return fields.get("connection", "").lower() != "close"


def _tell(began: float, tenant: str, slot: str, status: int) -> None:
    sys.stdout.write(f"{began:.4f} {time.monotonic():.4f} {tenant} {slot} {status}\n")


async def main() -> None:
    """See the module."""
    port, rate, *tenants = sys.argv[1:]
    load = Load(int(port), float(rate), tenants)
    async with asyncio.TaskGroup() as group:
        for _ in range(CONNECTIONS):
            group.create_task(load.client())
        while True:
            await asyncio.sleep(0.02)
            sys.stdout.flush()


if __name__ == "__main__":
    # Lines are written together, fifty times a second: the parent asks for unbuffered output.
    sys.stdout = open(1, "w", buffering=1 << 16, closefd=False)  # noqa: SIM115 - ends with us
    asyncio.run(main())
