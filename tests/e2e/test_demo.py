"""`turnout demo` as a person starts it, and as a script does."""

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from admin.demo import tour
from tests.support.ports import free_ports
from tests.support.processes import Child, Children, wait_gone

READY_S = 60.0
END_S = 30.0
PASTED_S = 200.0
"""A warning, as a busy machine gives cause for, stops the clock of a release's step."""
PARTS = {"demo", "load", "proxy", "admin", "blue-1", "green-1", "postgres", "redis"}


class Demo:
    """A running demo."""

    def __init__(self, child: Child, data: Path) -> None:
        self.child, self.data = child, data

    @property
    def about(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.data / "demo.json").read_text("utf-8"))
        return found

    def versions(self) -> dict[str, str]:
        """What the instances of the example ERP say that they run."""
        found = {}
        for slot, (endpoint,) in self.about["endpoints"].items():
            with urllib.request.urlopen(f"http://{endpoint}/health", timeout=10) as answer:
                found[slot] = json.load(answer)["version"]
        return found

    def processes(self) -> set[int]:
        """All that belongs to it: its parts, their children, and theirs."""
        pids = set(self.about["pids"].values())
        return pids | {child for pid in pids for child in descendants(pid)}


def descendants(pid: int) -> Iterator[int]:
    for task in Path("/proc", str(pid), "task").glob("*"):
        for child in (task / "children").read_text().split():
            yield int(child)
            yield from descendants(int(child))


def command_line(pid: int) -> str:
    return Path("/proc", str(pid), "cmdline").read_text(errors="replace").replace("\0", " ")


def gone(pids: set[int], seconds: float) -> set[int]:
    """Wait until none of them lives; those that still do."""
    deadline = time.monotonic() + seconds
    return {pid for pid in pids if not wait_gone(pid, max(0.0, deadline - time.monotonic()))}


Start = Callable[..., Child]


@pytest.fixture
def start(spawn: Children, tmp_path: Path) -> Start:
    """Starts `turnout demo` on free ports, in a folder of its own."""

    def start(*arguments: str, data: str = "demo", **more: Any) -> Child:
        proxy, admin, management = free_ports(3)
        return spawn(
            *(sys.executable, "-m", "admin.cli", "demo", "--data", tmp_path / data),
            *("--proxy-port", str(proxy), "--admin-port", str(admin)),
            *("--management-port", str(management), "--workers", "2", *arguments),
            name=data,
            **more,
        )

    return start


async def ready(child: Child, data: Path) -> Demo:
    await child.line("^Turnout is ready after [0-9.]+ s", READY_S)
    return Demo(child, data)


def paste(command: str, demo: Demo, folder: Path) -> subprocess.CompletedProcess[str]:
    """The command in a shell of its own, as in a second terminal."""
    home = {"PATH": os.environ["PATH"], "HOME": str(folder), "LANG": "C.UTF-8"}
    line = f"{tour.first_line(demo.data / 'env')}\n{command}\n"
    return subprocess.run(
        ["bash", "-c", line],
        cwd=folder,
        env=home,
        capture_output=True,
        text=True,
        timeout=PASTED_S,
        check=False,
    )


async def deployed(demo: Demo) -> None:
    """Wait until the release asks for its signature: who types is slower than its deployment."""
    while True:
        done = await asyncio.to_thread(paste, "turnout release status --json", demo, demo.data)
        if (state := json.loads(done.stdout)["state"]) == "validating":
            return
        assert state in {"planned", "deploying"}, done.stdout


