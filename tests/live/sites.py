"""A server as a client sees it: where it is, and how to talk to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import netio
from tests.live.servers import HOST, Nghttpd, Nginx


@dataclass(frozen=True)
class Dialect:
    """A way of talking to nginx. Only HTTP/2 in clear text has to be agreed on beforehand; else the server chooses."""

    name: str
    port: str
    scheme: str
    http_version: str
    http2: Literal[True, "prior-knowledge"] = True

    @property
    def is_http2(self) -> bool:
        return self.http_version == "HTTP/2"


DIALECTS = {
    "http1": Dialect("HTTP/1.1", "http1", "http", "HTTP/1.1"),
    "http1_tls": Dialect("HTTP/1.1 over TLS", "http1_tls", "https", "HTTP/1.1"),
    "http2_tls": Dialect("HTTP/2 over TLS", "http2_tls", "https", "HTTP/2"),
    "http2_clear": Dialect("HTTP/2 in clear text", "http2_clear", "http", "HTTP/2", "prior-knowledge"),
}


@dataclass(frozen=True)
class Site:
    """One port of a server."""

    name: str
    base_url: str
    http_version: str
    http2: Literal[True, "prior-knowledge"]
    trusted: str

    @property
    def is_http2(self) -> bool:
        return self.http_version == "HTTP/2"

    def session(self, **options: Any) -> netio.Session:
        return netio.Session(**{"base_url": self.base_url, "verify": self.trusted, "http2": self.http2, **options})


def nginx_site(nginx: Nginx, dialect: Dialect, trusted: str) -> Site:
    base_url = f"{dialect.scheme}://{HOST}:{getattr(nginx, dialect.port)}"
    return Site(dialect.name, base_url, dialect.http_version, dialect.http2, trusted)


def nghttpd_site(nghttpd: Nghttpd, *, is_tls: bool, trusted: str) -> Site:
    if is_tls:
        return Site("nghttpd over TLS", f"https://{HOST}:{nghttpd.port}", "HTTP/2", True, trusted)
    return Site("nghttpd in clear text", f"http://{HOST}:{nghttpd.port}", "HTTP/2", "prior-knowledge", trusted)
