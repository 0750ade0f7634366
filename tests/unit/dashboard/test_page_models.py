import asyncio

import pytest

from admin.api.canary_messages import MoveItem, RampReport, RampStep, WhatIfState
from admin.api.messages import CensusDevice, CensusPage
from admin.api.migration_messages import PlanState, WaveState
from admin.api.problems import Problem
from admin.dashboard.forms import Form
from admin.dashboard.model.canary import ramp_shown
from admin.dashboard.model.foresight import connections_of, foresee
from admin.dashboard.model.migrations import plan_shown
from admin.dashboard.model.words import NOTHING, counted, duration, moment, percent, thousands
from admin.dashboard.once import MAX_REMEMBERED, Once
from admin.dashboard.render import Files, Pages
from admin.dashboard.session import Session, check_csrf
from admin.login.headers import page_headers
from admin.tokens import Principal, Role


def move(tenant, before="blue", after="green"):
    return MoveItem(tenant, before, "active", after, "pin", 1.0, 10, 5.0)


def found(*moves, **changed):
    about = {
        "version": 7,
        "active": "blue",
        "percent": 0.0,
        "moves": list(moves),
        "next": None,
        "moving": len(moves),
        "known": 40,
        "requests": 200,
        "moving_percent": 5.0 * len(moves),
        "others_percent": 0.0,
        "moving_others_percent": 0.0,
        "refusal": None,
        "explanation": "",
    }
    return WhatIfState(**{**about, **changed})


def census(*items, taken=True, following=None):
    return CensusPage(taken, {}, {}, [], list(items), following)


def device(tenant, slot, connections=1):
    return CensusDevice(tenant, f"{tenant}-printer", slot, ["websocket"], connections, "")


def test_a_move_is_said_in_tenants_traffic_and_connections():
    moves = (move("a"), move("b"))
    seen = census(device("a", "blue", 2), device("a", "green"), device("c", "blue"))
    said = foresee(found(*moves), connections_of(seen, moves), ["First."])
    assert said.says == [
        "First.",
        "2 tenants of 40 known move from blue to green.",
        "They made 10\u202f% of the last hour's 200 requests.",
        "2 connections of 1 device stay where they are until a drain.",
    ]
    assert (said.version, said.refusal) == (7, "")


def test_what_is_not_known_of_a_move_is_said_to_be_so():
    said = foresee(found(move("a"), requests=0), connections_of(census(taken=False), []), [])
    assert said.says[1:] == [
        "Traffic of the last hour: not measured.",
        "Their open device connections: not measured; no worker names devices.",
    ]
    known = connections_of(census(device("a", "blue"), following="more"), [move("a")])
    assert foresee(found(move("a")), known, []).says[-1].startswith("At least 1 connection of 1 ")


def test_a_change_that_moves_nobody_says_so():
    assert foresee(found(), None, []).says[0] == "None of 40 known tenants moves."


def test_many_moves_are_listed_in_part():
    said = foresee(found(*(move(f"t-{n}") for n in range(30))), None, [])
    assert (len(said.moves), said.more) == (20, 10)


def ramp(state, step):
    about = dict.fromkeys(RampReport.__struct_fields__, "")
    steps = [RampStep(percent, 60.0) for percent in (1, 5, 25)]
    return RampReport(**{**about, "state": state, "step": step, "steps": steps})


@pytest.mark.parametrize(
    ("state", "step", "standing", "may"),
    [
        ("dwelling", 2, ["done", "now", "ahead"], ["pause", "reverse", "stop"]),
        ("paused", 1, ["now", "ahead", "ahead"], ["resume", "reverse", "stop"]),
        ("done", 3, ["done", "done", "done"], []),
        ("done", 0, ["ahead", "ahead", "ahead"], []),
    ],
)
def test_a_ramp_s_steps_and_words_come_from_its_table(state, step, standing, may):
    shown = ramp_shown(ramp(state, step))
    assert shown is not None
    assert ([each.standing for each in shown.steps], list(shown.may)) == (standing, may)


def test_no_ramp_is_no_ramp():
    assert ramp_shown(None) is None


def plan(state, name="m-1", **jobs):
    wave = WaveState(0, "pilots", "open", jobs)
    return PlanState(
        name=name, state=state, targets=10, up_to_date=0, jobs=10, waves=[wave], runs=[]
    )


