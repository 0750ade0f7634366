"""What a report draws of kept traffic, and what it lists of effects and the trail."""

from datetime import UTC, datetime
from typing import Any

import msgspec

from admin.releases.kept import Interval
from admin.releases.report import (
    evidence,
    marks,
    page_of,
    people,
    percentile_ms,
    plots,
    signals,
    switches,
    traffic,
)
from proxy.routing.model import Slot
from proxy.routing.windows import BOUNDS_US, Figures

NO_BUCKETS = (0,) * (len(BOUNDS_US) + 1)


def figures(requests: int, failures: int, micros: int, connections: int = 0) -> Figures:
    buckets = [0] * (len(BOUNDS_US) + 1)
    buckets[4] = requests  # 3 to 5 ms
    statuses = (0, requests - failures, 0, 0, failures)
    return Figures(
        *(requests, statuses),
        latency_us=micros,
        buckets=tuple(buckets),
        endpoint_connections=connections,
    )


def interval(begins: int, nodes: int = 1, **slots: Figures) -> Interval:
    groups = {(Slot(slot), "rest"): of for slot, of in slots.items()}
    return Interval(begins, 10, 10_000 * nodes, nodes, groups)


def at(second: float) -> str:
    return datetime.fromtimestamp(second, UTC).isoformat()


def document(**more: Any) -> dict[str, Any]:
    """The least that a page can be made of."""
    release: dict[str, Any] = {
        "name": "r",
        "version": "1.3.0",
        "state": "done",
        "kind": "minor",
        "from_version": "",
        "active": "blue",
        "standby": "green",
        "started_by": "alice",
        "started_at": at(0),
        "ended_at": None,
        "reason": "<b>",
        "note": "",
        "gates": [],
    }
    empty: dict[str, Any] = {
        "release": release,
        "events": [],
        "switches": [],
        "people": [],
        "traffic": {"blue": [], "green": []},
        "signals": {},
        "verdicts": [],
    }
    return empty | more


def test_rates_are_of_the_time_that_was_told():
    found = traffic(
        [
            interval(100, nodes=2, blue=figures(400, 20, 1_200_000, connections=7)),
            interval(110, blue=figures(100, 0, 100_000), green=figures(40, 0, 80_000)),
        ]
    )
    first, second = found["blue"]
    assert (first.second, first.requests_per_s, first.errors_percent) == (100, 40.0, 5.0)
    assert (first.average_ms, first.connections, first.cohorts) == (3.0, 7, {"rest": 400})
    assert (second.requests_per_s, second.connections) == (10.0, 0)
    assert found["green"][0].average_ms is None
    assert found["green"][1].requests_per_s == 4.0


def test_a_percentile_lies_within_its_bucket():
    buckets = [0] * len(NO_BUCKETS)
    buckets[4], buckets[5] = 90, 10  # 3 to 5 ms, and to 7.5
    assert percentile_ms(buckets, 0.45) == 4.0
    assert percentile_ms(buckets, 0.9) == 5.0
    assert percentile_ms(buckets, 0.95) == 6.25
    assert percentile_ms(NO_BUCKETS, 0.5) is None
    assert percentile_ms((*NO_BUCKETS[:-1], 3), 0.5) is None


def test_a_long_time_has_no_more_points_than_room():
    found = traffic(
        [interval(s, blue=figures(100, 0, 10_000)) for s in range(0, 10_000, 10)], points=100
    )["blue"]
    assert len(found) == 100
    assert {each.requests_per_s for each in found} == {10.0}


def test_nothing_was_kept():
    assert traffic([]) == {"blue": [], "green": []}
    assert plots(document()) == []
    assert "No figures are kept" in page_of(document())


def test_the_page_shows_what_happened_and_quotes_it():
    kept = [interval(s, blue=figures(100, 1, 300_000)) for s in range(0, 300, 10)]
    told = {
        "name": "error-rate",
        "level": "critical",
        "detail": "8 % <fail>",
        "standby": 0.08,
        "active": None,
        "sample": 400,
    }
    fault = {"state": "rolling-back", "verdict": {"triggers": [told]}}
    events = [{"seq": 9, "at": at(200), "kind": "fault", "actor": "turnout", "body": fault}]
    switch = {
        "effect": "1",
        "kind": "weight",
        "at": at(60),
        "version": 7,
        "ack_ms": 9.5,
        "percent": 5.0,
    }
    of_slots = {slot: msgspec.to_builtins(each) for slot, each in traffic(kept).items()}
    verdict = {"at": at(199), "level": "critical", "triggers": [told]}
    page = page_of(document(traffic=of_slots, events=events, switches=[switch], verdicts=[verdict]))
    for text in (
        "Why it went back",
        ">5 %</text>",
        ">fault</text>",
        "8 % &lt;fail&gt;",
        "&lt;b&gt;",
    ):
        assert text in page, text
    assert "<script" not in page
    assert "99th percentile" in page


def test_a_report_of_an_older_admin_can_be_drawn():
    old = {
        "second": 1,
        "requests_per_s": 1.0,
        "errors_percent": None,
        "average_ms": 2.0,
        "p95_ms": 3.0,
    }
    made = document(traffic={"blue": [old], "green": []})
    del made["signals"], made["verdicts"]
    assert "Requests" in page_of(made)


def test_marks_are_the_course():
    told = [
        {"kind": "weight", "at": at(2), "percent": 12.5},
        {"kind": "cutover", "at": at(3), "percent": None},
        {"kind": "return", "at": at(5), "percent": None},
    ]
    events = [{"kind": "begun", "at": at(1)}, {"kind": "gate", "at": at(1)}]
    events.append({"kind": "fault", "at": at(4)})
    found = marks({"switches": told, "events": events})
    assert [(each["at"], each["label"]) for each in found] == [
        *((1, "begun"), (2, "12.5 %"), (3, "cutover"), (4, "fault"), (5, "back")),
    ]


def test_signals_have_their_units():
    kept = [Interval(s, 10, 1, 1, {}, {"cpu": float(s)}) for s in (0, 10)]
    assert signals(kept, {"cpu": "%"}) == {"cpu": {"unit": "%", "readings": [(0, 0.0), (10, 10.0)]}}


def test_switches_are_what_moved_requests():
    effects = [
        {"name": "1-hook", "kind": "hook", "begun_at": "t", "detail": {}},
        {
            "name": "2-weight",
            "kind": "weight",
            "begun_at": "t",
            "detail": {"ack_ms": 9, "percent": 5},
        },
        {
            "name": "3-cutover",
            "kind": "cutover",
            "begun_at": "t",
            "detail": {"took_ms": 90, "version": 7},
        },
    ]
    found = switches(effects)
    assert [(each["kind"], each["ack_ms"], each["version"]) for each in found] == [
        *(("weight", 9, None), ("cutover", 90, 7)),
    ]


def test_people_are_not_turnout():
    events = [
        {"seq": 1, "at": "t", "kind": "begun", "actor": "alice", "body": {}},
        {"seq": 2, "at": "t", "kind": "start", "actor": "turnout", "body": {}},
    ]
    assert [each["who"] for each in people(events)] == ["alice"]
    assert evidence(events) == []
