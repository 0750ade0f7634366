"""Sends one message through apprise. Called in threads; apprise is imported here, for it is heavy.

Rule: apprise's URLs are secrets. They are looked up for each message, and neither logged nor raised.
"""

import logging
from collections.abc import Mapping

from admin.migrations.references import secret
from admin.notify.templates import Message


class NotSentError(Exception):
    """The target did not take it."""


class BadTargetError(Exception):
    """What stands where the URL should is none that apprise knows."""


def prepare() -> None:
    """Import apprise and its hundred services: a second or so, once."""
    import apprise  # noqa: PLC0415 - see the module

    for name in ("apprise", "urllib3", "requests"):  # they log URLs
        logging.getLogger(name).setLevel(logging.CRITICAL)
    apprise.Apprise.instantiate("json://localhost")


def send(
    reference: str,
    message: Message,
    timeout_s: float,
    environ: Mapping[str, str] | None = None,
) -> None:
    """Tell the target whose URL stands there. timeout_s: for connecting, and for each read, seconds.

    NotSentError, BadTargetError, references.ReferenceFault.
    """
    import apprise  # noqa: PLC0415 - see the module

    asset = apprise.AppriseAsset(async_mode=False, secure_logging=True, storage_mode="memory")
    target = apprise.Apprise.instantiate(secret(reference, environ), asset=asset)
    if target is None:
        raise BadTargetError
    target.socket_connect_timeout = target.socket_read_timeout = timeout_s
    everyone = apprise.Apprise(asset=asset)
    everyone.add(target)
    done = everyone.notify(
        body=message.body or message.title,
        title=message.title,
        notify_type=message.level,
        body_format="text",
    )
    if not done:
        raise NotSentError
