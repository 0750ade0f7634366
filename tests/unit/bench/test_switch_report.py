"""Figures, targets, options, and what is printed, written and drawn of them."""

import json
import math
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from rich.console import Console

from bench.switch import catalogue, options, report
from bench.switch.answers import OddAnswerError, fault_of, read, slot_of
from bench.switch.checker import Timing, Verdict
from bench.switch.figures import Figures, Name, Turn, figures, quantiles, ratio, targets
from bench.switch.run import Outcome
from bench.switch.survival import Survival

OWN = Name("turnout", "Turnout", "0.1.0", "all workers")
RELOAD = Name("nginx-reload", "nginx -s reload", "1.22", "returned")


def turn(*ms: float, failed: int = 0, misrouted: int = 0, rate: float = 1000.0) -> Turn:
    timings = [Timing(each, each - 1, each - 2, 1.0, each) for each in ms]
    faults = {"status 502": failed} if failed else {}
    verdict = Verdict(100, 90, faults, misrouted, 0, 0, timings)
    return Turn(verdict, Survival(4, 3, {1012: 1}, [7.5], 0, 0, 1, 0), rate)


def outcome(own: Figures, *others: Figures) -> Outcome:
    reload = next((each for each in others if each.name is RELOAD), None)
    chosen = {"switches": 4, "rounds": 2, "rate_per_s": 1000, "mode": "instant"}
    machine = {"cpu": "A <quick> one", "cores": 2, "kernel": "6.1"}
    found = {own.name.name: targets(own, reload)}
    return Outcome((own, *others), found, ("X is left out: no",), chosen, machine, {"id": "abc"})


GOOD = figures(OWN, [turn(3.0, 4.0), turn(4.0, 30.0)])
SLOW = figures(RELOAD, [turn(40.0, math.inf, misrouted=5, failed=2), turn(50.0, 60.0)])


def test_quantiles_are_figures_that_were_measured() -> None:
    found = quantiles([float(number) for number in range(1, 101)])
    assert found
    assert (found.p50, found.p90, found.p99, found.high, found.count) == (50, 90, 99, 100, 100)
    one = quantiles([7.0])
    assert one
    assert (one.p50, one.p99) == (7.0, 7.0)
    assert quantiles([]) is None


def test_figures_are_over_all_switches_of_all_rounds() -> None:
    assert GOOD.acked
    assert GOOD.told
    assert (GOOD.acked.p50, GOOD.acked.high, GOOD.told.high) == (4.0, 30.0, 29.0)
    assert (GOOD.switches, GOOD.requests, GOOD.judged) == (4, 200, 180)
    assert (GOOD.sockets.opened, GOOD.sockets.closes) == (8, {1012: 2})
    assert GOOD.is_clean
    assert (SLOW.failed_count, SLOW.misrouted, SLOW.is_clean) == (2, 5, False)


def test_a_turn_with_a_fault_gives_no_figure_and_spoils_the_run() -> None:
    found = figures(OWN, [turn(3.0), Turn(None, None, faults=("the load broke",))])
    assert (found.switches, found.faults, found.is_clean) == (1, ("the load broke",), False)
    assert not outcome(found).is_clean


@pytest.mark.parametrize("bad", [{"failed": 1}, {"misrouted": 1}])
def test_one_bad_request_of_ours_spoils_the_run(bad: dict[str, int]) -> None:
    assert not outcome(figures(OWN, [turn(3.0, **bad)])).is_clean


def test_bad_requests_of_a_peer_are_a_finding_and_spoil_nothing() -> None:
    assert outcome(GOOD, SLOW).is_clean


def test_the_ratio_is_that_of_rounds_side_by_side() -> None:
    found = ratio(GOOD, SLOW)
    assert found
    assert found.count == 1  # nobody can say when the first round of the other came true
    assert found.median == pytest.approx(17.0 / 55.0)


def test_targets_are_held_against_the_asking_client_s_clock() -> None:
    met = {each.what: each.met for each in targets(GOOD, SLOW)}
    assert list(met.values()) == [True, False, True, True, False]
    assert [each.met for each in targets(figures(OWN, []), None)][:2] == [None, None]


def test_the_document_is_json_that_says_null_where_there_is_no_time() -> None:
    document = json.loads(json.dumps(report.document(outcome(GOOD, SLOW)), allow_nan=False))
    own, slow = document["contenders"]
    assert own["ack_ms"]["p99"] == 30.0
    assert slow["true_ms"]["high"] is None
    assert slow["rounds"][0]["misrouted"] == 5
    assert document["targets"]["turnout"][2]["met"] is True
    assert document["enough_switches"] is False


