"""POST under an Idempotency-Key: what steps of switches, ends of drains, and hooks have in common.

Rules: no redirect is followed, nothing of the answer but its status is kept, and no error says more
than its kind: URLs and answers may hold secrets.
"""

from collections.abc import Iterable, Mapping

import aiohttp


class WebhookError(Exception):
    """No answer came. The message says how, without the URL.

    sent: it may have been received. refused: nobody listens there.
    """

    def __init__(self, message: str, *, sent: bool, refused: bool = False) -> None:
        super().__init__(message)
        self.sent, self.refused = sent, refused


def lies_under(url: str, prefixes: Iterable[str]) -> bool:
    """Whether the URL begins with one of the prefixes that may be called."""
    return any(url.startswith(prefix) for prefix in prefixes)


async def post(
    url: str, key: str, body: bytes, limit_s: float, headers: Mapping[str, str] | None = None
) -> int:
    """The status of the answer. limit_s: seconds in all. WebhookError."""
    timeout = aiohttp.ClientTimeout(total=limit_s)
    sent = {"Idempotency-Key": key, "Content-Type": "application/json", **(headers or {})}
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.post(url, data=body, headers=sent, allow_redirects=False) as answer,
        ):
            return answer.status
    except aiohttp.ClientConnectorError as error:
        refused = isinstance(error.os_error, ConnectionRefusedError)
        raise _unasked(error, sent=False, refused=refused) from None
    except TimeoutError:
        message = f"the webhook did not answer within {limit_s:.1f} s"
        raise WebhookError(message, sent=True) from None
    except (aiohttp.InvalidURL, ValueError) as error:
        raise _unasked(error, sent=False) from None
    except (aiohttp.ClientError, OSError) as error:
        raise _unasked(error, sent=True) from None


def _unasked(error: Exception, *, sent: bool, refused: bool = False) -> WebhookError:
    message = f"the webhook can't be asked ({type(error).__name__})"
    return WebhookError(message, sent=sent, refused=refused)
