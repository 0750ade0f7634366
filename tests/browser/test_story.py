"""The release manager's story on the pages: who moves is said in numbers, asked for, and done once."""

from selenium.webdriver.common.keys import Keys

from tests.browser.conftest import Demo
from tests.support.chromium import Browser


def where(demo: Demo, tenant: str) -> tuple[str, str]:
    found = demo("GET", f"/v1/tenants/{tenant}/route")
    return found["slot"], found["reason"]


def confirm(browser: Browser, word: str) -> None:
    """Type the word on the page that asks, and go on."""
    browser.one("#typed").send_keys(word)
    browser.follow(browser.one("main form button"))


def test_tenants_are_found_and_moved_by_selection(browser: Browser, demo: Demo) -> None:
    browser.open("/ui/tenants")
    browser.one("#prefix").send_keys("press-0000")
    browser.follow(browser.button("Search"))
    assert len(browser.all("tbody tr")) == 10
    for tenant in ("press-00001", "press-00002"):
        browser.one(f"input[value={tenant}]").click()
    browser.says("2 ticked")
    before = demo.version()
    browser.follow(browser.button("Move to green"))
    browser.says("2 tenants of 10\u202f000 known move from blue to green.")
    browser.says("They made 17.62")  # 19 and 18 of 210 requests
    browser.says("None of their devices is connected.")
    browser.picture("confirm-move")
    assert browser.faults() == []
    assert demo.version() == before

    confirm(browser, "blue")
    browser.says("Type green to go on; nothing was done.")
    assert demo.version() == before

    confirm(browser, "green")
    browser.says(f"Done. Version {before + 1} is served by all 2 workers")
    browser.picture("done")
    assert browser.faults() == []
    assert where(demo, "press-00001") == where(demo, "press-00002") == ("green", "pin")
    assert demo.ask("press-00001") == "green"


def test_a_tenant_is_explained_tried_and_pinned_by_its_name(browser: Browser, demo: Demo) -> None:
    browser.open("/ui/tenants/press-00004")
    browser.says("press-00004 follows the active slot, blue")
    browser.one("#weight").send_keys("100")
    browser.follow(browser.button("Explain"))
    browser.says("With that it would move to")
    browser.follow(browser.button("Pin to green"))
    browser.says("1 tenant of 10\u202f000 known moves from blue to green.")
    confirm(browser, "press-00004")
    browser.says("Done.")
    assert where(demo, "press-00004") == ("green", "pin")
    browser.open("/ui/tenants/press-00004")
    browser.follow(browser.button("Unpin"))
    confirm(browser, "press-00004")
    assert where(demo, "press-00004")[0] == "blue"


def test_numbers_that_have_grown_old_are_shown_anew(browser: Browser, demo: Demo) -> None:
    browser.open("/ui/tenants/press-00005")
    browser.follow(browser.button("Pin to green"))
    demo("PUT", "/v1/tenants/press-00006/pin", {"slot": "green"})
    confirm(browser, "press-00005")
    browser.says("The table has changed since: these are the numbers of now. Nothing was done.")
    assert where(demo, "press-00005")[0] == "blue"
    confirm(browser, "press-00005")
    browser.says("Done.")
    assert where(demo, "press-00005")[0] == "green"


def test_a_second_click_is_no_second_change(browser: Browser, demo: Demo) -> None:
    browser.open("/ui/tenants/press-00007")
    browser.follow(browser.button("Pin to green"))
    browser.one("#typed").send_keys("press-00007")
    before = demo.version()
    gone = browser.left()
    browser.driver.execute_script(
        "const form = document.querySelector('main form');"
        "fetch(form.action, {method: 'POST', body: new URLSearchParams(new FormData(form))});"
        "form.submit()"
    )
    browser.until(gone)
    browser.says("Done.")
    assert demo.version() == before + 1


def test_the_canary_is_tried_set_and_ramped(browser: Browser, demo: Demo) -> None:
    browser.open("/ui/canary")
    browser.one("#percent").send_keys("5")
    browser.follow(browser.button("Try"))
    browser.says("known tenants would move")
    browser.follow(browser.button("Set the canary to 5 %"))
    assert browser.faults() == []
    browser.picture("confirm-canary")
    confirm(browser, "green")
    browser.says("Done.")
    assert demo("GET", "/v1/canary")["percent"] == 5

    browser.open("/ui/canary")
    steps = browser.one("#steps")
    steps.clear()
    steps.send_keys("10 50 100")
    browser.follow(browser.button("Begin the ramp"))
    browser.says("It takes 3 steps: 10 %, 50 %, 100 %.")
    confirm(browser, "green")
    browser.says("dwelling")
    browser.picture("ramp")
    assert browser.faults() == []
    browser.follow(browser.button("Pause"))
    browser.says("paused")
    browser.follow(browser.button("Resume"))
    browser.follow(browser.button("Stop"))
    browser.says("Begin a ramp")
    assert demo("GET", "/v1/canary/ramp")["outcome"] == "stop"
    demo("PUT", "/v1/canary", {"percent": 0})


def test_the_workers_and_what_they_serve(browser: Browser, demo: Demo) -> None:
    browser.open("/ui/workers")
    browser.says("converged")
    browser.says("2 of 2")
    version = demo.version()
    assert str(version) in browser.text()


