"""The head: request line, target, field lines, Host (RFC 9112 §2, §3, §5)."""

from typing import Any, Final

from conformance.rows.row import (
    BAD,
    ENDED,
    HOST,
    STAYS,
    TENANT,
    Expect,
    Row,
    get,
    one,
    post,
    refused,
    turned_down,
)

_CANARY: Final = b"GET /smuggled HTTP/1.1\r\nHost: erp.test\r\n\r\n"
_LINES: Final = "obs-fold, space before colon, bare CR, bare LF, NUL, leading white space"
_NAMES: Final = "field name not a token; _ names that alias a trusted field"
_HOSTS: Final = "Host missing, doubled, invalid"
_LINE: Final = "request line: two SP, HTTP/1.0 or 1.1"
_ABSOLUTE: Final = "absolute-form"
_METHODS: Final = "OPTIONS * · CONNECT · TRACE"
_PATH: Final = "path byte for byte as it came"
_SIZES: Final = "request line over 8 KiB, head over 32 KiB or 100 fields"
_OK: Final = frozenset({200})
_REST: Final = b" HTTP/1.1\r\n" + HOST + b"\r\n"


def _served(**more: Any) -> Expect:
    return Expect(_OK, fate=STAYS, reached=1, **more)


def _field_lines() -> list[Row]:
    bad = {
        "obs-fold": get(b"X-A: a\r\n folded"),
        "obs-fold-tab": get(b"X-A: a\r\n\tfolded"),
        "obs-fold-empty": get(b"X-A:\r\n folded"),
        "obs-fold-framing": post(b"X-A: a\r\n Content-Length: 43", body=_CANARY),
        "space-before-colon": get(b"X-A : a"),
        "tab-before-colon": get(b"X-A\t: a"),
        "space-before-colon-length": post(b"Content-Length : 5", body=b"hello"),
        "bare-cr": get(b"X-A: a\rb"),
        "bare-cr-new-field": get(b"X-A: a\rX-B: b"),
        "bare-lf": get(b"X-A: a\nX-B: b"),
        "bare-lf-at-end": b"GET / HTTP/1.1\r\n" + HOST + b"X-A: a\n\n",
        "bare-lf-line": b"GET / HTTP/1.1\n" + HOST + b"\r\n",
        "bare-cr-line": b"GET / HTTP/1.1\r" + HOST + b"\r\n",
        "lf-cr-end": b"GET / HTTP/1.1\r\n" + HOST + b"\r\n".replace(b"\r\n", b"\n\r") + b"\r\n\r\n",
        "nul-in-value": get(b"X-A: a\0b"),
        "nul-in-name": get(b"X\0A: a"),
        "control-in-value": get(b"X-A: a\x01b"),
        "delete-in-value": get(b"X-A: a\x7fb"),
        "leading-space": b" GET / HTTP/1.1\r\n" + HOST + b"\r\n",
        "leading-tab": b"\tGET / HTTP/1.1\r\n" + HOST + b"\r\n",
        "space-before-first-field": b"GET / HTTP/1.1\r\n " + HOST + b"\r\n",
        "white-space-line": b"GET / HTTP/1.1\r\n" + HOST + b" \r\n\r\n",
    }
    return [one(f"line-{name}", _LINES, sends, BAD) for name, sends in bad.items()]


def _names() -> list[Row]:
    bad = {
        "bracket": b"X[A]: a",
        "space": b"X A: a",
        "empty": b": a",
        "non-ascii": b"X-\xc3\xa4: a",
        "at": b"X@A: a",
        "no-colon": b"XA",
        "quoted": b'"X": a',
    }
    rows = [one(f"name-{name}", _NAMES, get(line), BAD) for name, line in bad.items()]
    aliases = {
        "tenant": b"X_Tenant_ID: evil",
        "forwarded": b"X_Forwarded_For: 6.6.6.6",
        "request-id": b"X_Request_ID: evil",
        "mixed": b"X-Tenant_ID: evil",
    }
    for name, line in aliases.items():
        expected = _served(absent=(line.split(b": ")[1],))
        rows.append(one(f"alias-{name}", _NAMES, get(line), expected, BAD))
    smuggles = {
        "length": post(b"Content-Length: 5", b"Content_Length: 50", body=b"hello"),
        "coding": post(b"Content-Length: 5", b"Transfer_Encoding: chunked", body=b"hello"),
    }
    for name, sends in smuggles.items():
        expected = _served(body=b"hello", absent=(b"Content_Length", b"Transfer_Encoding"))
        rows.append(one(f"alias-{name}", _NAMES, sends, expected, BAD))
    return rows


