"""Queries from PostgreSQL's logs: stderr's lines, csvlog and jsonlog, with the values that were sent. Pure.

What must be on: `log_statement = all` (or `mod`), or `log_min_duration_statement`; `lc_messages` in English.
Source: PostgreSQL's documentation of error reporting and logging (log_line_prefix, csvlog, jsonlog).
"""

import csv
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain

from admin.migrations.proof.queries.model import Query, Untried, Values, query

_STATEMENT = re.compile(
    r"(?:duration: [\d.]+ ms  )?(?:statement|execute (?!fetch from)[^:]*): (.*)", re.DOTALL
)
_LINE = re.compile(
    r"(?P<prefix>.*?)\b(?P<level>LOG|DETAIL|ERROR|STATEMENT|HINT|CONTEXT|FATAL|WARNING|NOTICE):  (?P<text>.*)"
)
_PARAMETERS = re.compile(r"[Pp]arameters: (.*)", re.DOTALL)
_PARAMETER = re.compile(r"\$(\d+) = (NULL|'((?:[^']|'')*)')(?:, |$)", re.DOTALL)
_CSV_DATABASE, _CSV_MESSAGE, _CSV_DETAIL = 2, 13, 14


@dataclass(slots=True)
class _Entry:
    line: int
    message: str
    detail: str = ""
    database: str = ""


def queries_of(lines: Iterable[str], file: str, database: str = "") -> Iterator[Query | Untried]:
    """All queries of a log. database: only of this one, where the log's format says which; empty: of all."""
    for entry in _entries(lines):
        if database and entry.database and entry.database != database:
            continue
        found = _STATEMENT.fullmatch(entry.message)
        if found:
            values = _values(entry.detail)
            yield query(found[1], f"{file}:{entry.line}", values=values)


def _entries(lines: Iterable[str]) -> Iterator[_Entry]:
    """By what the first line looks like."""
    rest = iter(lines)
    first = next(rest, "")
    both = chain([first], rest)
    if first.lstrip().startswith("{"):
        return _json_entries(both)
    # A message that goes over several lines ends the first one, so what follows it isn't counted.
    if len(next(csv.reader([first]), [])) > _CSV_MESSAGE:
        return _csv_entries(both)
    return _plain_entries(both)


def _plain_entries(lines: Iterable[str]) -> Iterator[_Entry]:
    """An entry's further lines begin with a tabulator; its DETAIL follows it, from the same session."""
    entry: _Entry | None = None
    part = ""
    for number, line in enumerate(lines, 1):
        text = line.rstrip("\r\n")
        if text.startswith("\t"):
            if entry and part == "LOG":
                entry.message += "\n" + text[1:]
            elif entry and part == "DETAIL":
                entry.detail += "\n" + text[1:]
            continue
        found = _LINE.fullmatch(text)
        if found is None:
            continue
        part = found["level"]
        if part == "DETAIL" and entry:
            entry.detail = found["text"]
        elif part == "LOG":
            if entry:
                yield entry
            entry = _Entry(number, found["text"])
    if entry:
        yield entry


def _csv_entries(lines: Iterable[str]) -> Iterator[_Entry]:
    reader = csv.reader(lines)
    for row in reader:
        if len(row) > _CSV_DETAIL:
            yield _Entry(reader.line_num, row[_CSV_MESSAGE], row[_CSV_DETAIL], row[_CSV_DATABASE])


def _json_entries(lines: Iterable[str]) -> Iterator[_Entry]:
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
        except ValueError:
            continue  # a line that was cut off by the log's rotation
        if isinstance(row, dict):
            texts = [str(row.get(key) or "") for key in ("message", "detail", "dbname")]
            yield _Entry(number, *texts)


def _values(detail: str) -> Values | None:
    """Of `Parameters: $1 = '7', $2 = NULL`; None: it says none."""
    found = _PARAMETERS.fullmatch(detail)
    if found is None:
        return None
    values = [
        None if each[2] == "NULL" else each[3].replace("''", "'")
        for each in _PARAMETER.finditer(found[1])
    ]
    return tuple(values) or None
