"""The dashboard's pages over HTTP: who may see and do what, what is asked first, what is refused."""

import re
from collections.abc import Callable
from typing import Any

import pytest

from proxy.routing.census import Seat
from proxy.routing.model import Slot
from tests.integration.admin.conftest import Client
from tests.integration.admin.follower import Follower
from tests.support.browser import Browser

PAGES = (
    *("/ui/board", "/ui/release", "/ui/tenants", "/ui/tenants/acme", "/ui/canary"),
    *(
        "/ui/switches",
        "/ui/canary?percent=5&by=count",
        "/ui/workers",
        "/ui/drains",
        "/ui/migrations",
        "/ui/audit",
    ),
)


async def ends(call: Client) -> None:
    """Both slots have an instance, so that requests may be led there."""
    for slot in Slot:
        path = f"/v1/slots/{slot}/endpoints"
        assert (await call("PUT", path, {"endpoints": ["127.0.0.1:1"]}))[0] in {200, 202}


async def fields(call: Client, path: str, action: str) -> dict[str, str]:
    """The hidden fields of the page's form that is sent there."""
    status, page, _ = await call("GET", path)
    assert status == 200, page
    return hidden(page, action)


def hidden(page: str, action: str) -> dict[str, str]:
    form = next(
        each
        for each in re.findall(r"<form.*?</form>", page, re.DOTALL)
        if f'action="{action}"' in each
    )
    return dict(re.findall(r'type="hidden" name="([^"]+)" value="([^"]*)"', form))


async def send(call: Client, action: str, form: dict[str, Any]) -> tuple[int, str]:
    status, page, _ = await call("POST", action, data=form, allow_redirects=False)
    return status, page


async def asked(call: Client, page: str, action: str, **given: str) -> dict[str, str]:
    """Send the form; the fields of the page that asks."""
    form = {**await fields(call, page, action), **given}
    status, question = await send(call, action, form)
    assert (status, "What it will do" in question) == (200, True), question
    return hidden(question, action)


@pytest.mark.parametrize("path", PAGES)
async def test_a_page_comes_with_a_strict_policy(call: Client, path: str) -> None:
    status, page, headers = await call("GET", path)
    assert status == 200
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'; script-src 'self'; style-src 'self'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert page.startswith("<!doctype html>")


async def test_the_front_leads_to_the_board_and_the_files_are_there(call: Client) -> None:
    for path in ("/", "/ui", "/ui/"):
        assert (await call("GET", path))[2]["Content-Type"].startswith("text/html")
    page = (await call("GET", "/ui/board"))[1]
    files = re.findall(r'(?:src|href)="(/ui/static/[^"]+)"', page)
    assert len(files) >= 6
    for path in files:
        status, _, headers = await call("GET", path)
        assert (status, "immutable" in headers["Cache-Control"]) == (200, True)
    assert (await call("GET", "/ui/static/..%2fapp.py"))[0] == 404


async def test_who_has_not_logged_in_is_sent_there_and_a_bad_token_is_a_page(call: Client) -> None:
    for path in ("/ui/tenants", "/ui/board.json"):
        url = f"http://{call.address}{path}"
        async with call.session.get(url, allow_redirects=False) as answer:
            assert answer.status == 303
            assert answer.headers["Location"] == f"/ui/login?next={path}"
        async with call.session.get(url, headers={"Authorization": "Bearer x"}) as answer:
            assert answer.status == 401
            assert "The bearer token is not accepted" in await answer.text()


