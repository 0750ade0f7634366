"""`--check`: everything that is wrong, each with its line; the same verdict as `load`."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from config import ERROR, NOTE, WARNING, ConfigError, examine, load
from tests.support.examples import examples

SECRET = "hunter2"
Write = Callable[[str], Path]


class Range(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    low: int = 1
    high: int = 5

    def __post_init__(self) -> None:
        if self.high > 100:
            raise ValueError("`range.high` is at most 100")
        if self.low > self.high:
            raise ValueError("`range.low` is at most `range.high`")


class Port(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    number: int = 1
    tenant: str = ""

    def __post_init__(self) -> None:
        if self.number < 1:
            raise ValueError("`number` is above 0")


class Timeouts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    connect_s: float = 3.0
    head_s: float = 3.0
    retry: bool = False

    def __post_init__(self) -> None:
        for name in ("connect_s", "head_s"):
            if getattr(self, name) <= 0:
                raise ValueError(f"`timeouts.{name}` is above 0")


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Every kind of setting that the planes use, and tables in arrays."""

    listen: str = "127.0.0.1:8080"
    workers: int = 4
    networks: tuple[str, ...] = ()
    modes: tuple[Literal["a", "b"], ...] = ()
    timeouts: Timeouts = Timeouts()
    range: Range = Range()
    ports: tuple[Port, ...] = ()
    key: Annotated[str, msgspec.Meta(max_length=6)] = ""
    limit: int | None = None

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise ValueError("`workers` is at least 1")


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def writer(text: str) -> Path:
        path = tmp_path / "turnout.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return writer


ONE_BY_ONE = [
    ("[proxy]\nworker = 8\n", "2: [proxy] worker: unknown setting; did you mean workers?"),
    ("[proxy]\nzzz = 8\n", "2: [proxy] zzz: unknown setting"),
    (
        "[proxy]\nconnect_s = 1\n",
        "2: [proxy] connect_s: unknown setting here; it belongs in [proxy.timeouts]",
    ),
    ("redis_ulr = 1\n", "1: redis_ulr: unknown setting; did you mean redis_url?"),
    ("redis_prefix = ''\n", "1: redis_prefix: must be a short ASCII name"),
    ("[prox]\n", "1: [prox]: there is no such section; did you mean [proxy]?"),
    ("[x]\n", "1: [x]: there is no such section; there are [admin], [migrations], [monitor], [proxy], [releases]"),
    ("proxy = 1\n", "1: [proxy]: is a section, not a value"),
    ("[proxy]\nworkers = 1.5\n", "2: [proxy] workers: expected integer, got number"),
    ("[proxy]\nworkers = [1]\n", "2: [proxy] workers: expected integer, got array"),
    ("[proxy]\n\nworkers = 0\n", "3: [proxy] workers: is at least 1"),
    ("[proxy]\nkey = 'longer than six'\n", "2: [proxy] key: expected string of length <= 6"),
    ("[proxy]\nlimit = 'x'\n", "2: [proxy] limit: expected integer or nothing, got string"),
    ("[proxy]\nnetworks = 'x'\n", "2: [proxy] networks: expected array, got string"),
    ("[proxy]\nnetworks = [\n'x',\n1]\n", "2: [proxy] networks: item 2: expected string, got integer"),
    ("[proxy]\nmodes = ['a', 'c']\n", "2: [proxy] modes: item 2: not one of a, b"),
    ("[proxy]\ntimeouts = 3\n", "2: [proxy] timeouts: expected table, got integer"),
    ("proxy.timeouts.retry = 'x'\n", "1: [proxy.timeouts] retry: expected true or false, got string"),
    (
        "[proxy]\ntimeouts = { retry = false, connect_s = 'x' }\n",
        "2: [proxy.timeouts] connect_s: expected number, got string",
    ),
    ("[proxy.timeouts]\n'head_s' = -1\n", "2: [proxy.timeouts] head_s: is above 0"),
    ("[proxy.range]\nhigh = 0\n", "2: [proxy.range] high: `range.low` is at most `range.high`"),
    ("[proxy.range]\nhigh = 101\nlow = 3\n", "2: [proxy.range] high: is at most 100"),
    ("[proxy.range]\nhigh = 3\nlow = 4\n", "3: [proxy.range] low: is at most `range.high`"),
    (
        "[[proxy.ports]]\n[[proxy.ports]]\nnumber = 0\n",
        "3: [proxy.ports[2]] number: is above 0",
    ),
    ("[[proxy.ports]]\ntenat = ''\n", "2: [proxy.ports[1]] tenat: unknown setting; did you mean tenant?"),
    ("redis_url = \n", "1: is not valid TOML: Invalid value"),
    ("a = 1\na = 2\n", "2: is not valid TOML: Cannot overwrite a value"),
    ("a = [\n\n", "3: is not valid TOML: Invalid value"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "said"), ONE_BY_ONE)
def test_an_error_and_its_line(write: Write, text: str, said: str) -> None:
    path = write(text)
    report = examine(path, "proxy", Section, {})
    assert report.text() == f"{path}:{said}\n"
    assert not report.good


def test_all_errors_are_said_in_the_order_of_the_file(write: Write) -> None:
    path = write(
        "redis_prefix = 'a b'\n"
        "[proxy]\nworkers = 0\nlisten = 1\nkeys = ''\n"
        "[proxy.timeouts]\nconnect_s = -1\nhead_s = 0.0\nretry = 3\n"
        "[admin]\nnothing_of_ours = true\n"
    )
    found = examine(path, "proxy", Section, {}).ordered()
    assert [(each.line, each.setting) for each in found] == [
        (1, "redis_prefix"),
        (3, "proxy.workers"),
        (4, "proxy.listen"),
        (5, "proxy.keys"),
        (7, "proxy.timeouts.connect_s"),
        (8, "proxy.timeouts.head_s"),
        (9, "proxy.timeouts.retry"),
    ]
    assert {each.level for each in found} == {ERROR}


