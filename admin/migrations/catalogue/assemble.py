"""From the texts of the files to the catalogue, or to all that is wrong with them. Pure."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from hashlib import sha256
from types import MappingProxyType
from typing import TypeVar

from admin.migrations.catalogue import directives, grammar, transactions
from admin.migrations.catalogue.directives import Directive, DirectiveError
from admin.migrations.catalogue.model import (
    Allowance,
    Catalogue,
    CatalogueError,
    Fault,
    Kind,
    Migration,
    Phase,
    Statement,
)
from admin.migrations.catalogue.names import FileNameError, Name, read_name
from admin.migrations.catalogue.phases import phase_of
from admin.migrations.version import Version

Value = TypeVar("Value")
_ORDER = (Kind.VERSIONED, Kind.REPEATABLE, Kind.UNDO)


def assemble(texts: Mapping[str, str]) -> Catalogue:
    """The catalogue of these files: path → text. CatalogueError with all faults."""
    faults: list[Fault] = []
    found = [_File(path, text, faults).migration() for path, text in sorted(texts.items())]
    migrations = sorted((each for each in found if each), key=_place)
    faults += _doubles(migrations)
    if faults:
        raise CatalogueError(sorted(faults, key=lambda fault: (fault.file, fault.line)))
    return Catalogue(tuple(migrations))


def checksum(text: str) -> str:
    """SHA-256 of a text, however its lines end."""
    return sha256(_with_line_feeds(text).encode()).hexdigest()


def _with_line_feeds(text: str) -> str:
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")


def _place(migration: Migration) -> tuple[int, Version, str]:
    return _ORDER.index(migration.kind), migration.version or Version(0, 0, 0), migration.name


def _doubles(migrations: Iterable[Migration]) -> list[Fault]:
    """Two files that say to be the same."""
    first: dict[tuple[bool, str], Migration] = {}
    faults = []
    for each in migrations:
        before = first.setdefault((each.kind is Kind.UNDO, each.key), each)
        if before is not each:
            what = "the name" if each.version is None else f"version {each.version}"
            said = f"{what} is that of {before.path} too: give it another"
            faults.append(Fault(each.path, 1, 1, said))
    return faults


class _File:
    """One file on its way; what is wrong with it goes into `faults`."""

    def __init__(self, path: str, text: str, faults: list[Fault]) -> None:
        self._path, self._text, self._faults = path, _with_line_feeds(text), faults

    def migration(self) -> Migration | None:
        """None if it can't be made sense of at all."""
        name = self._name()
        try:
            pieces = grammar.statements(self._text)
        except grammar.GrammarError as error:
            self._fault(str(error), error.line, error.column)
            return None
        if not pieces:
            self._fault("there is no statement in it: delete it, or write what it is for")
        if name is None or not pieces:
            return None
        header, allowances = self._directives(pieces[0].line)
        statements = self._with_allowances(pieces, allowances)
        return self._assembled(name, statements, header)

    def _assembled(
        self, name: Name, statements: tuple[Statement, ...], header: Mapping[str, Directive]
    ) -> Migration:
        phase = self._said(header.get("phase"), directives.phase_of) or phase_of(statements)
        requires = self._said(header.get("requires"), directives.required_by)
        if requires is None and phase is Phase.CONTRACT:
            requires = name.version
        return Migration(
            kind=name.kind,
            version=name.version,
            name=name.words,
            phase=phase,
            path=self._path,
            text=self._text,
            checksum=checksum(self._text),
            statements=statements,
            requires=requires,
            transactional=self._is_transactional(statements, header.get("transaction")),
            directives=MappingProxyType({key: each.value for key, each in header.items()}),
        )

    def _name(self) -> Name | None:
        try:
            return read_name(self._path.rpartition("/")[2])
        except FileNameError as error:
            self._fault(str(error))
            return None

    def _directives(self, first: int) -> tuple[dict[str, Directive], dict[int, Allowance]]:
        """Those of the header by name, and the allowances by their line. first: of the statements."""
        header: dict[str, Directive] = {}
        allowances = {}
        for comment in grammar.comments(self._text):
            given = directives.directive(comment.text, comment.line)
            if given is None:
                continue
            if given.name == "allow":
                allowance = self._said(given, directives.allowance_of)
                if allowance:
                    allowances[given.line] = allowance
            elif given.name not in directives.HEADER:
                known = ", ".join([*directives.HEADER, "allow"])
                self._fault(f"turnout:{given.name} is not known; there are {known}", given.line)
            elif given.line >= first:
                self._fault(f"turnout:{given.name} stands before the first statement", given.line)
            elif given.name in header and given.name not in directives.OFTEN:
                self._fault(f"turnout:{given.name} is said twice", given.line)
            else:
                header[given.name] = given
        return header, allowances

    def _with_allowances(
        self, pieces: Iterable[grammar.Piece], allowances: dict[int, Allowance]
    ) -> tuple[Statement, ...]:
        """The statements, each with the allowances in the lines of comment directly above it."""
        comments = {each.line for each in grammar.comments(self._text)}
        statements: list[Statement] = []
        for piece in pieces:
            above = []
            line = piece.line - 1
            while line in comments and line not in _last_lines(statements):
                if line in allowances:
                    above.append(allowances.pop(line))
                line -= 1
            statement = Statement(piece.text, piece.line, piece.column, piece.node)
            statements.append(replace(statement, allowances=tuple(reversed(above))))
        for line in allowances:
            self._fault("turnout:allow stands directly above the statement that it is for", line)
        return tuple(statements)

    def _is_transactional(self, statements: tuple[Statement, ...], said: Directive | None) -> bool:
        """Whether all of it is one transaction."""
        for each in statements:
            if transactions.controls_one(each.node):
                self._fault(
                    "Turnout begins and ends the transaction itself: take this out",
                    each.line,
                    each.column,
                )
        wanted = self._said(said, directives.is_transaction)
        alone = [each for each in statements if transactions.needs_none(each.node)]
        if wanted and alone:
            first = alone[0]
            self._fault("PostgreSQL refuses this within a transaction", first.line, first.column)
        return not alone if wanted is None else wanted

    def _said(self, given: Directive | None, read: Callable[[Directive], Value]) -> Value | None:
        """What a directive says; None without one, or if it can't be read."""
        if given is None:
            return None
        try:
            return read(given)
        except DirectiveError as error:
            self._fault(str(error), given.line)
            return None

    def _fault(self, message: str, line: int = 1, column: int = 1) -> None:
        self._faults.append(Fault(self._path, line, column, message))


def _last_lines(statements: list[Statement]) -> set[int]:
    """Where a statement ends, a comment may stand that is not about the next."""
    return {statements[-1].line + statements[-1].sql.count("\n")} if statements else set()
