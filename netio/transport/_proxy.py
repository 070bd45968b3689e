"""A proxy: where it is, what it is told about us, and which of the two ways through it a request takes.

A request for an http:// origin is *forwarded*: it goes to the proxy with the whole URL in its first line, and the proxy
sends one of its own (RFC 9112 section 3.2.2). For https://, and through SOCKS, the proxy opens a *tunnel*, over which
netio speaks with the origin itself. In a tunnel the proxy sees no request, and the origin nothing that was said to the
proxy; a forwarded request is seen by both. That decides which fields go where.
"""

from __future__ import annotations

import re
from base64 import b64encode
from dataclasses import KW_ONLY, dataclass, field
from typing import Literal, cast

from netio.errors import InvalidURL
from netio.headers import Field, HeaderInput, Headers
from netio.transport._tls_settings import Verify, check_verify
from netio.url import URL, Origin

Kind = Literal["http", "https", "socks5", "socks5h"]

_PORTS: dict[str, int] = {"http": 80, "https": 443, "socks5": 1080, "socks5h": 1080}  # as curl and Go have them
_SOCKS_LIMIT = 255  # bytes of a user name, and of a password (RFC 1929 section 2)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]").search
_FRAMING = ("connection", "content-length", "host", "transfer-encoding", "upgrade")


@dataclass(frozen=True, slots=True)
class Forward:
    """What makes a request a forwarded one: these fields, for the proxy, and the whole URL as its target."""

    proxy: str
    fields: tuple[Field, ...] = field(repr=False)


@dataclass(frozen=True, slots=True, repr=False)
class Proxy:
    """A proxy server.

    * `url`: `http://` or `https://` (the way to the proxy itself is TLS), `socks5://` (netio resolves the names) or
      `socks5h://` (the proxy does). Without a port it is 80, 443 or 1080.
    * `credentials`: user name and password, which may also stand in the URL. HTTP proxies get them by Basic.
    * `headers`: for HTTP proxies, sent with CONNECT; of a forwarded request only those called `Proxy-...` are part,
      since a proxy hands on the others to the origin.
    * `verify`: for `https://`, whom to trust, as for a Session.

    Neither `url` nor the repr has the credentials in it. Raises `InvalidURL` for what is no URL of a proxy, and
    `ValueError` for credentials or headers that cannot be sent (HAZARDS REQ-02).
    """

    url: str
    _: KW_ONLY
    credentials: tuple[str, str] | None = None
    headers: HeaderInput = ()
    verify: Verify = True
    kind: Kind = field(init=False)
    host: str = field(init=False)
    port: int = field(init=False)

    def __post_init__(self) -> None:
        url = _parsed(self.url)
        kind = cast("Kind", url.scheme)
        origin = Origin(kind, url.host, url.port or _PORTS[kind])
        credentials = self.credentials
        if url.username is not None or url.password is not None:
            if credentials is not None:
                raise ValueError(f"the credentials of {origin} are given twice, in its URL and as an argument")
            credentials = (url.username or "", url.password or "")
        if kind == "https":
            check_verify(self.verify, stacklevel=4)
        headers = Headers(self.headers)
        _check(kind, credentials, headers)
        host = f"[{origin.host}]" if ":" in origin.host else origin.host
        for name, value in (
            ("url", f"{kind}://{host}:{origin.port}"),
            ("credentials", credentials),
            ("headers", headers.fields),
            ("kind", kind),
            ("host", origin.host),
            ("port", origin.port),
        ):
            object.__setattr__(self, name, value)

    def __repr__(self) -> str:
        return f"Proxy({self.url!r})"

    def __str__(self) -> str:
        return self.url

    @property
    def origin(self) -> Origin:
        """Where to connect to."""
        return Origin(self.kind, self.host, self.port)

    @property
    def is_socks(self) -> bool:
        return self.kind in ("socks5", "socks5h")

    @property
    def fields(self) -> tuple[Field, ...]:
        """What is sent with CONNECT."""
        headers = cast("tuple[Field, ...]", self.headers)
        if self.credentials is None:
            return headers
        token = b64encode(":".join(self.credentials).encode()).decode()
        return (("Proxy-Authorization", f"Basic {token}"), *headers)

    def forward(self, origin: Origin, *, in_http2: bool = False) -> Forward | None:
        """Return how requests for an origin are forwarded, None if they take a tunnel.

        HTTP/2 in clear text takes one too: forwarding is done by HTTP/1.1.
        """
        if self.is_socks or origin.is_tls or in_http2:
            return None
        return Forward(self.url, tuple(field for field in self.fields if field[0].lower().startswith("proxy-")))


def _parsed(text: str | URL) -> URL:
    url = URL(text)
    if url.scheme not in _PORTS or not url.host:
        raise InvalidURL(
            f"{url.redacted!r} is not the URL of a proxy, which begins with http://, https://, socks5:// or socks5h://"
        )
    if url.path not in ("", "/") or url.query or url.fragment:
        raise InvalidURL(f"the URL of a proxy has neither path nor query: {url.redacted!r}")
    return url


def _check(kind: Kind, credentials: tuple[str, str] | None, headers: Headers) -> None:
    for name, _ in headers.fields:
        if name.lower() in _FRAMING:
            raise ValueError(f"{name} is set by netio, and cannot be given as a header for a proxy")
    if kind.startswith("socks"):
        _check_socks(headers)
    if credentials is None:
        return
    if "proxy-authorization" in headers:
        raise ValueError("a proxy has either credentials or a Proxy-Authorization header, not both")
    if not isinstance(credentials, tuple) or [type(part) for part in credentials] != [str, str]:
        raise TypeError("the credentials for a proxy are a tuple of user name and password")
    username, password = credentials
    if _CONTROL(username) or _CONTROL(password):
        raise ValueError("neither the user name nor the password for a proxy has a control character")
    if not kind.startswith("socks"):
        if ":" in username:
            raise ValueError("the user name for a proxy has no colon (RFC 7617)")
    elif not all(part.isascii() and 0 < len(part) <= _SOCKS_LIMIT for part in credentials):
        raise ValueError(
            f"user name and password for a SOCKS proxy are 1 to {_SOCKS_LIMIT} ASCII characters each (RFC 1929)"
        )


def _check_socks(headers: Headers) -> None:
    if headers:
        raise ValueError("a SOCKS proxy takes no headers")
    try:
        import netio.transport._proxy_socks  # noqa: F401  (here, as it may be too late when a connection is opened)
    except ImportError as error:
        raise ImportError("SOCKS needs python-socks: pip install netio-http[socks]") from error
