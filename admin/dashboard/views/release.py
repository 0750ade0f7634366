"""The release: where it stands, whether it may go on, and the words that it takes."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec
from aiohttp import web

from admin.api.problems import Problem
from admin.dashboard.deeds import Deed, carry_out
from admin.dashboard.forms import Form
from admin.dashboard.model.release import (
    CURRENT,
    DRILLS,
    HARMLESS,
    ONE,
    OVER,
    RELEASES,
    REPORT,
    WORDS,
    comes_back,
    overtaken,
    release_shown,
    tried_by,
)
from admin.dashboard.model.report import Drilled, drilled, reported
from admin.dashboard.visit import Visit
from admin.releases.store import last_drill

HOME = "/ui/release"
KINDS = ("patch", "minor", "major", "breaking")
EVENTS = 50
MAX_EVENTS = 1000
"""Of a release, those that are read: the last of them are shown."""
EARLIER = 20
_ABOUT: Mapping[str, str] = {
    "promote": "The release goes on to its next step at once; what its dwell time would still show is not waited for.",
    "resume": "Timers run on from where they stood, and the release goes on by itself.",
    "rollback": "All traffic returns to the slot that it came from; the release ends as rolled back.",
    "abort": "The release is given up, and ends as aborted; what it had moved returns.",
    "finalise": "The stabilisation window ends; the other slot is brought to the same version, and after that there is no way back to the old one.",
}

_DRILL_ENDS = (
    "The drill is over before its time: all traffic returns to the slot that it came from."
)


def _about(word: str, document: Mapping[str, Any]) -> list[str]:
    """What the word does to this release."""
    if comes_back(word, document):
        return [_DRILL_ENDS]
    return [_ABOUT[word]] if word in _ABOUT else []


async def look(visit: Visit) -> web.StreamResponse:
    """The release that runs, or the last one; where none can be, why."""
    return await _page(visit, CURRENT)


async def one(visit: Visit) -> web.StreamResponse:
    """An earlier release."""
    return await _page(visit, visit.named("name"))


async def _page(visit: Visit, name: str) -> web.StreamResponse:
    document = await _document(visit, name)
    if document is None and name != CURRENT:
        raise Problem("not-found", "there is no such release")
    earlier = await _plain(visit, RELEASES, {}, {"limit": EARLIER})
    events: list[Any] = []
    if document is not None:
        names = {"release": str(document["name"])}
        found = await _plain(visit, ONE + "/events", names, {"limit": MAX_EVENTS})
        events = [] if found is None else found.get("events", [])
    listed = [] if earlier is None else earlier.get("releases", [])
    newest = listed[0].get("name") if listed else None
    return await visit.page(
        "release.html",
        release=None if document is None else release_shown(document),
        events=events[::-1][:EVENTS],
        more_events=max(0, len(events) - EVENTS),
        earlier=listed,
        # Only the newest can run: the forms below an older one would not be about it.
        is_earlier=name != CURRENT and document is not None and document["name"] != newest,
        is_set_up=visit.ops.api.knows("POST", RELEASES),
        has_report=visit.ops.api.knows("GET", REPORT),
        can_drill=visit.ops.api.knows("POST", DRILLS),
        drill=await _last_drill(visit),
        release_kinds=KINDS,
    )


async def _last_drill(visit: Visit) -> Drilled:
    """When going back was last tried."""
    parts = visit.ops.api.parts
    async with parts.store.database.connection() as connection:
        last = await last_drill(connection)
    return drilled(last, datetime.now(UTC), parts.releasing.gates.drill.days)


async def report(visit: Visit) -> web.StreamResponse:
    """A release's report."""
    names = {"release": visit.named("name")}
    found = await _plain(visit, REPORT, names, {})
    if found is None:
        raise Problem("not-found", "there is no report")
    return await visit.page("report.html", **reported(found, datetime.now(UTC)))


async def _document(visit: Visit, name: str) -> dict[str, Any] | None:
    found = await visit.ops.found(ONE, {"release": name})
    return None if found is None else dict(msgspec.to_builtins(found))


