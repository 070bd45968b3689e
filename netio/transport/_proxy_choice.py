"""Which proxy an origin is reached through: rules in a table, the first that fits counts.

The choice is a pure function of the origin, made once for each connection that is opened. All connections of a pool to
an origin lead through the same proxy with the same credentials, so the origin alone remains what the pool goes by.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from ipaddress import ip_network

from netio.errors import InvalidURL
from netio.transport._proxy import Proxy
from netio.transport._proxy_places import Place, host_of, place_of_key, places_of_no_proxy
from netio.url import Origin

ProxyInput = str | Proxy | Mapping[str, str | Proxy | None]
"""One proxy for everything, or one for each kind of origin; None for no proxy."""

# Nobody means a proxy to reach what is on this machine, but few say so (Go's httpproxy has the same exception).
_THIS_MACHINE = (
    Place(name="localhost"),
    Place(network=ip_network("127.0.0.0/8")),
    Place(network=ip_network("::1/128")),
)


class Proxies:
    """The rules, most special first."""

    def __init__(self, rules: tuple[tuple[Place, Proxy | None], ...]) -> None:
        self._rules = rules

    @classmethod
    def of(cls, proxy: ProxyInput) -> Proxies:
        """Make rules of what the user gave. Raises `ValueError`."""
        if not isinstance(proxy, Mapping):
            return cls(((Place(), _as_proxy(proxy)),))
        rules = [(place_of_key(key), None if given is None else _as_proxy(given)) for key, given in proxy.items()]
        return cls(tuple(sorted(rules, key=lambda rule: rule[0].rank, reverse=True)))

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Proxies | None:
        """Make rules of http_proxy, https_proxy, all_proxy and no_proxy; None if they name no proxy.

        Each counts in lower case first, then in upper case, and one that is empty is as good as none. HTTP_PROXY does
        not count in a CGI program, where it is the header "Proxy" of whoever asks (CVE-2016-5385, httpoxy). Raises
        `InvalidURL`, naming the variable.
        """
        is_cgi = "REQUEST_METHOD" in environment
        everything = _from_variable(environment, "all_proxy")
        by_scheme = {
            "http": _from_variable(environment, "http_proxy", upper=not is_cgi) or everything,
            "https": _from_variable(environment, "https_proxy") or everything,
        }
        if not any(by_scheme.values()):
            return None
        exceptions = places_of_no_proxy(environment.get("no_proxy") or environment.get("NO_PROXY") or "")
        direct: list[tuple[Place, Proxy | None]] = [(place, None) for place in (*_THIS_MACHINE, *exceptions)]
        return cls((*direct, *((Place(scheme=scheme), proxy) for scheme, proxy in by_scheme.items())))

    def choose(self, origin: Origin) -> Proxy | None:
        """Return the proxy for an origin, None for a direct connection."""
        host, address = host_of(origin)
        for place, proxy in self._rules:
            if place.has(origin, host, address):
                return proxy
        return None

    def __repr__(self) -> str:
        return f"<Proxies with {len(self._rules)} rules>"


def find_proxies(proxy: ProxyInput | None, *, trust_env: bool) -> Proxies | None:
    """Return what the user gave, else what the environment says, if that is to be trusted."""
    if proxy is not None:
        return Proxies.of(proxy)
    return Proxies.from_environment(os.environ) if trust_env else None


def _as_proxy(given: str | Proxy) -> Proxy:
    if isinstance(given, Proxy):
        return given
    if not isinstance(given, str):
        raise TypeError(f"a proxy is a URL or a netio.Proxy, not {type(given).__name__}")
    return Proxy(given)


def _from_variable(environment: Mapping[str, str], name: str, *, upper: bool = True) -> Proxy | None:
    for variable in (name, name.upper()) if upper else (name,):
        url = environment.get(variable, "").strip()
        if url:
            try:
                return Proxy(url if "://" in url else f"http://{url}")  # "proxy.test:3128", as curl and Go take it
            except ValueError as error:
                raise InvalidURL(f"the environment variable {variable} names no proxy: {error}") from error
            except ImportError as error:
                raise ImportError(f"the environment variable {variable} names a SOCKS proxy: {error}") from error
    return None
