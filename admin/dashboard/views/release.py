"""The release: where it stands, whether it may go on, and the words that it takes."""

from collections.abc import Mapping
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
    RELEASES,
    WORDS,
    release_shown,
    tried_by,
)
from admin.dashboard.visit import Visit

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


async def look(visit: Visit) -> web.StreamResponse:
    """The release that runs, or the last one; where none can be, why."""
    return await _page(visit, CURRENT)


async def one(visit: Visit) -> web.StreamResponse:
    """An earlier release."""
    return await _page(visit, visit.named("name"))


async def _page(visit: Visit, name: str) -> web.StreamResponse:
    document = await _document(visit, name)
    earlier = await _plain(visit, RELEASES, {}, {"limit": EARLIER})
    events = None
    if document is not None:
        names = {"release": str(document["name"])}
        events = await _plain(visit, ONE + "/events", names, {"limit": MAX_EVENTS})
    return await visit.page(
        "release.html",
        release=None if document is None else release_shown(document),
        events=[] if events is None else events.get("events", [])[::-1][:EVENTS],
        earlier=[] if earlier is None else earlier.get("releases", []),
        is_set_up=visit.ops.api.knows("POST", RELEASES),
        has_report=visit.ops.api.knows("GET", ONE + "/report.html"),
        can_drill=visit.ops.api.knows("POST", DRILLS),
        release_kinds=KINDS,
    )


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
    given = {name: form.text(name) for name in ("version", "kind", "note") if form.text(name)}
    if "version" not in given:
        raise Problem("invalid-change", "version: which one is released?")
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


async def drill(visit: Visit, form: Form) -> web.StreamResponse:
    """Begin a drill: everybody to standby, and back."""
    table = await visit.ops.api.parts.store.current()
    window_s = form.number("window_s")
    given = {"window_s": window_s} if window_s is not None else {}
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
        says=[_ABOUT[word]] if word in _ABOUT else [],
    )
    return await carry_out(visit, form, deed)


async def sign(visit: Visit, form: Form) -> web.StreamResponse:
    """Sign an item, for or against."""
    name, signer, item = visit.named("name"), form.text("signer"), form.text("item")
    what = {"item": item} if item else {"signer": signer}
    approves = form.text("approve") == "yes"
    deed = Deed(
        *("POST", ONE + "/sign"),
        title=f"{'Approve' if approves else 'Refuse'} {item} as {signer}",
        back=HOME,
        names={"release": name},
        given={**what, "approve": approves, "note": form.text("note")},
    )
    return await carry_out(visit, form, deed)


LOOKS: Mapping[str, Any] = {HOME: look, HOME + "/{name}": one}
SENDS: Mapping[str, Any] = {
    HOME: begin,
    "/ui/drill": drill,
    HOME + "/{name}/sign": sign,
    HOME + "/{name}/{word}": say,
}
