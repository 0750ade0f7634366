"""GET /: the page that a person sees in a browser: which slot serves it, and the live board."""

from html import escape
from pathlib import Path

from aiohttp import web

from examples.print_erp.context import erp_of, tenant_of

_PAGE = Path(__file__).with_name("page.html").read_text()
_CSP = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
    "connect-src 'self' ws: wss:; base-uri 'none'; form-action 'none'"
)


async def page(request: web.Request) -> web.Response:
    """The page as this slot and version serve it."""
    settings = erp_of(request).settings
    text = _PAGE.replace("{{slot}}", escape(settings.slot))
    text = text.replace("{{version}}", escape(settings.version))
    text = text.replace("{{tenant}}", escape(tenant_of(request)))
    headers = {"Cache-Control": "no-store", "Content-Security-Policy": _CSP}
    return web.Response(text=text, content_type="text/html", headers=headers)


ROUTES = [web.get("/", page)]