@pytest.mark.timeout(600)
async def test_what_it_says_is_true_its_tour_works_and_ctrl_c_leaves_nothing(
    start: Start, tmp_path: Path
):
    child = start()
    demo = await ready(child, tmp_path / "demo")
    about = demo.about
    assert set(about) == {
        *("proxy", "admin", "management", "token"),
        *("redis_url", "database_url", "endpoints", "pids"),
    }
    assert set(about["pids"]) == PARTS
    assert [len(about["endpoints"][slot]) for slot in ("blue", "green")] == [1, 1]
    for name in ("demo.json", "turnout.toml", "env"):
        assert (demo.data / name).stat().st_mode & 0o777 == 0o600
    await child.line("Ctrl-C ends it all")
    said = child.output()
    for part in (about["proxy"], f"{about['admin']}/docs", f"{about['management']}/metrics"):
        assert part in said
    assert about["token"] in said

    codes: dict[str, list[int]] = {}
    for step in tour.STEPS:
        codes.setdefault(step.command, []).append(step.code)
    shown: dict[str, list[str]] = {}
    for command in tour.commands(said):
        done = await asyncio.to_thread(paste, command, demo, tmp_path)
        expected = codes[command].pop(0) if command in codes else 0
        assert (done.returncode, done.stderr) == (expected, ""), (command, done)
        shown.setdefault(command, []).append(done.stdout)
        if command.startswith("turnout release start"):
            await deployed(demo)
    acme, quarto = tour.WHERE.format(tenant="acme"), tour.WHERE.format(tenant="quarto")
    assert [text.strip() for text in shown[acme]] == [
        "X-Turnout-Slot: blue",
        "X-Turnout-Slot: green",
    ]
    assert [text.strip() for text in shown[quarto]] == ["X-Turnout-Slot: green"]
    assert "linotype → green (canary)" in shown["turnout tenants explain linotype"][0]
    back, through = shown["turnout release watch"]
    assert "rolled-back" in back
    assert "requests fail" in back
    assert through.strip().endswith("done")
    assert (tmp_path / "report.html").stat().st_size > 1000
    assert demo.versions() == {"blue": "1.3.0", "green": "1.3.0"}
    assert "would move to green" in shown["turnout tenants explain quarto --weight 50"][0]

    everything = demo.processes()
    assert len(everything) > len(PARTS) + 2
    urls = about["redis_url"] + about["database_url"]
    secrets = [about["token"], *re.findall(":([^:@/]+)@", urls)]
    assert len(secrets) == 3
    for pid in everything:
        assert not any(secret in command_line(pid) for secret in secrets), command_line(pid)
    child.send(signal.SIGINT)
    assert await child.ended(END_S) == 0
    assert gone(everything, 0) == set()
    assert not (demo.data / "demo.json").exists()
    assert not (demo.data / "env").exists()


@pytest.mark.timeout(240)
async def test_a_second_run_in_the_folder_keeps_what_was_decided(start: Start, tmp_path: Path):
    for number in range(2):
        child = start("--no-erp")
        demo = await ready(child, tmp_path / "demo")
        assert demo.about["endpoints"] == {"blue": [], "green": []}
        assert "The tour" not in child.output()
        if number == 0:
            command = "turnout tenants pin acme green; echo $TURNOUT_TOKEN > token"
            assert paste(command, demo, tmp_path).returncode == 0
        else:
            # The token of the first run is still good: its secret was kept.
            command = 'TURNOUT_TOKEN="$(cat token)" turnout tenants list --json'
            done = paste(command, demo, tmp_path)
            assert [item["pinned"] for item in json.loads(done.stdout)["items"]] == ["green"]
        child.send(signal.SIGTERM)
        assert await child.ended(END_S) == 0


@pytest.mark.timeout(240)
async def test_two_demos_live_side_by_side(spawn: Children, tmp_path: Path):
    command = (sys.executable, "-m", "admin.cli", "demo", "--no-erp", "--workers", "1")
    children = [spawn(*command, cwd=tmp_path, name=f"demo-{number}") for number in range(2)]
    for child in children:
        await child.line("^Turnout is ready", READY_S)
    both = [Demo(children[0], tmp_path / ".turnout" / name) for name in ("demo", "demo-2")]
    ports = [demo.about[part] for demo in both for part in ("proxy", "admin", "management")]
    assert len(set(ports)) == 6
    paste("turnout tenants pin acme green", both[0], tmp_path)
    listed = paste("turnout tenants list --json", both[1], tmp_path)
    assert json.loads(listed.stdout)["items"] == []
    assert any("demo-2" in child.output() for child in children)


@pytest.mark.timeout(240)
async def test_kill_9_of_the_demo_leaves_nothing(start: Start, tmp_path: Path):
    child = start()
    demo = await ready(child, tmp_path / "demo")
    everything = demo.processes()
    child.send(signal.SIGKILL)
    await child.ended()
    assert await asyncio.to_thread(gone, everything, END_S) == set()
    # And the folder can be used again.
    again = start("--no-erp")
    await ready(again, tmp_path / "demo")


