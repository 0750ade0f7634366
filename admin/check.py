"""`turnout admin --check`: what the settings' own words can't tell, and the machine can.

All sections that an admin reads, the files that they name, where secrets stand, and the programs of hooks.
Nothing is run, nobody is asked over the network, and no value of a secret is repeated.
"""

import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from admin.config import MIN_SECRET_BYTES, Settings
from admin.gates import checklist_file
from admin.gates.checks import CheckList
from admin.gates.config import Gates
from admin.gates.files import FileFault, read
from admin.gates.requests import RequestList
from admin.hooks.model import Hook
from admin.hooks.webhook import lies_under
from admin.migrations.config import Settings as MigrationSettings
from admin.migrations.references import ReferenceFault, secret
from admin.monitor.settings import Settings as MonitorSettings
from admin.notify import templates
from admin.releases.config import Settings as ReleaseSettings
from config import ERROR, Report, examine
from config.positions import KeyPath

_OTHERS: Final[dict[str, type[msgspec.Struct]]] = {
    "migrations": MigrationSettings,
    "releases": ReleaseSettings,
    "monitor": MonitorSettings,
}
Fault = tuple[KeyPath, str]
"""Where, and what is wrong there."""


def check(path: Path | None, *, as_json: bool) -> int:
    """Say all that is wrong, with file and line; the exit code.

    0: an admin can start with it. 1: the settings are good, and something that they name is not. 2: the
    settings are wrong; nothing else was looked at.
    """
    report = examine(path, "admin", Settings)
    if report.good and report.section and len(report.section.token_secret) < MIN_SECRET_BYTES:
        report.add(ERROR, ("admin", "token_secret"), f"has to have {MIN_SECRET_BYTES} bytes")
    others: dict[str, Report[Any]] = {
        name: examine(path, name, shape) for name, shape in _OTHERS.items()
    }
    for other in others.values():
        report.findings += [each for each in other.findings if each not in report.findings]
    code = 0 if report.good else 2
    if not code:
        settings = {name: other.settings()[1] for name, other in others.items()}
        for place, message in look(report.settings()[1], settings["releases"], settings["monitor"]):
            report.add(ERROR, place, message)
        code = 0 if report.good else 1
    said = report.as_json() if as_json else report.text()
    (sys.stdout if report.good or as_json else sys.stderr).write(said)
    return code


def look(
    settings: Settings, releasing: ReleaseSettings, monitoring: MonitorSettings
) -> Iterator[Fault]:
    """What is wrong around good settings."""
    yield from _files(releasing.gates, releasing.notify.templates)
    yield from _hooks(releasing.hooks, settings.step_urls)
    yield from _secrets(_references(settings, releasing, monitoring))


def _files(gates: Gates, own_templates: str) -> Iterator[Fault]:
    known = checklist_file.shipped().gates()
    reading: dict[KeyPath, tuple[str, Callable[[str], object]]] = {
        ("smoke", "file"): (gates.smoke.file, _checks),
        ("integration", "file"): (gates.integration.file, _checks),
        ("warm_up", "file"): (gates.warm_up.file, _requests),
        ("performance", "file"): (gates.performance.file, _requests),
        ("checklist",): (gates.checklist, lambda file: checklist_file.load(file, known)),
    }
    places = {("releases", "gates", *place): each for place, each in reading.items()}
    places["releases", "notify", "templates"] = (own_templates, templates.load)
    for place, (file, read_it) in places.items():
        if not file:
            continue
        try:
            read_it(file)
        except FileFault as fault:
            yield place, str(fault)


def _checks(file: str) -> CheckList:
    return read(Path(file), CheckList)


def _requests(file: str) -> RequestList:
    return read(Path(file), RequestList)


def _hooks(hooks: tuple[Hook, ...], prefixes: tuple[str, ...]) -> Iterator[Fault]:
    place = ("releases", "hooks")
    for hook in hooks:
        if hook.webhook and not lies_under(hook.webhook, prefixes):
            yield place, f"{hook.name}: the webhook lies under none of admin.step_urls"
        if hook.command and shutil.which(hook.command[0]) is None:
            yield place, f"{hook.name}: {hook.command[0]} is no program that can be run here"


def _references(
    settings: Settings, releasing: ReleaseSettings, monitoring: MonitorSettings
) -> Iterator[tuple[KeyPath, str]]:
    yield ("admin", "oidc", "client_secret"), settings.oidc.client_secret
    yield ("releases", "gates", "replication", "url"), releasing.gates.replication.url
    for hook in releasing.hooks:
        yield ("releases", "hooks"), hook.secret
    for target in releasing.notify.targets:
        yield ("releases", "notify", "targets"), target.url
    for name in ("prometheus_url", "prometheus_bearer"):
        yield ("monitor", name), getattr(monitoring, name)


def _secrets(references: Iterator[tuple[KeyPath, str]]) -> Iterator[Fault]:
    for place, reference in references:
        if not reference:
            continue
        try:
            secret(reference)
        except ReferenceFault as fault:
            yield place, str(fault)
