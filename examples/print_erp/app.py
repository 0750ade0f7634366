"""The routes of one instance: the only file that knows every resource."""

from collections.abc import Iterable

from aiohttp import web

from examples.print_erp import (
    customers,
    dashboard,
    equipment,
    events,
    files,
    health,
    jobs,
    orders,
    page,
    payments,
    prints,
    probes,
)
from examples.print_erp.answers import JSON_BYTES
from examples.print_erp.board import Boards
from examples.print_erp.context import ERP, Erp
from examples.print_erp.guard import guard, sign
from examples.print_erp.sockets import close_all

_ROUTES: tuple[Iterable[web.RouteDef], ...] = (
    page.ROUTES,
    health.ROUTES,
    customers.ROUTES,
    jobs.ROUTES,
    prints.ROUTES,
    orders.ROUTES,
    payments.ROUTES,
    dashboard.ROUTES,
    equipment.ROUTES,
    events.ROUTES,
    files.ROUTES,
    probes.ROUTES,
)


def application(erp: Erp) -> web.Application:
    """The handlers around one instance."""
    app = web.Application(middlewares=[guard], client_max_size=JSON_BYTES)
    app[ERP] = erp
    app[dashboard.BOARDS] = Boards(erp.settings, erp.store)
    app.on_response_prepare.append(sign)
    app.on_shutdown.append(_stop_streams)
    for routes in _ROUTES:
        app.add_routes(routes)
    return app


async def _stop_streams(app: web.Application) -> None:
    """End what would never end by itself; requests in flight go on to their end."""
    app[ERP].stopping.set()
    await close_all(app[ERP])
