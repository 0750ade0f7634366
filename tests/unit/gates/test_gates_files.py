"""Files of checks, requests and checklists: what is wrong with them, and where."""

from pathlib import Path

import msgspec
import pytest

from admin.gates.checklist_file import load, shipped
from admin.gates.checks import CheckList
from admin.gates.compose import WATCHED
from admin.gates.files import FileFault, parse, read
from admin.gates.requests import RequestList, sample
from tests.unit.gates.cases import ABOUT

GOOD = '[[check]]\nname = "one"\nrequest = {path = "/"}\n'
KNOWN = {item.gate for item in shipped().items if item.gate}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("check = 1\n", "f:1: check: expected array, got integer"),
        ("", "f: needs `check`"),
        ("check = []\n", "f: the file has no [[check]]"),
        ("[[check]]\nname = \n", "f:2: is not valid TOML: Invalid value"),
        (GOOD + "reqest = 1\n", "f:4: check[1].reqest: unknown key; did you mean request?"),
        (
            GOOD + '[[check]]\nname = "two"\n\n[check.request]\npath = "x"\n',
            "f:7: check[2].request: `path` begins with /",
        ),
        (
            GOOD + '\n[check.expect]\nstatus = "200"\n',
            "f:6: check[1].expect.status: expected integer or array, got string",
        ),
        (
            GOOD + "expect = {status = 99}\n",
            "f:4: check[1].expect: `status` lies between 100 and 599",
        ),
        (
            GOOD + 'expect = {json = {"environment" = 1}}\n',
            "f:4: check[1].expect: `json`: 'environment' is no JSON pointer, as /items/0/id",
        ),
        (
            GOOD + 'expect = {matches = {"/a" = "("}}\n',
            "f:4: check[1].expect: `matches`: the pattern for '/a' is no regular expression:",
        ),
        (GOOD + "timeout_s = 0\n", "f:4: check[1].timeout_s: expected number > 0"),
        (GOOD + 'tenants = "some"\n', "f:1: check[1]: `tenants` is none, one, each, or a list"),
        (GOOD + 'tenants = ["a b"]\n', "f:1: check[1]: `tenants`: an id is"),
        (GOOD + 'command = ["x"]\n', "f:1: check[1]: `request` or `command` says what is done"),
        ('[[check]]\nname = "one"\n', "f:1: check[1]: `request` or `command` says what is done"),
        (
            '[[check]]\nname = "one"\nrequest = {path = "/", method = "POST"}\n',
            "f:1: check[1]: `writes` is not true, and POST may change data",
        ),
        (
            '[[check]]\nname = "one"\nrequest = {path = "/{tennant}"}\n',
            "f:3: check[1].request: `path`: {tennant} stands for nothing; there are {release}",
        ),
        (
            '[[check]]\nname = "one"\nrequest = {path = "/", headers = {"A B" = "x"}}\n',
            "f:3: check[1].request: `headers`: a name is no header's",
        ),
        (
            '[[check]]\nname = "one"\nrequest = {path = "/", headers = {A = "x\\r\\nB: y"}}\n',
            "f:3: check[1].request: `headers`: the value of A can't be sent in one line",
        ),
        (GOOD + GOOD, "f: two checks are called 'one'"),
    ],
)
def test_errors_of_checks_name_file_line_and_key(text: str, said: str) -> None:
    with pytest.raises(FileFault) as caught:
        parse(text, CheckList, "f")
    assert str(caught.value).startswith(said)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "CONNECT", "get", "TRACE"])
def test_nothing_but_safe_methods_is_sent_again_and_again(method: str) -> None:
    with pytest.raises(
        FileFault, match=r"^f:1: request\[1\]: `method` is one of GET, HEAD, OPTIONS"
    ):
        parse(f'[[request]]\npath = "/"\nmethod = "{method}"\n', RequestList, "f")


