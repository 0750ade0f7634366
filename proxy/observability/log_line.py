"""A line of the access log: what is told of a request."""

import msgspec


class Line(msgspec.Struct, omit_defaults=True):
    """What is told of a request; what is empty is left out. See docs/operations.md."""

    time: str
    id: str
    client: str
    status: int
    end: str
    method: str = ""
    host: str = ""
    path: str = ""
    tenant: str = ""
    slot: str = ""
    cohort: str = ""
    reason: str = ""
    code: str = ""
    received: int = 0
    sent: int = 0
    ms: float = 0.0
    endpoint: str = ""
    connected_ms: float | None = None
    first_byte_ms: float | None = None
    retries: int = 0
    trace: str = ""
    agent: str = ""
    tls: str = ""
    http: str = ""
