"""Settings: one TOML file, overridden by TURNOUT_* environment variables.

`config/turnout.toml` beside this file is the reference: every setting with its default, unit and
meaning; a test keeps it equal to the structs. The keys at the top of the file are shared by all
processes (`Shared`); each plane keeps its own section as a msgspec struct and passes it to `load`.
`examine` finds everything that is wrong with settings, with file and line, for `--check`.
May import: the standard library and msgspec, nothing of Turnout.
"""

from config.check import ERROR, NOTE, WARNING, Report, examine
from config.load import ConfigError, Shared, is_field_name, load, split_address
from config.redis_url import Kind, RedisUrl

__all__ = [
    "ERROR",
    "NOTE",
    "WARNING",
    "ConfigError",
    "Kind",
    "RedisUrl",
    "Report",
    "Shared",
    "examine",
    "is_field_name",
    "load",
    "split_address",
]
