"""Folders and ports of the demo, its files, its tour: what is decided before anything starts."""

import os
import shlex
import socket
import subprocess
import tempfile
import tomllib
from pathlib import Path

import pytest

from admin.config import Settings as AdminSettings
from admin.demo import plan, tour
from admin.demo.files import (
    Description,
    Secrets,
    config_text,
    env_text,
    keep_version,
    kept_secrets,
    kept_versions,
    write_private,
)
from admin.demo.options import RATE, RATE_OF_BOARD, Options
from admin.demo.plan import (
    DemoError,
    Ports,
    choose_ports,
    claim_folder,
    holder_of,
    is_free,
    ports_reserved,
)
from admin.demo.run import kept_since
from admin.releases.config import Settings as ReleaseSettings
from config import load
from proxy.config import Settings as ProxySettings

PORTS = Ports(8080, 8081, 8090)
OWN = Secrets("k" * 64, "s" * 64)
ABOUT = Description(
    proxy="http://127.0.0.1:8080",
    admin="http://127.0.0.1:8081",
    management="http://127.0.0.1:8090",
    token="a.b.c",
    redis_url="redis://:p@127.0.0.1:1/0",
    database_url="postgresql://u:p@127.0.0.1:2/turnout",
    endpoints={"blue": ["127.0.0.1:3"], "green": []},
    pids={"demo": 1},
)
REPOSITORY = Path(__file__).parents[3]


@pytest.fixture
def listening():
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_port_of_the_users_choice_that_is_taken_is_an_error_naming_its_holder(listening: int):
    with pytest.raises(DemoError) as caught:
        choose_ports(Options(proxy_port=listening))
    assert f"can't listen on port {listening}" in str(caught.value)
    assert f"(process {os.getpid()})" in str(caught.value)
    assert "--proxy-port" in str(caught.value)


def test_a_default_port_that_is_taken_is_passed_over_with_a_note(
    listening: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(plan.DEFAULT_PORTS, "admin", listening)
    ports = choose_ports(Options())
    assert ports.admin > listening
    assert any(f"port {listening} is taken by" in note for note in ports.notes)
    assert len({ports.proxy, ports.admin, ports.management}) == 3


def test_a_named_port_is_not_given_to_another_listener(monkeypatch: pytest.MonkeyPatch):
    with socket.create_server(("127.0.0.1", 0)) as server:
        free = server.getsockname()[1]
    monkeypatch.setitem(plan.DEFAULT_PORTS, "management", free)
    ports = choose_ports(Options(proxy_port=free))
    assert ports.proxy == free
    assert ports.management != free


def test_one_port_for_two_listeners_is_an_error():
    with pytest.raises(DemoError, match="twice"):
        choose_ports(Options(proxy_port=20_001, admin_port=20_001))


def test_who_listens_on_a_port(listening: int):
    assert holder_of(listening).endswith(f"(process {os.getpid()})")
    assert not is_free(listening)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert holder_of(port) == ""
    assert is_free(port)


def test_ports_are_not_chosen_beside_a_demo_that_has_not_bound_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(plan, "PORTS_WAIT_S", 0.05)
    said: list[str] = []
    named = Options(proxy_port=1, admin_port=2, management_port=3)
    with (
        ports_reserved(Options(), said.append),
        ports_reserved(named, said.append),
        pytest.raises(DemoError, match="another demo is starting"),
        ports_reserved(Options(), said.append),
    ):
        pass
    assert said == ["another demo is starting: this one waits until it has its ports"]


def test_demos_lie_beside_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    first, second = claim_folder(None), claim_folder(None)
    assert first.folder == tmp_path / ".turnout/demo"
    assert first.note == ""
    assert second.folder == tmp_path / ".turnout/demo-2"
    assert "demo-2" in second.note
    os.close(first.descriptor)
    third = claim_folder(None)
    assert third.folder == first.folder
    os.close(second.descriptor)
    os.close(third.descriptor)


def test_a_folder_in_use_is_refused_with_the_process_that_uses_it(tmp_path: Path):
    claim = claim_folder(tmp_path / "data")
    with pytest.raises(DemoError, match=f"process {os.getpid()}"):
        claim_folder(tmp_path / "data")
    os.close(claim.descriptor)


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DemoError, match="can't be used"):
        claim_folder(tmp_path / "file" / "data")


def test_the_configuration_is_read_by_both_planes(tmp_path: Path):
    path = tmp_path / "turnout.toml"
    odd = 'postgresql://u:p"\\ö@127.0.0.1:2/turnout'
    write_private(path, config_text(PORTS, 3, OWN, ABOUT.redis_url, odd, tmp_path))
    shared, proxy = load(path, "proxy", ProxySettings, {})
    _, admin = load(path, "admin", AdminSettings, {})
    assert (shared.redis_url, shared.database_url) == (ABOUT.redis_url, odd)
    assert (proxy.listen, proxy.management_listen) == ("127.0.0.1:8080", "127.0.0.1:8090")
    assert (proxy.workers, len(proxy.networks())) == (3, 2)
    assert (admin.listen, admin.token_secret) == ("127.0.0.1:8081", OWN.token_secret)
    assert admin.secret_fault() == ""
    _, releases = load(path, "releases", ReleaseSettings, {})
    assert [hook.command[-2:] for hook in releases.hooks] == [
        (str(tmp_path), "standby"),
        (str(tmp_path), "active"),
    ]
    assert releases.minor.steps == (25.0, 50.0)


