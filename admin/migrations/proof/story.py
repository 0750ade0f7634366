"""Which statement a query broke by, and which migration mended it. Pure.

Rule: what counts is what others see, so a difference is told when its migration is committed. To blame is the
statement since which it has been there without a break.
"""

from collections.abc import Iterable, Mapping

from admin.migrations.proof.model import Difference, Finding, FindingKind, Point
from admin.migrations.proof.queries.model import Query


class Story:
    """Of all queries, over one run of migrations. They are known by number."""

    def __init__(self, queries: Iterable[Query]) -> None:
        self._queries = list(queries)
        self._since: list[dict[str, tuple[Point, Difference]]] = [{} for _ in self._queries]
        self._told: dict[tuple[int, str], Finding] = {}

    @property
    def findings(self) -> list[Finding]:
        """Those told by now, in the order in which they came up."""
        return list(self._told.values())

    @property
    def broken(self) -> int:
        """How many queries something is told of that nothing has mended."""
        return len({number for (number, _), each in self._told.items() if not each.mended_by})

    def tried(self, number: int, found: Iterable[Difference], point: Point) -> None:
        """How a query stands after a statement."""
        earlier = self._since[number]
        self._since[number] = {each.id: (self._begun(earlier, each, point), each) for each in found}

    def committed(self, key: str) -> None:
        """A migration (or a statement of one that has no transaction) is there for others to see."""
        for number, present in enumerate(self._since):
            for id_, (point, difference) in present.items():
                if (number, id_) not in self._told:
                    self._told[number, id_] = self._finding(number, difference, point)
            self._mend(number, present, key)

    @staticmethod
    def _begun(
        earlier: Mapping[str, tuple[Point, Difference]], each: Difference, point: Point
    ) -> Point:
        return earlier[each.id][0] if each.id in earlier else point

    def _mend(self, number: int, present: Mapping[str, tuple[Point, Difference]], key: str) -> None:
        # While it doesn't plan, nothing else of it can be seen, so nothing else is mended.
        if any(each.kind is FindingKind.QUERY_FAILS for _, each in present.values()):
            return
        for (of, id_), finding in self._told.items():
            if of == number and id_ not in present and not finding.mended_by:
                self._told[of, id_] = finding.mended(key)

    def _finding(self, number: int, difference: Difference, point: Point) -> Finding:
        query = self._queries[number]
        return Finding(
            kind=difference.kind,
            severity=difference.severity,
            message=difference.message,
            query=query.shown,
            source=query.source,
            calls=query.calls,
            point=point,
            error=difference.error,
        )
