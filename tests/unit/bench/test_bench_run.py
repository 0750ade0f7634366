from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import pytest

from bench import options, run
from bench.catalogue import PEERS, SCENARIOS
from bench.machine import Cores, MissingError
from bench.peers.peer import Launch, Peer, Site, Work
from bench.rounds import Reading, paired

ASKED = options.parse([])


class StandIn:
    """A peer that is missing, or lacks a part."""

    title = "Stand-in"

    def __init__(self, name: str, *, missing: str | None = None, can_tls: bool = True) -> None:
        self.name = name
        self.tools: dict[str, str] = {}
        self._missing = missing
        self._can_tls = can_tls

    def missing(self) -> str | None:
        return self._missing

    def unable(self, work: Work) -> str | None:
        if work.token:
            return "can't verify tokens"
        return "does not speak TLS" if work.tls and not self._can_tls else None

    def version(self) -> str:
        return "1"

    def prepared(self, site: Site) -> AbstractContextManager[Launch]:
        return nullcontext(Launch([], 1))


@pytest.fixture
def without_installing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.machine.apt_usable", lambda: False)
    monkeypatch.setattr("bench.machine.TOOLS", {})


def names(peers: list[Peer]) -> list[str]:
    return [peer.name for peer in peers]


@pytest.mark.usefixtures("without_installing")
def test_a_peer_that_is_missing_is_left_out_and_told() -> None:
    here, missing = run.present(
        [StandIn("nginx"), StandIn("envoy", missing="no wheel")], frozenset()
    )
    assert names(here) == ["nginx"]
    assert missing == ["Stand-in is left out: no wheel"]


@pytest.mark.usefixtures("without_installing")
@pytest.mark.parametrize(("name", "asked"), [("envoy", {"envoy"}), ("nginx", set[str]())])
def test_the_baseline_and_who_was_asked_for_must_be_there(name: str, asked: set[str]) -> None:
    with pytest.raises(MissingError, match="no wheel"):
        run.present([StandIn(name, missing="no wheel")], frozenset(asked))


@pytest.mark.usefixtures("without_installing")
def test_a_tool_that_cant_be_installed_leaves_its_peer_out() -> None:
    peer = StandIn("haproxy")
    peer.tools = {"no-such-tool": "package"}
    here, missing = run.present([StandIn("nginx"), peer], frozenset())
    assert names(here) == ["nginx"]
    assert "no-such-tool not found" in missing[0]


def test_who_cant_do_the_work_is_left_out_of_the_scenario_with_the_reason() -> None:
    peers = [StandIn("nginx"), StandIn("turnout", can_tls=False)]
    tls = SCENARIOS["tls"]
    assert names(list(run.job(tls, peers, Cores(0, 1), ASKED).peers)) == ["nginx"]
    assert run.notes(tls, peers) == ["tls: Stand-in does not speak TLS: left out"]


def test_where_there_are_other_requests_it_is_measured_with_those() -> None:
    peers = [StandIn("nginx"), StandIn("turnout")]
    jwt = SCENARIOS["jwt"]
    assert names(list(run.job(jwt, peers, Cores(0, 1), ASKED).peers)) == ["nginx", "turnout"]
    assert run.notes(jwt, peers)[0].endswith("can't verify tokens: measured without")


def test_a_scenario_for_some_peers_takes_no_others() -> None:
    table = SCENARIOS["table"]
    job = run.job(table, list(PEERS.values()), Cores(0, 1), ASKED)
    assert {peer.name for peer in job.peers} == {"turnout", "turnout-compiled"}
    assert run.notes(table, [StandIn("nginx", can_tls=False)]) == []


def test_the_baseline_comes_first_in_each_scenario_that_has_it() -> None:
    for scenario in SCENARIOS.values():
        peers = run.job(scenario, list(PEERS.values()), Cores(0, 1), ASKED).peers
        assert peers[0].name == ("turnout" if scenario.name == "table" else "nginx")


def test_each_round_gives_every_proxy_one_turn_in_the_same_order() -> None:
    seen: list[str] = []

    def turn(name: str) -> Callable[[], Reading]:
        def taken() -> Reading:
            seen.append(name)
            return Reading({"cpu_us": 1.0})

        return taken

    told: list[str] = []
    taken = list(paired({"a": turn("a"), "b": turn("b")}, 2, told.append))
    assert seen == ["a", "b", "a", "b"]
    assert told == ["round 1: a", "round 1: b", "round 2: a", "round 2: b"]
    assert [list(each) for each in taken] == [["a", "b"], ["a", "b"]]