async def test_a_log_in_leads_to_the_pages_and_its_forms_are_its_own(call: Client) -> None:
    await ends(call)
    browser = Browser(call.session, call.address)
    given = {"token": call.token, "next": "/ui/tenants/acme"}
    assert (await browser.post("/ui/login", given)).place == "/ui/tenants/acme"
    page = await browser.get("/ui/tenants/acme")
    assert page.status == 200
    assert 'action="/ui/logout"' in page.text
    action = "/ui/tenants/acme/pin"
    form = {**hidden(page.text, action), "slot": "green"}
    asked_first = await browser.post(action, form)
    confirmed = {**hidden(asked_first.text, action), "typed": "acme"}
    foreign = await browser.send("POST", action, {"Origin": "http://evil.example"}, data=confirmed)
    assert foreign.status == 403
    assert (await browser.post(action, {**confirmed, "csrf": "0" * 43})).status == 403
    assert (await call("GET", "/v1/routing"))[1]["pins"] == {}
    assert (await browser.post(action, confirmed)).status == 200
    assert (await call("GET", "/v1/routing"))[1]["pins"] == {"acme": "green"}
    await browser.post("/ui/logout", {"csrf": browser.csrf})
    assert (await browser.get("/ui/board")).status == 303


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/ui/tenants?cursor=%00", 400),
        ("/ui/tenants?slot=red", 400),
        ("/ui/tenants?prefix=" + "x" * 300, 400),
        ("/ui/tenants/a%2fb", 400),
        ("/ui/tenants/acme?weight=many", 400),
        ("/ui/audit?cursor=abc", 400),
        ("/ui/audit?cursor=-1", 400),
        ("/ui/migrations?cursor=0", 400),
        ("/ui/migrations/plans/none", 404),
        ("/ui/drains?slot=red", 400),
        ("/ui/audit?actor=%00", 400),
        ("/ui/migrations/plans/%00", 404),
        ("/ui/release/%00", 404),
        ("/ui/tenants/%00", 404),
        ("/ui/canary?percent=many", 200),
        ("/ui/canary?percent=nan", 200),
        ("/ui/canary?percent=5&by=guess", 200),
        ("/ui/nothing", 404),
    ],
)
async def test_an_address_that_can_t_be_used_is_a_page_and_no_fault(
    call: Client, path: str, status: int
) -> None:
    assert (await call("GET", path))[0] == status


async def test_what_is_asked_for_is_shown_and_not_run(call: Client) -> None:
    bad = "<script>alert(1)</script>"
    for path in (
        f"/ui/tenants?prefix={bad}",
        f"/ui/canary?percent={bad}",
        f"/ui/audit?actor={bad}",
    ):
        page = (await call("GET", path))[1]
        assert bad not in page


async def test_a_pin_is_asked_first_then_made_once(call: Client) -> None:
    await ends(call)
    action, before = "/ui/tenants/acme/pin", await call.version()
    form = await asked(call, "/ui/tenants/acme", action, slot="green")
    assert await call.version() == before
    assert form["expected_version"] == str(before)

    status, page = await send(call, action, {**form, "typed": "acne"})
    assert (status, "Type acme to go on; nothing was done." in page) == (422, True)
    assert await call.version() == before

    confirmed = {**form, "typed": "acme"}
    for _ in range(2):
        status, page = await send(call, action, confirmed)
        assert (status, f"ersion {before + 1}" in page) == (200, True)
    assert await call.version() == before + 1
    row = (await call("GET", "/v1/audit?action=pin"))[1]["items"][0]
    assert (row["actor"], row["tenants"], row["outcome"]) == ("tester", ["acme"], "committed")


async def test_numbers_of_an_older_table_are_asked_about_anew(call: Client) -> None:
    await ends(call)
    action = "/ui/tenants/acme/pin"
    form = await asked(call, "/ui/tenants/acme", action, slot="green")
    await call("PUT", "/v1/tenants/other/pin", {"slot": "green"})
    version = await call.version()
    status, page = await send(call, action, {**form, "typed": "acme"})
    assert (status, "these are the numbers of now" in page) == (409, True)
    assert await call.version() == version
    assert hidden(page, action)["expected_version"] == str(version)
    assert hidden(page, action)["key"] != form["key"]


