"""What Redis needs, for each way in which it can differ from the database."""

import pytest

from admin.routing.publish import Lease, Snapshot
from admin.routing.reconcile import WILD, Plan, Step, plan
from admin.routing.store import OTHER_TIMELINE
from proxy.routing.ack import WorkerStatus


def redis(
    version: int, log: int | None = None, workers: tuple[int, ...] = (), commit: str = ""
) -> Snapshot:
    leases = tuple(
        Lease(f"w{n}", 1000, WorkerStatus(f"w{n}", "", 1, served, "serving"))
        for n, served in enumerate(workers)
    )
    return Snapshot(0.0, version, version if log is None else log, leases, commit)


@pytest.mark.parametrize(
    ("desired", "snapshot", "seen", "expected"),
    [
        (7, redis(7), 7, Plan(Step.NOTHING)),
        (7, redis(7), -1, Plan(Step.NOTHING)),
        (7, redis(6), 6, Plan(Step.CATCH_UP)),
        (7, redis(2), -1, Plan(Step.CATCH_UP)),
        (0, redis(-1), -1, Plan(Step.REPUBLISH, "missing", -1)),
        (7, redis(-1), 7, Plan(Step.REPUBLISH, "missing", 7)),
        (7, redis(-1), -1, Plan(Step.REPUBLISH, "missing", -1)),
        # The database was restored and Redis emptied: workers still know how far it was.
        (7, redis(-1, workers=(40, 39)), -1, Plan(Step.REPUBLISH, "missing", 40)),
        (7, redis(-1, workers=(7 + WILD,)), -1, Plan(Step.REPUBLISH, "missing", -1)),
        (7, redis(5), 6, Plan(Step.REPUBLISH, "went back", 6)),
        (7, redis(9), 7, Plan(Step.REPUBLISH, "ahead", 9)),
        (7, redis(-1, log=9), 7, Plan(Step.REPUBLISH, "missing", 9)),
        (7, redis(6, log=9), 6, Plan(Step.REPUBLISH, "torn", 9)),
        (7, redis(7, log=-1), 7, Plan(Step.REPUBLISH, "torn", 7)),
        # Both stores were restored, the workers were not: they would seem to serve what comes.
        (7, redis(7, workers=(7, 40)), 7, Plan(Step.REPUBLISH, "workers ahead", 40)),
        (7, redis(7, workers=(7 + WILD,)), 7, Plan(Step.NOTHING)),
        # Who can write to Redis must not be able to use up the versions.
        (7, redis(2**53 - 2), 7, Plan(Step.RESET, "unbelievable", 7)),
        (7, redis(7, log=2**53), 7, Plan(Step.RESET, "unbelievable", 7)),
    ],
)
def test_what_redis_needs(desired, snapshot, seen, expected):
    assert plan(desired, snapshot, seen) == expected


@pytest.mark.parametrize(
    ("desired", "there", "ours", "expected"),
    [
        (7, redis(7, commit="a"), "a", Plan(Step.NOTHING)),
        (7, redis(7, commit="a"), "b", Plan(Step.REPUBLISH, "lost commits", 7)),
        (7, redis(6, commit="a"), "a", Plan(Step.CATCH_UP)),
        (7, redis(6, commit="a"), "b", Plan(Step.REPUBLISH, "lost commits", 6)),
        # Too long ago, or from before it was noted.
        (7, redis(6, commit="a"), "", Plan(Step.CATCH_UP)),
        (7, redis(7), "b", Plan(Step.NOTHING)),
        (7, redis(9, commit="a"), "", Plan(Step.REPUBLISH, "ahead", 9)),
    ],
)
def test_what_it_needs_by_the_commits(desired, there, ours, expected):
    assert plan(desired, there, there.version, ours) == expected


@pytest.mark.parametrize(
    ("desired", "there", "reason"),
    [
        (7, redis(7, commit="a"), OTHER_TIMELINE),
        (7, redis(6, commit="a"), OTHER_TIMELINE),
        (7, redis(9, commit="a"), "ahead"),
    ],
)
def test_what_it_needs_on_another_timeline(desired, there, reason):
    anew = plan(desired, there, there.version, "a" if there.version == 7 else "", has_moved=True)
    assert anew == Plan(Step.REPUBLISH, reason, there.version)