def test_a_plan_s_waves_and_words_come_from_its_table():
    shown = plan_shown(plan("running", done=4, skipped=1, running=2, queued=2, failed=1))
    wave = shown.waves[0]
    assert (wave.jobs, wave.done, wave.running, wave.failed) == (10, 5, 2, 1)
    assert wave.widths == {"done": 500, "running": 200, "failed": 100}
    assert "pause" in shown.may
    assert "run" not in shown.may
    assert plan_shown(plan("planned")).may[0] == "run"
    assert plan_shown(plan("done")).waves[0].widths == {"done": 0, "running": 0, "failed": 0}


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, NOTHING),
        (0, "0 s"),
        (0.25, "250 ms"),
        (45, "45 s"),
        (750, "12 min 30 s"),
        (3600, "1 h"),
        (11_100, "3 h 5 min"),
        (187_200, "2 d 4 h"),
    ],
)
def test_durations_as_people_say_them(seconds, text):
    assert duration(seconds) == text


def test_numbers_and_times_as_people_read_them():
    assert thousands(1_234_567) == "1\u202f234\u202f567"
    assert (counted(1, "try", "tries"), counted(2, "try", "tries")) == ("1 try", "2 tries")
    assert (percent(None), percent(0.3)) == (NOTHING, "0.3\u202f%")
    assert moment("2026-11-28T09:10:11.123+00:00") == "2026-11-28 09:10:11"


def test_a_form_s_fields():
    form = Form([("a", " 1 "), ("t", "x"), ("t", "x"), ("t", "y"), ("key", "k"), ("w", "a, b  c")])
    assert form.every("t") == ["x", "y"]
    assert (form.number("a"), form.whole("a"), form.number("none")) == (1.0, 1, None)
    assert form.words("w") == ["a", "b", "c"]
    assert form.key == "k"
    assert ("key", "k") not in form.asked
    assert form.with_values({"a": 2}).whole("a") == 2
    for bad in ("number", "whole"):
        with pytest.raises(Problem):
            getattr(form, bad)("t")


def test_a_form_of_another_session_is_refused():
    session = Session(Principal("ada", Role.ADMIN, None, 0.0), "right")
    check_csrf(session, "right")
    for wrong in ("", "wrong", "rïght", "\udcff"):
        with pytest.raises(Problem):
            check_csrf(session, wrong)


async def test_a_form_that_is_sent_twice_at_once_is_carried_out_once():
    once, begun, go = Once(), [], asyncio.Event()

    async def do():
        begun.append(1)
        await go.wait()
        return "done"

    both = asyncio.gather(*(once.make("ada", "k", do) for _ in range(2)))
    while not begun:
        await asyncio.sleep(0)
    go.set()
    assert await both == ["done", "done"]
    assert await once.make("ada", "k", do) == "done"
    assert len(begun) == 1
    await once.make("bob", "k", do)
    await once.make("ada", "", do)
    await once.make("ada", "", do)
    assert len(begun) == 4


async def test_a_form_that_was_refused_may_be_sent_again():
    once, outcomes = Once(), [Problem("no-traffic", "first"), None]

    async def do():
        outcome = outcomes.pop(0)
        if outcome:
            raise outcome
        return "done"

    with pytest.raises(Problem):
        await once.make("ada", "k", do)
    assert await once.make("ada", "k", do) == "done"


async def test_only_so_many_forms_are_remembered():
    once = Once()

    async def do():
        return "done"

    for number in range(MAX_REMEMBERED + 10):
        await once.make("ada", str(number), do)
    assert len(once._outcomes) == MAX_REMEMBERED


def test_static_files_are_those_of_the_table_alone():
    static = Files()
    assert static.response("../app.py") is None
    assert static.response("vendor") is None
    place, _, digest = static.url("htmx.js").partition("?v=")
    assert place == "/ui/static/htmx.js"
    for asked, kept in ((digest, "immutable"), ("", "no-cache"), ("older", "no-cache")):
        served = static.response("htmx.js", asked)
        assert served is not None
        assert kept in served.headers["Cache-Control"]


def test_no_template_holds_a_script_a_style_or_an_escape_from_escaping():
    environment = Pages(Files(), page_headers(https=False))._environment
    names = environment.list_templates()
    assert len(names) > 10
    for name in names:
        assert environment.loader is not None
        source = environment.loader.get_source(environment, name)[0]
        for banned in ("<style", " style=", "onclick", "javascript:", "| safe", "|safe", "hx-on"):
            assert banned not in source, (name, banned)
        assert source.count("<script") == source.count("<script src=")
