"""The release's page against a release's document: which call each button makes, and what it says first.

The calls are answered by this file, with the documents that docs/api.md describes: the page is the
subject here, not the machine behind it.
"""

import re
from typing import Any

import pytest
from aiohttp import web
from msgspec import Struct

from admin.api import app, openapi
from admin.api.messages import Given
from admin.api.route import Call, Route, reply
from admin.tokens import Role
from tests.integration.admin.conftest import Client, Start, published
from tests.integration.admin.test_dashboard import ends, fields, hidden, send
from tests.support.shown import EVENTS, checklist, release

NAME = release()["name"]
PAGE = "/ui/release"


class Anything(Given, forbid_unknown_fields=False):
    """What a call is given."""

    limit: int = 0
    version: str = ""
    kind: str = ""
    note: str = ""
    signer: str = ""
    item: str = ""
    approve: bool = False
    window_s: float = 0.0
    hotfix: bool = False
    mode: str = ""


class Releases:
    """Answers the calls about releases, and remembers what they were given."""

    def __init__(self) -> None:
        self.document: dict[str, Any] = release()
        self.given: list[tuple[str, str, Anything, tuple[str, ...]]] = []

    def routes(self) -> tuple[Route, ...]:
        one = "/v1/releases/{release}"
        words = ("promote", "pause", "rollback", "abort", "sign")
        return (
            self._route("GET", "/v1/releases", {"releases": [self.document], "next": None}),
            self._route("POST", "/v1/releases", self.document),
            self._route("GET", one, self.document),
            self._route("POST", "/v1/drills", self.document),
            self._route("GET", f"{one}/events", {"events": EVENTS[::-1], "next": None}),
            *(self._route("POST", f"{one}/{word}", self.document) for word in words),
        )

    def _route(self, method: str, path: str, document: Any) -> Route:
        async def handle(call: Call, given: Anything) -> web.StreamResponse:
            if method == "POST":
                name = call.names.get("release", "")
                self.given.append((path.rpartition("/")[2], name, given, tuple(call.keys)))
            return reply(document)

        answer: type[Struct] | None = None
        role = Role.OPERATOR if method == "POST" else Role.VIEWER
        return Route(method, path, handle, "", answer, Anything, role, "release")


@pytest.fixture
def releases(monkeypatch: pytest.MonkeyPatch) -> Releases:
    made = Releases()
    kept = tuple(each for each in app.ROUTES if not each.path.startswith("/v1/releases"))
    monkeypatch.setitem(openapi._PATH, "release", {"type": "string"})
    monkeypatch.setattr(app, "ROUTES", (*kept, *made.routes()))
    return made


@pytest.fixture
async def call(releases: Releases, start: Start) -> Client:
    client: Client = await start()
    await published(client)
    await ends(client)
    return client


async def test_a_dangerous_word_says_what_it_moves_and_wants_the_release_s_name(
    call: Client, releases: Releases
) -> None:
    for name in ("a", "b", "c"):
        await call("PUT", f"/v1/tenants/{name}", {})
    releases.document["step"] = 4
    action = f"{PAGE}/{NAME}/promote"
    status, question = await send(call, action, await fields(call, PAGE, action))
    assert (status, "3 tenants of 3 known move from blue to green." in question) == (200, True)
    form = hidden(question, action)
    assert (await send(call, action, {**form, "typed": "1.3.0"}))[0] == 422
    assert releases.given == []
    for _ in range(2):
        assert (await send(call, action, {**form, "typed": NAME}))[0] == 303
    (word, name, _, keys) = releases.given[0]
    assert (len(releases.given), word, name, len(keys)) == (1, "promote", NAME, 1)


async def test_a_pause_asks_nothing(call: Client, releases: Releases) -> None:
    action = f"{PAGE}/{NAME}/pause"
    assert (await send(call, action, await fields(call, PAGE, action)))[0] == 303
    assert [given[:2] for given in releases.given] == [("pause", NAME)]


@pytest.mark.parametrize("word", ["rollback", "abort"])
async def test_the_way_back_says_what_the_canary_gives_up(
    call: Client, releases: Releases, word: str
) -> None:
    await call("PUT", "/v1/tenants/a", {})
    await call("PUT", "/v1/canary", {"percent": 100})
    action = f"{PAGE}/{NAME}/{word}"
    question = (await send(call, action, await fields(call, PAGE, action)))[1]
    assert "1 tenant of 1 known moves from green to blue." in question


@pytest.mark.parametrize(("approve", "wanted"), [("yes", True), ("no", False)])
async def test_a_signature_is_given_with_its_note(
    call: Client, releases: Releases, approve: str, wanted: bool
) -> None:
    action = f"{PAGE}/{NAME}/sign"
    form = await fields(call, PAGE, action)
    assert form["signer"] == "QA spot check"
    assert (await send(call, action, {**form, "approve": approve, "note": "looked"}))[0] == 303
    given = releases.given[0][2]
    assert (given.signer, given.approve, given.note) == ("QA spot check", wanted, "looked")


async def test_a_release_is_started_by_typing_its_version(call: Client, releases: Releases) -> None:
    releases.document.update(state="done", phase=6, may=[])
    form = {**await fields(call, PAGE, PAGE), "version": "1.4.0", "kind": "", "note": "go"}
    question = (await send(call, PAGE, form))[1]
    assert "Start the release of 1.4.0?" in question
    again = {**hidden(question, PAGE), "typed": "1.4.0"}
    assert (await send(call, PAGE, again))[0] == 303
    assert (releases.given[0][2].version, releases.given[0][2].note) == ("1.4.0", "go")


