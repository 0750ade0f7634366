"""Seeds whose histories once broke a rule: `make test` plays them always."""

KEPT: tuple[int, ...] = ()
