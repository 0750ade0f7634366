"""`turnout proxy --check`: exact messages, and what only the machine can tell."""

import os
import socket
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest

from config import Shared, examine
from proxy.__main__ import main
from proxy.config import Limits, Settings
from proxy.supervision import files
from proxy.supervision.check import look

HARD = files.hard_limit()
FEW = "[proxy.limits]\nconnections = 100\n"


class Result(NamedTuple):
    """What the command said."""

    exit_code: int
    stdout: str
    stderr: str

    @property
    def output(self) -> str:
        return self.stdout + self.stderr


Check = Callable[..., Result]


@pytest.fixture
def check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Check:
    """Runs the command on a file `turnout.toml` with this text, whose mode is 0600."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("TURNOUT_")]:
        monkeypatch.delenv(name)

    def run(text: str, *arguments: str, mode: int = 0o600) -> Result:
        path = Path("turnout.toml")
        path.write_text(text)
        path.chmod(mode)
        code = main(["--check", "--config", str(path), *arguments])
        return Result(code, *capsys.readouterr())

    return run


@pytest.fixture
def taken() -> Iterator[str]:
    """An address at which somebody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"127.0.0.1:{listening.getsockname()[1]}"


FREE = 'listen = "127.0.0.1:0"\nmanagement_listen = "127.0.0.1:0"\n'


def test_good_settings(check: Check) -> None:
    result = check(f"[proxy]\n{FREE}{FEW}")
    assert (result.exit_code, result.output) == (0, "the settings are good\n")


def test_bad_settings(check: Check) -> None:
    result = check(
        '[proxy]\nlisten = "nowhere"\nworkers = -1\n'
        '[proxy.timeouts]\nconnect_s = "soon"\nhead = 1\nlinger_s = 0\n'
        '[proxy.identity.jwt]\nalgorithms = ["none"]\n'
    )
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr == (
        "turnout.toml:2: [proxy] listen: 'nowhere' is not host:port\n"
        "turnout.toml:3: [proxy] workers: lies between 0 (one per core) and 256\n"
        "turnout.toml:5: [proxy.timeouts] connect_s: expected number, got string\n"
        "turnout.toml:6: [proxy.timeouts] head: unknown setting; did you mean head_s?\n"
        "turnout.toml:7: [proxy.timeouts] linger_s: lies above 0 and at most a day\n"
        "turnout.toml:9: [proxy.identity.jwt] algorithms: item 1: "
        "not one of HS256, HS384, HS512, RS256, RS384, RS512, PS256, PS384, PS512, "
        "ES256, ES384, EdDSA\n"
    )


def test_for_programs(check: Check) -> None:
    result = check("[proxy]\nworkers = -1\n", "--json")
    assert result.exit_code == 2
    assert msgspec.json.decode(result.stdout)["findings"][0]["line"] == 2


def test_an_address_in_use_is_only_noted(check: Check, taken: str) -> None:
    result = check(f'[proxy]\nmanagement_listen = "127.0.0.1:0"\nlisten = "{taken}"\n{FEW}')
    assert result.exit_code == 0
    assert result.output == (
        f"turnout.toml:3: note: [proxy] listen: {taken} is in use, by a running proxy perhaps\n"
        "the settings are good\n"
    )


def test_an_address_that_is_not_of_this_host_is_an_error(check: Check) -> None:
    result = check(f'[proxy]\nmanagement_listen = "127.0.0.1:0"\nlisten = "192.0.2.1:80"\n{FEW}')
    assert result.exit_code == 2
    assert result.stderr == (
        "turnout.toml:3: [proxy] listen: 192.0.2.1:80 can't be bound: "
        "Cannot assign requested address\n"
    )


def test_what_is_seldom_meant(check: Check) -> None:
    result = check(
        'redis_url = "redis://10.0.0.1:6379/0"\n'
        '[proxy]\nlisten = "127.0.0.1:0"\nmanagement_listen = "0.0.0.0:0"\n'
        'trusted_networks = ["0.0.0.0/0"]\n'
        f'{FEW}[proxy.supervision]\npid_file = "/absent/turnout.pid"\n'
    )
    assert result.exit_code == 0
    assert result.output == (
        "turnout.toml: warning: routing_key: is empty and Redis is on another host: "
        "whoever can write there routes\n"
        "turnout.toml:1: warning: redis_url: Redis is on another host and the connection is not "
        "encrypted: rediss:// is\n"
        "turnout.toml:5: warning: [proxy] trusted_networks: 0.0.0.0/0 believes everybody's "
        "X-Tenant-ID and X-Forwarded-*\n"
        "turnout.toml:9: warning: [proxy.supervision] pid_file: its folder can't be written to by "
        "this user\n"
        "turnout.toml:4: note: [proxy] management_listen: health and metrics are open to whoever "
        "reaches this address\n"
        "the settings are good\n"
    )


