"""Reading the folder of migrations."""

from pathlib import Path

from admin.migrations.catalogue.assemble import assemble
from admin.migrations.catalogue.model import Catalogue, CatalogueError, Fault

MAX_FILE_BYTES = 4 * 1024 * 1024
MAX_FILES = 10_000


def read(folder: Path) -> Catalogue:
    """The catalogue of all `*.sql` files in the folder and below. CatalogueError with all faults."""
    if not folder.is_dir():
        raise CatalogueError([Fault(str(folder), 1, 1, "there is no such folder")])
    paths = sorted(path for path in folder.rglob("*.sql") if path.is_file())
    if len(paths) > MAX_FILES:
        raise CatalogueError([Fault(str(folder), 1, 1, f"more than {MAX_FILES} files")])
    texts, faults = {}, []
    for path in paths:
        name = str(path.relative_to(folder))
        try:
            texts[name] = _text(path)
        except (OSError, ValueError) as error:
            faults.append(Fault(name, 1, 1, _words(error)))
    try:
        catalogue = assemble(texts)
    except CatalogueError as error:
        raise CatalogueError([*faults, *error.faults]) from None
    if faults:
        raise CatalogueError(faults)
    return catalogue


def _text(path: Path) -> str:
    with path.open("rb") as file:
        body = file.read(MAX_FILE_BYTES + 1)
    if len(body) > MAX_FILE_BYTES:
        raise ValueError(f"it is larger than {MAX_FILE_BYTES} bytes")
    return body.decode()


def _words(error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        return f"byte {error.start} is not UTF-8"
    return str(getattr(error, "strerror", None) or error)
