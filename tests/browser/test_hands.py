"""Without a mouse, without scripts, without a connection: the pages go on being of use."""

import sys
from pathlib import Path

from selenium.webdriver.common.keys import Keys

from admin.tokens import create_token
from tests.browser.conftest import OUT, STEP_S, Demo
from tests.browser.test_story import confirm, where
from tests.integration.admin.conftest import SECRET
from tests.support.chromium import WIDE, Browser, chromium
from tests.support.ports import free_ports
from tests.support.processes import Child, Children


def test_a_tenant_is_moved_by_the_keyboard_alone(browser: Browser, demo: Demo) -> None:
    browser.look(WIDE)
    browser.open("/ui/tenants")
    browser.press(Keys.TAB)
    assert browser.driver.switch_to.active_element.text == "Skip to the page"
    browser.press(Keys.ENTER)
    browser.tab_to(lambda element: element.get_attribute("id") == "prefix")
    outline = "return getComputedStyle(document.activeElement).outlineStyle"
    assert browser.driver.execute_script(outline) == "solid"
    gone = browser.left()
    browser.press("press-0001" + Keys.ENTER)
    browser.until(gone)
    browser.tab_to(lambda element: element.get_attribute("value") == "press-00011")
    browser.press(Keys.SPACE)
    browser.tab_to(lambda element: element.text == "Move to green")
    gone = browser.left()
    browser.press(Keys.ENTER)
    browser.until(gone)
    browser.tab_to(lambda element: element.get_attribute("id") == "typed")
    gone = browser.left()
    browser.press("press-00011" + Keys.ENTER)
    browser.until(gone)
    browser.says("Done.")
    assert where(demo, "press-00011") == ("green", "pin")


def test_everything_works_without_scripts(browser: Browser, demo: Demo) -> None:
    browser.scripts(enabled=False)
    try:
        browser.driver.get(browser.address + "/ui/tenants/press-00020")
        browser.says("Load the page again to see what is new")
        browser.button("Pin to green").click()
        browser.one("#typed").send_keys("press-00020" + Keys.ENTER)
        browser.says("Done.")
        assert where(demo, "press-00020") == ("green", "pin")
    finally:
        browser.scripts(enabled=True)


def test_a_change_is_shown_and_said_as_it_happens(browser: Browser, demo: Demo) -> None:
    browser.open("/ui/tenants?prefix=press-00030")
    browser.until(lambda: browser.one("#link").get_attribute("data-state") == "live")
    link = browser.one("tbody a")
    browser.driver.execute_script("arguments[0].focus()", link)
    demo("PUT", "/v1/tenants/press-00030/pin", {"slot": "green"})
    browser.until(lambda: "green" in browser.one("tbody").text)
    # The row was made anew; the focus is where it was.
    browser.until(lambda: browser.driver.switch_to.active_element.text == "press-00030")
    browser.until(lambda: "served by all workers" in browser.one("#news").text)
    assert browser.one("#news").get_attribute("aria-live") == "polite"
    assert f"version {demo.version()}" in browser.one("#strip").text


def test_what_is_ticked_is_not_taken_away_by_news(browser: Browser, demo: Demo) -> None:
    browser.open("/ui/tenants?prefix=press-0004")
    browser.until(lambda: browser.one("#link").get_attribute("data-state") == "live")
    browser.one("input[value=press-00041]").click()
    demo("PUT", "/v1/tenants/press-00042/pin", {"slot": "green"})
    browser.until(lambda: browser.one("#newer").is_displayed())
    assert browser.one("input[value=press-00041]").is_selected()


def test_a_lost_connection_is_seen_and_mended(
    spawn: Children, database_url: str, redis_url: str, tmp_path: Path
) -> None:
    [port] = free_ports(1)
    config = tmp_path / "turnout.toml"
    config.write_text(
        f"redis_url = '{redis_url}'\nredis_prefix = 'lost'\ndatabase_url = '{database_url}'\n"
        f"[admin]\nlisten = '127.0.0.1:{port}'\ntoken_secret = '{SECRET}'\n"
    )

    def state() -> str | None:
        return browser.one("#link").get_attribute("data-state")

    def admin() -> Child:
        child = spawn(sys.executable, "-m", "admin", "--config", config)
        child.wait_line('"address"', STEP_S)
        return child

    first = admin()
    with chromium(f"http://127.0.0.1:{port}", OUT) as browser:
        browser.authorize(create_token(SECRET, "ada", "viewer", 3600))
        browser.open("/ui/board")
        browser.until(lambda: state() == "live")
        loaded_anew = browser.left()
        first.kill()
        browser.until(lambda: state() == "lost")
        browser.says("Connection lost, trying again. Shown is how it was at")
        browser.picture("lost")
        assert browser.faults() == []
        admin()
        browser.until(lambda: state() == "live")
        # The feed's figures are those of now, and nobody has loaded the page again.
        before = browser.until(lambda: browser.one("#at").text)
        browser.until(lambda: browser.one("#at").text != before)
        assert not loaded_anew()


def test_a_person_logs_in_and_out(demo: Demo) -> None:
    with chromium(demo.about["admin"], OUT) as browser:
        browser.open("/ui/tenants?prefix=press-0006")
        browser.one("#token").send_keys(demo.about["token"])
        browser.picture("login")
        assert browser.faults() == []
        browser.follow(browser.button("Log in"))
        assert browser.driver.current_url.endswith("/ui/tenants?prefix=press-0006")
        browser.until(lambda: browser.one("#link").get_attribute("data-state") == "live")
        demo("PUT", "/v1/tenants/press-00061/pin", {"slot": "green"})
        browser.until(lambda: "green" in browser.one("tbody").text)
        browser.open("/ui/tenants/press-00062")
        browser.follow(browser.button("Pin to green"))
        confirm(browser, "press-00062")
        assert where(demo, "press-00062") == ("green", "pin")
        assert browser.complaints() == []
        browser.open("/ui/tenants?prefix=press-0006")
        browser.until(lambda: browser.one("#link").get_attribute("data-state") == "live")
        for session in demo("GET", "/v1/sessions")["items"]:
            demo("DELETE", f"/v1/sessions/{session['session']}")
        # Ended elsewhere: the next that the page asks for itself leads to the log-in, and back.
        demo("PUT", "/v1/tenants/press-00063/pin", {"slot": "green"})
        browser.one("#token").send_keys(demo.about["token"])
        browser.follow(browser.button("Log in"))
        assert browser.driver.current_url.endswith("/ui/tenants?prefix=press-0006")
        browser.follow(browser.button("Log out"))
        browser.open("/ui/board")
        browser.says("Log in with a token")