ISSUER = 'issuer = "i"\naudiences = ["a"]\nalgorithms = ["HS256"]\n'


def test_a_key_file_that_can_not_be_read(check: Check) -> None:
    result = check(f'[proxy]\n{FREE}{FEW}[proxy.identity.jwt]\n{ISSUER}key_file = "/absent/key"\n')
    assert result.exit_code == 2
    assert result.stderr == (
        "turnout.toml:10: [proxy.identity.jwt] key_file: can't be read: No such file or directory\n"
    )


def test_a_key_that_is_of_no_use(check: Check) -> None:
    key = "hunter2"
    result = check(f'[proxy]\n{FREE}{FEW}[[proxy.identity.issuers]]\n{ISSUER}key = "{key}"\n')
    assert result.exit_code == 2
    said = "turnout.toml:10: [proxy.identity.issuers[1]] key: can't be used: the key of i: "
    assert result.stderr.startswith(said)
    assert key not in result.stderr


def test_a_secret_that_everybody_can_read(check: Check) -> None:
    text = f'routing_key = "{"k" * 40}"\n[proxy]\n{FREE}{FEW}'
    result = check(text, mode=stat.S_IRUSR | stat.S_IROTH)
    assert result.exit_code == 0
    assert result.output == (
        "turnout.toml:1: warning: routing_key: a secret in a file that everybody can read\n"
        "the settings are good\n"
    )
    assert check(text).output == "the settings are good\n"
    assert "shorter than 32" in check(text.replace("k" * 40, "k" * 9)).output
    assert "kkk" not in check(text.replace("k" * 40, "k" * 9)).output


# ── open files ────────────────────────────────────────────────────────────────────────────────


def test_more_connections_than_files_are_warned_of(check: Check) -> None:
    connections = HARD
    result = check(f"[proxy]\n{FREE}[proxy.limits]\nconnections = {connections}\n")
    room = (HARD - 256) // 2
    needed = 2 * connections + 256
    assert result.output == (
        f"turnout.toml:5: warning: [proxy.limits] connections: open files: a worker may need "
        f"{needed} ({connections} connections x 2 + 256), the hard limit is {HARD}: it takes "
        f"{room} connections. Raise the limit to {needed} (LimitNOFILE= in the unit, ulimit -Hn "
        "in a shell), or lower proxy.limits.connections\n"
        "the settings are good\n"
    )


@pytest.mark.parametrize(
    ("wanted", "limit", "connections"),
    [
        (10_000, -1, 10_000),
        (10_000, 20_256, 10_000),
        (10_000, 20_255, 9_999),
        (5, 10, 1),
        (5, 1, 1),
    ],
)
def test_connections_fit_into_the_files(wanted: int, limit: int, connections: int) -> None:
    found = files.fit(wanted, limit)
    assert found.connections == connections
    assert bool(found.advice) == (connections < wanted)
    before = Settings(limits=Limits(connections=wanted))
    after, advice = files.fitted(before, limit)
    assert after.limits.connections == connections
    assert advice == found.advice
    assert msgspec.structs.replace(after, limits=before.limits) == before


def test_the_reference_is_good_for_its_own_machine() -> None:
    reference = Path(__file__).parents[3] / "config" / "turnout.toml"
    report = examine(reference, "proxy", Settings, {})
    assert report.findings == []
    look(report)
    assert report.good
    assert report.shared == Shared()


JOB = 'name = "job"\npath = "/{key}"\nborn = {header = "Location", pattern = "/{key}"}\n'
SESSION = 'name = "session"\ncookie = "sid"\n'


def test_affinity_without_a_secret_is_warned_of(check: Check) -> None:
    result = check(f"{FEW}[[proxy.affinity]]\n{SESSION}")
    assert "[proxy] affinity: without a `routing_key` the keys in Redis" in result.output
    keyed = check(f"routing_key = '{'k' * 32}'\n{FEW}[[proxy.affinity]]\n{SESSION}")
    assert "affinity" not in keyed.output


def test_a_rule_that_others_forestall_is_told(check: Check) -> None:
    head = f"routing_key = '{'k' * 32}'\n{FEW}"
    first, second = (f"[[proxy.affinity]]\n{rule}" for rule in (JOB, SESSION))
    assert "which decide first" in check(head + second + first).output
    assert "which decide first" not in check(head + first + second).output


def test_what_is_wrong_with_a_rule_has_its_line(check: Check) -> None:
    result = check(f'{FEW}[[proxy.affinity]]\nname = "a"\ncookie = "c d"\n')
    assert result.exit_code == 2
    assert "turnout.toml:5: " in result.output
    assert "is the name of a cookie" in result.output


def test_what_a_rule_lacks_is_said(check: Check) -> None:
    result = check(f'{FEW}[[proxy.affinity]]\ncookie = "sid"\n')
    assert result.exit_code == 2
    assert "needs `name`" in result.output
