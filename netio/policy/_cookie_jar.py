"""CookieJar: what servers asked to be told again (RFC 6265bis). Plain and synchronous; the policy is `Cookies`.

Cookies lie by domain, so that a request looks at those of its own host and the domains above it and at no others. Who
is asked is always the URL, never a Host field (HAZARDS CK-06). A host that ends in a dot is the one without.

Deviations from RFC 6265bis, all to the safe side: a line without a name is ignored; SameSite says nothing, as there are
no sites here; and where there are too many cookies, those go that were set longest ago, not those used longest ago.
"""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field, fields, replace
from ipaddress import ip_address
from typing import Self

import idna

from netio.policy._cookie_text import MAX_AGE, MAX_PAIR, SetCookie, read_set_cookie
from netio.policy._suffixes import SUFFIXES, IsPublicSuffix
from netio.url import URL

MAX_PER_DOMAIN = 180  # Chrome; RFC 6265bis asks for 50 at least
MAX_TOTAL = 3_000  # RFC 6265bis section 6.1
MAX_SENT = 8_190
"""Bytes of the Cookie field: as curl has it, since most servers refuse longer lines."""

_FORMAT = 1
_IN_NAME = re.compile(r"[^\x00-\x1f\x7f;=]+").fullmatch
_IN_VALUE = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f;]*").fullmatch
_IN_DOMAIN = re.compile(r"[a-z0-9_~-]+(?:\.[a-z0-9_~-]+)*|[0-9a-f:.]+").fullmatch


@dataclass(frozen=True, kw_only=True, slots=True)
class Cookie:
    """One cookie. `expires` is in seconds since 1970; without it, it lives as long as the jar."""

    name: str
    value: str
    domain: str
    path: str = "/"
    expires: float | None = None
    is_secure: bool = True
    is_http_only: bool = False
    is_host_only: bool = True
    order: int = field(default=0, compare=False, repr=False)

    def __repr__(self) -> str:
        return f"<Cookie {self.name} for {'' if self.is_host_only else '*.'}{self.domain}{self.path}>"


Key = tuple[str, str, bool]


