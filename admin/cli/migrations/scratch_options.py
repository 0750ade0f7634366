"""What `verify` and `drift` share: databases by reference, the run with its signals, and how it ends."""

import asyncio
import contextlib
import json
import signal
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from admin.cli.failures import INTERRUPTED, Failure
from admin.cli.output import warn

if TYPE_CHECKING:
    from admin.migrations.catalogue.model import Catalogue
    from admin.migrations.drift.model import Fingerprint
    from admin.migrations.proof.servers import Place

PROVEN, FOUND, COULD_NOT = 0, 1, 2
Result = TypeVar("Result")


def place_of(reference: str) -> "Place":
    """The database that a reference names. Failure: there is none."""
    from admin.migrations.proof.servers import Place  # noqa: PLC0415 - see above
    from admin.migrations.references import ReferenceFault, database_url  # noqa: PLC0415

    try:
        return Place(reference, database_url(reference))
    except ReferenceFault as error:
        raise Failure(str(error), COULD_NOT) from None


def server_of(reference: str, database: str, *, named: bool) -> "Place":
    """Where clones are made. named: by --scratch, so that its own database may serve for it."""
    place = place_of(reference)
    return place if named and place.database else place.sibling(database)


def catalogue_of(folder: Path) -> "Catalogue":
    """The folder's. Failure with all faults."""
    from admin.migrations.catalogue.model import CatalogueError  # noqa: PLC0415 - see above
    from admin.migrations.catalogue.read import read  # noqa: PLC0415

    try:
        return read(folder)
    except CatalogueError as error:
        raise Failure(f"the catalogue can't be used:\n{error}", COULD_NOT) from None


def text_of(file: Path) -> str:
    """What stands in a file. Failure."""
    try:
        return file.read_text("utf-8")
    except (OSError, UnicodeError):
        raise Failure(f"{file} can't be read as UTF-8 text", COULD_NOT) from None


def saved_fingerprint(file: Path) -> "Fingerprint":
    """The one that --save has written. Failure."""
    from admin.migrations.drift.model import FingerprintError, read_fingerprint  # noqa: PLC0415 - not for --help

    try:
        return read_fingerprint(json.loads(file.read_text("utf-8")))
    except FingerprintError as error:
        raise Failure(f"{file}: {error}", COULD_NOT) from None
    except (OSError, ValueError):
        raise Failure(f"{file} can't be read as JSON", COULD_NOT) from None


def run_to_the_end(work: Callable[[], Coroutine[Any, Any, Result]], *, as_json: bool) -> Result:
    """Run it. SIGINT and SIGTERM end it once, and what it does to tidy up is let finish. Failure."""
    import asyncpg  # noqa: PLC0415 - see above

    from admin.migrations.proof.errors import told  # noqa: PLC0415
    from admin.migrations.proof.limits import CannotProve  # noqa: PLC0415

    try:
        return asyncio.run(_interruptible(work))
    except CannotProve as error:
        document = {"code": "could-not-run", "detail": str(error)} if as_json else None
        raise Failure(str(error), COULD_NOT, document) from None
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
        detail = f"it broke off ({type(error).__name__}): {told(error).message}"
        raise Failure(
            detail, COULD_NOT, {"code": "broke-off", "detail": detail} if as_json else None
        ) from None
    except asyncio.CancelledError:
        raise SystemExit(INTERRUPTED) from None


async def _interruptible(work: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
    loop = asyncio.get_running_loop()
    task = loop.create_task(work(), name="the run")
    stopping = False

    def stop() -> None:
        nonlocal stopping
        if not stopping:
            stopping = True
            warn("stopping; the clone is removed first")
            task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.wait([task])
    return task.result()


def save(document: dict[str, Any], file: Path) -> None:
    """Write a document whole, or not at all. Failure."""
    part = file.with_name(f"{file.name}.part")
    try:
        part.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", "utf-8")
        part.replace(file)
    except OSError as error:
        raise Failure(f"{file} can't be written: {error.strerror}", COULD_NOT) from None
