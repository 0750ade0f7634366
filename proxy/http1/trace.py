"""The trace context (W3C Trace Context, level 1): which of it may be passed on.

Rule: `traceparent` goes on as it came or not at all. Turnout records no spans, so it puts no id
of its own into it: the endpoint's span then hangs below the caller's, and no link is missing.
"""

import re
from typing import Final

# §3.2: version, trace id, parent id, flags; lower case. Version 00 ends there; later ones may
# go on after a further dash ("Versioning of traceparent"). ff is no version; ids of zeros are none.
_TRACEPARENT = re.compile(
    rb"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-[ -~]*)?"
)
_MAX_TRACEPARENT: Final = 512
_MAX_TRACESTATE: Final = 512
"""As "tracestate Limits" has it, at least so many characters are passed on; longer lists are dropped whole."""
DROPPED: Final = b"-"
"""Stands for a traceparent that isn't passed on."""


def trace_id(traceparent: bytes) -> bytes:
    """The 32 digits that name the trace; empty if the field is not valid."""
    found = _TRACEPARENT.fullmatch(traceparent) if len(traceparent) <= _MAX_TRACEPARENT else None
    if found is None or (found[1] == b"00" and found[3] is not None):
        return b""
    return found[2]


def passed_on(traceparent: bytes | None, tracestate: bytes | None) -> list[bytes]:
    """The lines of a trace context. tracestate alone means nothing (§3.3)."""
    if traceparent is None or not trace_id(traceparent):
        return []
    lines = [b"traceparent: " + traceparent]
    if tracestate and len(tracestate) <= _MAX_TRACESTATE:
        lines.append(b"tracestate: " + tracestate)
    return lines


def begun(random_bytes: bytes) -> bytes:
    """A traceparent that begins a trace. random_bytes: 24 of them, unlike any others.

    Not marked as sampled: whether the trace is recorded is for those behind to say.
    """
    digits = random_bytes.hex()
    trace, parent = digits[:32], digits[32:48]
    if not trace.strip("0") or not parent.strip("0"):
        trace, parent = "0" * 31 + "1", "0" * 15 + "1"
    return f"00-{trace}-{parent}-00".encode()
