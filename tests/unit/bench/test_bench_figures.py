import json
from pathlib import Path

import pytest

from bench.cpu import CpuTime
from bench.figures import Figure, Name, figure
from bench.report import HEADINGS, Outcome, document, markdown, remarks, rows, write
from bench.rounds import Round, Sample
from bench.scenarios.small import SMALL
from bench.wrk import Load


def sample(proxy: str, cpu_us: float, *faults: str, busy: float = 0.97) -> Sample:
    requests = 10_000
    total_s = cpu_us * requests / 1e6
    load = Load(requests, 1.0, 1_000_000, 1200, 3400, {})
    return Sample(proxy, total_s / busy, CpuTime(total_s, total_s, 0.0), load, faults)


def rounds(*pairs: tuple[float, float]) -> list[Round]:
    return [
        {"nginx": sample("nginx", base), "turnout": sample("turnout", own)} for base, own in pairs
    ]


def figures(measured: list[Round]) -> tuple[Figure, ...]:
    names = (Name("nginx", "nginx", "1.22.1"), Name("turnout", "Turnout", "0.1.0 plain"))
    return tuple(figure(measured, name, "nginx") for name in names)


def outcome(measured: list[Round]) -> Outcome:
    machine = {"cpu": "EPYC", "kernel": "6.18"}
    settings = {"rounds": len(measured)}
    commit = {"id": "0123456789abcdef", "changed": True}
    return Outcome(SMALL, "nginx", figures(measured), settings, machine, commit, {"wrk": "4.1.0"})


def test_the_figure_is_the_median_of_the_rounds_ratios() -> None:
    base, own = figures(rounds((20, 26), (60, 84), (20, 24)))
    assert own.ratios == pytest.approx([1.3, 1.4, 1.2])
    assert own.ratio is not None
    assert own.ratio.median == pytest.approx(1.3)
    assert base.ratios == (1.0, 1.0, 1.0)


@pytest.mark.parametrize("broken", ["nginx", "turnout"])
def test_a_round_with_a_fault_on_either_side_makes_no_ratio_and_is_reported(broken: str) -> None:
    measured = rounds((20, 26), (20, 260), (20, 26))
    measured[1][broken] = sample(broken, 99, "64 socket errors (read)")
    found = outcome(measured)
    own = found.figures[1]
    assert own.ratios == pytest.approx([1.3, 1.3])
    assert found.invalid
    assert len(own.samples) == 3
    assert any("round 2: 64 socket errors (read)" in remark for remark in remarks(found))


def test_without_a_valid_round_there_is_no_figure() -> None:
    measured = rounds((20, 26))
    measured[0]["turnout"] = sample("turnout", 26, "no request was completed")
    own = figures(measured)[1]
    assert (own.ratio, own.cpu_us, own.ratios) == (None, None, ())
    assert rows([own])[0][1] == "-"


def test_fewer_than_eight_rounds_are_called_a_try() -> None:
    assert outcome(rounds(*[(20, 26)] * 8)).counts
    few = outcome(rounds(*[(20, 26)] * 7))
    assert not few.counts
    assert any("fewer than 8" in remark for remark in remarks(few))


def test_a_proxy_that_was_not_kept_busy_is_remarked_on() -> None:
    measured = rounds(*[(20, 26)] * 8)
    for each in measured:
        each["turnout"] = sample("turnout", 26, busy=0.6)
    (remark,) = remarks(outcome(measured))
    assert remark.startswith("Turnout had its core busy for 60%")


def test_the_table_has_a_cell_for_each_heading() -> None:
    base, own = rows(figures(rounds(*[(20, 26)] * 8)))
    assert len(base) == len(own) == len(HEADINGS)
    assert own == (
        "Turnout", "1.30", "1.30-1.30", "8/8", "26.0", "10,000", "1.20", "3.40", "97%",
    )  # fmt: skip


def test_the_markdown_page_has_the_rows_and_the_plot() -> None:
    page = markdown(outcome(rounds(*[(20, 26)] * 8)))
    assert "| Turnout | 1.30 | 1.30-1.30 | 8/8 |" in page
    assert "(cpu-per-request.svg)" in page
    assert "0123456789 with changes; EPYC, kernel 6.18; wrk 4.1.0" in page


def test_the_document_is_json_with_every_round() -> None:
    read = json.loads(json.dumps(document(outcome(rounds((20, 26), (20, 28))))))
    (scenario,) = read["scenarios"]
    own = scenario["proxies"][1]
    assert [each["cpu_us_per_request"] for each in own["rounds"]] == pytest.approx([26, 28])
    assert own["ratios"] == pytest.approx([1.3, 1.4])
    assert own["ratio"]["count"] == 2
    assert read["enough_rounds"] is False


def test_three_files_are_written(tmp_path: Path) -> None:
    paths = write(outcome(rounds((20, 26))), tmp_path / "out")
    assert [path.name for path in paths] == ["bench.json", "bench.md", "cpu-per-request.svg"]
    assert all(path.stat().st_size for path in paths)
