import pytest

from bench.figures import Figure, Name, Verdict, figure, verdicts
from bench.rounds import Reading, Round, failed
from bench.scenarios.scenario import Measure, Target

NAMES = (
    Name("nginx", "nginx", "1.22.1"),
    Name("envoy", "Envoy", "1.40.0"),
    Name("turnout", "Turnout", "0.1.0 plain"),
)
TARGETS = (
    Target(("turnout",), 1.40, "nginx"),
    Target(("turnout", "turnout-compiled"), 0.35, "envoy"),
    Target(("turnout",), 0.35, "caddy"),
    Target(("turnout",), 27.0),
)
CPU = Measure("cpu_us", "small: CPU/request", "µs", 1, TARGETS)


def rounds(*triples: tuple[float, float, float]) -> list[dict[str, Reading]]:
    """Of nginx, Envoy and Turnout."""
    return [
        {name.proxy: Reading({"cpu_us": us}) for name, us in zip(NAMES, triple, strict=True)}
        for triple in triples
    ]


def figures(measured: list[dict[str, Reading]]) -> list[Figure]:
    return [figure(measured, name, CPU, "nginx") for name in NAMES]


def judged(measured: list[dict[str, Reading]]) -> dict[str | None, Verdict]:
    return {each.target.against: each for each in verdicts(measured, NAMES, CPU)}


def test_the_figure_is_the_median_of_the_rounds_ratios() -> None:
    base, _, own = figures(rounds((20, 60, 26), (60, 180, 84), (20, 60, 24)))
    assert own.ratios == pytest.approx([1.3, 1.4, 1.2])
    assert own.ratio is not None
    assert own.ratio.median == pytest.approx(1.3)
    assert own.value is not None
    assert own.value.median == 26
    assert base.ratios == (1.0, 1.0, 1.0)


@pytest.mark.parametrize("broken", ["nginx", "turnout"])
def test_a_round_with_a_fault_on_either_side_makes_no_ratio_and_is_told(broken: str) -> None:
    measured = rounds((20, 60, 26), (20, 60, 260), (20, 60, 26))
    measured[1][broken] = Reading({"cpu_us": 99.0}, ("64 socket errors (read)",))
    found = {each.name.proxy: each for each in figures(measured)}
    assert found["turnout"].ratios == pytest.approx([1.3, 1.3])
    assert found[broken].faults == ("in 1 of 3 rounds: 64 socket errors (read)",)
    assert len(found["turnout"].readings) == 3


def test_a_fault_of_every_round_is_told_once() -> None:
    measured = rounds((20, 60, 26), (20, 60, 26))
    for each in measured:
        each["envoy"] = failed("did not come up")
    assert figures(measured)[1].faults == ("in 2 of 2 rounds: did not come up",)


def test_without_a_valid_round_there_is_no_figure_and_no_verdict() -> None:
    measured = rounds((20, 60, 26))
    measured[0]["turnout"] = failed("no request was completed")
    own = figures(measured)[2]
    assert (own.ratio, own.value, own.ratios) == (None, None, ())
    assert {each.met for each in judged(measured).values()} == {None}


def test_without_a_baseline_values_stand_alone() -> None:
    own = figure(rounds((20, 60, 26)), NAMES[2], CPU, None)
    assert (own.ratio, own.ratios) == (None, ())
    assert own.value is not None


def test_what_stands_beside_is_summarised_over_valid_rounds() -> None:
    measured: list[Round] = [
        {"nginx": Reading({"cpu_us": 20.0}, (), {"busy": 0.9})},
        {"nginx": Reading({}, ("gone",), {"busy": 0.1})},
        {"nginx": Reading({"cpu_us": 20.0}, (), {"busy": 0.7})},
    ]
    assert figure(measured, NAMES[0], CPU, "nginx").beside["busy"].median == pytest.approx(0.8)


def test_a_target_is_held_against_the_proxy_it_names_and_in_the_same_rounds() -> None:
    found = judged(rounds((20, 60, 26), (60, 180, 84), (20, 60, 24)))
    assert found["nginx"].met is True
    assert found["envoy"].ratios == pytest.approx([26 / 60, 84 / 180, 24 / 60])
    assert found["envoy"].met is False
    assert found["envoy"].against == NAMES[1]


def test_a_target_against_nobody_is_held_against_the_value() -> None:
    verdict = judged(rounds((20, 60, 26), (20, 60, 28), (20, 60, 26)))[None]
    assert verdict.met is True
    assert verdict.measured is not None
    assert verdict.measured.median == 26


def test_a_target_against_who_was_not_measured_is_no_verdict() -> None:
    assert set(judged(rounds((20, 60, 26)))) == {"nginx", "envoy", None}


@pytest.mark.parametrize(("own", "met"), [(28.0, True), (28.1, False)])
def test_the_limit_itself_still_meets_the_target(own: float, met: bool) -> None:
    assert judged(rounds((20, 60, own)))["nginx"].met is met
