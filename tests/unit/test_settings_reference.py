"""config/turnout.toml lists every setting with its default, unit and meaning."""

from pathlib import Path

import msgspec
import pytest

import admin.config
import proxy.config
from admin.gates.config import Gates
from admin.hooks.model import Hook
from admin.migrations.config import Settings as MigrationSettings
from admin.notify.config import Notify
from config import Shared, load
from tests.support.settings import differences


class Releases(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What stands below [releases]."""

    hooks: tuple[Hook, ...] = ()
    gates: Gates = Gates()
    notify: Notify = Notify()


REFERENCE = Path(__file__).parents[2] / "config" / "turnout.toml"


@pytest.mark.parametrize(
    ("of", "section"),
    [
        (Shared, ""),
        (proxy.config.Settings, "proxy"),
        (admin.config.Settings, "admin"),
        (MigrationSettings, "migrations"),
        (Releases, "releases"),
    ],
    ids=["shared", "proxy", "admin", "migrations", "releases"],
)
def test_the_reference_is_that_of_the_code(of: type[msgspec.Struct], section: str):
    assert differences(of, REFERENCE.read_text("utf-8"), section) == []


def test_the_reference_can_be_used_as_it_is():
    shared, settings = load(REFERENCE, "proxy", proxy.config.Settings, {})
    assert (shared, settings) == (Shared(), proxy.config.Settings())
    assert load(REFERENCE, "admin", admin.config.Settings, {})[1] == admin.config.Settings()
