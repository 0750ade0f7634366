"""What a caller has done in the middle of a fenced switch: a webhook, or a configured command.

Rules: commands are argument lists that the settings name; the API can't bring its own. A webhook
gets the switch's name as its Idempotency-Key, so it can be asked again; a command can't. What a
command prints, or a webhook answers, is not kept: it may hold secrets.
"""

import os
from collections.abc import Mapping, Sequence

import msgspec

from admin.hooks import process
from admin.hooks import webhook as hooks
from admin.switches.model import Switch


class StepError(Exception):
    """The step failed; the message says how, and holds nothing that the step said."""


def document(switch: Switch) -> dict[str, object]:
    """What a step is told of its switch."""
    tenants = "all" if switch.tenants is None else sorted(switch.tenants)
    return {"switch": switch.name, "tenants": tenants, "held_version": switch.held}


async def webhook(url: str, switch: Switch, limit_s: float) -> None:
    """POST it to the URL; any 2xx is success. limit_s: seconds. StepError."""
    await post(url, switch.name, document(switch), limit_s)


async def post(url: str, name: str, told: Mapping[str, object], limit_s: float) -> None:
    """POST this under an Idempotency-Key; any 2xx is success. limit_s: seconds. StepError."""
    try:
        status = await hooks.post(url, name, msgspec.json.encode(told), limit_s)
    except hooks.WebhookError as error:
        raise StepError(str(error)) from None
    if not 200 <= status < 300:
        raise StepError(f"the webhook answered {status}")


async def command(arguments: Sequence[str], switch: Switch, limit_s: float) -> None:
    """Run it, told of the switch as JSON on its standard input; exit status 0 is success.

    Out of time, or cancelled, it and all that it started are ended. limit_s: seconds. StepError.
    """
    environ = process.environment(os.environ, {"TURNOUT_SWITCH": switch.name})
    try:
        told = msgspec.json.encode(document(switch))
        ended = await process.run(arguments, told, environ, limit_s)
    except process.CommandError as error:
        raise StepError(str(error)) from None
    if ended.returncode:
        raise StepError(f"the command ended with {ended.returncode}")
