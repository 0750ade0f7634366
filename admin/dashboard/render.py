"""Pages from templates, and the headers that go with them."""

from collections.abc import Mapping
from hashlib import sha256
from importlib.resources import files
from typing import Any

from aiohttp import web
from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from admin.dashboard.model.words import FILTERS

STATIC: Mapping[str, tuple[str, str]] = {
    "turnout.css": ("turnout.css", "text/css"),
    "turnout.js": ("turnout.js", "text/javascript"),
    "icon.svg": ("icon.svg", "image/svg+xml"),
    "htmx.js": ("vendor/htmx/htmx.min.js", "text/javascript"),
    "uplot.js": ("vendor/uplot/uPlot.iife.min.js", "text/javascript"),
    "uplot.css": ("vendor/uplot/uPlot.min.css", "text/css"),
}
"""What is served under /ui/static: name → file and type. Nothing else of the folder is."""
A_YEAR = "public, max-age=31536000, immutable"


class Files:
    """The static files, read once. A name's URL changes with its content, so it is kept for good."""

    def __init__(self) -> None:
        folder = files("admin.dashboard") / "static"
        self._content = {name: (folder / path).read_bytes() for name, (path, _) in STATIC.items()}
        self._digests = {
            name: sha256(content).hexdigest()[:12] for name, content in self._content.items()
        }

    def url(self, name: str) -> str:
        """Where the file is had."""
        return f"/ui/static/{name}?v={self._digests[name]}"

    def response(self, name: str, digest: str = "") -> web.Response | None:
        """The file; None: there is none of this name. digest: which content is asked for.

        Whoever asks without one, as a page that isn't made here, asks again each time.
        """
        if name not in self._content:
            return None
        kind = STATIC[name][1]
        keep = A_YEAR if digest == self._digests[name] else "no-cache"
        charset = "utf-8" if kind.startswith("text/") else None
        return web.Response(
            body=self._content[name],
            content_type=kind,
            charset=charset,
            headers={"Cache-Control": keep, "X-Content-Type-Options": "nosniff"},
        )


class Pages:
    """The templates. headers: what every page carries."""

    def __init__(self, static: Files, headers: Mapping[str, str]) -> None:
        self._headers = headers
        self._environment = Environment(
            # A release's plots are drawn the same way in its report as a file.
            loader=ChoiceLoader(
                [PackageLoader("admin.dashboard"), PackageLoader("admin.releases")]
            ),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._environment.globals["static"] = static.url
        self._environment.filters.update(FILTERS)

    def part(self, template: str, context: Mapping[str, Any]) -> str:
        """A part of a page, or a whole one."""
        return self._environment.get_template(template).render(context)

    def response(self, template: str, context: Mapping[str, Any], status: int) -> web.Response:
        """The page."""
        text = self.part(template, context)
        return web.Response(
            status=status, text=text, content_type="text/html", headers=self._headers
        )
