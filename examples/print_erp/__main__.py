"""`python -m examples.print_erp`: argv to settings, and off."""

import os
import sys

_PARENT = os.getppid()  # before the slow imports: it may die while they run


def main() -> int:
    """Run one instance until SIGTERM; the exit status."""
    from examples.print_erp.settings import parse  # noqa: PLC0415 - after the parent is known

    settings = parse(sys.argv[1:])
    if settings.with_parent:
        from examples.print_erp.parent import die_with  # noqa: PLC0415 - only when asked for

        die_with(_PARENT)
    from examples.print_erp.serve import run  # noqa: PLC0415 - wrong arguments answer at once

    return run(settings)


if __name__ == "__main__":
    sys.exit(main())
