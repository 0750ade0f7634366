"""The soak's books see what they are there to see: each row is one thing gone wrong, or allowed."""

from dataclasses import replace

import pytest

from tests.soak.books import Books, Line, Outcome, Plan, Record, Sight, complaints
from tests.soak.plot import draw
from tests.soak.watch import Life, fifths, grows

GET = Record("1-1", "get", "acme", repeatable=True, began=1.0, ended=2.0)
POST = replace(GET, kind="post", repeatable=False)


def at(slot: str = "blue", fault: Plan = Plan.NONE, **more) -> Sight:
    return Sight(f"{slot}-0", slot, more.pop("tenant", "acme"), 1.5, fault, **more)


def judged(record: Record, outcome: Outcome, *sights: Sight, **more) -> list[str]:
    own = replace(record, outcome=outcome, sights=list(sights), **more)
    return complaints(own, lambda tenant, began, ended: frozenset({"blue"}))


ANSWERED = {"slot": "blue", "status": 200}
STALLED = replace(GET, plan=Plan.STALL_HEAD)
TIMEOUT = {"code": "answer-timeout"}
BAD_TOKEN = {"code": "bad-token", "expects": "bad-token"}


@pytest.mark.parametrize(
    ("record", "outcome", "sights", "more"),
    [
        (POST, Outcome.ANSWERED, [at()], ANSWERED),
        (GET, Outcome.ANSWERED, [at(fault=Plan.RESET_BEFORE), at()], ANSWERED),
        (GET, Outcome.ANSWERED, [at(fault=Plan.DOWN, whole=True)], ANSWERED),
        (POST, Outcome.REFUSED, [at(fault=Plan.RESET_BEFORE)], {"code": "no-answer"}),
        (POST, Outcome.REFUSED, [], {"code": "no-answer"}),
        (POST, Outcome.REFUSED, [], {"code": "connect-failed", "down": True}),
        (POST, Outcome.REFUSED, [at()], {"code": "body-timeout", "expects": "body-timeout"}),
        (GET, Outcome.REFUSED, [], BAD_TOKEN),
        (STALLED, Outcome.REFUSED, [at(fault=Plan.DOWN, down_at=1.9)], TIMEOUT),
        (GET, Outcome.CUT, [at(fault=Plan.RESET_BODY)], {}),
        (GET, Outcome.CUT, [], {"killed": True}),
        (GET, Outcome.UNSERVED, [], {}),
        (POST, Outcome.ABANDONED, [at()], {}),
    ],
)
def test_books_that_balance(record, outcome, sights, more):
    assert judged(record, outcome, *sights, **more) == []


@pytest.mark.parametrize(
    ("record", "outcome", "sights", "more", "said"),
    [
        (POST, Outcome.ANSWERED, [], ANSWERED, "no endpoint saw it"),
        (POST, Outcome.ANSWERED, [at(), at()], ANSWERED, "more than once"),
        (GET, Outcome.ANSWERED, [at(), at()], ANSWERED, "although an answer had begun"),
        (GET, Outcome.ANSWERED, [at(fault=Plan.DOWN)] * 2 + [at()], ANSWERED, "more than twice"),
        (GET, Outcome.ANSWERED, [at("green")], {"slot": "green"}, "was not its slot"),
        (GET, Outcome.ANSWERED, [at()], {"slot": "green"}, "says it was answered by green"),
        (GET, Outcome.ANSWERED, [at(tenant="other")], ANSWERED, "as 'other'"),
        (GET, Outcome.ANSWERED, [at(fault=Plan.RESET_BODY)], ANSWERED, "looks whole"),
        (GET, Outcome.ANSWERED, [at()], {**ANSWERED, "wrong": "another body"}, "another body"),
        (GET, Outcome.ANSWERED, [at()], {**ANSWERED, "expects": "bad-token"}, "is not good"),
        (GET, Outcome.REFUSED, [at()], BAD_TOKEN, "sent on"),
        (GET, Outcome.REFUSED, [], {"code": "bad-token"}, "no known reason"),
        (GET, Outcome.REFUSED, [], {"code": "what"}, "no known reason"),
        (STALLED, Outcome.REFUSED, [at(fault=Plan.DOWN, down_at=1.5)], TIMEOUT, "did nothing"),
        (GET, Outcome.REFUSED, [at()], {"code": "no-answer"}, "its endpoint did nothing"),
        (GET, Outcome.REFUSED, [], {"code": "answer-timeout"}, "no endpoint saw it"),
        (GET, Outcome.REFUSED, [], {"code": "connect-failed"}, "every endpoint was there"),
        (GET, Outcome.CUT, [at()], {}, "cut for no known reason"),
        (GET, Outcome.UNSERVED, [at()], {}, "never answered"),
        (GET, Outcome.ABANDONED, [at()], {"head_sent": False}, "half a head"),
        (GET, Outcome.LOST, [at()], {}, "neither answered nor ended"),
    ],
)
def test_books_that_do_not_balance(record, outcome, sights, more, said):
    (first, *_) = judged(record, outcome, *sights, **more)
    assert said in first


