"""What the API gives of windows: what was served second by second. See `messages`."""

from typing import Annotated

from msgspec import Meta, Struct

from admin.api.messages import Given

MAX_SECONDS = 900


class WindowsQuery(Given, kw_only=True):
    """How many of the seconds that are over."""

    seconds: Annotated[int, Meta(ge=1, le=MAX_SECONDS)] = 60


class WindowGroup(Struct):
    """What a slot served of a cohort in a second.

    cohort: pilot (pinned), canary, rest; what is the slot's as a whole (connect_failures, retries,
    endpoint_connections, eligible, endpoints) is in rest. statuses: 1xx to 5xx. aborted: exchanges that broke off,
    which are no requests; broken: those by the answer's side. Of times, in ms: mean, and the least
    bounds of the histogram below which half, 95 % and 99 % of the requests lie; null without
    requests, or above 10 s. in_flight to endpoints: at the second's end.
    """

    slot: str
    cohort: str
    requests: int
    statuses: list[int]
    connect_failures: int
    aborted: int
    broken: int
    retries: int
    mean_ms: float | None
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    in_flight: int
    endpoint_connections: int
    tunnels: int
    eligible: int
    endpoints: int


class WindowSecond(Struct):
    """A second (POSIX, by Redis' clock) of which nodes have told. told_ms: the time that all nodes'
    windows of it cover together, 1000 for each that was on time.
    """  # noqa: D205 - one sentence a field

    second: int
    nodes: list[str]
    told_ms: int
    groups: list[WindowGroup]


class WindowsPage(Struct):
    """The seconds of which anything was told, the oldest first.

    One that is missing nobody told; one without groups was told, and nothing was served in it.
    """

    items: list[WindowSecond]