def test_a_variable_is_named_in_place_of_a_line(write: Write) -> None:
    path = write("[proxy]\nworkers = 3\n")
    environ = {
        "TURNOUT_PROXY_WORKERS": "many",
        "TURNOUT_PROXY_WORKRES": "3",
        "TURNOUT_PROXY_TIMEOUTS_HEAD_S": "-1",
        "TURNOUT_REDIS_PREFIX": "",
    }
    assert examine(path, "proxy", Section, environ).text() == (
        "TURNOUT_REDIS_PREFIX: must be a short ASCII name\n"
        "TURNOUT_PROXY_TIMEOUTS_HEAD_S: is above 0\n"
        "TURNOUT_PROXY_WORKERS: expected integer, got string\n"
        "TURNOUT_PROXY_WORKRES: warning: no setting has this variable; "
        "did you mean TURNOUT_PROXY_WORKERS?\n"
    )


def test_a_variable_mends_what_the_file_has_wrong(write: Write) -> None:
    path = write("[proxy]\nworkers = 0\n")
    report = examine(path, "proxy", Section, {"TURNOUT_PROXY_WORKERS": "2"})
    assert report.good
    assert report.section == Section(workers=2)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    path = tmp_path / "absent.toml"
    said = f"{path}: can't be read: No such file or directory\n"
    assert examine(path, "proxy", Section, {}).text() == said


def test_a_file_that_is_not_utf_8(tmp_path: Path) -> None:
    path = tmp_path / "latin.toml"
    path.write_bytes(b'a = 1\nrouting_key = "\xff"\n')
    assert examine(path, "proxy", Section, {}).text() == f"{path}:2: is not UTF-8\n"


def test_good_settings_and_warnings(write: Write) -> None:
    path = write("[proxy]\nworkers = 3\n")
    report = examine(path, "proxy", Section, {})
    assert report.text() == "the settings are good\n"
    report.add(NOTE, ("proxy", "listen"), "is in use")
    report.add(WARNING, ("proxy", "workers"), "is odd")
    assert report.good
    assert report.text() == (
        f"{path}:2: warning: [proxy] workers: is odd\n"
        f"{path}:1: note: [proxy] listen: is in use\n"
        "the settings are good\n"
    )


def test_for_programs(write: Write) -> None:
    path = write("[proxy]\nworkers = 0\n")
    assert json.loads(examine(path, "proxy", Section, {}).as_json()) == {
        "ok": False,
        "findings": [
            {
                "level": "error",
                "setting": "proxy.workers",
                "message": "is at least 1",
                "file": str(path),
                "line": 2,
                "variable": None,
            }
        ],
    }


# ── secrets, and the same verdict as load ─────────────────────────────────────────────────────

PLACES = ("redis_url", "redis_prefix", "routing_key", "proxy", "proxy.workers", "proxy.key",
          "proxy.networks", "proxy.modes", "proxy.timeouts", "proxy.timeouts.connect_s",
          "proxy.ports", "proxy.limit", "proxy.range.low")  # fmt: skip
SHAPES = ("'{}'", "['{}']", "'{} '", "{}", "'{}", "{{ a = '{}' }}", "[{{ number = '{}' }}]")


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("shape", SHAPES)
def test_no_finding_carries_a_value(write: Write, place: str, shape: str) -> None:
    path = write(f"{place} = {shape.format(SECRET)}\n")
    report = examine(path, "proxy", Section, {})
    assert SECRET not in report.text()
    assert SECRET not in report.as_json()


VALUES: st.SearchStrategy[Any] = st.one_of(
    st.integers(-2, 120),
    st.floats(-2, 120),
    st.booleans(),
    st.sampled_from(["", "a", "b", "8", "redis://x", "true", "a b"]),
    st.lists(st.sampled_from(["a", "b", "c", 1]), max_size=2),
    st.dictionaries(st.sampled_from(["low", "high", "number", "connect_s"]), st.integers(-1, 110)),
)
NAMES = st.sampled_from(
    ["listen", "workers", "networks", "modes", "timeouts", "range", "ports", "key", "limit", "no"]
)
TABLES = st.dictionaries(
    st.sampled_from(["connect_s", "head_s", "retry", "low", "high"]), VALUES, max_size=3
)
OWN = st.dictionaries(NAMES, st.one_of(VALUES, TABLES, st.lists(TABLES, max_size=2)), max_size=4)
TOP = st.dictionaries(
    st.sampled_from(["redis_url", "redis_prefix", "routing_key"]), VALUES, max_size=1
)


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_toml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value)


@examples(400)
@given(TOP, OWN, st.booleans())
def test_the_verdict_is_that_of_load(
    tmp_path_factory: pytest.TempPathFactory, top: dict[str, Any], own: dict[str, Any], env: bool
) -> None:
    path = tmp_path_factory.getbasetemp() / "verdict.toml"
    lines = [f"{key} = {_toml(value)}" for key, value in top.items()] + ["[proxy]"]
    lines += [f"{key} = {_toml(value)}" for key, value in own.items()]
    path.write_text("\n".join(lines))
    environ = {"TURNOUT_PROXY_WORKERS": "3", "TURNOUT_PROXY_RANGE_LOW": "2"} if env else {}
    report = examine(path, "proxy", Section, environ)
    try:
        loaded = load(path, "proxy", Section, environ)
    except ConfigError:
        assert not report.good, path.read_text()
        assert all(each.line or each.variable for each in report.findings), report.text()
    else:
        assert report.good, report.text()
        assert (report.shared, report.section) == loaded