class CookieJar:
    """Cookies, as servers set them and requests get them.

    * `is_public_suffix`: says of a domain whether cookies for all of it are refused. By default that is the list of
      publicsuffixlist if that is installed, else the domains of one label and the likes of co.uk.
    * `now`: the time of the day, in seconds since 1970.

    At most 180 cookies a domain are kept, and 3,000 in all.
    """

    def __init__(self, *, is_public_suffix: IsPublicSuffix = SUFFIXES, now: Callable[[], float] = time.time) -> None:
        self.is_public_suffix = is_public_suffix
        self._now = now
        self._domains: dict[str, dict[Key, Cookie]] = {}
        self._size = 0
        self._last_order = 0

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[Cookie]:
        """Iterate over the cookies in the order in which they were first set, those that are over left out."""
        now = self._now()
        kept = (cookie for cookies in self._domains.values() for cookie in cookies.values())
        return iter(sorted((cookie for cookie in kept if not _is_over(cookie, now)), key=lambda cookie: cookie.order))

    # ------------------------------------------------------------------ requests

    def pairs_for(self, url: URL) -> list[tuple[str, str]]:
        """Return names and values of the cookies for a URL, in the order in which they are sent (section 5.8.3)."""
        if not self._size:
            return []
        host, path, is_tls, now = canonical_host(url.host), url.path or "/", url.scheme == "https", self._now()
        found = [
            cookie
            for domain in _domains_of(host)
            for cookie in self._domains.get(domain, {}).values()
            if (domain == host or not cookie.is_host_only)
            and (is_tls or not cookie.is_secure)
            and path_matches(path, cookie.path)
            and not _is_over(cookie, now)
        ]
        found.sort(key=lambda cookie: (-len(cookie.path), cookie.order))
        return list(_within(found))

    # ------------------------------------------------------------------ responses

    def store(self, url: URL, lines: Iterable[str]) -> None:
        """Take the Set-Cookie lines of a response to a request for a URL (section 5.7)."""
        host, now = canonical_host(url.host), self._now()
        for line in lines:
            received = read_set_cookie(line, now)
            cookie = None if received is None else self._accepted(received, url, host)
            if cookie is not None:
                self._keep(cookie, now)

    def _accepted(self, received: SetCookie, url: URL, host: str) -> Cookie | None:
        """Return the cookie as it is kept; None if the server may not set it."""
        is_tls = url.scheme == "https"
        if received.is_secure and not is_tls:
            return None
        scope = self._scope(received.domain, host)
        if scope is None:
            return None
        domain, is_host_only = scope
        path = received.path if received.path.startswith("/") else default_path(url.path)
        prefix = received.name.lower()
        if prefix.startswith(("__secure-", "__host-")) and not received.is_secure:
            return None
        if prefix.startswith("__host-") and not (is_host_only and received.path == "/"):
            return None
        cookie = Cookie(
            name=received.name,
            value=received.value,
            domain=domain,
            path=path,
            expires=received.expires,
            is_secure=received.is_secure,
            is_http_only=received.is_http_only,
            is_host_only=is_host_only,
        )
        return None if not is_tls and self._would_cover(cookie) else cookie

    def _scope(self, attribute: str, host: str) -> tuple[str, bool] | None:
        """Return the domain, and whether the host alone is meant; None if the Domain attribute is not allowed."""
        wanted = _canonical_domain(attribute)
        if wanted is None:
            return None
        if not wanted or (wanted == host and (_is_address(host) or self.is_public_suffix(host))):
            return host, True
        if not domain_matches(host, wanted) or self.is_public_suffix(wanted):
            return None
        return wanted, False

    def _would_cover(self, cookie: Cookie) -> bool:
        """Whether a cookie from http would hide or replace a secure one (section 5.7, "leave secure cookies alone")."""
        return any(
            old.is_secure and old.name == cookie.name and path_matches(cookie.path, old.path)
            for domain, cookies in self._domains.items()
            if domain_matches(domain, cookie.domain) or domain_matches(cookie.domain, domain)
            for old in cookies.values()
        )

    def _keep(self, cookie: Cookie, now: float) -> None:
        key = (cookie.name, cookie.path, cookie.is_host_only)
        old = self._pop(cookie.domain, key)
        if _is_over(cookie, now):
            return
        if old is None:
            self._last_order += 1
        cookies = self._domains.setdefault(cookie.domain, {})
        cookies[key] = replace(cookie, order=self._last_order if old is None else old.order)
        self._size += 1
        if len(cookies) > MAX_PER_DOMAIN:
            self._drop_one(cookie.domain, now)
        if self._size > MAX_TOTAL:
            # The domain with the most cookies pays: a flood washes itself away, not what others have set.
            self._drop_one(max(self._domains, key=lambda domain: len(self._domains[domain])), now)

    def _drop_one(self, domain: str, now: float) -> None:
        """Drop what is over of a domain; else the first that is not secure, else the first."""
        cookies = self._domains[domain]
        dropped = [key for key, cookie in cookies.items() if _is_over(cookie, now)]
        if not dropped:
            dropped = [next((key for key, cookie in cookies.items() if not cookie.is_secure), next(iter(cookies)))]
        for key in dropped:
            self._pop(domain, key)

    def _pop(self, domain: str, key: Key) -> Cookie | None:
        cookies = self._domains.get(domain)
        cookie = None if cookies is None else cookies.pop(key, None)
        if cookie is not None:
            self._size -= 1
            if not cookies:
                del self._domains[domain]
        return cookie

    # ------------------------------------------------------------------ the user

    def add(self, cookie: Cookie) -> None:
        """Put a cookie in, in place of one with the same name, domain and path. Raises `ValueError` for a bad one."""
        now = self._now()
        self._keep(_checked(cookie, now), now)

    def clear(self, domain: str | None = None) -> None:
        """Drop all cookies, or those of one domain."""
        for name in [domain] if domain is not None else list(self._domains):
            self._size -= len(self._domains.pop(name, {}))

    def to_json(self) -> str:
        """Return all cookies that are not over as JSON, also those that would end with the session."""
        cookies = [{key: value for key, value in asdict(cookie).items() if key != "order"} for cookie in self]
        return json.dumps({"format": _FORMAT, "cookies": cookies}, indent=1)

    def add_json(self, text: str) -> Self:
        """Add the cookies that `to_json` has written, and return the jar. Raises `ValueError` for anything else."""
        now = self._now()
        try:
            said = json.loads(text)
            if said["format"] != _FORMAT:
                raise ValueError(f"its format is {said['format']!r}, not {_FORMAT}")
            cookies = [_checked(Cookie(**entry), now) for entry in said["cookies"]]
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            raise ValueError(f"this is not a saved cookie jar: {type(error).__name__}: {error}") from error
        for cookie in cookies:
            self._keep(cookie, now)
        return self

    def __repr__(self) -> str:
        return f"<CookieJar of {len(self)} cookies>"


