"""Settings: the file, the environment over it, and errors that name the place and no value."""

import traceback
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config import ConfigError, Shared, load, split_address
from tests.support.settings import differences

REFERENCE = Path(__file__).parents[2] / "config" / "turnout.toml"
SECRET = "hunter2"
Write = Callable[[str], Path]


class Colour(StrEnum):
    RED = "red"


class Timeouts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    connect_s: float = 3.0
    retry: bool = False


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Every kind of setting that the planes use."""

    listen: str = "127.0.0.1:8080"
    workers: int = 4
    networks: tuple[str, ...] = ()
    ports: list[int] = []
    timeouts: Timeouts = Timeouts()
    key: Annotated[str, msgspec.Meta(max_length=6)] = ""
    mode: Literal["on", "off"] = "on"
    limit: int | None = None

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise ValueError("`workers` is at least 1")


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes the settings file and gives its path."""

    def writer(text: str) -> Path:
        path = tmp_path / "turnout.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return writer


def test_without_file_and_environment_everything_has_its_default() -> None:
    assert load(None, "proxy", Section, {}) == (Shared(), Section())


def test_the_file_sets_the_shared_keys_and_the_plane_s_own_section(write: Write) -> None:
    path = write(
        'redis_url = "redis://r:1/2"\n'
        '[proxy]\nworkers = 8\nnetworks = ["10.0.0.0/8"]\n'
        "[proxy.timeouts]\nconnect_s = 0.5\n"
    )
    shared, section = load(path, "proxy", Section, {})
    assert shared == Shared(redis_url="redis://r:1/2")
    assert section == Section(workers=8, networks=("10.0.0.0/8",), timeouts=Timeouts(connect_s=0.5))


def test_the_other_plane_s_section_is_not_read(write: Write) -> None:
    path = write("[admin]\nnothing_of_mine = true\n")
    assert load(path, "proxy", Section, {}) == (Shared(), Section())


def test_the_environment_is_stronger_than_the_file(write: Write) -> None:
    path = write('redis_prefix = "file"\n[proxy]\nworkers = 8\n[proxy.timeouts]\nconnect_s = 1.0\n')
    environ = {
        "TURNOUT_REDIS_PREFIX": "environ",
        "TURNOUT_PROXY_WORKERS": "2",
        "TURNOUT_PROXY_TIMEOUTS_CONNECT_S": "0.25",
    }
    shared, section = load(path, "proxy", Section, environ)
    assert shared.redis_prefix == "environ"
    assert (section.workers, section.timeouts.connect_s) == (2, 0.25)


def test_the_environment_leaves_the_rest_of_a_table_as_the_file_has_it(write: Write) -> None:
    path = write("[proxy.timeouts]\nconnect_s = 1.0\n")
    _, section = load(path, "proxy", Section, {"TURNOUT_PROXY_TIMEOUTS_RETRY": "true"})
    assert section.timeouts == Timeouts(1.0, retry=True)


@pytest.mark.parametrize(
    ("text", "items"),
    [("", ()), ("a", ("a",)), ("a,b", ("a", "b")), (" a , b ,", ("a", "b")), (",", ())],
)
def test_a_list_in_the_environment_is_comma_separated(text: str, items: tuple[str, ...]) -> None:
    assert load(None, "proxy", Section, {"TURNOUT_PROXY_NETWORKS": text})[1].networks == items


def test_a_list_of_numbers_in_the_environment_is_converted() -> None:
    assert load(None, "proxy", Section, {"TURNOUT_PROXY_PORTS": "80, 443"})[1].ports == [80, 443]


def test_the_process_environment_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TURNOUT_PROXY_WORKERS", "3")
    assert load(None, "proxy", Section)[1].workers == 3


