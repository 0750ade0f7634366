"""The demo with ten thousand tenants, and a browser on its dashboard: one for all tests that can share it.

Screenshots stay in tests/browser/out. Without Chromium these tests are skipped; TEST_BROWSER=1
makes that a failure.
"""

import json
import os
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.chromium import WIDE, Browser, chromium, missing
from tests.support.ports import free_ports
from tests.support.processes import Children

OUT = Path(__file__).parent / "out"
TENANTS = 10_000
STEP_S = 120.0


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip all of this folder where no browser can be driven, and say why."""
    reason = missing()
    if reason and not os.environ.get("TEST_BROWSER"):
        here = Path(__file__).parent
        for item in items:
            if here in item.path.parents:
                item.add_marker(pytest.mark.skip(reason=reason))


@dataclass
class Demo:
    """The running demo: its API, and where its proxy listens."""

    about: dict[str, Any]
    port: int

    def __call__(self, method: str, path: str, body: Any = None) -> Any:
        """One call of the API; its document."""
        request = urllib.request.Request(
            self.about["admin"] + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={
                "Authorization": f"Bearer {self.about['token']}",
                "Content-Type": "application/json",
            },
        )
        try:
            with urllib.request.urlopen(request, timeout=STEP_S) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return json.load(error)

    def ask(self, tenant: str) -> str:
        """One request through the proxy; the slot that answered."""
        url = f"{self.about['proxy']}/api/jobs"
        request = urllib.request.Request(url, headers={"X-Tenant-ID": tenant})
        with urllib.request.urlopen(request, timeout=STEP_S) as answer:
            return str(answer.headers["X-Turnout-Slot"])

    def version(self) -> int:
        return int(self("GET", "/v1/canary")["version"])


@pytest.fixture(scope="package")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """The demo, with tenants press-00000 to press-09999, some of them with traffic.

    Not of the session: its servers and workers would keep a machine busy until the last test.
    """
    folder = tmp_path_factory.mktemp("browser")
    data, children, ports = folder / "demo", Children(folder), free_ports(3)
    names = ("--proxy-port", "--admin-port", "--management-port")
    given = ["--rate", "0"] + [
        word for pair in zip(names, map(str, ports), strict=True) for word in pair
    ]
    try:
        child = children(sys.executable, "-m", "admin.cli", "demo", "--data", data, *given)
        child.wait_line("Turnout is ready", STEP_S)
        found = Demo(json.loads((data / "demo.json").read_text("utf-8")), ports[0])
        fill(found)
        yield found
    finally:
        children.stop()


def fill(demo: Demo) -> None:
    """Ten thousand tenants, what the slots run, and a little traffic."""
    operations = [{"op": "register", "tenant": f"press-{n:05}"} for n in range(TENANTS)]
    made = demo("POST", "/v1/routing/changes", {"operations": operations, "timeout_ms": 60_000})
    assert made["converged"], made
    for slot, version in (("blue", "1.2.0"), ("green", "1.3.0")):
        demo("PUT", f"/v1/slots/{slot}/version", {"version": version})
    for number in range(20):
        for _ in range(20 - number):
            demo.ask(f"press-{number:05}")
    deadline = time.monotonic() + STEP_S
    while demo("GET", "/v1/traffic")["requests"] < 210:
        assert time.monotonic() < deadline, "the workers don't tell of their traffic"
        time.sleep(0.1)


@pytest.fixture(scope="package")
def browser(demo: Demo) -> Iterator[Browser]:
    """A browser that sends the demo's token."""
    with chromium(demo.about["admin"], OUT) as found:
        found.authorize(demo.about["token"])
        found.look(WIDE)
        yield found