def test_tables_and_page_have_a_row_for_each(tmp_path: Path) -> None:
    found = outcome(GOOD, SLOW)
    assert all(len(row) == len(report.TIMES) for row in report.times(found))
    assert all(len(row) == len(report.COUNTS) for row in report.counts(found))
    console = Console(record=True, width=200)
    report.show(found, console)
    said = console.export_text()
    for words in ("nginx -s reload", "falls short", "2 status 502", "never", "2 of 1012", "a try"):
        assert words in said, words
    paths = report.write(found, tmp_path)
    assert {path.name for path in paths} == {"switch.json", "switch.md", "switch.svg"}
    drawing = ET.fromstring((tmp_path / "switch.svg").read_text("utf-8"))
    assert "A <quick> one" in "".join(drawing.itertext())


def test_a_load_that_fell_behind_is_remarked_on() -> None:
    slow = figures(OWN, [turn(3.0, rate=500.0)])
    assert any("500 requests/s of 1000" in line for line in report.remarks(outcome(slow)))


# ── options ───────────────────────────────────────────────────────────────────────────────────


def test_the_defaults_are_those_of_the_target() -> None:
    asked = options.parse([])
    assert asked.per_round * asked.rounds >= 1000
    assert (asked.workers, asked.rate, asked.fenced, asked.tenant) == (4, 1000, False, False)


@pytest.mark.parametrize(("switches", "rounds"), [(1, 1), (40, 2), (1000, 10), (7, 3)])
def test_a_turn_has_an_odd_number_of_switches(switches: int, rounds: int) -> None:
    asked = options.parse(["--switches", str(switches), "--rounds", str(rounds)])
    assert asked.per_round % 2 == 1
    assert asked.per_round * rounds >= switches


@pytest.mark.parametrize(
    "argv",
    [
        ["--workers", "0"],
        ["--rate", "-1"],
        ["--pause-ms", "0"],
        ["--switches", "x"],
        ["--mode", "y"],
    ],
)
def test_what_is_out_of_bounds_is_refused(argv: list[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        options.parse(argv)
    assert refused.value.code == 2


def test_contenders_are_chosen_by_name() -> None:
    assert [each.name for each in catalogue.choose(frozenset({"haproxy-map"}))] == ["haproxy-map"]
    assert catalogue.choose(frozenset())[0].name == "turnout"
    with pytest.raises(ValueError, match="apache"):
        catalogue.choose(frozenset({"apache"}))


# ── answers ───────────────────────────────────────────────────────────────────────────────────

WHOLE = b"HTTP/1.1 200 OK\r\ncontent-length: 15\r\n\r\nblue acme /r/12"


def test_an_answer_is_read_once_it_is_whole() -> None:
    assert all(read(WHOLE[:size]) is None for size in range(len(WHOLE)))
    answer = read(WHOLE + b"more")
    assert answer
    assert (answer.status, answer.size, answer.closes) == (200, len(WHOLE), False)
    closing = read(WHOLE.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
    assert closing
    assert closing.closes


def test_an_answer_must_be_to_this_request_and_this_tenant() -> None:
    answer = read(WHOLE)
    assert answer
    assert fault_of(answer, b"acme", b"/r/12") == ("blue", "")
    assert fault_of(answer, b"acme", b"/r/13")[1] == "somebody else's answer"
    assert fault_of(answer, b"globex", b"/r/12")[1] == "somebody else's answer"
    refused = read(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n")
    assert refused
    assert fault_of(refused, b"acme", b"/r/12") == ("", "status 503")


@pytest.mark.parametrize("odd", [b"HTTP/1.1 200 OK\r\n\r\n", b"\x16\x03\x01\r\n\r\n"])
def test_what_is_no_answer_is_not_taken_for_one(odd: bytes) -> None:
    with pytest.raises(OddAnswerError):
        read(odd)
    with pytest.raises(OddAnswerError):
        read(b"x" * 70_000)


def test_the_slot_of_a_websocket_is_what_the_101_says() -> None:
    assert slot_of(b"HTTP/1.1 101 X\r\nx-slot: green\r\nA: b") == "green"
    assert slot_of(b"HTTP/1.1 101 X\r\nA: b") == ""