async def _plain(
    visit: Visit, path: str, names: Mapping[str, str], query: Mapping[str, Any]
) -> dict[str, Any] | None:
    """A list's document; None where there is no such call."""
    if not visit.ops.api.knows("GET", path):
        return None
    found = await visit.ops.read(path, names, query)
    return dict(msgspec.to_builtins(found))


async def begin(visit: Visit, form: Form) -> web.StreamResponse:
    """Start a release."""
    given: dict[str, Any] = {
        name: form.text(name) for name in ("version", "kind", "note") if form.text(name)
    }
    if "version" not in given:
        raise Problem("invalid-change", "version: which one is released?")
    if form.text("hotfix") == "yes":
        return await _hotfix(visit, form, given)
    deed = Deed(
        *("POST", RELEASES),
        title=f"Start the release of {given['version']}",
        back=HOME,
        given=given,
        word=given["version"],
        says=[
            "It is deployed to the standby slot by its plan; nobody is moved before its canary.",
            "Its gates decide how far it goes by itself.",
        ],
    )
    return await carry_out(visit, form, deed)


async def _hotfix(visit: Visit, form: Form, given: dict[str, Any]) -> web.StreamResponse:
    """Start a release over the one that runs: what that does to it is said in numbers."""
    document = await _document(visit, CURRENT)
    says, tried = ["No release runs any more: it begins at once."], None
    if document is not None and document.get("state") not in OVER:
        table = await visit.ops.api.parts.store.current()
        says, tried = overtaken(document, str(table.active))
    deed = Deed(
        *("POST", RELEASES),
        title=f"Begin the hotfix {given['version']}",
        back=HOME,
        given={**given, "hotfix": True},
        word=given["version"],
        tried=tried,
        says=says,
    )
    return await carry_out(visit, form, deed)


async def drill(visit: Visit, form: Form) -> web.StreamResponse:
    """Begin a drill: everybody to standby, and back."""
    table = await visit.ops.api.parts.store.current()
    window_s = form.number("window_s")
    given: dict[str, Any] = {name: form.text(name) for name in ("mode", "note") if form.text(name)}
    if window_s is not None:
        given["window_s"] = window_s
    deed = Deed(
        *("POST", DRILLS),
        title="Begin a drill",
        back=HOME,
        given=given,
        word="drill",
        tried={"cutover": {"to": str(table.standby)}},
        says=[f"Everybody goes to {table.standby}, stays there for a while, and comes back:"],
    )
    return await carry_out(visit, form, deed)


async def say(visit: Visit, form: Form) -> web.StreamResponse:
    """Promote, pause, resume, roll back, abort, finalise."""
    name, word = visit.named("name"), visit.named("word")
    path = f"{ONE}/{word}"
    if word not in WORDS or not visit.ops.api.knows("POST", path):
        raise Problem("not-found", f"a release knows {', '.join(WORDS)}")
    document = await _document(visit, name)
    if document is None:
        raise Problem("not-found", "there is no such release")
    table = await visit.ops.api.parts.store.current()
    note = form.text("note")
    deed = Deed(
        *("POST", path),
        title=f"{WORDS[word]} {document['name']}",
        back=HOME,
        names={"release": str(document["name"])},
        given={"note": note} if note else {},
        word="" if word in HARMLESS else str(document["name"]),
        tried=tried_by(word, document, str(table.active)),
        says=_about(word, document),
    )
    return await carry_out(visit, form, deed)


async def sign(visit: Visit, form: Form) -> web.StreamResponse:
    """Sign a gate, for or against."""
    name, signer, item = visit.named("name"), form.text("signer"), form.text("item")
    approves = form.text("approve") == "yes"
    deed = Deed(
        *("POST", ONE + "/sign"),
        title=f"{'Approve' if approves else 'Refuse'} {item or 'what is due'} as {signer}",
        back=HOME,
        names={"release": name},
        given={
            **({"item": item} if item else {"signer": signer}),
            "approve": approves,
            "note": form.text("note"),
        },
    )
    return await carry_out(visit, form, deed)


LOOKS: Mapping[str, Any] = {
    HOME: look,
    HOME + "/{name}": one,
    HOME + "/{name}/report": report,
}
SENDS: Mapping[str, Any] = {
    HOME: begin,
    "/ui/drill": drill,
    HOME + "/{name}/sign": sign,
    HOME + "/{name}/{word}": say,
}
