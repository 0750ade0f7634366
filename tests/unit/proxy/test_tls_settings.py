"""Settings of TLS and the PROXY protocol: what does not go together is refused at its place."""

from typing import Any

import msgspec
import pytest

from proxy.config import Settings

TCP = {"listen": "127.0.0.1:9100", "tenant": "acme", "port": 9100}


def settings(**proxy: Any) -> Settings:
    return msgspec.convert(proxy, Settings)


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"listen": ""}, "`listen` and `tls_listen`"),
        ({"tls_listen": "nowhere"}, "`tls_listen`"),
        ({"management_listen": ""}, "`management_listen`"),
        ({"tls": {"verify_clients": "required"}}, "`tls.client_ca`"),
        ({"tls": {"client_ca": "ca.pem"}}, "`tls.verify_clients`"),
        ({"tls": {"client_header": "X Client"}}, "`tls.client_header`"),
        ({"tls": {"reload_s": 0}}, "`tls.reload_s`"),
        ({"tls": {"warn_days": -1}}, "`tls.warn_days`"),
        ({"tls": {"min_version": "1.1"}}, "tls.min_version"),
        ({"tls": {"certificates": [{"certificate": "a.pem"}]}}, r"tls\.certificates\[0\]"),
        ({"endpoint_tls": {"certificate": "a.pem"}}, "`endpoint_tls.key`"),
        ({"endpoint_tls": {"slots": ["red"]}}, "endpoint_tls.slots"),
        ({"proxy_protocol": {"mode": "required"}}, "`proxy_protocol.mode`"),
        ({"proxy_protocol": {"networks": ["10.0.0.1/8"]}}, "`proxy_protocol.networks`"),
        ({"proxy_protocol": {"mode": "maybe"}}, "proxy_protocol.mode"),
        ({"tcp": [{**TCP, "proxy_protocol": "required"}]}, "`tcp.proxy_protocol`"),
        ({"tcp": [{**TCP, "proxy_protocol": "maybe"}]}, r"tcp\[0\]\.proxy_protocol"),
        ({"timeouts": {"tls_handshake_s": 0}}, "`timeouts.tls_handshake_s`"),
        ({"limits": {"proxy_header_bytes": 0}}, "`limits.proxy_header_bytes`"),
    ],
)
def test_what_does_not_go_together_is_refused(given: dict[str, Any], named: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=named):
        settings(**given)


def test_either_listener_may_be_off() -> None:
    assert settings(listen="", tls_listen="[::1]:8443").tls_listen == "[::1]:8443"
    assert settings().tls_listen == ""
