"""A real Chromium, driven by selenium: pages as a person with a keyboard, a phone or a dark room has them."""

import base64
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.common.exceptions import (
    NoSuchElementException,
    StaleElementReferenceException,
    TimeoutException,
)
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

AXE = Path(__file__).parent / "axe" / "axe.min.js"
SERIOUS = frozenset({"serious", "critical"})
WIDE, PHONE = (1280, 900), (320, 640)
PATIENCE_S = 20.0
NEWS = 20
"""So often at most the page is made anew while one reaches for a thing on it."""
NOT_YET = (NoSuchElementException, StaleElementReferenceException)


def missing() -> str:
    """Why no browser can be driven here; empty if one can."""
    for program in ("chromium", "chromedriver"):
        if shutil.which(program) is None:
            return f"{program} isn't installed: apt-get install chromium chromium-driver"
    return ""


class Found(WebElement):
    """An element that is looked for again if news have made it anew between the look and the hand."""

    def __init__(self, find: Callable[[], WebElement]) -> None:
        element = find()
        super().__init__(element.parent, element.id)
        self._find = find

    def click(self) -> None:
        """On what is there now. A click that came too late has hit nothing."""
        self._now(lambda element: element.click())

    def send_keys(self, *value: str) -> None:
        """To what is there now."""
        self._now(lambda element: element.send_keys(*value))

    def _now(self, act: Callable[[WebElement], None]) -> None:
        for _ in range(NEWS):
            try:
                act(WebElement(self.parent, self.id))
            except StaleElementReferenceException:
                self._id = self._find().id
            else:
                return
        raise AssertionError("the page is made anew all the time")


