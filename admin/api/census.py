"""Who is connected for long, by the names of devices; and who is back after a drain."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TypeVar

from aiohttp import web

from admin.api.changing import slot_of, slot_or_none
from admin.api.messages import (
    CensusDevice,
    CensusPage,
    CensusQuery,
    RollDevice,
    RollPage,
    RollQuery,
    RollReport,
    SlotCensus,
)
from admin.api.problems import Problem
from admin.api.route import Call, Route, reply
from admin.census.model import Census, Comparison, Device, Standing
from admin.census.store import Record
from admin.routing.publish import StoreUnavailableError
from proxy.routing.model import Slot

MAX_TENANTS = 100
"""Tenants whose devices are counted apart: those that have most."""
_AFTER = "/"
"""Between the parts of a cursor: no tenant has it."""

Row = TypeVar("Row")


async def read(call: Call, given: CensusQuery) -> web.StreamResponse:
    """Who is connected now: totals, and a page of devices."""
    slot = slot_or_none(given.slot)
    census = await call.parts.rolls.now()
    rows = {
        _cursor(device, on): (device, on)
        for device in census.devices
        for on in Slot
        if on in census.devices[device] and slot in {None, on}
        if given.tenant in {None, device.tenant}
        if given.kind is None or given.kind in census.devices[device][on].kinds
    }
    shown, following = _page(rows, given.cursor, given.limit)
    return reply(
        CensusPage(
            census.taken,
            {str(each): _of_slot(census, each) for each in Slot},
            dict(Counter(each.tenant for each in census.devices).most_common(MAX_TENANTS)),
            list(census.unknown),
            [_device(census, *row) for row in shown],
            following,
        )
    )


async def roll(call: Call, given: RollQuery) -> web.StreamResponse:
    """The roll of the slot's drain as of now: who is back, and who is missing since when."""
    slot = slot_of(call)
    drain = await call.parts.drains.latest(slot)
    record = None if drain is None else await call.parts.rolls.of(drain.drain.name)
    if record is None:
        raise Problem("not-found", "no census was taken of a drain of the slot")
    comparison = await call.parts.rolls.compared(record)
    census = await call.parts.rolls.now()
    devices = {
        _cursor(device): device
        for device, standing in comparison.standing.items()
        if given.standing in {None, str(standing)} and given.tenant in {None, device.tenant}
    }
    shown, following = _page(devices, given.cursor, given.limit)
    items = [
        RollDevice(
            device.tenant,
            device.name,
            str(comparison.standing[device]),
            _since(device, comparison.standing[device], record, census),
        )
        for device in shown
    ]
    return reply(RollPage(record.drain, report(record, comparison), items, following))


async def of_drain(call: Call, drain: str) -> RollReport | None:
    """What has become of the drain's roll; None without one, or while Redis can't be asked."""
    record = await call.parts.rolls.of(drain)
    if record is None:
        return None
    try:
        comparison = None if record.counts else await call.parts.rolls.compared(record)
    except StoreUnavailableError:
        return None
    return report(record, comparison)


def report(record: Record, comparison: Comparison | None) -> RollReport:
    """The roll's numbers: those of its end, or while it is watched those of this comparison."""
    counts = record.counts or ({} if comparison is None else comparison.counts)
    unknown = () if comparison is None or record.outcome else comparison.unknown
    return RollReport(
        counts["before"],
        counts["back"],
        counts["still"],
        counts["missing"],
        counts["new"],
        record.outcome,
        record.beyond,
        list(unknown),
        record.taken_at.isoformat(),
        None if record.ended_at is None else record.ended_at.isoformat(),
    )


def _page(rows: Mapping[str, Row], after: str, limit: int) -> tuple[list[Row], str | None]:
    """The rows after this cursor, by their cursors, and that of the last if there are more."""
    cursors = sorted(rows)
    begin = bisect_right(cursors, after) if after else 0
    shown = cursors[begin : begin + limit]
    following = shown[-1] if begin + limit < len(cursors) else None
    return [rows[cursor] for cursor in shown], following


def _cursor(device: Device, slot: Slot | None = None) -> str:
    return _AFTER.join([device.tenant, device.name, *([str(slot)] if slot else [])])


def _of_slot(census: Census, slot: Slot) -> SlotCensus:
    here = [slots[slot] for slots in census.devices.values() if slot in slots]
    return SlotCensus(
        len(here),
        sum(each.connections for each in here),
        {kind: count for (of, kind), count in census.unnamed.items() if of is slot},
    )


def _device(census: Census, device: Device, slot: Slot) -> CensusDevice:
    here = census.devices[device][slot]
    return CensusDevice(
        *(device.tenant, device.name, str(slot), list(here.kinds), here.connections),
        _at(here.since_ms),
    )


def _since(device: Device, standing: Standing, record: Record, census: Census) -> str | None:
    if standing is Standing.MISSING:
        missing = record.missing_since.get(device)
        return None if missing is None else missing.isoformat()
    slot = record.roll.slot if standing is Standing.STILL else record.roll.slot.other
    here = census.devices.get(device, {}).get(slot)
    return None if here is None else _at(here.since_ms)


def _at(since_ms: int) -> str:
    return datetime.fromtimestamp(since_ms / 1000, UTC).isoformat()


ROUTES = (
    Route("GET", "/v1/census", read, "Who is connected for long", CensusPage, CensusQuery),
    Route(
        *("GET", "/v1/slots/{slot}/drain/census", roll),
        "Who is back after a slot's drain, and who is missing",
        *(RollPage, RollQuery),
    ),
)
