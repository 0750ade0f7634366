import json
from dataclasses import replace
from pathlib import Path

import pytest

from bench.figures import Name, figure, verdicts
from bench.outcome import Measured, Outcome, Result
from bench.report import HEADINGS, document, markdown, panels, remarks, rows, write
from bench.rounds import Reading, failed
from bench.scenarios.scenario import Measure, Target

NGINX, TURNOUT = Name("nginx", "nginx", "1.22.1"), Name("turnout", "Turnout", "0.1.0 plain")
ENVOY = Name("envoy", "Envoy", "1.40.0")
CPU = Measure(
    "cpu_us",
    "small: CPU/request",
    "µs",
    1,
    (Target(("turnout",), 1.40, "nginx"), Target(("turnout",), 0.35, "envoy")),
)
START = Measure("ms", "start: first answer", "ms", 1, (Target(("turnout",), 500.0),))


def reading(measure: Measure, value: float, busy: float = 0.97) -> Reading:
    beside = {"requests_per_s": 10_000.0, "p50_us": 1200.0, "p99_us": 3400.0, "busy": busy}
    return Reading({measure.name: value}, (), beside if measure is CPU else {})


def result(*own: Reading, measure: Measure = CPU) -> Result:
    """A scenario in which nginx takes 20, Envoy 60, and Turnout what is given."""
    rounds = [
        {"nginx": reading(measure, 20), "envoy": reading(measure, 60), "turnout": each}
        for each in own
    ]
    names = (NGINX, ENVOY, TURNOUT)
    found = Measured(
        measure,
        tuple(figure(rounds, name, measure, "nginx") for name in names),
        tuple(verdicts(rounds, names, measure)),
    )
    name = measure.label.partition(":")[0]
    return Result(name, f"the title of {name}", NGINX, 8, (found,), ("a note",))


def outcome(*results: Result) -> Outcome:
    machine = {"cpu": "EPYC", "kernel": "6.18"}
    commit = {"id": "0123456789abcdef", "changed": True}
    missing = ("Caddy is left out: no wheel",)
    return Outcome(results, missing, {"rounds": 8}, machine, commit, {"wrk": "4.1.0"})


def eight(value: float, measure: Measure = CPU) -> Result:
    return result(*[reading(measure, value)] * 8, measure=measure)


def test_a_figure_is_a_heading_a_row_a_proxy_and_a_row_a_further_target() -> None:
    heading, base, _, own, further = rows(eight(26))
    assert heading.heading
    assert heading.cells == ("small: CPU/request",)
    assert {len(row.cells) for row in (base, own, further)} == {len(HEADINGS)}
    assert own.cells == (
        "  Turnout", "26.0 µs", "1.30", "1.30-1.30", "8/8",
        "10,000", "1.20", "3.40", "97%", "≤ 1.40", "met",
    )  # fmt: skip
    assert further.cells[0] == "  Turnout / Envoy"
    assert further.cells[-2:] == ("≤ 0.35", "falls short")
    assert base.cells[-2:] == ("", "")


def test_a_target_in_the_measures_unit_stands_beside_the_value() -> None:
    *_, own = rows(eight(510, START))
    assert own.cells[1] == "510.0 ms"
    assert own.cells[-2:] == ("≤ 500 ms", "falls short")


def test_a_proxy_without_a_valid_round_has_an_empty_row_and_no_verdict() -> None:
    own = rows(result(failed("gone")))[3]
    assert own.cells[1:5] == ("", "", "", "0/1")
    assert own.cells[-1] == "not measured"


def test_fewer_than_enough_rounds_are_called_a_try() -> None:
    assert outcome(eight(26)).counts
    few = outcome(eight(26), result(*[reading(CPU, 26)] * 7))
    assert not few.counts
    assert any("a try" in remark for remark in remarks(few))


def test_faults_notes_missing_peers_and_idle_cores_are_remarked_on() -> None:
    measured = outcome(result(*[reading(CPU, 26, busy=0.6)] * 8, failed("64 errors\n | log")))
    assert measured.invalid
    idle = "small: Turnout had the core busy for 60% only: the load was not enough, or the machine"
    assert remarks(measured) == [
        "Turnout, in 1 of 9 rounds: 64 errors\n | log",
        "Caddy is left out: no wheel",
        "a note",
        f"{idle} was shared",
    ]


def test_idle_cores_of_several_proxies_are_one_remark() -> None:
    rounds = [
        {name: reading(CPU, 20, busy) for name, busy in (("nginx", 0.5), ("turnout", 0.7))}
    ] * 8
    figures = tuple(figure(rounds, name, CPU, "nginx") for name in (NGINX, TURNOUT))
    both = replace(eight(26), measured=(Measured(CPU, figures, ()),), notes=())
    assert remarks(outcome(both))[1].startswith(
        "small: nginx, Turnout had the core busy for 50% to 70%"
    )


def test_a_scenario_that_broke_makes_the_run_invalid_and_says_why() -> None:
    broken = replace(eight(26), measured=(), broken="tls: the endpoint ended")
    assert outcome(broken).invalid
    assert "tls: the endpoint ended" in remarks(outcome(broken))


def test_the_markdown_page_has_the_rows_and_the_plots() -> None:
    page = markdown(outcome(eight(26)))
    assert "| **small: CPU/request** |" in page
    assert "| Turnout | 26.0 µs | 1.30 | 1.30-1.30 | 8/8 |" in page
    assert "(cpu-per-request.svg)" in page
    assert "0123456789 with changes; EPYC, kernel 6.18; wrk 4.1.0" in page
    widths = {line.count("|") for line in page.splitlines() if line.startswith("|")}
    assert widths == {len(HEADINGS) + 1}


def test_the_document_is_json_with_every_round_and_verdict() -> None:
    both = result(reading(CPU, 26), reading(CPU, 28))
    read = json.loads(json.dumps(document(outcome(both))))
    (scenario,) = read["scenarios"]
    (measure,) = scenario["measures"]
    own = measure["proxies"][2]
    assert [each["value"] for each in own["rounds"]] == [26, 28]
    assert own["ratios"] == pytest.approx([1.3, 1.4])
    assert own["version"] == "0.1.0 plain"
    assert [(each["against"], each["met"]) for each in measure["targets"]] == [
        ("nginx", True),
        ("envoy", False),
    ]
    assert read["enough_rounds"] is False


def test_cpu_time_is_drawn_as_ratios_and_the_rest_in_its_unit() -> None:
    cpu, start = panels([eight(26), eight(510, START)])
    assert (cpu.unit, cpu.mark) == ("nginx = 1", 1.0)
    assert list(cpu.bars[2].values) == pytest.approx([1.3] * 8)
    assert [bar.base for bar in cpu.bars] == [True, False, False]
    assert (start.unit, start.mark) == ("ms", 500.0)
    assert list(start.bars[2].values) == [510.0] * 8


def test_four_files_are_written(tmp_path: Path) -> None:
    paths = write(outcome(eight(26), eight(510, START)), tmp_path / "out")
    names = ["bench.json", "bench.md", "cpu-per-request.svg", "others.svg"]
    assert [path.name for path in paths] == names
    assert all(path.stat().st_size for path in paths)
    assert "start: first answer" in paths[3].read_text(encoding="utf-8")