def books() -> Books:
    return Books(lambda tenant, began, ended: frozenset({"blue"}))


def test_a_request_that_no_client_sent():
    own = books()
    assert own.see("9-9", at()) is None
    assert "no client sent" in own.complaints[0]


def test_a_record_that_is_never_closed():
    own = books()
    own.start(replace(GET))
    own.settle_all()
    assert own.wrong == 1


def test_what_the_proxy_must_have_counted():
    own = books()
    line, killed = Line((80, 1)), Line((80, 2))
    own.lines = {line.ports: line, killed.ports: killed}
    for number, outcome, on in (
        (1, Outcome.ANSWERED, line),
        (2, Outcome.ABANDONED, line),
        (3, Outcome.CUT, killed),
    ):
        record = own.start(replace(GET, name=f"1-{number}", slot="blue", sights=[]))
        if outcome is not Outcome.ABANDONED:
            own.see(record.name, at())
        if on is killed:
            own.kill({(80, 2), (80, 99), (443, 1)}, at=2.0)
            assert own.killed_lines == 3
        own.close(record, outcome, on, 2.0)
    own.settle_all()
    assert own.complaints == []
    assert (own.certain, own.uncertain) == (1, 2)
    assert own.lagging == 3, "the line itself, and two answers of a moment ago"


def test_a_kill_may_be_faster_than_the_news_of_a_connection():
    own = books()
    own.kill({(443, 1)}, at=2.0)
    assert own.open_line((443, 1)).killed
    assert not own.open_line((443, 2)).killed


def test_a_handshake_may_fail_only_with_its_worker():
    own = books()
    line, killed = own.open_line((443, 1)), own.open_line((443, 2))
    own.shook_hands(own.open_line((443, 3)), None)
    own.kill({(443, 2)}, at=2.0)
    own.shook_hands(killed, ConnectionResetError())
    assert own.complaints == []
    own.shook_hands(line, ConnectionResetError("so"))
    assert own.complaints == ["a handshake failed: ConnectionResetError('so')"]
    assert (own.opened_lines, own.handshakes, own.cut_handshakes) == (3, 1, 2)


def test_a_trend_in_memory():
    flat = [100_000_000.0] * 50
    steep = [100_000_000.0 + 400_000 * number for number in range(50)]
    assert not grows(*fifths(flat))
    assert grows(*fifths(steep))
    with pytest.raises(ValueError, match="too few"):
        fifths([1.0] * 9)


def test_the_plot_has_a_line_for_each_process():
    lives = [Life(7, "worker", [(1.0, 5 << 20, 0), (3.0, 6 << 20, 0)])]
    assert draw(lives, 1.0).count("<polyline") == 1
    assert draw([], 1.0).endswith("</svg>\n")
