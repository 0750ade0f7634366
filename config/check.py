"""Look at one plane's settings and say everything that is wrong with them, and where.

`load` stops at the first error, which is enough to refuse to start. This finds as many as there
are, each with its file and line, or its variable: unknown names with the likely one, wrong types,
values out of bounds, settings that don't go together. A plane adds what it alone can know
(`Report.add`): files that can't be read, addresses in use. No value is repeated: it may be a
secret in the wrong place.
"""

import json
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Generic, get_args, get_origin

import msgspec

from config.load import (
    SECTIONS,
    ConfigError,
    Section,
    Shared,
    items,
    load,
)
from config.positions import KeyPath, positions
from config.words import about, in_words, like, type_of

ERROR: Final = "error"
WARNING: Final = "warning"
NOTE: Final = "note"
LEVELS: Final = (ERROR, WARNING, NOTE)

_TOML_PLACE: Final = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)$")
_NAMED: Final = re.compile(r"`([a-z_0-9.]+)`")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to say. file, line: where, if it stands in the file; variable: if it is set there.

    setting: its full name, as in proxy.timeouts.connect_s; is_table: that is a table's.
    """

    level: str
    setting: str
    message: str
    file: str = ""
    line: int = 0
    variable: str = ""
    is_table: bool = False

    def __str__(self) -> str:
        """As people read it: FILE:LINE: [table] key: message."""
        place = self.variable or f"{self.file}{f':{self.line}' if self.line else ''}"
        level = "" if self.level == ERROR else self.level
        table, _, key = self.setting.rpartition(".")
        name = f"[{table}] {key}" if table else key
        if self.is_table:
            name = f"[{self.setting}]"
        # A variable's name says which setting it is.
        return ": ".join(filter(None, [place, level, "" if self.variable else name, self.message]))


@dataclass(slots=True)
class Report(Generic[Section]):
    """What was found. shared, section: the settings, if they can be used."""

    path: Path | None
    findings: list[Finding] = field(default_factory=list)
    shared: Shared | None = None
    section: Section | None = None
    lines: Mapping[KeyPath, int] = field(default_factory=dict)
    variables: Mapping[KeyPath, str] = field(default_factory=dict)

    @property
    def good(self) -> bool:
        """Whether the settings can be used."""
        return not any(finding.level == ERROR for finding in self.findings)

    def settings(self) -> tuple[Shared, Section]:
        """The settings. ConfigError with all that is wrong with them, if they can't be used."""
        if self.shared is None or self.section is None:
            errors = [str(each) for each in self.ordered() if each.level == ERROR]
            raise ConfigError("; ".join(errors))
        return self.shared, self.section

    def add(self, level: str, path: KeyPath, message: str, *, is_table: bool = False) -> None:
        """Say something of a setting; where it stands is looked up."""
        line = 0
        for end in range(len(path), 0, -1):
            line = line or self.lines.get(path[:end], 0)
        finding = Finding(
            level,
            _name(path),
            message,
            str(self.path) if self.path else "the defaults",
            line,
            self.variables.get(path, ""),
            is_table,
        )
        if finding not in self.findings:
            self.findings.append(finding)

    def ordered(self) -> list[Finding]:
        """Errors first; each kind in the order of the file."""
        return sorted(self.findings, key=lambda each: (LEVELS.index(each.level), each.line))

    def text(self) -> str:
        """Line by line, for people."""
        lines = [str(finding) for finding in self.ordered()]
        if self.good:
            lines.append("the settings are good")
        return "".join(f"{line}\n" for line in lines)

    def as_json(self) -> str:
        """For programs: `ok` and `findings`."""
        findings = [
            {
                "level": each.level,
                "setting": each.setting,
                "message": each.message,
                "file": each.file or None,
                "line": each.line or None,
                "variable": each.variable or None,
            }
            for each in self.ordered()
        ]
        return json.dumps({"ok": self.good, "findings": findings}, indent=2) + "\n"