async def test_a_drill_says_who_goes_there_and_back(call: Client, releases: Releases) -> None:
    await call("PUT", "/v1/tenants/a", {})
    releases.document.update(state="done", phase=6, may=[])
    form = {**await fields(call, PAGE, "/ui/drill"), "window_s": "30", "mode": "fenced"}
    assert "no drill was ever done" in (await call("GET", PAGE))[1]
    question = (await send(call, "/ui/drill", form))[1]
    assert "1 tenant of 1 known moves from blue to green." in question
    again = {**hidden(question, "/ui/drill"), "typed": "drill"}
    assert (await send(call, "/ui/drill", again))[0] == 303
    given = releases.given[0][2]
    assert (releases.given[0][0], given.window_s, given.mode) == ("drills", 30, "fenced")


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ({}, f"{NAME} is canary: it goes back first, and the hotfix begins then."),
        ({"state": "stabilising", "phase": 5}, f"{NAME} has everybody: it is done with"),
        ({"state": "rolling-back", "phase": 4}, f"{NAME} goes back already"),
        ({"state": "done", "phase": 6}, "No release runs any more: it begins at once."),
    ],
)
async def test_a_hotfix_says_what_becomes_of_the_release_that_runs(
    call: Client, releases: Releases, document: dict[str, Any], says: str
) -> None:
    form = {**await fields(call, PAGE, PAGE), "version": "1.3.1", "kind": "", "note": ""}
    assert form["hotfix"] == "yes"
    releases.document.update(document)
    question = (await send(call, PAGE, form))[1]
    assert says in question
    assert 'Type <strong class="code">1.3.1</strong>' in question
    again = {**hidden(question, PAGE), "typed": "1.3.1"}
    assert (await send(call, PAGE, again))[0] == 303
    assert [(each[0], each[2].version, each[2].hotfix) for each in releases.given] == [
        ("releases", "1.3.1", True)
    ]


async def test_an_item_of_the_checklist_is_signed_by_its_name(
    call: Client, releases: Releases
) -> None:
    releases.document["gates"] = checklist()
    page = (await call("GET", PAGE))[1]
    parts = re.findall(r'<h3 class="part">([^<]+) <span class="small muted">([^<]+)<', page)
    assert parts == [
        ("Pre-deployment", "1 of 2"),
        ("Validation", "1 of 1"),
        ("Post-deployment", "0 of 1"),
    ]
    assert "Database migrations tested" in page
    assert page.count(f'action="{PAGE}/{NAME}/sign"') == 1  # the other is for after the cutover
    action = f"{PAGE}/{NAME}/sign"
    form = await fields(call, PAGE, action)
    await send(call, action, {**form, "approve": "yes", "note": "looked"})
    given = releases.given[0][2]
    assert (given.item, given.signer, given.approve) == ("tested", "", True)


async def test_whatever_a_release_says_is_shown_and_not_run(
    call: Client, releases: Releases
) -> None:
    bad = "<script>alert(1)</script>"
    trigger = {"name": bad, "level": "warning", "detail": bad}
    telling = ("note", "reason", "fault", "waits_for", "version", "from_version", "started_by")
    releases.document.update(dict.fromkeys(telling, bad))
    releases.document["missing"] = [bad]
    releases.document["verdict"] = {"level": "warning", "triggers": [trigger], "measured": []}
    words = ("gate", "item", "part", "text", "detail", "note", "outcome")
    releases.document["gates"] = [{**checklist()[1], **dict.fromkeys(words, bad)}]
    for path in (PAGE, "/ui/board"):
        status, page, _ = await call("GET", path)
        assert (status, "&lt;script&gt;" in page, bad in page) == (200, True, False)


async def test_who_may_change_some_tenants_is_told_so(call: Client, releases: Releases) -> None:
    page = (await call.with_token("operator", ["mine"])("GET", PAGE))[1]
    assert "Your log-in may change mine, and not what is for everybody." in page
    assert f'action="{PAGE}/{NAME}/promote"' not in page


async def test_a_word_that_no_release_knows_is_not_found(call: Client, releases: Releases) -> None:
    form = await fields(call, PAGE, f"{PAGE}/{NAME}/pause")
    for word in ("teleport", "resume"):  # the second has no call here
        assert (await send(call, f"{PAGE}/{NAME}/{word}", form))[0] == 404


async def test_a_viewer_sees_the_release_and_no_buttons(call: Client, releases: Releases) -> None:
    page = (await call.with_token("viewer")("GET", PAGE))[1]
    assert "p95 settled at 84 ms" in page
    assert "Promote" not in page
    assert "Sign: " not in page


async def test_the_board_has_the_release_s_verdict(call: Client, releases: Releases) -> None:
    trigger = {"name": "tenant-errors", "level": "warning", "detail": "acme 7 of 9"}
    releases.document["verdict"] = {"level": "warning", "triggers": [trigger], "measured": []}
    assert "tenant-errors: acme 7 of 9" in (await call("GET", "/ui/board"))[1]
    for unwatched in ("finalising", "done"):
        releases.document["state"] = unwatched
        assert "tenant-errors" not in (await call("GET", "/ui/board"))[1]