class Browser:
    """One window. pictures: where screenshots go."""

    def __init__(self, driver: webdriver.Chrome, address: str, pictures: Path) -> None:
        self.driver, self.address, self.pictures = driver, address, pictures
        self._size = WIDE

    def authorize(self, token: str) -> None:
        """Send this token with every request from now on."""
        self._command("Network.enable", {})
        headers = {"Authorization": f"Bearer {token}"}
        self._command("Network.setExtraHTTPHeaders", {"headers": headers})

    def scripts(self, enabled: bool) -> None:
        """Whether pages that are opened from now on may run scripts."""
        self._command("Emulation.setScriptExecutionDisabled", {"value": not enabled})

    def look(self, size: tuple[int, int] = WIDE, *, dark: bool = False) -> None:
        """A window of this inner size, on a device that prefers dark or light."""
        self._size = size
        self._resize(*size)
        feature = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._command("Emulation.setEmulatedMedia", {"features": [feature]})

    def open(self, path: str) -> float:
        """Go to the page; milliseconds until it was ready, by the browser's own clock."""
        self.driver.get(self.address + path)
        return self.ready_ms()

    def ready_ms(self) -> float:
        """From the beginning of the navigation until the document and its scripts were ready."""
        found: float = self.driver.execute_script(
            "const [n] = performance.getEntriesByType('navigation');"
            "return n.domContentLoadedEventEnd - n.startTime"
        )
        return found

    def picture(self, name: str) -> Path:
        """A screenshot of the whole page, in a window that is as tall as it."""
        self.pictures.mkdir(parents=True, exist_ok=True)
        path = self.pictures / f"{name}.png"
        tall: int = self.driver.execute_script("return document.documentElement.scrollHeight")
        width, height = self._size
        self._resize(width, max(height, tall))
        shot: dict[str, Any] = self._command("Page.captureScreenshot", {"format": "png"})
        self._resize(width, height)
        path.write_bytes(base64.b64decode(shot["data"]))
        return path

    def one(self, selector: str) -> WebElement:
        """The first element that fits, once there is one."""
        return self._found(By.CSS_SELECTOR, selector)

    def all(self, selector: str) -> list[WebElement]:
        """All that fit now."""
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def button(self, text: str) -> WebElement:
        """The button that says so, once there is one."""
        path = f"//button[normalize-space()={text!r}]"
        return self._found(By.XPATH, path)

    def _found(self, by: str, what: str) -> Found:
        def find() -> WebElement:
            element: WebElement = self.until(lambda: self.driver.find_element(by, what))
            return element

        return Found(find)

    def text(self) -> str:
        """What the page says."""
        return self.one("main").text

    def until(self, condition: Callable[[], Any]) -> Any:
        """What the condition gives, once that is something. AssertionError shows the page."""
        wait = WebDriverWait(self.driver, PATIENCE_S, 0.05, ignored_exceptions=NOT_YET)
        try:
            return wait.until(lambda _: condition())
        except TimeoutException:
            text = self.driver.find_element(By.TAG_NAME, "body").text
            raise AssertionError(f"{self.driver.current_url} says: {text}") from None

    def says(self, text: str) -> None:
        """Wait until the page says so."""
        self.until(lambda: text in self.one("body").text)

    def left(self) -> Callable[[], bool]:
        """Call it to find out whether the page that is shown now has been left."""
        self.driver.execute_script("window.turnoutSeen = true")
        return lambda: not self.driver.execute_script("return Boolean(window.turnoutSeen)")

    def follow(self, element: WebElement) -> None:
        """Click, and wait for the page that it leads to."""
        gone = self.left()
        element.click()
        self.until(gone)

    def press(self, *keys: str) -> None:
        """Keys to whatever has the focus."""
        for key in keys:
            self.driver.switch_to.active_element.send_keys(key)

    def tab_to(self, condition: Callable[[WebElement], bool], limit: int = 200) -> WebElement:
        """Press Tab until the focus is on what is wanted. AssertionError: it can't be reached."""
        for _ in range(limit):
            self.press(Keys.TAB)
            here = self.driver.switch_to.active_element
            if condition(here):
                return here
        raise AssertionError("the keyboard doesn't get there")

    def faults(self) -> list[str]:
        """What axe-core finds on the page that is serious or critical, a sentence each."""
        self.driver.execute_script(AXE.read_text("utf-8"))
        found: dict[str, Any] = self.driver.execute_async_script(
            "const done = arguments[arguments.length - 1];"
            "axe.run(document, {resultTypes: ['violations']}).then(done, e => done({error: String(e)}))"
        )
        assert "error" not in found, found
        return [
            f"{each['id']} ({each['impact']}): {each['help']}: "
            + json.dumps(
                [node["html"][:160] + " " + node["failureSummary"] for node in each["nodes"][:3]]
            )
            for each in found["violations"]
            if each["impact"] in SERIOUS
        ]

    def overflow(self) -> list[str]:
        """What sticks out of the window sideways, beside what scrolls by itself."""
        found: list[str] = self.driver.execute_script(
            "const wide = document.documentElement.clientWidth;"
            "if (document.documentElement.scrollWidth <= wide) return [];"
            "return [...document.querySelectorAll('body *')].filter(e =>"
            " e.getBoundingClientRect().right > wide + 1 && !e.closest('.scroll, .hidden, .skip'))"
            ".slice(0, 5).map(e => e.outerHTML.slice(0, 120))"
        )
        return found

    def complaints(self) -> list[str]:
        """What the browser's console has complained of since it was last asked."""
        return [
            each["message"]
            for each in self.driver.get_log("browser")
            if each["level"] in {"SEVERE", "WARNING"}
        ]

    def _resize(self, width: int, height: int) -> None:
        about = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self._command("Emulation.setDeviceMetricsOverride", about)

    def _command(self, name: str, about: dict[str, Any]) -> Any:
        return self.driver.execute_cdp_cmd(name, about)


@contextmanager
def chromium(address: str, pictures: Path) -> Iterator[Browser]:
    """A browser without a screen, for as long as the block runs."""
    options = Options()
    options.binary_location = shutil.which("chromium") or ""
    for flag in (
        "--headless=new",
        "--no-sandbox",  # tests may run as root, in a container
        "--disable-dev-shm-usage",
        "--disable-gpu",
        "--disable-background-networking",
        "--force-device-scale-factor=1",
    ):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = Service(shutil.which("chromedriver"))
    driver = webdriver.Chrome(options=options, service=service)
    try:
        driver.set_page_load_timeout(PATIENCE_S)
        driver.set_script_timeout(PATIENCE_S)
        yield Browser(driver, address, pictures)
    finally:
        driver.quit()