def _hosts() -> list[Row]:
    bad = {
        "missing": b"",
        "doubled-same": HOST + HOST,
        "doubled": HOST + b"Host: other.test\r\n",
        "empty": b"Host: \r\n",
        "userinfo": b"Host: user@erp.test\r\n",
        "path": b"Host: erp.test/path\r\n",
        "comma": b"Host: erp.test, other.test\r\n",
        "space": b"Host: erp.test other\r\n",
        "bad-port": b"Host: erp.test:8o\r\n",
        "two-ports": b"Host: erp.test:80:80\r\n",
        "query": b"Host: erp.test?x\r\n",
        "fragment": b"Host: erp.test#x\r\n",
        "open-bracket": b"Host: [::1\r\n",
        "non-ascii": "Host: erp.t\u00e9st\r\n".encode(),
        "backslash": b"Host: erp.test\\x\r\n",
    }
    rows = [one(f"host-{name}", _HOSTS, get(host=host), BAD) for name, host in bad.items()]
    good = {"port": b"erp.test:8080", "address": b"192.0.2.1", "address-6": b"[2001:db8::1]:80"}
    for name, host in good.items():
        line = b"Host: " + host + b"\r\n"
        rows.append(one(f"host-{name}", _HOSTS, get(host=line), _served(fields=(("Host", host),))))
    return rows


def _request_lines() -> list[Row]:
    bad = {
        "two-spaces": b"GET  /" + _REST,
        "two-spaces-later": b"GET / " + _REST,
        "trailing-space": b"GET / HTTP/1.1 \r\n" + HOST + b"\r\n",
        "tab": b"GET\t/" + _REST,
        "space-in-target": b"GET /a b" + _REST,
        "no-target": b"GET HTTP/1.1\r\n" + HOST + b"\r\n",
        "fragment": b"GET /a#b" + _REST,
        "control": b"GET /a\x01b" + _REST,
        "delete": b"GET /a\x7fb" + _REST,
        "nul": b"GET /a\0b" + _REST,
        "form-feed": b"GET /a\x0cb" + _REST,
        "non-ascii": b"GET /\xc3\xa4" + _REST,
        "relative": b"GET a" + _REST,
        "no-minor": b"GET / HTTP/1\r\n" + HOST + b"\r\n",
        "leading-zeros": b"GET / HTTP/01.01\r\n" + HOST + b"\r\n",
        "two-digit-minor": b"GET / HTTP/1.10\r\n" + HOST + b"\r\n",
        "lower-case": b"GET / http/1.1\r\n" + HOST + b"\r\n",
        "other-protocol": b"GET / ICE/1.0\r\n" + HOST + b"\r\n",
        "source-ice": b"SOURCE / ICE/1.0\r\n" + HOST + b"\r\n",
        "rtsp": b"OPTIONS / RTSP/1.0\r\n" + HOST + b"\r\n",
        "announce-rtsp": b"ANNOUNCE / RTSP/1.0\r\n" + HOST + b"\r\n",
        "method-no-token": b"G[T /" + _REST,
        "star-for-get": b"GET *" + _REST,
    }
    rows = [one(f"line-{name}", _LINE, sends, BAD) for name, sends in bad.items()]
    rows.append(one("line-http-0.9", _LINE, b"GET /\r\n\r\n", BAD))
    rows.append(
        one("line-http-1.2", _LINE, b"GET / HTTP/1.2\r\n" + HOST + b"\r\n", refused(400, 505))
    )
    for version in (b"2.0", b"3.0"):
        sends = b"GET / HTTP/" + version + b"\r\n" + HOST + b"\r\n"
        rows.append(one(f"line-http-{version.decode()}", _LINE, sends, refused(505)))
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    rows.append(one("line-http-2-preface", _LINE, preface, refused(400, 505)))
    old = b"GET /old HTTP/1.0\r\n" + HOST + b"\r\n"
    rows.append(
        one("line-http-1.0", _LINE, old, Expect(_OK, fate=ENDED, reached=1, target=b"/old"))
    )
    return rows


