"""`turnout admin --check`: its words and exit codes; no value of a secret."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from admin.__main__ import main

SECRET = "canary-secret-of-thirty-two-bytes-or-more"


class Result(NamedTuple):
    code: int
    stdout: str
    stderr: str


Check = Callable[..., Result]


@pytest.fixture
def check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Check:
    """Runs the command with these settings beside good ones."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("TURNOUT_")]:
        monkeypatch.delenv(name)

    def run(more: str = "", *arguments: str) -> Result:
        Path("turnout.toml").write_text(f"[admin]\ntoken_secret = '{SECRET}'\n{more}\n")
        code = main(["--check", "--config", "turnout.toml", *arguments])
        result = Result(code, *capsys.readouterr())
        assert "canary" not in result.stdout + result.stderr
        return result

    return run


def test_good_settings(check: Check) -> None:
    assert check() == (0, "the settings are good\n", "")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("[monitor]\nalfa = 0.1", "turnout.toml:4: [monitor] alfa: unknown setting"),
        ("[migrations]\nlook_s = 'x'", "turnout.toml:4: [migrations] look_s: "),
        ("[releases]\ngates_s = 0", "turnout.toml:4: [releases] gates_s: "),
        (
            "[[releases.notify.targets]]\nname = 'chat'\nurl = 'env:CHAT'\nevents = ['roled-back']",
            "there is no event 'roled-back'; did you mean rolled-back?",
        ),
    ],
)
def test_every_section_that_an_admin_reads_is_looked_at(check: Check, more: str, said: str) -> None:
    result = check(more)
    assert result.code == 2
    assert said in result.stderr


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("[releases.gates.smoke]\nfile = 'smoke.toml'", "smoke.toml can't be read: No such file"),
        ("[releases.gates.warm_up]\nfile = 'own.toml'", "own.toml:1: "),
        ("[releases.gates]\nchecklist = 'own.toml'", "own.toml:1: "),
        ("[releases.notify]\ntemplates = 'own.toml'", "own.toml:1: "),
        (
            "[[releases.hooks]]\nname = 'deploy'\nbefore = 'deploying'\ncommand = ['./canary.sh']",
            "deploy: ",
        ),
        (
            (
                "[[releases.hooks]]\nname = 'deploy'\nbefore = 'deploying'\n"
                "webhook = 'https://deploy.example.com/x'"
            ),
            "deploy: the webhook lies under none of admin.step_urls",
        ),
        (
            "[[releases.notify.targets]]\nname = 'chat'\nurl = 'env:CHAT'",
            "turnout.toml:3: [releases.notify] targets: env:CHAT: the variable is not set",
        ),
        ("[monitor]\nprometheus_url = 'file:/nowhere'", "file:/nowhere can't be read"),
    ],
)
def test_what_settings_name_has_to_be_there(check: Check, more: str, said: str) -> None:
    Path("own.toml").write_text("surprise = 1\n")
    result = check(more.replace("./canary.sh", "./gone.sh"))
    assert result.code == 1
    assert said in result.stderr


def test_for_programs(check: Check) -> None:
    result = check("[releases.notify]\ntemplates = 'gone.toml'", "--json")
    document = json.loads(result.stdout)
    assert (result.code, document["ok"]) == (1, False)
    (finding,) = document["findings"]
    assert (finding["setting"], finding["line"]) == ("releases.notify.templates", 4)