async def test_a_selection_moves_as_one_change(call: Client) -> None:
    await ends(call)
    for name in ("a", "b", "c"):
        await call("PUT", f"/v1/tenants/{name}", {})
    before, action = await call.version(), "/ui/tenants/move"
    form = await fields(call, "/ui/tenants", action)
    given = [*form.items(), ("tenant", "a"), ("tenant", "b"), ("slot", "green")]
    question = (await send(call, action, given))[1]  # type: ignore[arg-type]
    assert "2 tenants of 3 known move from blue to green." in question
    pairs = re.findall(r'type="hidden" name="([^"]+)" value="([^"]*)"', question)
    again = [pair for pair in pairs if pair[0] not in {"theme", "back"}]
    status, _ = await send(call, action, [*again, ("typed", "green")])  # type: ignore[arg-type]
    assert status == 200
    table = (await call("GET", "/v1/routing"))[1]
    assert (table["pins"], table["version"]) == ({"a": "green", "b": "green"}, before + 1)
    nobody = await send(call, action, form)
    assert (nobody[0], "tick the tenants" in nobody[1]) == (400, True)


@pytest.mark.parametrize("wrong", ["", "0" * 64])
async def test_a_form_that_was_not_made_for_this_session_changes_nothing(
    call: Client, wrong: str
) -> None:
    form = {"csrf": wrong, "key": "k", "slot": "green", "typed": "acme"}
    status, page = await send(call, "/ui/tenants/acme/pin", form)
    assert (status, "was not made for this session" in page) == (403, True)
    assert (await call("GET", "/v1/routing"))[1]["pins"] == {}


async def test_a_form_s_token_is_its_own_session_s(call: Client) -> None:
    viewer = call.with_token("viewer")
    mine = (await fields(call, "/ui/board", "/ui/theme"))["csrf"]
    assert mine != (await fields(viewer, "/ui/board", "/ui/theme"))["csrf"]
    status, _ = await send(viewer, "/ui/theme", {"csrf": mine, "theme": "dark"})
    assert status == 403


async def test_what_is_no_form_is_refused(call: Client) -> None:
    assert (await call("POST", "/ui/tenants/acme/pin", {"slot": "green"}))[0] == 415
    status, _, _ = await call(
        *("POST", "/ui/tenants/acme/pin"),
        data=b"csrf=%ff%fe",
        headers={"Content-Type": "application/x-www-form-urlencoded"},
    )
    assert status == 400


async def test_a_viewer_sees_no_buttons_and_a_form_of_his_own_is_refused_and_audited(
    call: Client,
) -> None:
    await ends(call)
    viewer = call.with_token("viewer")
    for path in PAGES:
        page = (await viewer("GET", path))[1]
        assert set(re.findall(r'method="post" action="([^"]+)"', page)) <= {
            "/ui/theme",
            "/ui/tenants/move",  # its buttons are left out
        }
        assert "Move to green" not in page
    csrf = (await fields(viewer, "/ui/board", "/ui/theme"))["csrf"]
    form = {"csrf": csrf, "key": "k", "slot": "green", "typed": "acme"}
    status, page = await send(viewer, "/ui/tenants/acme/pin", form)
    assert (status, "Nothing was done." in page) == (403, True)
    row = (await call("GET", "/v1/audit?actor=a-viewer"))[1]["items"][0]
    assert (row["action"], row["outcome"], row["code"]) == ("pin", "refused", "forbidden-role")
    assert row["tenants"] == ["acme"]


async def test_a_token_for_some_tenants_moves_no_others(call: Client) -> None:
    await ends(call)
    scoped = call.with_token("operator", ["mine"])
    for tenant, wanted in (("mine", 200), ("acme", 403)):
        action = f"/ui/tenants/{tenant}/pin"
        form = await asked(scoped, f"/ui/tenants/{tenant}", action, slot="green")
        assert (await send(scoped, action, {**form, "typed": tenant}))[0] == wanted


