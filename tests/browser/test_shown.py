"""The release and the board full of figures, from documents as the API and the nodes give them.

The pages are made by the product's templates and models, and served as files: where their figures
come from is another test's business.
"""

import json
import threading
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from admin.dashboard.model.board import Equipment, board
from admin.dashboard.model.figures import plots, totals
from admin.dashboard.model.frame import PLACES, Frame, SlotStanding
from admin.dashboard.model.release import release_shown
from admin.dashboard.model.report import Drilled, reported
from admin.dashboard.model.row import Threshold
from admin.dashboard.model.signals import SignalKnown
from admin.dashboard.model.verdict import Judged, Trigger
from admin.dashboard.render import STATIC, Files, Pages
from admin.dashboard.session import Session
from admin.login.headers import page_headers
from admin.tokens import Principal, Role
from proxy.routing.model import Slot
from tests.browser.conftest import OUT
from tests.support.chromium import PHONE, WIDE, Browser, chromium
from tests.support.shown import EVENTS, LIMITS, REPORT, checklist, release, windows

BOARDS: dict[str, Any] = {
    "healthy": Judged("normal", measured=("error-rate", "response-time")),
    "sick": Judged(
        "critical",
        (
            Trigger("error-rate", "critical", "green 5.2 %, blue 0.2 %, of 400 requests"),
            Trigger("response-time", "warning", "p95 of green 214 ms, of blue 180 ms"),
        ),
    ),
}
RELEASES = {
    "canary": release(),
    "checklist": release(gates=checklist(), missing=["dba: awaits a signature"]),
    "rolled-back": release(
        state="rolled-back",
        phase=4,
        may=[],
        reason="error-rate: green 5.2 %, blue 0.2 %, of 400 requests",
        ended_at="2026-11-28T09:12:00+00:00",
        verdict={"level": "critical", "triggers": []},
    ),
}


def frame(place: str, theme: str = "auto") -> dict[str, Any]:
    return {
        "frame": Frame(
            version=12,
            active=SlotStanding("blue", "active", "1.2.0", 2),
            standby=SlotStanding("green", "standby", "1.3.0", 2),
            canary=5.0,
            tenants=10_000,
            held=False,
        ),
        "places": PLACES,
        "here": place,
        "session": Session(Principal("ada", Role.ADMIN, None, 0.0), "token", "/ui/logout"),
        "csrf": "token",
        "theme": theme,
        "can_operate": True,
        "can_all": True,
        "key": "key",
        "kinds": "change",
        "address": f"/ui/{place}",
    }