def test_a_slot_is_drained_after_its_numbers_were_read(browser: Browser, demo: Demo) -> None:
    browser.open("/ui/drains")
    browser.follow(browser.button("Drain green"))
    browser.says("connections of 0 devices")
    browser.picture("confirm-drain")
    assert browser.faults() == []
    confirm(browser, "green")
    browser.says("Begun by demo")
    browser.picture("drained")
    assert browser.faults() == []
    assert demo("GET", "/v1/slots/green/drain")["actor"] == "demo"


def test_the_audit_trail_has_it_all_by_page_and_by_filter(browser: Browser, demo: Demo) -> None:
    for number in range(60):
        slot = ("blue", "green")[number % 2]
        demo("PUT", "/v1/tenants/press-00100/pin", {"slot": slot})
    browser.open("/ui/audit")
    assert len(browser.all("tbody tr")) == 50
    browser.one("summary").click()
    browser.says("request ")
    browser.follow(browser.one("a[rel=next]"))
    assert len(browser.all("tbody tr")) >= 10
    browser.one("#tenant").send_keys("press-00007" + Keys.ENTER)
    browser.until(lambda: len(browser.all("tbody tr")) == 2)  # and when it was registered
    browser.says("committed")


def test_the_board_is_alive(browser: Browser, demo: Demo) -> None:
    browser.open("/ui/board")
    browser.until(lambda: browser.one("#link").get_attribute("data-state") == "live")
    browser.until(lambda: len(browser.all(".plot canvas")) == 3)
    browser.says("no reading yet: PUT /v1/signals/database-cpu")
    loaded_anew = browser.left()
    demo("PUT", "/v1/signals/database-cpu", {"value": 91})
    browser.until(lambda: "91\u202f%" in browser.one(".board").text)
    row = next(each for each in browser.all(".board tbody tr") if "Database CPU" in each.text)
    assert "critical" in row.text
    browser.one("details summary").click()
    browser.says('name = "database-connections"')
    assert not loaded_anew()
    browser.picture("board-alive")
    assert browser.faults() == []


def test_tenants_are_moved_behind_a_fence(browser: Browser, demo: Demo) -> None:
    browser.open("/ui/tenants?prefix=press-0020")
    for tenant in ("press-00201", "press-00202"):
        browser.one(f"input[value={tenant}]").click()
    browser.one("#mode option[value=fenced]").click()
    browser.follow(browser.button("Move to green"))
    browser.says("new requests of those who move wait")
    confirm(browser, "green")
    browser.says("Requests waited at most")
    browser.says("Done.")
    assert where(demo, "press-00202") == ("green", "pin")


def test_everybody_goes_over_behind_a_fence_and_back(browser: Browser, demo: Demo) -> None:
    browser.open("/ui/switches")
    browser.says("There is nothing to go back to")
    browser.follow(browser.button("Cut over"))
    browser.says("If that takes longer than 20 s, it is undone")
    browser.picture("confirm-cutover")
    assert browser.faults() == []
    confirm(browser, "green")
    browser.says("Done.")
    browser.picture("fenced")
    assert demo("GET", "/v1/routing")["active"] == "green"
    browser.open("/ui/switches")
    rows = browser.all("[aria-label='Fenced switches'] tbody tr")
    assert "everybody" in rows[0].text
    assert "done" in rows[0].text
    browser.picture("switches-done")
    assert browser.faults() == []
    browser.follow(browser.button("Roll back"))
    confirm(browser, "blue")
    browser.says("Done.")
    assert demo("GET", "/v1/routing")["active"] == "blue"


def test_a_release_is_started_overtaken_and_given_up(browser: Browser, demo: Demo) -> None:
    for tenant in demo("GET", "/v1/routing")["pins"]:
        demo("DELETE", f"/v1/tenants/{tenant}/pin")
    browser.open("/ui/release")
    browser.says("no drill was ever done")
    browser.one("#version").send_keys("1.3.0")
    browser.follow(browser.button("Start"))
    browser.says("nobody is moved before its canary")
    browser.picture("confirm-release")
    assert browser.faults() == []
    confirm(browser, "1.3.0")
    # Deployed and healthy, it waits for a signature; nobody loads the page.
    browser.says("3 Validate\n▸ now")
    browser.says("qa has not signed")
    browser.picture("release-waits")
    assert browser.faults() == []
    overtaken = demo("GET", "/v1/releases/current")["name"]
    browser.open("/ui/release")
    browser.one("#version").send_keys("1.3.1")
    browser.follow(browser.button("Begin the hotfix"))
    browser.says(f"{overtaken} is validating: it goes back first, and the hotfix begins then.")
    browser.picture("confirm-hotfix")
    assert browser.faults() == []
    confirm(browser, "1.3.1")
    browser.until(lambda: demo("GET", f"/v1/releases/{overtaken}")["state"] == "aborted")
    browser.until(lambda: browser.one("h1").text.endswith("1.3.1"))
    browser.follow(browser.button("Abort"))
    browser.says("The release is given up")
    confirm(browser, demo("GET", "/v1/releases/current")["name"])
    browser.until(lambda: demo("GET", "/v1/releases/current")["state"] == "aborted")
    browser.says("aborted")
    browser.open(f"/ui/release/{overtaken}")
    browser.says(f"overtaken by {demo('GET', '/v1/releases/current')['name']}")
    browser.follow(browser.one(".head a[href$=report]"))
    browser.says("Nobody was moved.")
    browser.picture("report-aborted")
    assert browser.faults() == []