# ---------------------------------------------------------------------- matching


def canonical_host(host: str) -> str:
    """Return the host of a URL, which is in lower case and A-labels already, without the root's dot."""
    return host.removesuffix(".")


def domain_matches(host: str, domain: str) -> bool:
    """Section 5.1.3."""
    return host == domain or (host.endswith(domain) and host[-len(domain) - 1] == "." and not _is_address(host))


def path_matches(path: str, prefix: str) -> bool:
    """Section 5.1.4."""
    return path == prefix or (path.startswith(prefix) and (prefix.endswith("/") or path[len(prefix)] == "/"))


def default_path(path: str) -> str:
    """Section 5.1.4: the folder that the path is in."""
    return path[: path.rfind("/")] or "/" if path.startswith("/") else "/"


def _domains_of(host: str) -> Iterator[str]:
    """Yield the host, and the domains above it."""
    yield host
    if not _is_address(host):
        while "." in host:
            host = host.partition(".")[2]
            yield host


def _is_address(host: str) -> bool:
    if ":" not in host and not host[-1:].isdigit():
        return False
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _canonical_domain(attribute: str) -> str | None:
    """Return what a Domain attribute means as a URL has it: "" for nothing, None for no domain."""
    domain = attribute.removeprefix(".")
    if domain.isascii():
        return domain.lower()
    try:
        return idna.encode(domain.encode("latin-1").decode(), uts46=True).decode()  # lower case, too
    except (UnicodeError, ValueError):
        return None


def _is_over(cookie: Cookie, now: float) -> bool:
    return cookie.expires is not None and cookie.expires <= now


def _within(cookies: Iterable[Cookie]) -> Iterator[tuple[str, str]]:
    """Yield what fits into one Cookie field."""
    size = 0
    for cookie in cookies:
        size += len(cookie.name) + len(cookie.value) + 3
        if size > MAX_SENT:
            return
        yield cookie.name, cookie.value


# ---------------------------------------------------------------------- checking what does not come from a server

_KINDS: dict[str, type | tuple[type, ...]] = {"str": str, "bool": bool, "float | None": (float, int, type(None))}


def _checked(cookie: Cookie, now: float) -> Cookie:
    for each in fields(cookie):
        kind = _KINDS.get(str(each.type))
        if kind is not None and not isinstance(getattr(cookie, each.name), kind):
            raise ValueError(f"{each.name} of a cookie is {each.type}")
    if not _IN_NAME(cookie.name) or not _IN_VALUE(cookie.value) or len(cookie.name) + len(cookie.value) > MAX_PAIR:
        raise ValueError("a cookie has a name, and no semicolon, control character or more than 4,096 characters")
    if any(text != text.strip(" \t") for text in (cookie.name, cookie.value)) or not _is_latin(cookie):
        raise ValueError("a cookie has no blanks around its name and value, and no characters above U+00FF")
    if not _IN_DOMAIN(cookie.domain) or not cookie.path.startswith("/"):
        raise ValueError("a cookie has the domain of a URL, in lower case, and a path that begins with a slash")
    if cookie.expires is None:
        return replace(cookie, order=0)
    if not math.isfinite(cookie.expires):
        raise ValueError("a cookie ends at a time, or with the jar")
    return replace(cookie, expires=min(float(cookie.expires), now + MAX_AGE), order=0)


def _is_latin(cookie: Cookie) -> bool:
    return all(text.isascii() or max(map(ord, text)) < 256 for text in (cookie.name, cookie.value, cookie.path))
