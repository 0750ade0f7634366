"""The table as it lies in Redis: a snapshot of it, and the log's entries since.

Rule: the snapshot is written with each change while it is small. A large one is written now and
then, so that what a change costs doesn't grow with the table; until then the log leads on from it.
"""

from dataclasses import dataclass

from proxy.routing.change import ContractError, apply
from proxy.routing.codec import decode_change, decode_table
from proxy.routing.envelope import verify
from proxy.routing.model import RoutingTable


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of the log: a change's written form and the code that proves whose it is."""

    version: int
    body: bytes
    mac: bytes


@dataclass(frozen=True, slots=True)
class Stored:
    """What is published. version: -1 for none, or none that it could be.

    at: the version of the snapshot in body. tail: the entries after it, in order.
    """

    version: int
    at: int
    body: bytes
    mac: bytes
    tail: tuple[Entry, ...] = ()


def restored(stored: Stored, key: bytes) -> RoutingTable:
    """The table at the published version. ContractError: it can't be had from what is there."""
    table = snapshot(stored.at, stored.body, stored.mac, key)
    for entry in stored.tail:
        if table.version == stored.version:
            break
        verify("change", entry.version, entry.body, entry.mac, key)
        change = decode_change(entry.body)
        if not change.operations or entry.version != change.version:
            raise ContractError(f"the log doesn't lead on at version {entry.version}")
        table = apply(table, change)
    if table.version != stored.version:
        raise ContractError(f"the log leads to version {table.version} only")
    return table


def snapshot(version: int, body: bytes, mac: bytes, key: bytes) -> RoutingTable:
    """The table of this written form. ContractError: it isn't one of that version, or not ours."""
    verify("table", version, body, mac, key)
    table = decode_table(body)
    if table.version != version:
        raise ContractError("the table is of another version than it says")
    return table
