"""The documents say what the program does: their names, links, codes and figures are compared.

What is compared is what a reader would copy: commands, targets, settings and their defaults,
metrics, problem codes, calls, paths, permissions. Prose is not.
"""

import ast
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from functools import cache
from io import StringIO
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from admin.__main__ import main as admin_main
from admin.api.app import ROUTES
from admin.api.metrics import GAUGES, SLOT_GAUGES, Metrics
from admin.api.problems import CODES
from admin.cli.main import main
from admin.migrations.__main__ import main as worker_main
from admin.notify.events import EVENTS as NOTIFIED
from admin.routing.events import KINDS
from bench.switch.options import parse as parse_switch
from proxy.__main__ import main as proxy_main
from proxy.config import Settings
from proxy.management import Cells
from proxy.observability import telemetry
from proxy.observability.key_sets import KeySets
from proxy.observability.telemetry import Telemetry, TenantCount
from proxy.observability.tenants import Tenants
from proxy.supervision import listening

ROOT = Path(__file__).parents[2]
FOLDERS = ("docs", "deploy", "examples")
PAGES = sorted([*ROOT.glob("*.md"), *(p for f in FOLDERS for p in (ROOT / f).rglob("*.md"))])
UNITS = sorted((ROOT / "deploy" / "systemd").glob("*.s*"))
OPERATIONS = (ROOT / "docs" / "operations.md").read_text("utf-8")
API = (ROOT / "docs" / "api.md").read_text("utf-8")
SETTINGS: dict[str, Any] = tomllib.loads((ROOT / "config" / "turnout.toml").read_text("utf-8"))

FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
SECTIONS = ("proxy.", "admin.", "identity.", "timeouts.", "limits.", "follow.", "supervision.")
MADE_BY_RUNNING = ("bench/out", "conformance/out")


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def inline(text: str) -> list[str]:
    """What stands between backticks, white space collapsed."""
    return [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", FENCE.sub("", text))]


def code_lines(text: str) -> list[str]:
    """The lines of fenced and of indented code."""
    fenced = [line for block in FENCE.findall(text) for line in block.splitlines()[1:-1]]
    indented = [line for line in text.splitlines() if line.startswith("    ")]
    return [line.strip() for line in fenced + indented]


def code(text: str) -> list[str]:
    return inline(text) + code_lines(text)


def words(tail: str) -> list[str]:
    """A command's words, up to what the shell takes for itself."""
    try:
        found = shlex.split(tail, comments=True)
    except ValueError:
        found = tail.split()
    ends = [i for i, word in enumerate(found) if word[0:1] in "|&;>" or word.endswith(")")]
    return found[: ends[0] + found[ends[0]].endswith(")")] if ends else found


def calls(program: str, text: str) -> Iterator[list[str]]:
    """The words of each call of a program: at a line's begin, in $(…), after &&, or by its path."""
    pattern = re.compile(rf"(?:^|\$\(|&& |\|\| |bin/|docker run … ){program}(?= |$)(.*)")
    for snippet in code(text):
        for match in pattern.finditer(snippet):
            yield [word.removesuffix(")") for word in words(match[1])]


def flattened(table: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in table.items():
        inner = isinstance(value, dict) and value  # an empty one is a value
        found |= flattened(value, f"{prefix}{key}.") if inner else {f"{prefix}{key}": value}
    return found


def section(text: str, title: str) -> str:
    """A part of a page, from its heading to the next of its level or above."""
    level = re.search(rf"^(#+) {re.escape(title)}$", text, re.MULTILINE)
    assert level, title
    rest = text[level.end() :]
    following = re.search(rf"^#{{1,{len(level[1])}}} ", rest, re.MULTILINE)
    return rest[: following.start()] if following else rest


def rows(text: str) -> list[list[str]]:
    """The rows of all tables, cell by cell."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


# ── every page ────────────────────────────────────────────────────────────────────────────────


def slugs(text: str) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", FENCE.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path):
    for target in LINK.findall(FENCE.sub("", page.read_text("utf-8"))):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        found = (page.parent / path) if path else page
        assert found.exists(), target
        if anchor:
            assert anchor in slugs(found.read_text("utf-8")), target


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_paths_exist(page: Path):
    tops = "proxy|admin|config|bench|docs|deploy|tests|examples"
    for span in inline(page.read_text("utf-8")):
        is_path = re.fullmatch(rf"(?:{tops})/[\w./-]*", span)
        if is_path and not span.startswith(MADE_BY_RUNNING):
            assert (ROOT / span).exists(), span


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_settings_are_in_the_reference(page: Path):
    known = set(flattened(SETTINGS))
    for span in inline(page.read_text("utf-8")):
        if not span.startswith(SECTIONS) or not re.fullmatch(r"[a-z_0-9.]+", span):
            continue
        module = ROOT / span.replace(".", "/")
        is_module = module.exists() or module.with_suffix(".py").exists()
        assert is_module or {span, f"proxy.{span}"} & known, span


@cache
def sources() -> str:
    packages = ("proxy", "admin", "config")
    paths = [path for package in packages for path in (ROOT / package).rglob("*.py")]
    return "".join(path.read_text("utf-8") for path in paths)


@pytest.mark.parametrize("page", [*PAGES, *UNITS], ids=name_of)
def test_environment_variables_are_read_by_something(page: Path):
    of_settings = {f"TURNOUT_{name.upper().replace('.', '_')}" for name in flattened(SETTINGS)}
    for variable in set(re.findall(r"TURNOUT_[A-Z][A-Z_]*[A-Z]", page.read_text("utf-8"))):
        assert variable in of_settings or f'"{variable}"' in sources(), variable


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_make_targets_exist(page: Path):
    makefile = (ROOT / "Makefile").read_text("utf-8")
    targets = set(re.findall(r"^([a-z][a-z-]*):", makefile, re.MULTILINE))
    for call in calls("make", page.read_text("utf-8")):
        named = {word for word in call if re.fullmatch(r"[a-z][a-z-]*", word)}
        assert named <= targets, named - targets


PROCESSES: dict[tuple[str, ...], Callable[[list[str]], object]] = {
    ("admin",): admin_main,
    ("proxy",): proxy_main,
    ("worker",): worker_main,
    ("bench", "switch"): parse_switch,
}
"""Commands that become another process, and that process's own."""


@cache
def help_of(*path: str) -> str:
    """What the command's --help prints."""
    if path in PROCESSES:
        said = StringIO()
        with pytest.raises(SystemExit) as ended, redirect_stdout(said):
            PROCESSES[path](["--help"])
        assert ended.value.code == 0
        return said.getvalue()
    result = CliRunner().invoke(main, [*path, "--help"])
    assert result.exit_code == 0, path
    return result.output


def command_of(call: list[str]) -> tuple[list[str], list[str], click.Command]:
    """The way to the command that a call names, the words that follow, and the command."""
    path: list[str] = []
    rest = list(call)
    command: click.Command = main
    while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
        for name in rest[0].split("|"):
            found = command.get_command(click.Context(command), name)
            assert found is not None, " ".join(["turnout", *path, name])
        path.append(rest.pop(0).split("|")[0])
        command = command.get_command(click.Context(command), path[-1]) or command
    return path, rest, command


@pytest.mark.parametrize("page", [*PAGES, *UNITS], ids=name_of)
def test_commands_parse(page: Path):
    text = page.read_text("utf-8")
    text = "\n".join(f"    {line}" for line in text.splitlines()) if page in UNITS else text
    for call in calls("turnout", text):
        if call and (call[0] == "…" or re.fullmatch(r"-[hV]", call[0])):
            continue
        path, rest, command = command_of(call)
        said = help_of(*path)
        for option in [word.partition("=")[0] for word in rest if word.startswith("-")]:
            assert option in said, " ".join(call)
        is_example = rest and not re.search(r"[A-Z…$]", " ".join(rest))
        if is_example and path not in (["proxy"], ["admin"]) and "--help" not in rest:
            command.make_context("turnout", list(rest))


def test_calls_are_found_where_they_stand():
    text = (
        "`turnout canary\nset 5`\n\n    x=$(turnout routing show --json | jq .version)\n\n"
        "```sh\n/opt/bin/turnout proxy --check && make check\n```\n`pg_dump -n turnout turnout`"
    )
    assert list(calls("turnout", text)) == [
        ["canary", "set", "5"],
        ["proxy", "--check"],
        ["routing", "show", "--json"],
    ]
    assert list(calls("make", text)) == [["check"]]


# ── docs/operations.md ────────────────────────────────────────────────────────────────────────


def exposed() -> dict[str, set[str]]:
    """Each metric of both /metrics with its labels, by the name that a query uses."""
    cells = Telemetry(1)
    cells.blocks[0].cells[telemetry.STATE] = telemetry.SERVING
    TenantCount("acme", 0, cells.blocks[0].tenants).finished(200, 1)
    Tenants(cells.blocks[0], 1).sweep(0.0)
    KeySets(cells.blocks[0].key_sets).adopt(["https://issuer.test"])
    cells.blocks[0].cells[telemetry.PID] = os.getpid()
    cells.blocks[0].cells[telemetry.CERTIFICATE_EXPIRES] = 1
    admin = Metrics()
    admin.watch(lambda: dict.fromkeys(GAUGES, 0.0))
    admin.watch_slots(lambda: [(name, "blue", "any", 1) for name in SLOT_GAUGES])
    admin.requests.labels("GET", "/v1/routing", 200).inc()
    admin.changes.labels("pin", "true").inc()
    admin.count_notification("chat", "sent")
    found = {}
    for metric in [*Cells(cells).collect(), *admin.registry.collect()]:
        labels = {label for sample in metric.samples for label in sample.labels}
        found[f"{metric.name}{'_total' if metric.type == 'counter' else ''}"] = labels - {"le"}
    return found


def test_metrics_are_those_that_are_exposed():
    listed = {
        row[0].strip("`"): set(filter(None, row[1].split(", ")))
        for row in rows(section(OPERATIONS, "Metrics"))
        if row[0].startswith("`turnout_")
    }
    assert listed == exposed()


def own_answers() -> dict[str, int]:
    """Every code that the data plane answers with, as written in its source."""
    found: dict[str, int] = {}
    for path in (ROOT / "proxy").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
                continue
            given = [arg.value for arg in node.args[:2] if isinstance(arg, ast.Constant)]
            named = node.func.id in {"LocalReply", "Refuse", "Rejected"} and len(given) == 2
            if named and isinstance(given[0], int):
                found[str(given[1])] = given[0]
    return found


def listed_codes(text: str) -> dict[str, int]:
    return {
        row[0].strip("`"): int(row[1])
        for row in rows(text)
        if len(row) > 2 and re.fullmatch(r"`[a-z-]+`", row[0]) and row[1].isdigit()
    }


def test_codes_of_the_proxy_are_those_in_its_source():
    assert own_answers()["tenant-conflict"] == 403
    assert listed_codes(section(OPERATIONS, "Codes that the proxy answers itself")) == own_answers()


def test_defaults_are_those_of_the_reference():
    known = flattened(SETTINGS)
    listed = [row for row in rows(section(OPERATIONS, "Limits and time-outs")) if "`" in row[0]]
    assert len(listed) > 30
    for name, default, _ in listed:
        assert default == str(known[name.strip("`")]), name


def test_every_limit_and_time_out_of_the_proxy_is_listed():
    listed = {row[0].strip("`") for row in rows(section(OPERATIONS, "Limits and time-outs"))}
    groups = ("proxy.limits.", "proxy.timeouts.", "proxy.follow.")
    assert {name for name in flattened(SETTINGS) if name.startswith(groups)} <= listed


@pytest.mark.parametrize(
    ("user", "source", "client", "scripts"),
    [
        ("turnout-proxy", "proxy/follow.py", "client", "proxy"),
        ("turnout-proxy", "proxy/keeper.py", "client", "proxy"),
        ("turnout-proxy", "proxy/store.py", "client", "proxy"),
        ("turnout-admin", "admin/routing/publish.py", "self._redis", "admin/routing"),
        ("turnout-admin", "admin/routing/fleet.py", "pubsub", "admin/routing"),
    ],
)
def test_redis_users_may_do_what_the_planes_do(user: str, source: str, client: str, scripts: str):
    line = next(line for line in OPERATIONS.splitlines() if f"user {user} " in line)
    granted = {word[1:] for word in line.split() if word.startswith("+")}
    lua = "".join(path.read_text("utf-8") for path in (ROOT / scripts).glob("*.lua"))
    sent = {name.lower() for name in re.findall(r"redis\.call\('(\w+)'", lua)}
    text = (ROOT / source).read_text("utf-8")
    sent |= set(re.findall(rf"{re.escape(client)}\.([a-z_]+)\(", text))
    not_commands = {"aclose", "register_script", "get_message"}
    assert len(sent) > 5
    assert sent - not_commands <= granted


# ── docs/api.md ───────────────────────────────────────────────────────────────────────────────


def test_problem_codes_are_the_admin_s():
    assert listed_codes(section(API, "Errors")) == {
        code: status for code, (status, _) in CODES.items()
    }


def test_calls_are_the_admin_s_routes():
    named = {
        f"{method} {path}"
        for method, path in re.findall(r"\b(GET|PUT|POST|DELETE) (/v1/[\w/{}-]+(?:\.html)?)", API)
    }
    assert named == {
        f"{route.method} {route.path}" for route in ROUTES if route.path.startswith("/v1/")
    }


def test_notifications_are_those_that_there_are():
    text = (ROOT / "docs/releases/gates.md").read_text()
    rows = re.findall(
        r"^\| `([a-z-]+)` \| (.+) \|$", text.partition("| event | told when |")[2], re.MULTILINE
    )
    assert dict(rows) == dict(NOTIFIED)


def test_events_are_those_that_are_told():
    listed = {row[0].strip("`") for row in rows(section(API, "Events")) if "`" in row[0]}
    assert listed == set(KINDS)


# ── deploy/systemd ────────────────────────────────────────────────────────────────────────────


def test_systemd_waits_longer_than_the_drain():
    for unit, needed in (
        (
            "turnout-proxy",
            SETTINGS["proxy"]["timeouts"]["drain_s"]
            + SETTINGS["proxy"]["timeouts"]["linger_s"]
            + 10,
        ),
        ("turnout-admin", SETTINGS["admin"]["shutdown_timeout_s"] + 5),
    ):
        text = (ROOT / "deploy" / "systemd" / f"{unit}.service").read_text("utf-8")
        limit = re.search(r"^TimeoutStopSec=(\d+)$", text, re.MULTILINE)
        assert limit, unit
        assert int(limit[1]) >= needed, unit


def test_systemd_s_watchdog_is_slower_than_the_supervisor_s():
    text = (ROOT / "deploy" / "systemd" / "turnout-proxy.service").read_text("utf-8")
    limit = re.search(r"^WatchdogSec=(\d+)$", text, re.MULTILINE)
    assert limit
    assert int(limit[1]) >= SETTINGS["proxy"]["supervision"]["stall_s"]


def test_the_units_sockets_are_those_that_the_proxy_takes():
    units = [path.read_text("utf-8") for path in UNITS if path.suffix == ".socket"]
    names = {re.findall(r"^FileDescriptorName=(.*)$", text, re.MULTILINE)[0] for text in units}
    wanted = {each.name: each.address for each in listening.wanted(Settings())}
    found = {
        name: re.findall(r"^ListenStream=(.*)$", text, re.MULTILINE)[0]
        for text in units
        for name in names
        if f"FileDescriptorName={name}\n" in text
    }
    assert found == wanted


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_takes_the_units(tmp_path: Path):
    for unit in UNITS:
        # The program and its users are not installed here.
        text = re.sub(r"/opt/turnout/bin/turnout", sys.executable, unit.read_text("utf-8"))
        (tmp_path / unit.name).write_text(
            re.sub(r"^(User|Group)=.*$", "", text, flags=re.MULTILINE)
        )
    said = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *sorted(tmp_path.iterdir())],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (said.returncode, said.stderr) == (0, "")