def _absolute() -> list[Row]:
    def absolute(target: bytes, host: bytes = b"Host: other.test\r\n") -> bytes:
        return get(target=target, host=host)

    acme = (("Host", b"acme.erp.test"), (TENANT, b"acme"))
    named = _served(target=b"/x?y", fields=acme)
    return [
        one("absolute-http", _ABSOLUTE, absolute(b"http://acme.erp.test/x?y"), named),
        one("absolute-https", _ABSOLUTE, absolute(b"https://acme.erp.test/x?y"), named),
        one(
            "absolute-no-path",
            _ABSOLUTE,
            absolute(b"http://acme.erp.test"),
            _served(target=b"/", fields=acme),
        ),
        one(
            "absolute-query-only",
            _ABSOLUTE,
            absolute(b"http://acme.erp.test?y"),
            _served(target=b"/?y", fields=acme),
        ),
        one("absolute-userinfo", _ABSOLUTE, absolute(b"http://user:pass@acme.erp.test/"), BAD),
        one("absolute-ftp", _ABSOLUTE, absolute(b"ftp://acme.erp.test/"), BAD),
        one("absolute-no-host", _ABSOLUTE, absolute(b"http://acme.erp.test/", b""), BAD),
        one("absolute-no-authority", _ABSOLUTE, absolute(b"http:///x"), BAD),
        one("absolute-fragment", _ABSOLUTE, absolute(b"http://acme.erp.test/x#y"), BAD),
    ]


def _methods() -> list[Row]:
    here = Expect(frozenset({200, 204}), fate=STAYS, reached=0)
    connect = b"CONNECT other.test:443 HTTP/1.1\r\nHost: other.test:443\r\n\r\n"
    return [
        one("options-star", _METHODS, b"OPTIONS *" + _REST, here),
        one("connect", _METHODS, connect, turned_down(405)),
        one("trace", _METHODS, b"TRACE /" + _REST, turned_down(405)),
        one(
            "trace-with-secret",
            _METHODS,
            b"TRACE / HTTP/1.1\r\n" + HOST + b"Authorization: Bearer canary\r\n\r\n",
            Expect(frozenset({405}), reached=0, untold=(b"canary",)),
        ),
    ]


def _paths() -> list[Row]:
    same = {
        "dots": b"/a/../b/./c",
        "slashes": b"//a///b",
        "percent": b"/%2e%2e/%2F/%00/%0d%0a/%41",
        "punctuation": b"/a;b=c,d:e@f!$&'()*+[]{}|^`\"<>\\~",
        "query": b"/?a=?b&c=/../&d=%26;%23",
        "long": b"/" + b"a" * 7000,
    }
    rows = []
    for name, target in same.items():
        rows.append(one(f"path-{name}", _PATH, get(target=target), _served(target=target)))
    return rows


def _sizes() -> list[Row]:
    fields = [b"X-%d: a" % number for number in range(101)]
    many, enough = get(*fields), get(*fields[:90])
    over = get(b"X-A: " + b"a" * 33_000)
    piled = get(*(b"X-%d: %b" % (number, b"a" * 1000) for number in range(40)))
    endless = b"GET / HTTP/1.1\r\n" + HOST + b"X-A: " + b"a" * 70_000
    return [
        one("line-over-8k", _SIZES, get(target=b"/" + b"a" * 8200), turned_down(414)),
        one("line-endless", _SIZES, b"GET /" + b"a" * 70_000, refused(414, 431)),
        one("head-over-32k", _SIZES, over, refused(431)),
        one("head-over-32k-piled", _SIZES, piled, refused(431)),
        one("head-endless", _SIZES, endless, refused(431)),
        one("fields-101", _SIZES, many, refused(431)),
        one("fields-90", _SIZES, enough, _served()),
    ]


ROWS: Final = (
    *_field_lines(),
    *_names(),
    *_hosts(),
    *_request_lines(),
    *_absolute(),
    *_methods(),
    *_paths(),
    *_sizes(),
)
