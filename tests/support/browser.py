"""What a browser does that matters to a log-in: cookies, Origin, Fetch Metadata; redirects by hand."""

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

import aiohttp

from admin.login import local


@dataclass
class Page:
    """One answer. cookies: the Set-Cookie fields as they came."""

    status: int
    headers: Any
    text: str
    cookies: list[str]

    @property
    def place(self) -> str:
        """Where it leads."""
        return str(self.headers.get("Location", ""))


@dataclass
class Browser:
    """One browser at one admin. public: the origin that it believes to be at, if not the address."""

    session: aiohttp.ClientSession
    address: str
    public: str = ""
    cookies: dict[str, str] = field(default_factory=dict)

    @property
    def origin(self) -> str:
        return self.public or f"http://{self.address}"

    @property
    def csrf(self) -> str:
        """The token that the session's pages have."""
        return local.csrf_token(self.session_id)

    @property
    def session_id(self) -> str:
        return self.cookies["__Host-turnout" if self.public else "turnout"]

    def at(self, address: str) -> "Browser":
        """The same browser, led to another admin by what stands before both."""
        return Browser(self.session, address, self.public, self.cookies)

    async def get(self, path: str, *, site: str = "same-origin", **headers: str) -> Page:
        fields = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "navigate"}
        return await self.send("GET", path, {**fields, **headers})

    async def post(self, path: str, form: dict[str, str], **headers: str) -> Page:
        fields = {"Sec-Fetch-Site": "same-origin", "Origin": self.origin}
        return await self.send("POST", path, {**fields, **headers}, data=form)

    async def send(self, method: str, path: str, headers: dict[str, str], **more: Any) -> Page:
        fields = {name: value for name, value in headers.items() if value}
        fields["Host"] = urlsplit(self.origin).netloc
        if self.cookies:
            fields["Cookie"] = "; ".join(f"{key}={value}" for key, value in self.cookies.items())
        url = f"http://{self.address}{path}"
        async with self.session.request(
            method, url, headers=fields, allow_redirects=False, **more
        ) as answer:
            page = Page(
                *(answer.status, answer.headers, await answer.text()),
                cookies=answer.headers.getall("Set-Cookie", []),
            )
        for line in page.cookies:
            name, _, value = line.partition(";")[0].partition("=")
            self.cookies[name] = value
            if "Max-Age=0" in line:
                del self.cookies[name]
        return page

    async def log_in(self, token: str, following: str = "") -> Page:
        """Paste a token."""
        return await self.post(local.LOGIN, {"token": token, "next": following})

    async def leave_for(self, following: str = "") -> str:
        """Follow the link to the provider; its address."""
        page = await self.get(f"{local.START}?next={following}")
        assert page.status == 303, page.text
        return page.place

    async def consent(self, there: str) -> str:
        """What the provider sends the browser back to: path and query."""
        async with self.session.get(there, allow_redirects=False) as answer:
            assert answer.status == 302, await answer.text()
            back = urlsplit(answer.headers["Location"])
        assert f"{back.scheme}://{back.netloc}" == self.origin
        return f"{back.path}?{back.query}"

    async def return_by(self, back: str) -> Page:
        """Come back, from another site as it is."""
        return await self.get(back, site="cross-site")

    async def log_in_there(self, following: str = "") -> Page:
        """The whole way by the provider."""
        return await self.return_by(await self.consent(await self.leave_for(following)))


def query(place: str) -> dict[str, str]:
    """The query of an address; each name once."""
    return {name: value for name, (value,) in parse_qs(urlsplit(place).query).items()}
