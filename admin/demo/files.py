"""What the demo writes for people and scripts: turnout.toml, env, demo.json; and for itself.

Rule: they hold secrets, so each is for its owner only (0600), and appears whole or not at all.
"""

import json
import os
import secrets
import shlex
import sys
import sysconfig
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from admin.demo.plan import LOOPBACK, Ports

DWELL_S, WINDOW_S = 10.0, 20.0
"""How long a step of a release lasts, and how long it is watched after the cutover."""
DRAIN_S = 3.0
"""How long the demo's proxy drains when the demo ends."""
VERSIONS = {"blue": "1.2.0", "green": "1.3.0"}
"""What the slots run at first."""


@dataclass(frozen=True, slots=True)
class Secrets:
    """Made once for each folder: earlier tokens and what lies in Redis stay good."""

    routing_key: str
    token_secret: str


@dataclass(frozen=True, slots=True)
class Description:
    """demo.json. endpoints: slot → host:port. pids: part → its first process."""

    proxy: str
    admin: str
    management: str
    token: str
    redis_url: str
    database_url: str
    endpoints: Mapping[str, list[str]]
    pids: Mapping[str, int]


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read, whole or not at all."""
    unfinished = path.with_name(f"{path.name}.new")
    unfinished.unlink(missing_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(unfinished, flags, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    unfinished.replace(path)


def kept_secrets(config: Path) -> Secrets:
    """Those of an earlier run in this folder, or new ones."""
    try:
        document = tomllib.loads(config.read_text(encoding="utf-8"))
        kept = Secrets(document["routing_key"], document["admin"]["token_secret"])
    except (OSError, ValueError, KeyError, TypeError):
        return Secrets(secrets.token_hex(32), secrets.token_hex(32))
    return kept


def kept_versions(folder: Path) -> dict[str, str]:
    """Slot → the version that was deployed there last."""
    try:
        kept: dict[str, str] = json.loads((folder / "versions.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        kept = {}
    return VERSIONS | kept


def keep_version(folder: Path, slot: str, version: str) -> None:
    """Have this version run in the slot from its instances' next start on."""
    kept = kept_versions(folder) | {slot: version}
    write_private(folder / "versions.json", json.dumps(kept) + "\n")


def config_text(
    ports: Ports,
    workers: int,
    own: Secrets,
    redis_url: str,
    database_url: str | None,
    folder: Path,
) -> str:
    """turnout.toml, for the proxy and the admin of the demo. None: there is no database yet."""
    database = "" if database_url is None else f"database_url = {_toml(database_url)}\n"
    return f"""\
# Written by `turnout demo` at each start. It holds secrets.
redis_url = {_toml(redis_url)}
{database}routing_key = {_toml(own.routing_key)}

[proxy]
listen = "{LOOPBACK}:{ports.proxy}"
management_listen = "{LOOPBACK}:{ports.management}"
workers = {workers}
trusted_networks = ["127.0.0.0/8", "::1/128"]

[proxy.identity]
domains = ["localhost"]

[[proxy.affinity]]
name = "print"
path = "/api/prints/{{key}}"
born = {{status = [202], header = "Location", pattern = "/api/prints/{{key}}"}}
ends_on = {{status = [404, 410]}}
ttl_s = 86400.0

[[proxy.affinity]]
name = "payment"
header = "Idempotency-Key"
ttl_s = 86400.0
canary = false

[[proxy.affinity]]
name = "session"
cookie = "erp_session"

[[proxy.census]]
name = "printer"
path = "/ws/equipment/{{key}}"

[proxy.timeouts]
drain_s = {DRAIN_S}

[admin]
listen = "{LOOPBACK}:{ports.admin}"
token_secret = {_toml(own.token_secret)}
steps = {{wait = ["sleep", "2"]}}
step_urls = ["http://{LOOPBACK}:"]
{_releases_text(folder)}"""


def _releases_text(folder: Path) -> str:
    """Releases that one can watch: seconds where others take minutes, and a hook that deploys."""
    program = [sys.executable, "-P", "-m", "admin.demo.deploy", str(folder)]
    return f"""
[releases]
environment = "demo"
gates_s = 1.0

[[releases.hooks]]
name = "deploy"
before = "deploying"
command = {_toml([*program, "standby"])}
on_unknown = "repeat"

[[releases.hooks]]
name = "deploy-old"
before = "finalising"
command = {_toml([*program, "active"])}
on_unknown = "repeat"

# The ERP migrates its own schema at its start.
[releases.gates.schema]
applies = false

[releases.patch]
window_s = {WINDOW_S}
signers = ["qa"]

[releases.minor]
steps = [25.0, 50.0]
dwell_s = {DWELL_S}
window_s = {WINDOW_S}
signers = ["qa"]
"""


def env_text(description: Description) -> str:
    """The shell's side: `. env` makes `turnout` work in another terminal (sh, bash, zsh)."""
    programs = shlex.quote(sysconfig.get_path("scripts"))
    variables = {
        "TURNOUT_ADMIN_URL": description.admin,
        "TURNOUT_TOKEN": description.token,
        "TURNOUT_PROXY_URL": description.proxy,
    } | {
        f"DEMO_{slot.upper()}_URL": f"http://{endpoints[0]}"
        for slot, endpoints in description.endpoints.items()
        if endpoints
    }
    lines = ["# Written by `turnout demo`. It holds a token."]
    lines += [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]
    lines.append(f'case ":$PATH:" in *:{programs}:*) ;; *) export PATH={programs}:"$PATH" ;; esac')
    return "\n".join(lines) + "\n"


def description_text(description: Description) -> str:
    """demo.json."""
    return json.dumps(asdict(description), indent=2) + "\n"


def _toml(value: str | list[str]) -> str:
    """A basic string of TOML, or an array of them; JSON's escapes are a part of TOML's."""
    return json.dumps(value)
