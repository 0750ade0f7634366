"""Health, smoke, warm-up and performance against the example ERP: v1.2.0 on blue, v1.3.0 on green."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from admin.gates.config import Checks, Gates, Health, Http, Performance, WarmUp
from admin.gates.health import HealthGate
from admin.gates.model import About, Finding, Gate, Outcome
from admin.gates.performance import PerformanceGate
from admin.gates.run import run
from admin.gates.smoke import ChecksGate, ReadyGate
from admin.gates.warmup import WarmUpGate
from proxy.routing.model import Endpoint, RoutingTable, Slot
from tests.support.print_erp import Erp, Starter, starter
from tests.support.processes import Children

EXAMPLES = Path(__file__).parents[3] / "config" / "releases"
INTEGRATION = str(EXAMPLES / "integration.toml")
SMOKE, WARM_UP = str(EXAMPLES / "smoke.toml"), str(EXAMPLES / "warmup.toml")
HTTP = Http()
ABOUT = About("r-1", "1.3.0", "1.2.0", Slot.GREEN, Slot.BLUE, ("acme", "globex"))
NOBODY = Endpoint("127.0.0.1", 1)


@pytest.fixture
async def start(spawn: Children, database_url: str, tmp_path: Path) -> AsyncIterator[Starter]:
    async with starter(spawn, database_url, tmp_path) as started:
        yield started


@pytest.fixture
async def pair(start: Starter) -> tuple[Erp, Erp]:
    return await asyncio.gather(
        start("blue", "1.2.0", "--faults"), start("green", "1.3.0", "--faults")
    )


class Routing:
    """The desired table, as a gate asks for it."""

    def __init__(self, **slots: list[Endpoint]) -> None:
        of = {slot: tuple(slots.get(slot, ())) for slot in Slot}
        self.table = RoutingTable(version=1, endpoints=of)

    async def __call__(self) -> RoutingTable:
        return self.table


def endpoint(erp: Erp) -> Endpoint:
    return Endpoint.parse(erp.ready["address"])


def routing(pair: tuple[Erp, Erp], *more: Endpoint) -> Routing:
    return Routing(blue=[endpoint(pair[0])], green=[endpoint(pair[1]), *more])


async def faulty(erp: Erp, **faults: Any) -> None:
    assert (await erp.ask("POST", "/_faults", json=faults))[0] == 200


def is_plain_and_small(finding: Finding) -> None:
    assert len(json.dumps(finding.evidence)) < 4000


# ── health ────────────────────────────────────────────────────────────────────────────────────


async def test_health_is_of_every_endpoint(pair: tuple[Erp, Erp]) -> None:
    table = routing(pair)
    good = await HealthGate(Health(), HTTP, table).measure(ABOUT)
    assert (good.outcome, good.evidence["faults"]) == (Outcome.PASSED, {}), good
    assert good.detail == "all 1 endpoints of green are well and run 1.3.0"

    bad = await HealthGate(Health(), HTTP, routing(pair, NOBODY)).measure(ABOUT)
    assert bad.outcome is Outcome.FAILED
    assert bad.evidence["faults"] == {"127.0.0.1:1": ["no answer (ClientConnectorError)"]}
    is_plain_and_small(bad)

    back = replace(ABOUT, version="v1.2.0")
    old = await HealthGate(Health(), HTTP, table, name="health-old", of_active=True).measure(back)
    assert (old.gate, old.outcome) == ("health-old", Outcome.PASSED)
    nothing = await HealthGate(Health(), HTTP, Routing()).measure(ABOUT)
    assert (nothing.outcome, nothing.detail) == (Outcome.FAILED, "green has no endpoints")


NOT_WELL = (
    (Health(), replace(ABOUT, version="1.4.0"), "/version is '1.3.0'"),
    (Health(), replace(ABOUT, standby=Slot.BLUE), "/version is '1.2.0'"),
    (Health(environment_is="production-{slot}"), ABOUT, "/environment is 'green'"),
    (Health(parts={"/queue": ("ok",)}), ABOUT, "/queue is missing"),
    (Health(parts={"/database": ("connected",)}), ABOUT, "/database is 'ok'"),
    (Health(parts={"/equipment": ("ok",)}), ABOUT, "/equipment is no plain value"),
    (Health(path="/nowhere"), ABOUT, "it answers /nowhere with 400"),
    (Health(path="/_requests"), ABOUT, "/status is missing"),
)


async def test_what_is_not_well(pair: tuple[Erp, Erp]) -> None:
    for settings, about, said in NOT_WELL:
        found = await HealthGate(settings, HTTP, routing(pair)).measure(about)
        assert found.outcome is Outcome.FAILED
        assert said in found.detail
    # A status is enough if the settings say so.
    plain = Health(path="/health", parts={}, version="", environment="")
    found = await HealthGate(plain, HTTP, routing(pair)).measure(replace(ABOUT, version="9.9.9"))
    assert found.outcome is Outcome.PASSED


# ── smoke ─────────────────────────────────────────────────────────────────────────────────────


async def test_the_shipped_smoke_tests_pass(pair: tuple[Erp, Erp]) -> None:
    ready = await ReadyGate(Checks(SMOKE)).measure(ABOUT)
    assert (ready.outcome, ready.evidence) == (Outcome.PASSED, {"checks": 7})
    found = await ChecksGate("smoke", Checks(SMOKE), HTTP, routing(pair)).measure(ABOUT)
    assert found.outcome is Outcome.PASSED, found
    assert found.evidence == {"checks": 7, "done": 8, "failed": 0}
    _, listed, _ = await pair[0].ask("GET", "/api/customers", tenant="smoke-test")
    assert [each["name"] for each in listed["items"]] == ["Smoke test of 1.3.0"]
    # The next release goes the other way: the same checks are good for the older version.
    way_back = replace(ABOUT, version="1.2.0", standby=Slot.BLUE, active=Slot.GREEN)
    for about in (ABOUT, way_back):
        for name, file in (("smoke", SMOKE), ("integration", INTEGRATION)):
            found = await ChecksGate(name, Checks(file), HTTP, routing(pair)).measure(about)
            assert found.outcome is Outcome.PASSED, found


async def test_one_tenants_fault_is_found_and_nothing_is_written_then(
    pair: tuple[Erp, Erp],
) -> None:
    await faulty(pair[1], error_rate=1.0, tenant="globex")
    found = await ChecksGate("smoke", Checks(SMOKE), HTTP, routing(pair)).measure(ABOUT)
    assert found.outcome is Outcome.FAILED
    assert found.evidence["failures"] == [
        {
            "check": "the database answers, for every tenant",
            "where": f"{endpoint(pair[1])} for globex",
            "why": why,
        }
        for why in ("status 500, not 200", "/items is missing")
    ]
    assert "1 that write were not run" in found.detail
    _, listed, _ = await pair[0].ask("GET", "/api/customers", tenant="smoke-test")
    assert listed["items"] == []
    is_plain_and_small(found)


async def test_the_wrong_version_is_found(pair: tuple[Erp, Erp]) -> None:
    table = Routing(green=[endpoint(pair[0])])
    found = await ChecksGate("smoke", Checks(SMOKE), HTTP, table).measure(ABOUT)
    assert found.outcome is Outcome.FAILED
    assert '/environment is "blue", not "green"' in found.detail


def checks(folder: Path, text: str) -> Checks:
    path = folder / "checks.toml"
    path.write_text(text)
    return Checks(str(path))


async def test_a_command_is_told_what_it_tests_and_its_end_is_kept(
    pair: tuple[Erp, Erp], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ERP_TEST_TOKEN", "s3cret-token")
    monkeypatch.setenv("TURNOUT_ADMIN_TOKEN_SECRET", "s3cret-own")
    text = """
        [[check]]
        name = "good"
        command = ["sh", "-c", "test $TURNOUT_SLOT = {slot} && test -z $TURNOUT_ADMIN_TOKEN_SECRET"]
        [[check]]
        name = "bad"
        command = ["sh", "-c", "cat; echo $TURNOUT_ENDPOINTS; echo token $ERP_TEST_TOKEN >&2; exit 3"]
        tenants = "each"
        [[check]]
        name = "slow"
        command = ["sh", "-c", "sleep 60 & sleep 60"]
        timeout_s = 0.2
    """
    gate = ChecksGate("integration", checks(tmp_path, text), HTTP, routing(pair))
    found = await gate.measure(ABOUT)
    assert (found.gate, found.outcome) == ("integration", Outcome.FAILED)
    whys = {each["check"]: each["why"] for each in found.evidence["failures"]}  # type: ignore[attr-defined]
    assert whys == {
        "bad": "the command ended with 3",
        "slow": "the command did not end within 0.2 s",
    }
    output = found.evidence["output"]["bad"]  # type: ignore[index]
    told = json.loads(output.splitlines()[0].partition("}")[0] + "}")
    assert told == {
        "check": "bad",
        "release": "r-1",
        "version": "1.3.0",
        "from_version": "1.2.0",
        "slot": "green",
        "endpoints": [str(endpoint(pair[1]))],
        "tenants": ["acme", "globex"],
    }
    assert str(endpoint(pair[1])) in output
    assert "s3cret" not in output


async def test_secrets_are_sent_and_not_shown(
    pair: tuple[Erp, Erp], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = """
        [[check]]
        name = "echo"
        request = {path = "/api/echo", headers = {Authorization = "env:ERP_TEST_BEARER"}}
        tenants = "one"
        expect = {contains = ["nothing of the kind"]}
    """
    gate = ChecksGate("smoke", checks(tmp_path, text), HTTP, routing(pair))
    unset = await gate.measure(ABOUT)
    assert unset.outcome is Outcome.UNMEASURED
    assert unset.detail == "headers: env:ERP_TEST_BEARER: the variable is not set in this process"
    monkeypatch.setenv("ERP_TEST_BEARER", "Bearer s3cret")
    found = await gate.measure(ABOUT)
    assert found.outcome is Outcome.FAILED
    assert "s3cret" not in repr(found)
    sent = text.replace("nothing of the kind", "Bearer s3cret")
    found = await ChecksGate("smoke", checks(tmp_path, sent), HTTP, routing(pair)).measure(ABOUT)
    assert found.outcome is Outcome.PASSED


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[check]]\n", "checks.toml:1: check[1]: needs `name`"),
        ('[[check]]\nname = "a"\nrequest = {path = "/"}\nx = 1\n', "check[1].x: unknown key"),
    ],
)
async def test_a_file_with_a_fault_measures_nothing(tmp_path: Path, text: str, said: str) -> None:
    gates = Gates(smoke=checks(tmp_path, text), integration=Checks(str(tmp_path / "none")))
    found = await ChecksGate("smoke", gates.smoke, HTTP, Routing()).measure(ABOUT)
    assert found.outcome is Outcome.UNMEASURED
    assert said in found.detail
    assert (await ReadyGate(gates.smoke).measure(ABOUT)).outcome is Outcome.UNMEASURED
    none = await ChecksGate("integration", gates.integration, HTTP, Routing()).measure(ABOUT)
    assert "can't be read: No such file" in none.detail
    unset = await ChecksGate("integration", Checks(), HTTP, Routing()).measure(ABOUT)
    assert unset.outcome is Outcome.UNMEASURED
    assert unset.detail == "no checks are set: set releases.gates.integration.file"


async def test_a_long_answer_is_not_read_to_its_end(pair: tuple[Erp, Erp], tmp_path: Path) -> None:
    text = """
        [[check]]
        name = "long"
        request = {path = "/api/bytes?n=20000000"}
        tenants = "one"
    """
    small = msgspec.structs.replace(HTTP, body_bytes=1000)
    found = await ChecksGate("smoke", checks(tmp_path, text), small, routing(pair)).measure(ABOUT)
    assert found.outcome is Outcome.FAILED
    assert "longer than" in found.detail


async def test_an_answer_that_does_not_come_ends_the_check(
    pair: tuple[Erp, Erp], tmp_path: Path
) -> None:
    text = """
        [[check]]
        name = "slow"
        request = {path = "/api/slow?ms=60000"}
        tenants = "one"
        timeout_s = 0.2
    """
    settings = checks(tmp_path, text)
    found = await ChecksGate("smoke", settings, HTTP, routing(pair)).measure(ABOUT)
    assert (found.outcome, found.evidence["failed"]) == (Outcome.FAILED, 1)
    assert "no answer within 0.2 s" in found.detail
    slower = text.replace("0.2", "60.0")
    limited = msgspec.structs.replace(checks(tmp_path, slower), limit_s=0.3)
    found = await ChecksGate("smoke", limited, HTTP, routing(pair)).measure(ABOUT)
    assert (found.outcome, found.detail) == (Outcome.UNMEASURED, "not measured within 0.3 s")


# ── warm-up ───────────────────────────────────────────────────────────────────────────────────

FAST = WarmUp(file=WARM_UP, per_s=2000.0, settle_near_ms=50.0, limit_s=60.0)


async def test_warm_up_settles_and_touches_standby_alone(pair: tuple[Erp, Erp]) -> None:
    found = await WarmUpGate(FAST, HTTP, routing(pair)).measure(ABOUT)
    assert found.outcome is Outcome.PASSED, found
    assert found.evidence["sent"] >= 3 * FAST.batch  # type: ignore[operator]
    assert (await pair[0].ask("GET", "/_requests"))[1]["total"] == 0
    seen = (await pair[1].ask("GET", "/_requests/log"))[1]["items"]
    assert {each["method"] for each in seen} == {"GET"}
    assert {each["tenant"] for each in seen} == {"acme", "globex"}
    is_plain_and_small(found)


async def test_warm_up_is_bounded_in_number_rate_and_time(pair: tuple[Erp, Erp]) -> None:
    never = msgspec.structs.replace(FAST, settle_below_ms=0.001)
    few = msgspec.structs.replace(never, requests=100)
    found = await WarmUpGate(few, HTTP, routing(pair)).measure(ABOUT)
    assert found.outcome is Outcome.FAILED
    assert "lies above 0.001 ms" in found.detail
    sent = found.evidence["sent"]
    assert isinstance(sent, int)
    assert 100 - 2 * FAST.batch < sent <= 100
    slow = msgspec.structs.replace(never, per_s=50.0, limit_s=2.0)
    found = await WarmUpGate(slow, HTTP, routing(pair)).measure(ABOUT)
    assert found.outcome is Outcome.FAILED
    # A second of its two is for requests, and a batch that was begun is sent to its end.
    assert found.evidence["sent"] <= 50 * 2.0 + FAST.batch  # type: ignore[operator]


async def test_a_slot_that_fails_does_not_get_warm(pair: tuple[Erp, Erp]) -> None:
    await faulty(pair[1], error_rate=0.1)
    few = msgspec.structs.replace(FAST, requests=200)
    found = await WarmUpGate(few, HTTP, routing(pair)).measure(ABOUT)
    assert found.outcome is Outcome.FAILED
    assert "requests failed" in found.detail


async def test_an_access_log_is_a_sample(pair: tuple[Erp, Erp], tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    line = {"method": "GET", "path": "/api/orders", "tenant": "acme", "status": 200}
    log.write_bytes(b"\n".join([msgspec.json.encode(line)] * 3))
    only = msgspec.structs.replace(FAST, file="", sample_file=str(log), batch=5)
    found = await WarmUpGate(only, HTTP, routing(pair)).measure(ABOUT)
    assert found.outcome is Outcome.PASSED, found
    seen = (await pair[1].ask("GET", "/_requests/log"))[1]["items"]
    assert {each["path"] for each in seen} == {"/api/orders"}
    gone = msgspec.structs.replace(only, sample_file=str(tmp_path / "none"))
    found = await WarmUpGate(gone, HTTP, routing(pair)).measure(ABOUT)
    assert found.outcome is Outcome.UNMEASURED
    both = msgspec.structs.replace(gone, file=WARM_UP)
    assert (await WarmUpGate(both, HTTP, routing(pair)).measure(ABOUT)).outcome is Outcome.PASSED


# ── performance ───────────────────────────────────────────────────────────────────────────────

ROUNDS = Performance(rounds=20, least_rounds=15, limit_s=60.0)


async def test_a_slower_version_fails_and_one_as_fast_does_not(pair: tuple[Erp, Erp]) -> None:
    def gate(table: Routing) -> PerformanceGate:
        return PerformanceGate(ROUNDS, HTTP, table, WARM_UP)

    good = await gate(routing(pair)).measure(ABOUT)
    assert good.outcome in {Outcome.PASSED, Outcome.WARNED}, good
    print(f"performance: {good.detail}; took {good.took_s} s")
    await faulty(pair[1], delay_ms=20)
    slow = await gate(routing(pair)).measure(ABOUT)
    assert slow.outcome is Outcome.FAILED, slow
    print(f"performance: {slow.detail}; took {slow.took_s} s")
    is_plain_and_small(slow)
    # One that is faster is no fault.
    turned = replace(ABOUT, standby=Slot.BLUE, active=Slot.GREEN)
    assert (await gate(routing(pair)).measure(turned)).outcome is Outcome.PASSED


async def test_errors_at_standby_fail_and_errors_at_both_are_no_measurement(
    pair: tuple[Erp, Erp],
) -> None:
    gate = PerformanceGate(ROUNDS, HTTP, routing(pair), WARM_UP)
    await faulty(pair[1], error_rate=0.2)
    found = await gate.measure(ABOUT)
    assert found.outcome is Outcome.FAILED
    assert "standby failed" in found.detail
    await faulty(pair[1], error_rate=0.0)
    await faulty(pair[0], error_rate=0.2)
    found = await gate.measure(ABOUT)
    assert found.outcome is Outcome.UNMEASURED
    assert "active failed" in found.detail


async def test_without_requests_or_time_nothing_is_compared(pair: tuple[Erp, Erp]) -> None:
    found = await PerformanceGate(ROUNDS, HTTP, routing(pair)).measure(ABOUT)
    assert found.outcome is Outcome.UNMEASURED
    assert "performance.file" in found.detail
    await faulty(pair[1], delay_ms=100)
    hurried = msgspec.structs.replace(ROUNDS, limit_s=1.0)
    found = await PerformanceGate(hurried, HTTP, routing(pair), WARM_UP).measure(ABOUT)
    assert found.outcome is Outcome.UNMEASURED
    assert "fewer than 15 pairs" in found.detail


# ── all of them ───────────────────────────────────────────────────────────────────────────────


async def test_all_at_once(pair: tuple[Erp, Erp]) -> None:
    table = routing(pair)
    gates: list[Gate] = [
        HealthGate(Health(), HTTP, table),
        WarmUpGate(FAST, HTTP, table),
        ChecksGate("smoke", Checks(SMOKE), HTTP, table),
    ]
    findings = await run(gates, ABOUT)
    assert [(each.gate, each.outcome) for each in findings] == [
        ("health", Outcome.PASSED),
        ("warm-up", Outcome.PASSED),
        ("smoke", Outcome.PASSED),
    ]