def test_variables_of_the_other_plane_are_not_read() -> None:
    assert load(None, "proxy", Section, {"TURNOUT_ADMIN_WORKERS": "9"})[1] == Section()


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[prox]\nworkers = 8\n", ["[prox]", "admin", "proxy"]),
        ("redis_ulr = 'x'\n", ["redis_ulr"]),
        ("[proxy]\nworker = 8\n", ["[proxy]", "`worker`"]),
        ("[proxy.timeouts]\nconnect = 8\n", ["[proxy]", "`connect`", "$.timeouts"]),
        ("[proxy]\nworkers = 1.5\n", ["[proxy]", "$.workers", "`int`"]),
        ("[proxy]\nworkers = [1]\n", ["[proxy]", "$.workers"]),
        ("[proxy]\nnetworks = '10.0.0.0/8'\n", ["[proxy]", "$.networks"]),
        ("[proxy]\nnetworks = [1]\n", ["[proxy]", "$.networks"]),
        ("[proxy]\ntimeouts = 3\n", ["[proxy]", "$.timeouts"]),
        ("[proxy]\nworkers = 0\n", ["[proxy]", "`workers` is at least 1"]),
        ("redis_url = 5\n", ["$.redis_url"]),
        ("redis_url = 'http://r'\n", ["`redis_url`"]),
        ("redis_prefix = ''\n", ["`redis_prefix`"]),
        ("redis_prefix = 'größe'\n", ["`redis_prefix`"]),
        ("redis_prefix = 'a}b'\n", ["`redis_prefix`"]),
        ("redis_prefix = 'a b'\n", ["`redis_prefix`"]),
        ("redis_url = \n", ["not valid TOML", "line 1"]),
        ("[proxy]\nworkers = 1\nworkers = 2\n", ["not valid TOML"]),
    ],
)
def test_an_error_names_the_file_and_the_place(write: Write, text: str, named: list[str]) -> None:
    path = write(text)
    with pytest.raises(ConfigError) as caught:
        load(path, "proxy", Section, {})
    for part in [str(path), *named]:
        assert part in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent\.toml can't be read: No such file"):
        load(tmp_path / "absent.toml", "proxy", Section, {})


def test_a_folder_in_place_of_a_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="can't be read"):
        load(tmp_path, "proxy", Section, {})


def test_a_file_that_is_not_utf_8_is_named(tmp_path: Path) -> None:
    path = tmp_path / "latin.toml"
    path.write_bytes(b'routing_key = "\xff"\n')
    with pytest.raises(ConfigError, match=r"latin\.toml is not valid TOML"):
        load(path, "proxy", Section, {})


# A secret in each place where a value can be wrong, as a file and as variables.
LEAKS = [
    (f"redis_url = '{SECRET}'\n", {}),
    (f"redis_prefix = '{SECRET} '\n", {}),
    (f"routing_key = ['{SECRET}']\n", {}),
    (f"routing_key = {SECRET}\n", {}),
    (f"routing_key = '{SECRET}\n", {}),
    (f"routing_key = 'a'\nrouting_key = '{SECRET}'\n", {}),
    (f"[proxy]\nworkers = '{SECRET}'\n", {}),
    (f"[proxy]\nkey = '{SECRET}'\n", {}),
    (f"[proxy]\nnetworks = '{SECRET}'\n", {}),
    (f"[proxy]\nports = [1, '{SECRET}']\n", {}),
    (f"[proxy]\nlimit = '{SECRET}'\n", {}),
    (f"[proxy]\ntimeouts = '{SECRET}'\n", {}),
    (f"[proxy.timeouts]\nconnect_s = '{SECRET}'\n", {}),
    (f"[proxy.timeouts]\nconnect_s = {{ '{SECRET}' = 1 }}\n", {}),
    (f"[proxy]\nlisten = {{ a = '{SECRET}' }}\n", {}),
    ("", {"TURNOUT_REDIS_URL": SECRET}),
    ("", {"TURNOUT_REDIS_PREFIX": f"{SECRET} "}),
    ("", {"TURNOUT_PROXY_WORKERS": SECRET}),
    ("", {"TURNOUT_PROXY_KEY": SECRET}),
    ("", {"TURNOUT_PROXY_PORTS": f"1,{SECRET}"}),
    ("", {"TURNOUT_PROXY_LIMIT": SECRET}),
    ("", {"TURNOUT_PROXY_TIMEOUTS_CONNECT_S": SECRET}),
]


@pytest.mark.parametrize(("text", "environ"), LEAKS)
def test_no_error_carries_a_value(write: Write, text: str, environ: dict[str, str]) -> None:
    path = write(text)
    with pytest.raises(ConfigError) as caught:
        load(path, "proxy", Section, environ)
    # As a log shows it, causes included; the frames are left out, for this test's source is theirs.
    error: BaseException | None = caught.value
    while error is not None:
        assert SECRET not in "".join(traceback.format_exception_only(error))
        error = error.__cause__ or error.__context__


