"""Refusals: one exception that becomes an application/problem+json answer (RFC 9457)."""

from collections.abc import Mapping
from http import HTTPStatus


class Problem(Exception):  # noqa: N818 - RFC 9457's word
    """A refusal: its status, a code for programs, a sentence for people."""

    def __init__(
        self, status: int, code: str, detail: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.headers = dict(headers or {})

    def document(self) -> dict[str, object]:
        """The members of the problem document."""
        return {
            "type": "about:blank",
            "title": title(self.status),
            "status": self.status,
            "code": self.code,
            "detail": self.detail,
        }


def title(status: int) -> str:
    """The registered phrase of a status, or 'Status 599'."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return f"Status {status}"


def invalid(detail: str) -> Problem:
    """400: the request is not what the endpoint takes."""
    return Problem(400, "invalid", detail)


def absent(what: str) -> Problem:
    """404: this tenant has no such thing (another may)."""
    return Problem(404, "not-found", f"no such {what}")


def unavailable(detail: str) -> Problem:
    """503: a part that this instance stands on does not answer."""
    return Problem(503, "unavailable", detail, {"Retry-After": "1"})
