"""config/turnout.toml lists every setting with its default, unit and meaning."""

from pathlib import Path

import msgspec
import pytest

import admin.config
import proxy.config
from admin.migrations.config import Settings as MigrationSettings
from admin.monitor.settings import Settings as MonitorSettings
from admin.releases.config import Settings as ReleaseSettings
from config import Shared, load
from tests.support.settings import differences

REFERENCE = Path(__file__).parents[2] / "config" / "turnout.toml"


@pytest.mark.parametrize(
    ("of", "section"),
    [
        (Shared, ""),
        (proxy.config.Settings, "proxy"),
        (admin.config.Settings, "admin"),
        (MigrationSettings, "migrations"),
        (ReleaseSettings, "releases"),
        (MonitorSettings, "monitor"),
    ],
    ids=["shared", "proxy", "admin", "migrations", "releases", "monitor"],
)
def test_the_reference_is_that_of_the_code(of: type[msgspec.Struct], section: str):
    assert differences(of, REFERENCE.read_text("utf-8"), section) == []


def test_the_reference_can_be_used_as_it_is():
    shared, settings = load(REFERENCE, "proxy", proxy.config.Settings, {})
    assert (shared, settings) == (Shared(), proxy.config.Settings())
    assert load(REFERENCE, "admin", admin.config.Settings, {})[1] == admin.config.Settings()
