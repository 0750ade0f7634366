"""`turnout proxy --check`: what the settings' own words can't tell, and the machine can.

Files that are named can be read, addresses can be bound, there are descriptors enough; and what
is allowed but seldom meant. Nothing listens and nothing is changed by looking.
"""

import errno
import ipaddress
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from config import ERROR, NOTE, WARNING, ConfigError, Kind, Report, Shared
from config.positions import KeyPath
from proxy.config import Settings, parse_networks
from proxy.supervision import files, listening
from proxy.tls.certificates import Certificates
from proxy.tls.endpoints import endpoint_security
from proxy.tokens.issuers import keys_of
from proxy.tokens.keyset import KeySetError
from proxy.tokens.settings import Issuer
from redis_access.tls import Security

_LOOPBACK_NAMES: Final = frozenset({"localhost", "ip6-localhost"})
_FULL: Final = 0
_FEW_SENTINELS: Final = 3
_SHORT_KEY: Final = 32  # characters: as many bytes as its HMAC's digest has


def look(report: Report[Settings]) -> None:
    """Add to a report of good settings what is found."""
    shared, settings = report.shared, report.section
    if shared is None or settings is None:
        return
    _store(report, shared)
    _networks(report, settings)
    _files(report, settings)
    _secrets(report, shared, settings)
    _affinity(report, shared, settings)
    _tls(report, settings)
    _addresses(report, settings)
    advice = files.fit(settings.limits.connections, files.hard_limit()).advice
    if advice:
        report.add(WARNING, ("proxy", "limits", "connections"), advice)


def _store(report: Report[Settings], shared: Shared) -> None:
    url = shared.redis()
    away = not all(_is_local(host) for host, _ in url.nodes)
    if away and not shared.routing_key:
        report.add(
            WARNING,
            ("routing_key",),
            "is empty and Redis is on another host: whoever can write there routes",
        )
    elif shared.routing_key and len(shared.routing_key) < _SHORT_KEY:
        report.add(WARNING, ("routing_key",), f"is shorter than {_SHORT_KEY} characters")
    if away and not url.tls:
        report.add(
            WARNING,
            ("redis_url",),
            "Redis is on another host and the connection is not encrypted: rediss:// is",
        )
    if url.kind is Kind.SENTINEL and len(url.nodes) < _FEW_SENTINELS:
        report.add(
            NOTE,
            ("redis_url",),
            f"names fewer than {_FEW_SENTINELS} sentinels: one that is cut off may be believed",
        )
    if shared.redis_password_file and not os.access(shared.redis_password_file, os.R_OK):
        report.add(ERROR, ("redis_password_file",), "can't be read by this user")
    if url.tls:
        _store_tls(report, shared)


def _store_tls(report: Report[Settings], shared: Shared) -> None:
    """Load what TLS to Redis needs; the first of the files that can't be used is named."""
    ca, certificate, key = (
        shared.redis_ca_file,
        shared.redis_certificate_file,
        shared.redis_key_file,
    )
    for setting, files_of in (
        ("redis_ca_file", (ca, "", "")),
        ("redis_certificate_file", ("", certificate, key)),
    ):
        try:
            Security(*files_of, check_name=True).made()
        except (OSError, ValueError) as error:
            reason = listening.reason(error) if isinstance(error, OSError) else str(error)
            report.add(ERROR, (setting,), f"can't be used: {reason}")
    if not shared.redis_check_name:
        report.add(
            NOTE, ("redis_check_name",), "is off: any server with a certificate of theirs is Redis"
        )


def _tls(report: Report[Settings], settings: Settings) -> None:
    """Load what TLS needs, as the start does."""
    try:
        if settings.tls_listen:
            Certificates(settings.tls)
    except ConfigError as error:
        report.add(ERROR, ("proxy", "tls", "certificates"), str(error))
    try:
        endpoint_security(settings.endpoint_tls)
    except ConfigError as error:
        report.add(ERROR, ("proxy", "endpoint_tls", "slots"), str(error))
    for network in parse_networks(settings.proxy_protocol.networks):
        if network.prefixlen == _FULL:
            report.add(
                WARNING,
                ("proxy", "proxy_protocol", "networks"),
                f"{network} lets everybody say who they are",
            )