def examine(
    path: Path | None,
    section: str,
    of: type[Section],
    environ: Mapping[str, str] | None = None,
) -> Report[Section]:
    """Everything that can be said of the settings. The arguments are those of `load`."""
    environ = os.environ if environ is None else environ
    report: Report[Section] = Report(path)
    document = _document(report)
    if document is None:
        return report
    _look_at_sections(report, document)
    shared = {key: value for key, value in document.items() if key not in SECTIONS}
    own = document.get(section, {})
    report.variables = {
        **_override(shared, Shared, "TURNOUT", (), environ),
        **_override(own, of, f"TURNOUT_{section.upper()}", (section,), environ),
    }
    _look_at_variables(report, of, section, environ)
    known = {key: value for key, value in shared.items() if not isinstance(value, dict)}
    _Walk(report, Shared).struct(known, Shared, ())
    if isinstance(own, dict):
        _Walk(report, of).struct(own, of, (section,))
    if report.good:
        try:
            report.shared, report.section = load(path, section, of, environ)
        except ConfigError as error:  # what only the whole can tell
            report.add(ERROR, (section,), str(error))
    return report


def _document(report: Report[Any]) -> dict[str, Any] | None:
    if report.path is None:
        return {}
    try:
        text = report.path.read_text(encoding="utf-8")
        document = tomllib.loads(text)
    except OSError as error:
        report.add(ERROR, (), f"can't be read: {error.strerror}")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        report.lines = {("",): line}
        report.add(ERROR, ("",), "is not UTF-8")
    except (ValueError, RecursionError) as error:
        place = _TOML_PLACE.search(str(error))
        line = _line_of(place, text)
        report.lines = {("",): line}
        report.add(ERROR, ("",), f"is not valid TOML: {_TOML_PLACE.sub('', str(error))}")
    else:
        report.lines = positions(text)
        return document
    return None


def _line_of(place: re.Match[str] | None, text: str) -> int:
    """The line that tomllib names; its `end of document` is the last one; 0: it names none."""
    if place is None:
        return 0
    return int(place[1]) if place[1] else text.count("\n") + 1


def _look_at_sections(report: Report[Any], document: dict[str, Any]) -> None:
    for key, value in document.items():
        if key in SECTIONS and not isinstance(value, dict):
            report.add(ERROR, (key,), "is a section, not a value", is_table=True)
        elif key not in SECTIONS and isinstance(value, dict):
            known = ", ".join(f"[{name}]" for name in sorted(SECTIONS))
            close = like(key, SECTIONS)
            hint = f"did you mean [{close}]?" if close else f"there are {known}"
            report.add(ERROR, (key,), f"there is no such section; {hint}", is_table=True)


def _override(
    into: Any,
    of: type[msgspec.Struct],
    prefix: str,
    above: KeyPath,
    environ: Mapping[str, str],
) -> dict[KeyPath, str]:
    """Put the variables in place, as `load` does; the path of each that is set."""
    taken: dict[KeyPath, str] = {}
    for variable, path, is_list in _variables(of, prefix, above):
        if variable in environ and isinstance(into, dict):
            *tables, last = path[len(above) :]
            table: Any = into
            for name in tables:
                table = table.setdefault(name, {}) if isinstance(table, dict) else {}
            if isinstance(table, dict):
                text = environ[variable]
                table[last] = items(text) if is_list else text
                taken[path] = variable
    return taken


def _variables(
    of: type[msgspec.Struct], prefix: str, above: KeyPath
) -> Iterator[tuple[str, KeyPath, bool]]:
    """The variable of each setting, its path, and whether it is a list."""
    for each in msgspec.structs.fields(of):
        name, path = f"{prefix}_{each.encode_name.upper()}", (*above, each.encode_name)
        if _is_struct(each.type):
            yield from _variables(each.type, name, path)
        else:
            yield name, path, str(each.type).startswith(("tuple", "list"))


def _look_at_variables(
    report: Report[Any], of: type[msgspec.Struct], section: str, environ: Mapping[str, str]
) -> None:
    prefix = f"TURNOUT_{section.upper()}"
    known = {name for name, _, _ in _variables(of, prefix, (section,))}
    for name in sorted(environ):
        if name.startswith(f"{prefix}_") and name not in known:
            close = like(name, known)
            hint = f"; did you mean {close}?" if close else ""
            message = f"no setting has this variable{hint}"
            report.findings.append(Finding(WARNING, "", message, variable=name))