@pytest.mark.parametrize(
    ("address", "host", "port"),
    [
        ("127.0.0.1:8080", "127.0.0.1", 8080),
        ("localhost:0", "localhost", 0),
        ("0.0.0.0:65535", "0.0.0.0", 65535),
        ("[::1]:8080", "::1", 8080),
        ("[::]:0", "::", 0),
        ("[0:0:0:0:0:0:0:1]:1", "::1", 1),
    ],
)
def test_an_address_is_split(address: str, host: str, port: int) -> None:
    assert split_address(address) == (host, port)


@pytest.mark.parametrize(
    "address",
    ["", ":", "8080", "host", "host:", ":8080", "host:65536", "host:-1", "host:+1", "host: 1",
     "host:x", "host:٣", "::1:8080", "[::1]", "[::1]x:1", "[]:1", "[::g]:1", "[10.0.0.1]:1",
     "host:" + "9" * 5_000],
)  # fmt: skip
def test_what_is_no_address_is_a_value_error(address: str) -> None:
    with pytest.raises(ValueError):
        split_address(address)


@settings(deadline=None)
@given(
    st.text(max_size=20)
    | st.builds("{}:{}".format, st.text("[]:.%01af", max_size=6), st.integers(-2, 70_000))
)
def test_any_text_is_an_address_or_a_value_error(text: str) -> None:
    try:
        host, port = split_address(text)
    except ValueError:
        return
    assert host
    assert 0 <= port <= 65_535


class Listed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A section for the comparison itself."""

    workers: int = 4
    share: float = 1.0
    colour: Colour = Colour.RED
    names: tuple[str, ...] = ("a", "b")
    limit: int | None = None
    timeouts: Timeouts = Timeouts()


class Lax(msgspec.Struct, frozen=True):
    """A section that passes over misspelt settings."""

    workers: int = 4


GOOD = """\
# Shared by all.
other = 1

[plane]
# How many.
workers = 4
# How much,
# in all.
share = 1.0
# Which.
colour = "red"
# Who.
names = [
    "a",
    "b",
]
# The most; none by default.
# limit = 10

[plane.timeouts]  # seconds
# To connect.
connect_s = 3.0
# Again.
retry = false
"""


def test_a_reference_that_says_what_the_code_says_has_no_differences() -> None:
    assert differences(Listed, GOOD, "plane") == []


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("workers = 4", "workers = 5", "plane.workers: is listed as 5 and defaults to 4"),
        ("workers = 4", "workers = 4.0", "plane.workers: is listed as 4.0 and defaults to 4"),
        ("share = 1.0", "share = 1", "plane.share: is listed as 1 and defaults to 1.0"),
        ("retry = false", "retry = 0", "plane.timeouts.retry: is listed as 0 and defaults to False"),
        ("workers = 4\n", "", "plane.workers: is not listed"),
        ("connect_s = 3.0\n", "", "plane.timeouts.connect_s: is not listed"),
        ("# limit = 10\n", "", "plane.limit: is not listed"),
        ("workers = 4", "workers = 4\n# Old.\nworker = 4", "plane.worker: there is no such setting"),
        ("retry", "again", "plane.timeouts.again: there is no such setting"),
        ("# How many.\n", "", "plane.workers: has no comment above it"),
        ("# How many.\n", "# How many.\n\n", "plane.workers: has no comment above it"),
        ("# To connect.\n", "", "plane.timeouts.connect_s: has no comment above it"),
        ("[plane", "[plain", "there is no [plane]"),
    ],
)  # fmt: skip
def test_each_difference_is_told(old: str, new: str, expected: str) -> None:
    assert old in GOOD
    assert expected in differences(Listed, GOOD.replace(old, new), "plane")


def test_the_keys_at_the_top_are_compared_apart_from_the_sections() -> None:
    top = msgspec.defstruct("Top", [("other", int, 1)], forbid_unknown_fields=True)
    assert differences(top, GOOD) == []
    assert differences(top, GOOD.replace("# Shared by all.", "")) == [
        "other: has no comment above it"
    ]


def test_a_struct_that_takes_unknown_keys_is_told() -> None:
    text = "[plane]\n# How many.\nworkers = 4\n"
    assert differences(Lax, text, "plane") == ["[plane]: Lax does not forbid unknown fields"]


# Each section of the reference: the struct that reads it, and its name ("" is the top).
SECTIONS: list[tuple[type[msgspec.Struct], str]] = [(Shared, "")]


@pytest.mark.parametrize(("of", "section"), SECTIONS)
def test_the_reference_lists_every_setting_with_its_default(
    of: type[msgspec.Struct], section: str
) -> None:
    assert differences(of, REFERENCE.read_text(encoding="utf-8"), section) == []
