"""The management port: health, readiness, and metrics that are whole for all workers."""

from collections import Counter
from pathlib import Path

from proxy.routing.change import Pin
from proxy.routing.model import Slot
from tests.support.clients import Answer, fetch
from tests.support.endpoint import Endpoints
from tests.support.fleet import FleetOf, Metrics, Routing, settings, slots, start_fleet
from tests.support.processes import Children

WORKERS = 3
ASKED = (
    ("/", "acme", 4),
    ("/", "pinned", 3),
    ("/status/201", "acme", 1),
    ("/status/404", "acme", 2),
    ("/status/418", "pinned", 1),
    ("/status/500", "pinned", 2),
    ("/", "Not-A-Tenant!", 2),
)
"""Path, tenant, how often on each connection."""


def classes(metrics: Metrics) -> Counter[tuple[str, str]]:
    """Requests by slot and class."""
    found: Counter[tuple[str, str]] = Counter()
    for (name, labels), value in metrics.samples.items():
        if name == "turnout_requests_total" and value:
            by = dict(labels)
            found[by["slot"], by["class"]] = int(value)
    return found


def class_of(answer: Answer) -> tuple[str, str]:
    return answer.slot or "local", f"{answer.status // 100}xx"


async def test_metrics_are_what_the_clients_counted(fleet_of: FleetOf, routing: Routing) -> None:
    fleet = await fleet_of(workers=WORKERS)
    await routing.acked(await routing.change(Pin("pinned", Slot.GREEN)), WORKERS)
    connections = await fleet.connections(each=2)
    before = await fleet.metrics_until(
        lambda metrics: metrics.value("turnout_connections") == len(connections), "all connected"
    )
    counted: Counter[tuple[str, str]] = Counter()
    for connection in connections:
        for path, tenant, times in ASKED:
            for _ in range(times):
                answer = await connection.get(path, tenant=tenant)
                counted[class_of(answer)] += 1
                if answer.last:
                    break
    requests = sum(counted.values())
    after = await fleet.metrics_until(
        lambda metrics: classes(metrics).total() - classes(before).total() >= requests,
        "all are counted",
    )
    assert classes(after) - classes(before) == counted
    assert {slot for slot, _ in counted} == {"blue", "green", "local"}
    assert_latencies_match(after)
    assert after.value("turnout_connect_failures_total") == 0
    assert after.value("turnout_aborted_total") == 0
    assert after.value("turnout_in_flight") == 0
    for connection in connections:
        await connection.close()
    await fleet.metrics_until(lambda metrics: metrics.value("turnout_connections") == 0, "0 left")


def assert_latencies_match(metrics: Metrics) -> None:
    """The histogram has each answer once, in buckets that grow."""
    for slot in ("blue", "green", "local"):
        answers = sum(n for (of, _), n in classes(metrics).items() if of == slot)
        assert metrics.value("turnout_request_seconds_count", slot=slot) == answers
        assert metrics.value("turnout_request_seconds_bucket", slot=slot, le="+Inf") == answers
        buckets: Counter[float] = Counter()
        for (name, labels), value in metrics.samples.items():
            if name == "turnout_request_seconds_bucket" and ("slot", slot) in labels:
                buckets[float(dict(labels)["le"])] += int(value)
        values = [buckets[bound] for bound in sorted(buckets)]
        assert values == sorted(values)
        assert metrics.value("turnout_request_seconds_sum", slot=slot) < 60 * answers


async def test_health_and_readiness_follow_the_table(
    spawn: Children, tmp_path: Path, routing: Routing, redis_url: str, endpoints: Endpoints
) -> None:
    follow = {"start_without_table_s": 0.1}
    fleet = await start_fleet(spawn, settings(tmp_path, redis_url, workers=WORKERS, follow=follow))
    await fleet.serving()
    assert (await fetch(fleet.management, "/healthz")).json == {"status": "healthy"}
    not_ready = await fleet.readiness()
    assert (not_ready.status, not_ready.json["ready"]) == (503, False)
    assert (await fleet.get()).status == 503
    version = await routing.change(*slots(*endpoints))
    await routing.acked(version, WORKERS)
    ready = await fleet.readiness()
    assert (ready.status, ready.json["ready"]) == (200, True)
    workers = ready.json["workers"]
    assert [worker["version"] for worker in workers] == [version] * WORKERS
    assert all(worker["store_reachable"] for worker in workers)
    metrics = await fleet.metrics()
    assert metrics.value("turnout_workers", state="serving") == WORKERS
    assert metrics.value("turnout_requests_total", slot="local", class_="5xx") == 1
    pids = {dict(labels)["pid"] for name, labels in metrics.samples if "version" in name}
    assert pids == {str(pid) for pid in await fleet.pids()}


async def test_metrics_have_the_type_that_prometheus_asks_for(fleet_of: FleetOf) -> None:
    fleet = await fleet_of(workers=1)
    answer = await fetch(fleet.management, "/metrics")
    assert answer.fields["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    helped = [line for line in answer.body.decode().splitlines() if line.startswith("# HELP")]
    assert helped
    assert all(len(line.split(" ", 3)) == 4 for line in helped), "each says what it means"
    assert (await fetch(fleet.management, "/other")).status == 404
