from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.plot import Bar, Panel, draw, nice_top

SVG = "{http://www.w3.org/2000/svg}"


def panel(*bars: tuple[str, list[float]], mark: float | None = 1.0) -> Panel:
    return Panel(
        "small: CPU/request", "nginx = 1", [Bar(*bar, base=bar[0] == "nginx") for bar in bars], mark
    )


def texts(root: ET.Element) -> list[str]:
    return ["".join(each.itertext()) for each in root.findall(f"{SVG}text")]


def test_there_is_a_dot_for_each_round_of_each_peer() -> None:
    both = panel(("nginx", [1.0] * 3), ("Turnout", [1.2, 1.3, 1.4]))
    root = ET.fromstring(draw("title", "where", [both]))
    assert len(root.findall(f"{SVG}circle")) == 3
    assert len([each for each in root.findall(f"{SVG}rect") if each.get("class") == "bar"]) == 1
    assert "1.3" in texts(root)


def test_the_baselines_own_values_are_dots_where_no_ratio_is_drawn() -> None:
    root = ET.fromstring(draw("t", "s", [panel(("nginx", [17.0, 18.0]), mark=None)]))
    assert len(root.findall(f"{SVG}circle")) == 2
    assert not [each for each in root.findall(f"{SVG}line") if each.get("class") == "mark"]


def test_panels_lie_below_one_another_each_with_its_scale() -> None:
    one, two = panel(("nginx", [1.0])), panel(("nginx", [500.0]), ("Turnout", [700.0]))
    text = draw("t", "s", [one, two])
    root = ET.fromstring(text)
    bars = [each for each in root.findall(f"{SVG}rect") if each.get("class") != "ground"]
    tops = [int(each.get("y", "")) for each in bars]
    assert tops == sorted(set(tops))
    assert int(root.get("height", "")) > tops[-1]
    assert {"1.25", "800"} <= set(texts(root))


def test_names_are_escaped() -> None:
    root = ET.fromstring(draw('<&"', "<b>", [panel(("<script>", [1.0]))]))
    assert texts(root)[:2] == ['<&"', "<b>"]
    assert "<script>" in texts(root)


def test_a_peer_without_a_valid_round_says_so() -> None:
    assert "no valid round" in draw("t", "s", [panel(("nginx", [1.0]), ("Envoy", []))])


def test_no_panel_is_still_a_picture() -> None:
    ET.fromstring(draw("t", "s", []))


def test_it_is_readable_on_dark_grounds_too() -> None:
    assert "prefers-color-scheme: dark" in draw("t", "s", [panel(("nginx", [1.0]))])


@pytest.mark.parametrize(
    ("highest", "top"), [(1.0, 1.25), (1.4, 1.5), (5.3, 6.0), (10.1, 12.5), (0.3, 0.4)]
)
def test_the_axis_ends_at_a_round_number(highest: float, top: float) -> None:
    assert nice_top(highest) == pytest.approx(top)


@given(st.floats(0.001, 1e6))
def test_every_bar_fits(highest: float) -> None:
    assert nice_top(highest) >= highest
