"""A measurement with an end: in time, and whatever goes wrong in it."""

import asyncio
from collections.abc import Awaitable
from time import monotonic

import structlog

from admin.gates.model import Finding, Measured, Outcome, UnmeasuredError

log = structlog.get_logger(__name__)
DETAIL_MAX = 1000
"""Characters of a finding's sentence."""


async def bounded(gate: str, limit_s: float, measuring: Awaitable[Measured]) -> Finding:
    """What it found within this time, in seconds; else UNMEASURED, with the reason.

    A crash is logged whole; its class alone is told, for messages may hold secrets.
    """
    began = monotonic()
    try:
        async with asyncio.timeout(limit_s) as limit:
            found = await measuring
    except Exception as error:  # noqa: BLE001 - a gate that crashes has not measured
        first = _first(error)
        if limit.expired():
            found = Measured(Outcome.UNMEASURED, f"not measured within {limit_s:g} s")
        elif isinstance(first, UnmeasuredError):
            found = Measured(Outcome.UNMEASURED, str(first))
        else:
            found = crashed(gate, first)
    detail = found.detail
    if len(detail) > DETAIL_MAX:
        detail = f"{detail[: DETAIL_MAX - 1]}…"
    return Finding(gate, found.outcome, detail, found.evidence, round(monotonic() - began, 3))


def crashed(gate: str, error: BaseException) -> Measured:
    """Not measured, because of this."""
    kind = type(error).__name__
    log.error("a gate could not measure", gate=gate, fault=kind, exc_info=error)
    return Measured(Outcome.UNMEASURED, f"the measurement failed ({kind})", {"error": kind})


def _first(error: Exception) -> Exception:
    """What went wrong first: a group of tasks that fails wraps it."""
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return error
