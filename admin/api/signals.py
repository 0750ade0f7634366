"""Figures from elsewhere that the monitor watches: told by whoever has them."""

from aiohttp import web

from admin.api.changing import for_all
from admin.api.messages import Given
from admin.api.problems import Problem
from admin.api.release_messages import SignalBody, SignalsState, SignalState
from admin.api.route import Call, Route, reply
from admin.monitor.signals import UnknownSignalError
from admin.tokens import Role


async def write(call: Call, given: SignalBody) -> web.StreamResponse:
    """Take a reading. It counts as of now, by Redis' clock, at all admins."""
    for_all(call.principal)
    name = call.names["signal"]
    try:
        await call.parts.signals.put(name, given.value)
    except UnknownSignalError:
        raise Problem("not-found", "monitor.signals names no such signal") from None
    except ValueError as error:
        raise Problem("invalid-change", f"body.value: {error}") from None
    return reply(_state(call))


async def read(call: Call, _: Given) -> web.StreamResponse:
    """The signals that the settings name, and what they said last."""
    return reply(_state(call))


def _state(call: Call) -> SignalsState:
    latest = call.parts.signals.latest()
    found = []
    for name, settings in call.parts.signals.settings.items():
        reading = latest.get(name)
        found.append(
            SignalState(
                name,
                settings.unit,
                None if reading is None else reading.value,
                None if reading is None else reading.at,
                settings.warning,
                settings.critical,
            )
        )
    return SignalsState(found)


ROUTES = (
    Route("GET", "/v1/signals", read, "What is watched from elsewhere", SignalsState),
    Route(
        *("PUT", "/v1/signals/{signal}", write, "Tell a figure to be watched", SignalsState),
        *(SignalBody, Role.OPERATOR, "signal"),
    ),
)