class _Walk:
    """Looks at values table by table. root: the plane's settings, to find misplaced keys in."""

    def __init__(self, report: Report[Any], root: type[msgspec.Struct]) -> None:
        self._report = report
        self._root = root

    def struct(self, values: dict[str, Any], of: type[msgspec.Struct], path: KeyPath) -> Any:
        """The struct; None if something below it is wrong, which has been said."""
        fields = {each.encode_name: each for each in msgspec.structs.fields(of)}
        good = True
        for key in values.keys() - fields.keys():
            good = False
            self._report.add(ERROR, (*path, key), self._unknown(key, fields, path))
        found = {}
        for name, each in fields.items():
            if name in values:
                before = len(self._report.findings)
                value = self._value(values[name], each.type, (*path, name))
                if len(self._report.findings) == before:
                    found[each.name] = value
                else:
                    good = False
            elif each.required:
                good = False
                self._report.add(ERROR, path, f"needs `{name}`", is_table=True)
        if good:
            return self._made(of, found, path)
        self._alone(of, found, path)
        return None

    def _value(self, value: Any, of: Any, path: KeyPath) -> Any:
        if _is_struct(of):
            if isinstance(value, dict):
                return self.struct(value, of, path)
            self._report.add(ERROR, path, f"expected table, got {type_of(value)}")
            return None
        inner = _struct_within(of)
        if inner is not None and isinstance(value, list):
            kept = [self._value(item, inner, (*path, i)) for i, item in enumerate(value)]
            return tuple(kept) if get_origin(of) is tuple else kept
        if inner is not None and isinstance(value, dict):
            return {key: self._value(item, inner, (*path, key)) for key, item in value.items()}
        try:
            return msgspec.convert(value, of, strict=False)
        except (msgspec.ValidationError, ValueError) as error:
            self._report.add(ERROR, path, in_words(str(error), of))
            return None

    def _made(self, of: type[msgspec.Struct], found: dict[str, Any], path: KeyPath) -> Any:
        """The struct of good values; else what its own check says of several of them."""
        try:
            return of(**found)
        except ValueError as error:
            whole = str(error)
        if not self._alone(of, found, path):
            named = [each.rpartition(".")[2] for each in _NAMED.findall(whole)]
            name = next((each for each in named if each in found), "")
            place, lead = ((*path, name), name) if name else (path, str(path[-1]))
            self._report.add(ERROR, place, about(whole, lead), is_table=not name)
        return None

    def _alone(self, of: type[msgspec.Struct], found: dict[str, Any], path: KeyPath) -> bool:
        """Say which values the struct's check would not take even alone; whether any."""
        before = len(self._report.findings)
        required = {each.name for each in msgspec.structs.fields(of) if each.required}
        if not required <= found.keys():
            return False
        needed = {name: found[name] for name in required}
        for name, value in found.items():
            try:
                of(**{**needed, name: value})
            except ValueError as error:
                # One that speaks of others too may be right together with those.
                if {each.rpartition(".")[2] for each in _NAMED.findall(str(error))} == {name}:
                    self._report.add(ERROR, (*path, name), about(str(error), name))
        return len(self._report.findings) > before

    def _unknown(self, key: str, fields: Mapping[str, Any], path: KeyPath) -> str:
        close = like(key, fields)
        if close:
            return f"unknown setting; did you mean {close}?"
        top = path[:1]
        for where, names in _tables(self._root, top):
            if key in names:
                place = _name(where)
                return (
                    f"unknown setting here; it belongs {f'in [{place}]' if place else 'at the top'}"
                )
        return "unknown setting"


def _tables(of: type[msgspec.Struct], path: KeyPath) -> Iterator[tuple[KeyPath, set[str]]]:
    fields = msgspec.structs.fields(of)
    yield path, {each.encode_name for each in fields}
    for each in fields:
        if _is_struct(each.type):
            yield from _tables(each.type, (*path, each.encode_name))


def _is_struct(of: Any) -> bool:
    return isinstance(of, type) and issubclass(of, msgspec.Struct)


def _struct_within(of: Any) -> Any:
    """The struct that a list's or a mapping's items are; None if they are none."""
    arguments = get_args(of)
    if get_origin(of) in {tuple, list} and arguments and _is_struct(arguments[0]):
        return arguments[0]
    if get_origin(of) is dict and _is_struct(arguments[1]):
        return arguments[1]
    return None


def _name(path: KeyPath) -> str:
    """The full name of a setting, as in `proxy.tcp[1].listen`."""
    text = ""
    for part in path:
        text += f"[{part + 1}]" if isinstance(part, int) else f".{part}" if text else part
    return text
