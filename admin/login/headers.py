"""PURE: what every page under /ui carries, so that a browser gives nothing away."""

from collections.abc import Mapping

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
"""Nothing inline: what was smuggled into a page as text stays text."""

_ALWAYS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    # Not no-referrer: with it browsers send `Origin: null` with the page's own forms (Fetch,
    # "append a request Origin header"). To others, this sends as little.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), display-capture=(), geolocation=(), microphone=(), "
    "payment=(), publickey-credentials-get=(), usb=()",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cache-Control": "no-store",
}
_HTTPS = {**_ALWAYS, "Strict-Transport-Security": "max-age=31536000"}


def page_headers(*, https: bool) -> Mapping[str, str]:
    """The fields of a page. https: browsers reach us by it, and shall never do without.

    What may be kept by browsers (a style sheet under a name of its own) sets its own
    Cache-Control.
    """
    return _HTTPS if https else _ALWAYS
