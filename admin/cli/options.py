"""Options that the commands share, and the types of their arguments."""

import functools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from admin.cli.client import AdminClient, Refused, Unreachable, parse_url
from admin.cli.failures import INTERRUPTED, Target, refused, unreachable

DEFAULT_URL = "http://127.0.0.1:8081"
SLOT = click.Choice(["blue", "green"])
Command = TypeVar("Command", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Session:
    """What a command works with: the admin, and how to answer."""

    client: AdminClient
    as_json: bool
    expected: int | None = None


class TenantType(click.ParamType[str]):
    """A tenant's id."""

    name = "tenant"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The id, or wrong usage."""
        from proxy.routing.model import is_tenant  # noqa: PLC0415 - not needed for --help

        if not isinstance(value, str) or not is_tenant(value):
            self.fail(f"{value!r} is no tenant id: 1 to 63 of a-z, 0-9 and -", param, ctx)
        return value


class TenantsType(click.ParamType[tuple[str, ...]]):
    """Tenant ids with commas between."""

    name = "tenants"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        """The ids, each once and in order, or wrong usage."""
        if isinstance(value, tuple):
            return value
        names = [name.strip() for name in str(value).split(",")]
        return tuple(dict.fromkeys(TENANT.convert(name, param, ctx) for name in names))


class TenantFileType(click.ParamType[tuple[str, ...]]):
    """A file of tenant ids, one a line; `#` begins a comment, and `-` is standard input."""

    name = "file"
    max_chars = 4_000_000

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        """The ids in order, or wrong usage that names the line."""
        if isinstance(value, tuple):
            return value
        try:
            with click.open_file(str(value), encoding="utf-8") as file:
                text = file.read(self.max_chars + 1)
        except (OSError, UnicodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
            self.fail(f"{value} can't be read: {reason}", param, ctx)
        if len(text) > self.max_chars:
            self.fail(f"{value} is too long: {self.max_chars} characters at most", param, ctx)
        return tuple(self._ids(str(value), text, param, ctx))

    def _ids(
        self, file: str, text: str, param: click.Parameter | None, ctx: click.Context | None
    ) -> Iterator[str]:
        for number, line in enumerate(text.splitlines(), 1):
            name = line.partition("#")[0].strip()
            try:
                if name:
                    yield TENANT.convert(name, param, ctx)
            except click.BadParameter as error:
                self.fail(f"{file}:{number}: {error.message}", param, ctx)


class TenantListType(TenantsType):
    """The same, or nothing: an empty list."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        """The ids, or wrong usage."""
        return () if value == "" else super().convert(value, param, ctx)


class PercentType(click.ParamType[float]):
    """0 to 100 in steps of 0.01."""

    name = "percent"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """The percentage, whole if it can be, or wrong usage."""
        from proxy.routing.values import decode_percent, percent  # noqa: PLC0415 - see TenantType

        try:
            return percent(decode_percent(float(value)))
        except ValueError:
            self.fail(f"{value!r} is no percentage: 0 to 100 in steps of 0.01", param, ctx)


class DurationType(click.ParamType[int]):
    """A duration such as 90s, 30m, 12h, 7d; a number alone is seconds."""

    name = "duration"
    _units = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}  # noqa: RUF012 - never changed

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Seconds, or wrong usage."""
        match = re.fullmatch(r"(\d{1,9})([smhd]?)", str(value))
        if match is None or int(match[1]) == 0:
            self.fail(f"{value!r} is no duration: 90s, 30m, 12h, 7d", param, ctx)
        return int(match[1]) * self._units[match[2]]


class ListType(click.ParamType[tuple[Any, ...]]):
    """Values of another type with commas between."""

    def __init__(self, of: click.ParamType[Any]) -> None:
        self._of = of
        self.name = f"{of.name},…"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[Any, ...]:
        """The values in order, or wrong usage."""
        if isinstance(value, tuple):
            return value
        return tuple(self._of.convert(part.strip(), param, ctx) for part in str(value).split(","))


TENANT = TenantType()
TENANTS = TenantsType()
TENANT_FILE = TenantFileType()
PERCENT = PercentType()
DURATION = DurationType()
TENANT_LIST = TenantListType()
PERCENTS = ListType(PERCENT)
DURATIONS = ListType(DURATION)

as_json_option = click.option("--json", "as_json", is_flag=True, help="Machine output.")


def connected(function: Command) -> Callable[..., None]:
    """Gives a command its Session (first argument), and says in words what goes wrong."""

    @functools.wraps(function)
    def run(
        *args: Any, url: str, token: str, timeout_ms: int, as_json: bool, **options: Any
    ) -> None:
        expected = options.pop("expect_version", None)
        target = Target(_shown(url), _source(), bool(token), expected)
        session = Session(_client(url, token, timeout_ms), as_json, expected)
        try:
            function(session, *args, **options)
        except Unreachable as error:
            raise unreachable(error, target, as_json=as_json) from error
        except Refused as error:
            raise refused(error, target, as_json=as_json) from error
        except KeyboardInterrupt:
            raise SystemExit(INTERRUPTED) from None

    for option in reversed(_CONNECTION):
        option(run)
    return run


def writing(function: Command) -> Callable[..., None]:
    """`connected`, for a command that changes something."""
    return _EXPECT(connected(function))


_CONNECTION = (
    click.option(
        "--url",
        envvar="TURNOUT_ADMIN_URL",
        default=DEFAULT_URL,
        show_default=True,
        help="Where the admin listens (TURNOUT_ADMIN_URL).",
    ),
    click.option(
        "--token",
        envvar="TURNOUT_TOKEN",
        default="",
        help="The token to show it; TURNOUT_TOKEN keeps it out of `ps`.",
    ),
    click.option(
        "--timeout-ms",
        type=click.IntRange(0, 60_000),
        default=5000,
        show_default=True,
        help="How long a change waits for the workers.",
    ),
    as_json_option,
)
_EXPECT = click.option(
    "--expect-version",
    type=click.IntRange(min=0),
    help="Refuse unless the table is at this version.",
)


def _client(url: str, token: str, timeout_ms: int) -> AdminClient:
    token = token.strip()
    if not token.isascii() or not token.isprintable():
        raise click.UsageError(
            "the token holds characters that no token has; was it cut or quoted?"
        )
    try:
        return AdminClient(url, token, timeout_ms)
    except ValueError as error:
        raise click.UsageError(str(error)) from None


def _shown(url: str) -> str:
    try:
        return parse_url(url).geturl()
    except ValueError:
        return "-"


def _source() -> str:
    """Where the admin's address came from."""
    source = click.get_current_context().get_parameter_source("url")
    if source is click.core.ParameterSource.COMMANDLINE:
        return "--url"
    if source is click.core.ParameterSource.ENVIRONMENT:
        return "TURNOUT_ADMIN_URL"
    return "Turnout's defaults"
