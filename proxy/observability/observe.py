"""What a worker notes of its requests, put together from the settings."""

from typing import Final

from proxy.config import Settings
from proxy.http1 import fields
from proxy.observability import telemetry
from proxy.observability.access_log import AccessLog
from proxy.observability.fault_log import FaultLog
from proxy.observability.log_sink import LogSink
from proxy.observability.notes import Observing
from proxy.observability.telemetry import Block
from proxy.observability.tenants import Tenants

_TRACE_FIELDS: Final = (b"traceparent", b"tracestate")


def observing(settings: Settings) -> Observing:
    """As asked for."""
    of_log, tracing = settings.access_log, settings.tracing
    log = None
    if of_log.format != "off":
        sink = LogSink(of_log.path, of_log.buffer_bytes, of_log.flush_s, of_log.close_s)
        log = AccessLog(of_log, sink)
    return Observing(log, tracing.traceparent, tracing.server_timing)


def special_fields(settings: Settings) -> dict[bytes, int]:
    """Fields of requests that are read for its sake: name, lower case → kind."""
    found: dict[bytes, int] = {}
    tracing = settings.tracing
    if tracing.traceparent == "off":
        found |= dict.fromkeys(_TRACE_FIELDS, fields.DROP)
    else:
        found |= {b"traceparent": fields.TRACEPARENT, b"tracestate": fields.TRACESTATE}
    if tracing.server_timing == "asked":
        found[tracing.timing_header.lower().encode()] = fields.TIMING
    if settings.access_log.format != "off":
        found[b"user-agent"] = fields.AGENT
    return found


class Observer:
    """The part of it that the worker's sweep does."""

    def __init__(self, log: AccessLog | None, faults: FaultLog, block: Block, tenants: int) -> None:
        self._log = log
        self._faults = faults
        self._cells = block.cells
        self._tenants = Tenants(block, tenants)
        self._lines_before = self._dropped_before = 0

    def adopt(self) -> None:
        """Go on from what an earlier worker has counted."""
        self._tenants.adopt()
        self._lines_before = self._cells[telemetry.LOG_LINES]
        self._dropped_before = self._cells[telemetry.LOG_DROPPED]

    def sweep(self, now: float) -> None:
        """Write what waits, publish what was counted. now: monotonic seconds."""
        self._faults.sweep(now)
        if self._log is not None:
            self._log.sweep(now)
            self._count_lines()
        self._tenants.sweep(now)

    def reopen(self) -> None:
        """The access log's file was moved away."""
        if self._log is not None:
            self._log.sink.reopen()

    def close(self, now: float) -> None:
        """The last sweep."""
        self.sweep(now)
        if self._log is not None:
            self._log.sink.close()
            self._count_lines()

    def _count_lines(self) -> None:
        if self._log is not None:
            sink = self._log.sink
            self._cells[telemetry.LOG_LINES] = self._lines_before + sink.written
            self._cells[telemetry.LOG_DROPPED] = self._dropped_before + sink.dropped
