"""What was served second by second, by slot and cohort: for plots."""

from aiohttp import web

from admin.api.route import Call, Route, reply
from admin.api.window_messages import WindowGroup, WindowSecond, WindowsPage, WindowsQuery
from proxy.routing.windows import Figures, Group, Window, add_up, by_second, quantile


async def read(call: Call, given: WindowsQuery) -> web.StreamResponse:
    """The last seconds, the oldest first."""
    found = by_second(await call.parts.windows.latest(given.seconds))
    return reply(WindowsPage([_second(second, each) for second, each in found.items()]))


def _second(second: int, windows: list[Window]) -> WindowSecond:
    total = add_up(windows, of_tenants=False)
    groups = [_group(group, figures) for group, figures in sorted(total.groups.items())]
    return WindowSecond(second, sorted(total.nodes), total.told_ms, groups)


def _group(group: Group, figures: Figures) -> WindowGroup:
    slot, cohort = group
    requests = figures.requests
    return WindowGroup(
        slot=str(slot),
        cohort=cohort,
        requests=requests,
        statuses=list(figures.statuses),
        connect_failures=figures.connect_failures,
        aborted=figures.aborted,
        broken=figures.broken,
        retries=figures.retries,
        mean_ms=round(figures.latency_us / requests / 1_000, 3) if requests else None,
        p50_ms=_below_ms(figures, 0.5),
        p95_ms=_below_ms(figures, 0.95),
        p99_ms=_below_ms(figures, 0.99),
        in_flight=figures.in_flight,
        endpoint_connections=figures.endpoint_connections,
        tunnels=figures.tunnels,
        eligible=figures.eligible,
        endpoints=figures.endpoints,
    )


def _below_ms(figures: Figures, share: float) -> float | None:
    bounds = quantile(figures.buckets, share)
    return None if bounds is None or bounds[1] is None else bounds[1] / 1_000


ROUTES = (
    Route(
        "GET",
        "/v1/traffic/windows",
        read,
        "What was served second by second, by slot and cohort",
        WindowsPage,
        WindowsQuery,
    ),
)
