import subprocess
import sys

import pytest

from bench import machine, options
from bench.catalogue import choose_peers, choose_scenarios, self_test_peers
from bench.machine import MissingError, ensure_tools


def test_names_may_be_given_in_one_list_or_several_times() -> None:
    asked = options.parse(["--only", "turnout, nginx", "--only", "envoy"])
    assert asked.only == {"turnout", "nginx", "envoy"}


def test_the_defaults_are_those_of_the_method() -> None:
    asked = options.parse([])
    assert asked.rounds >= 8
    assert (asked.seconds, asked.connections, asked.pairs) == (0, 64, 10_000)
    assert not asked.only
    assert not asked.scenarios


def test_a_quick_run_is_a_try_and_single_options_still_count() -> None:
    asked = options.parse(["--quick"])
    assert asked.rounds < 8
    assert (asked.seconds, asked.pairs) == (1, 1_000)
    assert options.parse(["--quick", "--rounds", "9"]).rounds == 9


@pytest.mark.parametrize("argv", [["--rounds", "0"], ["--seconds", "61"], ["--rounds", "x"]])
def test_what_is_out_of_bounds_is_refused(argv: list[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        options.parse(argv)
    assert refused.value.code == 2


def test_the_baseline_comes_first_whoever_is_asked_for() -> None:
    assert [peer.name for peer in choose_peers(frozenset({"turnout"}))] == ["nginx", "turnout"]
    assert choose_peers(frozenset())[0].name == "nginx"


def test_an_unknown_peer_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="no peer is called squid"):
        choose_peers(frozenset({"squid"}))


def test_scenarios_come_in_their_own_order() -> None:
    found = [scenario.name for scenario in choose_scenarios(frozenset({"tls", "small"}))]
    assert found == ["small", "tls"]
    with pytest.raises(ValueError, match="no scenario is called big"):
        choose_scenarios(frozenset({"big"}))


def test_the_self_test_is_nginx_against_itself() -> None:
    assert {peer.title.split()[0] for peer in self_test_peers()} == {"nginx"}
    assert len({peer.name for peer in self_test_peers()}) == 2


def test_tools_that_cant_be_installed_are_listed() -> None:
    tools = {"no-such-tool": "package-a", "no-such-other": "package-b", "sh": "dash"}
    with pytest.raises(MissingError, match=r"no-such-tool, no-such-other not found.*-a package-b"):
        ensure_tools(tools, install=False)


def test_one_core_is_not_enough() -> None:
    with pytest.raises(MissingError, match="two cores"):
        machine.choose_cores({3})


def test_the_proxy_has_the_first_core_and_the_load_the_second() -> None:
    assert machine.choose_cores({7, 5, 6}) == machine.Cores(proxy=5, load=6)


def test_a_missing_peer_or_scenario_exits_with_2() -> None:
    for argv in (["--only", "squid"], ["--scenario", "none"]):
        done = subprocess.run(
            [sys.executable, "-m", "bench", *argv],
            cwd=machine.ROOT,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 2
        assert "bench: no" in done.stderr
