"""What a report draws of windows, and what it lists of effects and the trail."""

from admin.releases.report import Moment, line, people, plots, switches, traffic
from proxy.routing.model import Slot
from proxy.routing.windows import BOUNDS_US, Figures, Window


def figures(requests: int, failures: int, micros: int) -> Figures:
    buckets = [0] * (len(BOUNDS_US) + 1)
    buckets[4] = requests  # 3 to 5 ms
    statuses = (0, requests - failures, 0, 0, failures)
    return Figures(requests, statuses, latency_us=micros, buckets=tuple(buckets))


def window(second: int, node: str = "a", **slots: Figures) -> Window:
    return Window(second, node, {(Slot(slot), "rest"): of for slot, of in slots.items()}, {})


def test_seconds_and_nodes_add_up():
    windows = [
        window(100, blue=figures(10, 1, 40_000)),
        window(100, "b", blue=figures(30, 1, 80_000)),
        window(101, green=figures(4, 0, 8_000)),
    ]
    found = traffic(windows)
    assert found["blue"] == [
        Moment(100, 40.0, 5.0, 3.0, 5.0),
        Moment(101, 0.0, None, None, None),
    ]
    assert found["green"][1] == Moment(101, 4.0, 0.0, 2.0, 5.0)


def test_a_long_time_has_no_more_points_than_room():
    windows = [window(second, blue=figures(10, 0, 10_000)) for second in range(1000)]
    found = traffic(windows, points=100)["blue"]
    assert len(found) == 100
    assert {each.requests_per_s for each in found} == {10.0}


def test_nothing_was_told():
    assert traffic([]) == {"blue": [], "green": []}
    assert plots(traffic([])) == []


def test_a_line_breaks_where_nothing_was_measured():
    moments = [
        Moment(0, 1.0, 0.0, 10.0, 10.0),
        Moment(1, 0.0, None, None, None),
        Moment(2, 1.0, 0.0, 5.0, 5.0),
    ]
    assert line(moments, "average_ms", 10.0, (0, 2)) == ["0.0,0.0", "640.0,60.0"]


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