@pytest.mark.timeout(240)
async def test_a_second_ctrl_c_hurries(start: Start, tmp_path: Path):
    child = start("--no-erp")
    demo = await ready(child, tmp_path / "demo")
    everything = demo.processes()
    # A proxy that doesn't drain holds up the end.
    os.kill(demo.about["pids"]["proxy"], signal.SIGSTOP)
    child.send(signal.SIGINT)
    await child.line("^Stopping")
    child.send(signal.SIGINT)
    assert await child.ended(END_S) == 130
    assert await asyncio.to_thread(gone, everything, END_S) == set()


@pytest.mark.timeout(240)
async def test_a_part_that_does_not_end_is_killed_with_its_children(start: Start, tmp_path: Path):
    child = start("--no-erp")
    demo = await ready(child, tmp_path / "demo")
    everything = demo.processes()
    proxy = {pid for pid in everything if " proxy " in command_line(pid)}
    assert len(proxy) == 4
    for pid in proxy:
        os.kill(pid, signal.SIGSTOP)
    child.send(signal.SIGINT)
    assert await child.ended(END_S) == 0
    assert gone(everything, 1) == set()


@pytest.mark.timeout(240)
async def test_a_part_that_is_killed_comes_back(start: Start, tmp_path: Path):
    child = start()
    demo = await ready(child, tmp_path / "demo")
    before = demo.about["pids"]
    for name in ("admin", "redis", "green-1"):
        os.kill(before[name], signal.SIGKILL)
    for name in ("admin", "redis", "green-1"):
        await child.line(f"^turnout: {name} is back after", END_S)
    await child.until(lambda: demo.about["pids"]["admin"] != before["admin"], "told the new pids")
    assert demo.about["pids"]["proxy"] == before["proxy"]
    done = paste("turnout cutover green && " + tour.WHERE.format(tenant="acme"), demo, tmp_path)
    assert done.returncode == 0, done
    assert "X-Turnout-Slot: green" in done.stdout


@pytest.mark.timeout(240)
async def test_load_without_a_terminal_is_a_line_a_second_without_errors(
    start: Start, tmp_path: Path
):
    child = start("--load", "--rate", "100")
    demo = await ready(child, tmp_path / "demo")
    await child.line("blue 40 tenants", END_S)
    done = paste("turnout canary set 25 && turnout cutover green", demo, tmp_path)
    assert done.returncode == 0, done
    await child.line("blue 0 tenants .* green 40 tenants .* active green", END_S)
    child.send(signal.SIGINT)
    assert await child.ended(END_S) == 0
    lines = re.findall(r"^ *\d+ s +\d+ req/s +(\d+) errors .*", child.output(), re.MULTILINE)
    assert len(lines) >= 2
    assert set(lines) == {"0"}, child.output()
    assert (demo.data / "logs" / "load.log").read_text() == ""


@pytest.mark.timeout(120)
async def test_a_named_port_that_is_taken_is_an_error_that_names_its_holder(
    spawn: Children, tmp_path: Path
):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        child = spawn(
            *(sys.executable, "-m", "admin.cli", "demo", "--data", tmp_path / "demo"),
            *("--admin-port", port),
            name="demo",
        )
        assert await child.ended(END_S) == 1
    assert f"the admin can't listen on port {port}" in child.output()
    assert f"(process {os.getpid()})" in child.output()


@pytest.mark.timeout(120)
async def test_a_part_that_cannot_start_ends_the_demo_with_its_last_words(
    start: Start, tmp_path: Path
):
    data = tmp_path / "demo"
    (data / "postgres" / "data").mkdir(parents=True)
    (data / "postgres" / "password").write_text("x")
    child = start()
    assert await child.ended(END_S) == 1
    assert re.search("^turnout: postgres .* at its start", child.output(), re.MULTILINE)
    assert "Turnout is ready" not in child.output()
    assert "Nothing is left running" in child.output()


@pytest.mark.timeout(120)
async def test_as_json_stdout_carries_the_description_alone(start: Start, tmp_path: Path):
    # The child's stderr goes to its log too, so this one is started by hand.
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "admin.cli", "demo", "--json", "--no-erp", "--duration", "1s"),
        *("--data", str(tmp_path / "demo"), "--workers", "1"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(90):
        out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    assert json.loads(out)["proxy"].startswith("http://127.0.0.1:")
    assert b"Turnout is ready" in err