def pages() -> Iterator[tuple[str, str]]:
    """(path, page) of all that is shown."""
    render = Pages(Files(), page_headers(https=False))
    signals = {
        "database-connections": SignalKnown("", Threshold(80, 95), 48.0),
        "cache-hit-rate": SignalKnown("%", Threshold(85, 70, "%", below=True), 93.0),
        "database-cpu": SignalKnown("%", Threshold(70, 85, "%")),
    }
    seconds = totals(windows(30))
    running = release_shown(RELEASES["canary"])
    for name, verdict in BOARDS.items():
        given = (seconds, signals, Equipment(21, 2, 23, 23), verdict, LIMITS)
        context = {
            **frame("board"),
            "board": board(Slot.BLUE, 30, *given),
            "plotted": True,
            "plot_s": 300,
            "release": running,
            "at": 1_795_000_300.0,
        }
        yield f"ui/board-{name}", str(render.response("board.html", context, 200).text)
    for name, document in RELEASES.items():
        context = {
            **frame("release"),
            "release": release_shown(document),
            "events": EVENTS,
            "more_events": 3,
            "earlier": [document],
            "is_earlier": False,
            "is_set_up": True,
            "can_drill": True,
            "drill": Drilled("no drill was ever done", fresh=False),
            "has_report": True,
            "release_kinds": ("minor",),
        }
        yield f"ui/release-{name}", str(render.response("release.html", context, 200).text)
    about = {**frame("release"), **reported(REPORT, datetime(2026, 11, 28, 10, tzinfo=UTC))}
    yield "ui/report", str(render.response("report.html", about, 200).text)


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A browser on the pages."""
    folder = tmp_path_factory.mktemp("shown")
    for path, page in pages():
        (folder / path).mkdir(parents=True)
        (folder / path / "index.html").write_text(page, "utf-8")
    (folder / "ui" / "static").mkdir()
    for name in STATIC:
        served = Files().response(name)
        assert served is not None
        assert isinstance(served.body, bytes)
        (folder / "ui" / "static" / name).write_bytes(served.body)
    lines = {name: asdict(plot) for name, plot in plots(windows()).items()}
    (folder / "ui" / "board.json").write_text(json.dumps(lines))
    with serving(folder) as address, chromium(address, OUT) as browser:
        yield browser


class serving:  # noqa: N801 - read as `with serving(folder)`
    """A folder over HTTP, for as long as the block runs."""

    def __init__(self, folder: Path) -> None:
        handler = partial(_Quiet, directory=str(folder))
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(target=self._server.serve_forever)

    def __enter__(self) -> str:
        self._thread.start()
        return f"http://127.0.0.1:{self._server.server_port}"

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


@pytest.mark.parametrize("path", [path for path, _ in pages()])
@pytest.mark.parametrize("look", ["", "-dark", "-phone"])
def test_it_is_seen_whole_and_without_a_serious_fault(shown: Browser, path: str, look: str) -> None:
    shown.look(PHONE if look == "-phone" else WIDE, dark=look == "-dark")
    shown.open(f"/{path}/")
    if "board" in path:
        shown.until(lambda: len(shown.all(".plot canvas")) == 3)
    shown.picture(path.removeprefix("ui/") + look)
    assert shown.faults() == []
    assert shown.overflow() == []


def test_a_sick_board_says_what_is_wrong_in_words(shown: Browser) -> None:
    shown.look(WIDE)
    shown.open("/ui/board-sick/")
    shown.says("green 5.2 %, blue 0.2 %, of 400 requests")
    levels = [each.text for each in shown.all("td.verdict .level")]
    assert levels[:3] == ["critical", "warning", "not judged"]


def test_each_figure_of_the_document_stands_with_its_threshold(shown: Browser) -> None:
    shown.look(WIDE)
    shown.open("/ui/board-healthy/")
    waits = "no reading yet: PUT /v1/signals/database-cpu"
    rows = [" ".join(row.text.split()) for row in shown.all(".board tbody tr")]
    assert rows == [
        "Error rate 0.18 % 0 % \u22120.18 points > 0.5 %, > 1 % normal",
        "Avg response time 119 ms 137 ms +15 % > 200 ms, > 500 ms normal",
        "Requests/s 448 23 \u2013 no threshold not judged",
        "Database connections 48 > 80, > 95 not judged",
        "Cache hit rate 93 % < 85 %, < 70 % not judged",
        "Equipment connected 23/23 1 missing, 2 missing not judged",
        f"Database CPU not measured: {waits} > 70 %, > 85 % not measured",
    ]


def test_the_checklist_stands_by_part_and_what_is_due_may_be_signed(shown: Browser) -> None:
    shown.look(WIDE)
    shown.open("/ui/release-checklist/")
    parts = [" ".join(each.text.split()) for each in shown.all(".part")]
    assert parts == ["Pre-deployment 1 of 2", "Validation 1 of 1", "Post-deployment 0 of 1"]
    labels = [each.text for each in shown.all("form[aria-label^='Sign'] label")]
    assert labels == ["Database migrations tested, as dba: a note"]
    shown.says("due in phase 5")


def test_a_release_says_where_it_stands_and_what_it_waits_for(shown: Browser) -> None:
    shown.look(WIDE)
    shown.open("/ui/release-canary/")
    assert shown.one("[aria-current=step]").text.startswith("3 Validate")
    shown.says("no go yet")
    signed = [each.get_attribute("aria-label") for each in shown.all("form[aria-label^='Sign']")]
    assert signed == ["Sign: QA spot check"]
    shown.says("A hotfix over this release")
    assert [each.text for each in shown.all("[aria-label='The release'] button")] == [
        *("Promote", "Pause", "Roll back", "Abort"),
    ]
    shown.open("/ui/release-rolled-back/")
    assert shown.all("[aria-label='The release'] button") == []
    shown.says("Start a release")