async def test_the_canary_is_set_and_ramped(call: Client) -> None:
    await ends(call)
    weight = "/ui/canary/weight"
    form = await asked(call, "/ui/canary?percent=5", weight)
    assert form["percent"] == "5"
    assert (await send(call, weight, {**form, "typed": "green"}))[0] == 200
    assert (await call("GET", "/v1/canary"))[1]["percent"] == 5

    ramp = "/ui/canary/ramp"
    form = await asked(call, "/ui/canary", ramp, steps="10, 50", dwell_s="600", by="count")
    assert (await send(call, ramp, {**form, "typed": "green"}))[0] == 303
    assert (await send(call, ramp, {**form, "typed": "green"}))[0] == 303, "the same form again"
    status, page = await send(call, ramp, {**form, "key": "another", "typed": "green"})
    assert (status, "Nothing was done." in page) == (409, True)
    for word in ("pause", "resume", "reverse", "stop"):
        form = await fields(call, "/ui/canary", f"{ramp}/{word}")
        assert (await send(call, f"{ramp}/{word}", form))[0] == 303
    csrf = {"csrf": form["csrf"]}
    assert (await send(call, f"{ramp}/pause", csrf))[0] == 409
    assert (await send(call, f"{ramp}/jump", csrf))[0] == 404
    for bad in ({"steps": "x", "dwell_s": "1"}, {"steps": "", "dwell_s": "1"}):
        assert (await send(call, ramp, {**csrf, **bad}))[0] == 400


async def test_a_drain_says_how_many_are_connected(
    call: Client, follow: Callable[..., Any]
) -> None:
    await ends(call)
    worker: Follower = await follow()
    worker.draining = 3
    worker.seats = [Seat(Slot.BLUE, "websocket", "acme", name) for name in "abc"]
    await call("PUT", "/v1/tenants/acme/pin", {"slot": "green"})
    while (await call("GET", "/v1/census"))[1]["slots"]["blue"]["devices"] < 3:
        pass
    action = "/ui/drains/blue/begin"
    form = {**await fields(call, "/ui/drains", action), "per_second": "1", "limit_s": "60"}
    question = (await send(call, action, form))[1]
    assert "3 connections of 3 devices and 0 other lasting connections are open" in question
    assert "What is left after 1 min is ended at once." in question
    again = {**hidden(question, action), "typed": "blue"}
    assert (await send(call, action, again))[0] == 303
    page = (await call("GET", "/ui/drains"))[1]
    assert "Stop this drain" in page
    stop = "/ui/drains/blue/stop"
    assert (await send(call, stop, hidden(page, stop)))[0] == 303
    assert (await call("GET", "/v1/slots/blue/drain"))[1]["stopped_by"] == "tester"
    status, _ = await send(call, "/ui/drains/red/begin", {**form, "typed": "red"})
    assert status == 404


async def test_the_choice_of_colours_leads_back_to_our_own_pages_alone(call: Client) -> None:
    csrf = await fields(call, "/ui/audit", "/ui/theme")
    for back, wanted in (
        ("/ui/audit?actor=a", "/ui/audit?actor=a"),
        ("//evil.example/ui/", "/ui/board"),
        ("/ui/\\evil.example", "/ui/board"),
        ("https://evil.example", "/ui/board"),
        ("", "/ui/board"),
    ):
        form = {**csrf, "theme": "dark", "back": back}
        answer = await call("POST", "/ui/theme", data=form, allow_redirects=False)
        assert (answer[0], answer[2]["Location"]) == (303, wanted)
        cookie = answer[2]["Set-Cookie"]
        assert "turnout_theme=dark" in cookie
        assert "HttpOnly" in cookie
        assert "SameSite=Lax" in cookie


async def test_what_another_site_embeds_or_fetches_is_refused(call: Client) -> None:
    for mode, status in (("cors", 403), ("no-cors", 403), ("navigate", 200)):
        headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": mode}
        assert (await call("GET", "/ui/board", headers=headers))[0] == status
    headers = {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"}
    assert (await call("GET", "/ui/board", headers=headers))[0] == 200
