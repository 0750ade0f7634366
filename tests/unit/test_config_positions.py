"""Where keys stand in TOML: tricky documents, and any that hypothesis can write."""

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.positions import KeyPath, positions
from tests.support.examples import examples

REFERENCE = Path(__file__).parents[2] / "config" / "turnout.toml"
TRICKY = '''\
# [not.a.table]
top = 1 # a = 2
"quoted key" = "a # b" # [x]
'literal.key' = '[y]'
dotted . inner."third one" = 1
text = """
[no.table]
key = "value"
\\""" still
""""
literal = \'\'\'
[neither]
\'\'\'\'
empty = ""
array = [ # [z]
  1, "]", [2, {deep = 3}], # ]
  { a.b = 1, "c d" = [ { e = 2 } ] },
]
when = 1979-05-27 07:32:00
"\\u0041" = 1
[  table . "sub.table"  ] # comment
key = 1
[[items]]
name = "a"
[items.inner]
x = 1
[[items.nested]]
y = 1
[[items.nested]]
y = 2
[[items]]
name = "b"
[items.inner]
x = 2
[later.than]
k = {}
[later]
l = []
'''

EXPECTED: dict[KeyPath, int] = {
    ("top",): 2,
    ("quoted key",): 3,
    ("literal.key",): 4,
    ("dotted",): 5,
    ("dotted", "inner"): 5,
    ("dotted", "inner", "third one"): 5,
    ("text",): 6,
    ("literal",): 11,
    ("empty",): 14,
    ("array",): 15,
    ("array", 0): 16,
    ("array", 1): 16,
    ("array", 2): 16,
    ("array", 2, 0): 16,
    ("array", 2, 1): 16,
    ("array", 2, 1, "deep"): 16,
    ("array", 3): 17,
    ("array", 3, "a"): 17,
    ("array", 3, "a", "b"): 17,
    ("array", 3, "c d"): 17,
    ("array", 3, "c d", 0): 17,
    ("array", 3, "c d", 0, "e"): 17,
    ("when",): 19,
    ("A",): 20,
    ("table",): 21,
    ("table", "sub.table"): 21,
    ("table", "sub.table", "key"): 22,
    ("items",): 23,
    ("items", 0): 23,
    ("items", 0, "name"): 24,
    ("items", 0, "inner"): 25,
    ("items", 0, "inner", "x"): 26,
    ("items", 0, "nested"): 27,
    ("items", 0, "nested", 0): 27,
    ("items", 0, "nested", 0, "y"): 28,
    ("items", 0, "nested", 1): 29,
    ("items", 0, "nested", 1, "y"): 30,
    ("items", 1): 31,
    ("items", 1, "name"): 32,
    ("items", 1, "inner"): 33,
    ("items", 1, "inner", "x"): 34,
    ("later",): 35,
    ("later", "than"): 35,
    ("later", "than", "k"): 36,
    ("later", "l"): 38,
}


def paths(value: Any, above: KeyPath = ()) -> set[KeyPath]:
    """The paths of everything in a document, as tomllib reads it."""
    if isinstance(value, dict):
        inner: list[tuple[Any, Any]] = list(value.items())
    elif isinstance(value, list):
        inner = list(enumerate(value))
    else:
        return set()
    return {(*above, key) for key, _ in inner}.union(
        *(paths(item, (*above, key)) for key, item in inner)
    )


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_tricky_documents(end: str) -> None:
    text = TRICKY.replace("\n", end)
    assert positions(text) == EXPECTED
    assert paths(tomllib.loads(text)) == EXPECTED.keys()


@pytest.mark.parametrize("text", ["", "\n", "#", "# only", " \t", "a = 1", "[a]", "[[a]]", "a=[]"])
def test_short_documents(text: str) -> None:
    assert positions(text).keys() == paths(tomllib.loads(text))


def test_the_reference() -> None:
    text = REFERENCE.read_text("utf-8")
    found = positions(text)
    assert found.keys() == paths(tomllib.loads(text))
    lines = text.splitlines()
    for path, line in found.items():
        assert isinstance(path[-1], int) or path[-1] in lines[line - 1]


# ── any document ──────────────────────────────────────────────────────────────────────────────

BARE = st.text("ab1_-", min_size=1, max_size=3)
NASTY = st.text("ab\"'[]{}=#.,\n\\ é", max_size=6)
COMMENTS = st.sampled_from(["", " # [c]\n# k = 1", " #"])


def basic(text: str) -> str:
    """A basic string: JSON's escapes are TOML's."""
    return json.dumps(text)


def long(text: str) -> str:
    """A multi-line basic string, with its quotes and line ends as they are where they may be."""
    escaped = text.replace("\\", "\\\\").replace('"""', '""\\"')
    return f'"""\n{escaped.removesuffix(chr(34))}{chr(34) * escaped.endswith(chr(34))}"""'


def raw(text: str) -> str:
    """A literal string, multi-line if it has to be; what it can't hold is left out."""
    held = text.replace("'", "")
    return f"'''\n{held}'''" if "\n" in held else f"'{held}'"


KEYS = st.one_of(BARE, NASTY.map(basic), NASTY.map(lambda text: f"'{_one_line(text)}'"))
STRINGS = st.one_of(NASTY.map(basic), NASTY.map(long), NASTY.map(raw))
SCALARS = st.one_of(
    STRINGS, st.sampled_from(["1", "-0.5", "true", "1979-05-27 07:32:00Z", "0x1f", "1_000"])
)


def _one_line(text: str) -> str:
    return text.replace("'", "").replace("\n", "")


def _inline(pairs: list[tuple[str, str]]) -> str:
    return "{" + ", ".join(f"{key} = {value}" for key, value in pairs) + "}"


def _array(items: list[str]) -> str:
    return "[" + ",".join(f"\n  {item} # ], [\n" for item in items) + "]"


VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(_array),
        st.lists(st.tuples(KEYS, inner), max_size=2).map(_inline),
    ),
    max_leaves=5,
)
DOTTED = st.lists(KEYS, min_size=1, max_size=3).map(" . ".join)
LINES = st.one_of(
    st.tuples(DOTTED, VALUES).map(lambda pair: f"{pair[0]} = {pair[1]}"),
    DOTTED.map(lambda key: f"[ {key} ]"),
    DOTTED.map(lambda key: f"[[{key}]]"),
    st.just(""),
)


@examples(500)
@given(st.lists(st.tuples(LINES, COMMENTS), max_size=8))
def test_every_key_of_any_document_is_found_where_it_stands(parts: list[tuple[str, str]]) -> None:
    kept: list[str] = []
    for line, comment in parts:
        # What would not be valid in its place (a key twice, an inline table added to) is left out.
        try:
            tomllib.loads("\n".join([*kept, line + comment]))
        except tomllib.TOMLDecodeError:
            continue
        kept.append(line + comment)
    text = "\n".join(kept)
    found = positions(text)
    document = tomllib.loads(text)
    assert found.keys() == paths(document)
    lines = text.split("\n")
    for path, number in found.items():
        assert 1 <= number <= len(lines)
        if isinstance(path[-1], str):
            assert _named(lines[number - 1], path[-1]), (path, number, text)


def _named(line: str, name: str) -> bool:
    """Whether a line has a key, in one of the ways to write it."""
    return any(written in line for written in (name, basic(name), f"'{name}'"))
