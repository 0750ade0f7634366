"""Certificates on disk: renewed while serving, refused when bad, warned of when old."""

from pathlib import Path

import pytest

from config import ConfigError
from proxy.__main__ import main
from proxy.tls.certificates import Certificates
from proxy.tls.settings import Certificate, Tls
from tests.support.certificates import Authority
from tests.support.front import client, talk
from tests.support.tls import ASK, serving, subject


async def test_a_renewed_certificate_is_shown_to_new_clients_and_old_ones_stay(
    authority: Authority,
) -> None:
    async with serving(authority) as found:
        assert found.certificates is not None
        async with client(found.tls_port, authority.trusted(), "erp.test") as kept:
            assert (await kept.get(host="erp.test")).status == 200
            before = found.certificates.expires
            authority.issue("erp", "erp.test", "new.test", common_name="renewed", days=(-1, 30))
            found.certificates.reload()
            assert found.certificates.expires < before
            said = await talk(found.tls_port, authority.trusted(), "erp.test", ASK)
            assert subject(said.shown) == "CN=renewed"
            assert (await kept.get(host="erp.test")).status == 200


@pytest.mark.parametrize("harm", ["garbage", "gone", "another key", "encrypted"])
async def test_a_bad_pair_keeps_the_old_one_and_names_the_file(
    authority: Authority, caplog: pytest.LogCaptureFixture, tmp_path: Path, harm: str
) -> None:
    async with serving(authority) as found:
        assert found.certificates is not None
        certificate, key = tmp_path / "erp.pem", tmp_path / "erp.key"
        secret = key.read_text("ascii").splitlines()[1]
        match harm:
            case "garbage":
                certificate.write_text("-----BEGIN CERTIFICATE-----\nno\n")
            case "gone":
                key.unlink()
            case "another key":
                key.write_bytes((tmp_path / "other.key").read_bytes())
            case "encrypted":
                authority.issue("erp", "erp.test", passphrase=b"secret")
        found.certificates.reload()
        found.certificates.reload()  # said once
        errors = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
        assert len(errors) == 1
        assert str(certificate) in errors[0] or str(key) in errors[0]
        assert secret not in caplog.text
        said = await talk(found.tls_port, authority.trusted(), "erp.test", ASK)
        assert subject(said.shown) == "CN=erp"
        authority.issue("erp", "erp.test", common_name="mended")
        found.certificates.reload()
        said = await talk(found.tls_port, authority.trusted(), "erp.test", ASK)
        assert subject(said.shown) == "CN=mended"


def test_an_expiry_is_warned_of_once_a_day(
    authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    made = [
        authority.issue("soon", "soon.test", days=(-1, 3.5)),
        authority.issue("over", "over.test", days=(-2, -1)),
        authority.issue("fine", "fine.test"),
    ]
    pairs = tuple(Certificate(str(certificate), str(key)) for certificate, key in made)
    certificates = Certificates(Tls(certificates=pairs))
    certificates.warn_of_expiry()
    certificates.warn_of_expiry()
    said = [record.getMessage().rpartition("/")[2] for record in caplog.records]
    assert said == ["soon.pem expires in 3 days", "over.pem has expired"]


@pytest.mark.parametrize("missing", ["certificate", "key"])
def test_a_pair_that_can_t_be_read_stops_the_start(authority: Authority, missing: str) -> None:
    certificate, key = authority.issue("erp", "erp.test")
    (certificate if missing == "certificate" else key).unlink()
    with pytest.raises(ConfigError, match=str(certificate if missing == "certificate" else key)):
        Certificates(Tls(certificates=(Certificate(str(certificate), str(key)),)))


def test_tls_without_a_certificate_stops_the_start() -> None:
    with pytest.raises(ConfigError, match=r"tls\.certificates"):
        Certificates(Tls())


def test_a_check_of_the_settings_loads_what_tls_needs(
    authority: Authority, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    certificate, _ = authority.issue("erp", "erp.test")
    _, key = authority.issue("other", "other.test")
    path = tmp_path / "turnout.toml"
    path.write_text(
        '[proxy]\nlisten = ""\ntls_listen = "127.0.0.1:0"\nmanagement_listen = "127.0.0.1:0"\n'
        f'[proxy.tls]\ncertificates = [{{certificate = "{certificate}", key = "{key}"}}]\n'
        '[proxy.endpoint_tls]\nslots = ["blue"]\nca = "/not/there.pem"\n',
        "utf-8",
    )
    assert main(["--config", str(path), "--check"]) == 2
    said = capsys.readouterr().err
    assert f"[proxy.tls] certificates: {certificate} with {key}: key values mismatch" in said
    assert "[proxy.endpoint_tls] slots: /not/there.pem can't be read" in said
