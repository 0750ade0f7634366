"""A measurement with an end: in time, and whatever goes wrong in it."""

import asyncio
from collections.abc import Awaitable
from time import monotonic

import structlog

from admin.gates.model import Finding, Measured, Outcome, UnmeasuredError

log = structlog.get_logger(__name__)


async def bounded(gate: str, limit_s: float, measuring: Awaitable[Measured]) -> Finding:
    """What it found within this time, in seconds; else UNMEASURED, with the reason.

    A crash is logged whole; its class alone is told, for messages may hold secrets.
    """
    began = monotonic()
    try:
        async with asyncio.timeout(limit_s):
            found = await measuring
    except TimeoutError:
        found = Measured(Outcome.UNMEASURED, f"not measured within {limit_s:g} s")
    except Exception as error:  # noqa: BLE001 - a gate that crashes has not measured
        first = _first(error)
        if isinstance(first, UnmeasuredError):
            found = Measured(Outcome.UNMEASURED, str(first))
        else:
            found = crashed(gate, first)
    took_s = round(monotonic() - began, 3)
    return Finding(gate, found.outcome, found.detail, found.evidence, took_s)


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