def _is_local(host: str) -> bool:
    if host in _LOOPBACK_NAMES:
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _networks(report: Report[Settings], settings: Settings) -> None:
    for network in settings.networks():
        if network.prefixlen == _FULL:
            report.add(
                WARNING,
                ("proxy", "trusted_networks"),
                f"{network} believes everybody's X-Tenant-ID and X-Forwarded-*",
            )


def _files(report: Report[Settings], settings: Settings) -> None:
    """Every setting that names a file to read."""
    for path, issuer in _issuers(settings):
        setting = "key_file" if issuer.key_file else "key"
        try:
            keys_of(issuer, settings.identity.jwks.max_keys)
        except OSError as error:
            report.add(ERROR, (*path, setting), f"can't be read: {listening.reason(error)}")
        except KeySetError as error:
            report.add(ERROR, (*path, setting), f"can't be used: {error}")
    pid_file = settings.supervision.pid_file
    if pid_file and not os.access(Path(pid_file).parent, os.W_OK):
        report.add(
            WARNING,
            ("proxy", "supervision", "pid_file"),
            "its folder can't be written to by this user",
        )
    state_dir = settings.follow.state_dir
    folder = Path(state_dir) if Path(state_dir).exists() else Path(state_dir).parent
    if state_dir and not os.access(folder, os.W_OK | os.X_OK):
        report.add(
            WARNING,
            ("proxy", "follow", "state_dir"),
            "can't be written to by this user",
        )


def _issuers(settings: Settings) -> Iterator[tuple[KeyPath, Issuer]]:
    """Each issuer of tokens that is set, and where."""
    identity = settings.identity
    if identity.jwt.issuer:
        yield ("proxy", "identity", "jwt"), identity.jwt
    for number, issuer in enumerate(identity.issuers):
        yield ("proxy", "identity", "issuers", number), issuer


def _secrets(report: Report[Settings], shared: Shared, settings: Settings) -> None:
    """A file that everybody can read should hold no secret."""
    if report.path is None or not report.path.stat().st_mode & 0o004:
        return
    held: list[tuple[KeyPath, bool]] = [
        (("redis_url",), bool(shared.redis().password)),
        (("redis_sentinel_password",), bool(shared.redis_sentinel_password)),
        (("routing_key",), bool(shared.routing_key)),
    ]
    held += [
        ((*path, "key"), any(name.startswith("HS") for name in issuer.algorithms))
        for path, issuer in _issuers(settings)
    ]
    for path, is_secret in held:
        if is_secret and path in report.lines and path not in report.variables:
            report.add(WARNING, path, "a secret in a file that everybody can read")


def _affinity(report: Report[Settings], shared: Shared, settings: Settings) -> None:
    """Rules that work, and say something other than what is mostly meant."""
    if settings.affinity and not shared.routing_key:
        report.add(
            WARNING,
            ("proxy", "affinity"),
            "without a `routing_key` the keys in Redis are plain hashes: who reads them can"
            " guess short ones",
        )
    bound = False
    for number, rule in enumerate(settings.affinity):
        if rule.born.header and bound:
            report.add(
                NOTE,
                ("proxy", "affinity", number),
                f"{rule.name} stands after rules that bind at first sight, which decide first",
            )
        bound = bound or not rule.born.header


def _addresses(report: Report[Settings], settings: Settings) -> None:
    for each in listening.wanted(settings):
        path = ("proxy", each.setting)
        try:
            listening.bound(each.address).close()
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                report.add(NOTE, path, f"{each.address} is in use, by a running proxy perhaps")
            elif error.errno in {errno.EACCES, errno.EPERM}:
                report.add(WARNING, path, f"{each.address} can't be bound by this user")
            else:
                reason = listening.reason(error)
                report.add(ERROR, path, f"{each.address} can't be bound: {reason}")
    _open_management(report, settings)


def _open_management(report: Report[Settings], settings: Settings) -> None:
    host = settings.management_listen.rpartition(":")[0]
    try:
        found = socket.getaddrinfo(host.strip("[]"), None)
    except OSError:
        return
    if not all(ipaddress.ip_address(each[4][0]).is_loopback for each in found):
        report.add(
            NOTE,
            ("proxy", "management_listen"),
            "health and metrics are open to whoever reaches this address",
        )