def test_before_there_is_a_database_its_url_is_left_out(tmp_path: Path):
    document = tomllib.loads(config_text(PORTS, 1, OWN, ABOUT.redis_url, None, tmp_path))
    assert "database_url" not in document


def test_secrets_are_kept_over_restarts_and_made_anew_when_lost(tmp_path: Path):
    path = tmp_path / "turnout.toml"
    made = kept_secrets(path)
    assert made != kept_secrets(path)
    path.write_text(config_text(PORTS, 1, made, ABOUT.redis_url, None, tmp_path))
    assert kept_secrets(path) == made
    path.write_text("routing_key = ")
    assert kept_secrets(path) != made


def test_files_with_secrets_are_their_owners_alone(tmp_path: Path):
    path = tmp_path / "env"
    path.write_text("older")
    path.chmod(0o644)
    write_private(path, "newer")
    assert path.read_text() == "newer"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [found.name for found in tmp_path.iterdir()] == ["env"]


@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_a_shell_takes_the_environment(tmp_path: Path, shell: str):
    path = tmp_path / "env"
    path.write_text(env_text(ABOUT))
    script = (
        f'. {shlex.quote(str(path))}; . "{path}"; echo "$TURNOUT_TOKEN $TURNOUT_ADMIN_URL $PATH"'
    )
    done = subprocess.run(
        [shell, "-euc", script], capture_output=True, text=True, check=True, env={"PATH": "/bin"}
    )
    token, url, search = done.stdout.split()
    assert (token, url) == ("a.b.c", "http://127.0.0.1:8081")
    folders = search.split(":")
    assert (Path(folders[0]) / "turnout").exists()
    assert folders[1:] == ["/bin"]


def test_the_tour_is_printed_so_that_its_commands_can_be_pasted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    printed = "\n".join(tour.lines(tmp_path / ".turnout/demo/env"))
    commands = tour.commands(printed)
    assert commands[0] == ". .turnout/demo/env"
    assert commands[1:] == [step.command for step in tour.STEPS]


@pytest.mark.parametrize(
    ("path", "line"),
    [("env", ". ./env"), ("a b/env", ". 'a b/env'"), ("/else/where/env", ". /else/where/env")],
)
def test_the_first_line_works_from_where_one_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, line: str
):
    monkeypatch.chdir(tmp_path)
    assert tour.first_line(tmp_path / path) == line


def test_the_written_tour_is_the_printed_one():
    text = (REPOSITORY / "docs" / "tour.md").read_text("utf-8")
    blocks = [block.partition("```")[0] for block in text.split("```sh\n")[1:]]
    written = [line for block in blocks for line in block.splitlines() if line]
    tour_of_all = [". .turnout/demo/env", *(step.command for step in tour.STEPS)]
    assert written[0] == "make demo"
    assert written[1 : 1 + len(tour_of_all)] == tour_of_all


def test_what_the_readme_says_first_is_of_the_tour():
    text = (REPOSITORY / "README.md").read_text("utf-8")
    first, second = [block.partition("```")[0].splitlines() for block in text.split("```sh\n")[1:3]]
    of_tour = {". .turnout/demo/env", *(step.command for step in tour.STEPS)}
    assert first == ["make demo"]
    assert {line.removesuffix(" --watch") for line in second} <= of_tour


def test_what_was_deployed_is_kept(tmp_path: Path):
    assert kept_versions(tmp_path) == {"blue": "1.2.0", "green": "1.3.0"}
    keep_version(tmp_path, "blue", "1.4.0")
    assert kept_versions(tmp_path) == {"blue": "1.4.0", "green": "1.3.0"}


def test_what_an_earlier_run_has_left_is_said():
    first = {"blue": "1.2.0", "green": "1.3.0"}
    table = {"active": "blue", "canary": {"percent": 0}}
    assert kept_since(table, first) == ""
    moved = {"active": "green", "canary": {"percent": 12.5}}
    told = kept_since(moved, first | {"blue": "1.3.0"})
    assert told == "blue runs 1.3.0, green runs 1.3.0, green is active, the canary is at 12.5 %"


def test_traffic_is_as_much_as_suits_it():
    assert Options().requests_per_s == RATE
    assert Options(load=True).requests_per_s == RATE_OF_BOARD
    assert Options(no_erp=True).requests_per_s == 0
    assert Options(rate=0).requests_per_s == 0
