from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.plot import draw, nice_top

SVG = "{http://www.w3.org/2000/svg}"


def test_there_is_a_dot_for_each_round_of_each_peer() -> None:
    text = draw("title", "where", [("nginx", [1.0] * 3), ("Turnout", [1.2, 1.3, 1.4])])
    root = ET.fromstring(text)
    assert len(root.findall(f"{SVG}circle")) == 3
    assert len([each for each in root.findall(f"{SVG}rect") if each.get("class") == "bar"]) == 1
    assert "1.30" in [each.text for each in root.findall(f"{SVG}text")]


def test_names_are_escaped() -> None:
    root = ET.fromstring(draw('<&"', "<b>", [("<script>", [1.0])]))
    assert [each.text for each in root.findall(f"{SVG}text")][:2] == ['<&"', "<b>"]


def test_a_peer_without_a_valid_round_says_so() -> None:
    assert "no valid round" in draw("t", "s", [("nginx", [1.0]), ("Envoy", [])])


def test_it_is_readable_on_dark_grounds_too() -> None:
    assert "prefers-color-scheme: dark" in draw("t", "s", [("nginx", [1.0])])


@pytest.mark.parametrize(("highest", "top"), [(1.0, 1.25), (1.4, 1.5), (5.3, 6.0), (10.1, 12.5)])
def test_the_axis_ends_at_a_round_number(highest: float, top: float) -> None:
    assert nice_top(highest) == pytest.approx(top)


@given(st.floats(0.001, 1e6))
def test_every_bar_fits(highest: float) -> None:
    assert nice_top(highest) >= highest