def test_a_value_is_in_no_message(tmp_path: Path) -> None:
    path = tmp_path / "checks.toml"
    path.write_text(GOOD + 'headers = {Authorization = "s3cret"}\nwrites = "s3cret"\n')
    with pytest.raises(FileFault) as caught:
        read(path, CheckList)
    assert "s3cret" not in str(caught.value)
    path.write_bytes(b"\xff")
    with pytest.raises(FileFault, match="is not UTF-8"):
        read(path, CheckList)
    with pytest.raises(FileFault, match="can't be read: No such file"):
        read(tmp_path / "none.toml", CheckList)


# ── checklists ────────────────────────────────────────────────────────────────────────────────


def test_the_shipped_checklists_are_the_documents() -> None:
    items = shipped().items
    parts = list(dict.fromkeys(item.part for item in items))
    assert parts == [
        "infrastructure",
        "pre-deployment",
        "deployment",
        "validation",
        "cutover",
        "post-deployment",
    ]
    assert {item.name for item in items if item.role} == {
        "monitoring", "health-endpoints", "code-review", "migrations-tested", "backward-compatible",
        "team", "qa", "stakeholder", "database-performance", "customers", "issues", "documentation",
        "communicate",
    }  # fmt: skip
    assert set(WATCHED) <= KNOWN
    assert len({item.name for item in items}) == len(items)
    assert shipped().gates(3) == ["integration", "smoke", "performance"]


def test_a_file_changes_adds_and_leaves_out(tmp_path: Path) -> None:
    path = tmp_path / "checklist.toml"
    path.write_text(
        'without = ["documentation"]\n'
        '[[item]]\nname = "qa"\npart = "validation"\ntext = "QA"\nrole = "qa-lead"\n'
        '[[item]]\nname = "legal"\npart = "pre-deployment"\ntext = "Legal"\nrole = "legal"\nphase = 3\n'
    )
    changed = load(str(path), KNOWN)
    before, after = ([item.name for item in each.items] for each in (shipped(), changed))
    assert set(before) - set(after) == {"documentation"}
    assert set(after) - set(before) == {"legal"}
    assert [item.role for item in changed.items if item.name == "qa"] == ["qa-lead"]
    legal = changed.find("legal")
    assert legal is not None
    assert legal.due == 3
    assert after.index("legal") < after.index("deployed")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            'without = ["documentatoin"]\n',
            "without: there is no item 'documentatoin'; did you mean",
        ),
        (
            '[[item]]\nname = "x"\npart = "cutover"\ntext = "X"\ngate = "smok"\n',
            "item x: no gate is called 'smok'; did you mean smoke?",
        ),
        ('[[item]]\nname = "x"\npart = "later"\ntext = "X"\ngate = "smoke"\n', "`part` is one of"),
        ('[[item]]\nname = "x"\npart = "cutover"\ntext = "X"\n', "`gate` or `role` says"),
    ],
)
def test_errors_of_checklists(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "c.toml"
    path.write_text(text)
    with pytest.raises(FileFault) as caught:
        load(str(path), KNOWN)
    assert str(caught.value).startswith(str(path))
    assert said in str(caught.value)


# ── samples ───────────────────────────────────────────────────────────────────────────────────


def test_a_sample_is_of_safe_requests_that_went_well() -> None:
    def line(**fields: object) -> bytes:
        given = {"method": "GET", "path": "/api/jobs", "tenant": "acme", "status": 200}
        return msgspec.json.encode({"time": "now", "client": "::1", **given, **fields})

    lines = [
        *[line()] * 3,
        *[line(path="/api/orders?token=s3cret")] * 2,
        line(path="/"),
        line(method="POST"),
        line(status=500),
        line(status=404),
        line(tenant="stranger"),
        line(path="*"),
        b"half a li",
        b"",
    ]
    found = sample(lines, ABOUT, 10)
    assert [(ask.method, ask.path, ask.tenant) for ask in found] == [
        ("GET", "/api/jobs", "acme"),
        ("GET", "/api/orders", "acme"),
        ("GET", "/", "acme"),
    ]
    assert len(sample(lines, ABOUT, 2)) == 2
