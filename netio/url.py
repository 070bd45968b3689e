"""URL and Origin.

One parser serves everything that looks at a URL: routing, the request target, Host, SNI, later cookies, redirects and
proxies. So no two parts of netio can read the same text differently (HAZARDS REQ-07, REQ-08). Parsing and joining are
yarl's; in front of it stand a strict check, since yarl drops line breaks and lone surrogates silently and reads "8_0"
as a port, and a bounded cache, since a new yarl URL costs 4 µs and a dict hit 0.07. Two things are ours:

* Path, query and fragment stay as they are written, but for what RFC 3986 does not allow there: yarl makes "/@" of
  "/%40", and a signature over the URL is no longer one.
* A host that ends in a number is an IPv4 address, in any of the forms that operating systems read as one ("0x7f.1",
  "2130706433"), or an error (HAZARDS DNS-06). So an address policy and a certificate see the address that is meant.

docs/guide/urls.md lists where this is not what the WHATWG's standard for browsers says, and why.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address
from typing import Any, NamedTuple, cast
from urllib.parse import quote, urlencode

import idna
import yarl

from netio.errors import InvalidURL

# Values are str, int, float, bool, None, or an iterable of them. Not spelled out: type checkers give a mixed dict
# literal the type dict[str, object], and would refuse what is meant. `text_pairs` looks at them when they come.
Params = Mapping[str, Any] | Iterable[tuple[str, Any]]

_CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
_AUTHORITY = re.compile(r"(?:[^:/?#]+:)?//([^/?#]*)").match  # RFC 3986 appendix B
_PLACE = re.compile(r"(?:\[[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*\]|[^:\[\]]*)(?::[0-9]{0,5})?").fullmatch  # host and port
_REG_NAME = re.compile(r"[A-Za-z0-9_~-]+(?:\.[A-Za-z0-9_~-]+)*\.?")
_USUAL = re.compile(r"[A-Za-z0-9\-._~!$&'()*+,;=:@/?#]*").fullmatch  # what yarl leaves as it is, but for dots
_PARTS = re.compile(r"(?://[^/?#]*)?([^?#]*)(?:\?([^#]*))?(?:#(.*))?", re.DOTALL).fullmatch
_PATH = re.compile(r"(?:[A-Za-z0-9\-._~!$&'()*+,;=:@/]|%[0-9A-Fa-f]{2})*").fullmatch  # RFC 3986 section 3.3
_QUERY = re.compile(r"(?:[A-Za-z0-9\-._~!$&'()*+,;=:@/?]|%[0-9A-Fa-f]{2})*").fullmatch  # sections 3.4, 3.5
_NOT_IN_PATH = re.compile(r"%(?![0-9A-Fa-f]{2})|[^A-Za-z0-9\-._~!$&'()*+,;=:@/%]+").sub
_NOT_IN_QUERY = re.compile(r"%(?![0-9A-Fa-f]{2})|[^A-Za-z0-9\-._~!$&'()*+,;=:@/?%]+").sub
_DOTS = {"%2e": ".", ".%2e": "..", "%2e.": "..", "%2e%2e": ".."}
_IS_NUMBER = re.compile(r"[0-9]+|0[Xx][0-9A-Fa-f]*").fullmatch
_ENDS_OF_NUMBERS = frozenset("0123456789abcdefxABCDEFX.")
_MAX_HOST = 253  # RFC 1035 section 2.3.4, without the root's dot
_MAX_URL = 65_536  # no server takes a longer one; bounds the work of the parser
_DEFAULT_PORTS = {"http": 80, "https": 443}


class Origin(NamedTuple):
    """Scheme, host and port: what pools, breakers and budgets go by (RFC 9110 section 4.3.1)."""

    scheme: str
    host: str
    port: int

    @property
    def is_tls(self) -> bool:
        return self.scheme == "https"

    @property
    def authority(self) -> str:
        """Host and port as the Host field and `:authority` have it: the default port is left out."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if _DEFAULT_PORTS.get(self.scheme) == self.port else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}"


class URL:
    """An absolute or relative URL, immutable, parsed once.

    `URL("https://bücher.example/a b?q=ü#part")` has the A-label host `xn--bcher-kva.example` and the target
    `/a%20b?q=%C3%BC`. Userinfo and fragment are kept in `str(url)` and never reach the wire.

    Raises `InvalidURL` for control characters, blanks around, a backslash, an impossible host or port, and for http
    and https without a host (RFC 9110 section 4.2.1).
    """

    __slots__ = ("_yarl", "has_userinfo", "host", "origin", "port", "scheme", "target")

    def __init__(self, text: str | URL) -> None:
        parsed = text._yarl if isinstance(text, URL) else _parse(text)
        self._take(parsed)

    @classmethod
    def _of(cls, parsed: yarl.URL) -> URL:
        url = cls.__new__(cls)
        url._take(parsed)
        return url

    def _take(self, parsed: yarl.URL) -> None:
        self._yarl = parsed
        self.scheme: str = parsed.scheme
        self.host: str = parsed.raw_host or ""
        self.port: int | None = parsed.port
        self.target: str = parsed.raw_path_qs or "/"
        self.origin = Origin(self.scheme, self.host, self.port or 0)
        self.has_userinfo = parsed.raw_user is not None or parsed.raw_password is not None

    @property
    def is_absolute(self) -> bool:
        return bool(self.scheme and self.host)

    @property
    def path(self) -> str:
        """The path, percent-encoded."""
        return self._yarl.raw_path

    @property
    def query(self) -> str:
        """The query, percent-encoded, without the question mark."""
        return self._yarl.raw_query_string

    @property
    def fragment(self) -> str:
        return self._yarl.raw_fragment

    @property
    def username(self) -> str | None:
        return self._yarl.user

    @property
    def password(self) -> str | None:
        return self._yarl.password

    @property
    def redacted(self) -> str:
        """The URL as it may be shown in logs and errors: no userinfo, no query, no fragment."""
        place, path = "", self.path
        if self.is_absolute:
            place = f"{self.scheme}://{self.origin.authority if self.port else self.host}"
        elif self.scheme:
            # "user:secret@host" without its "http://" reads as a scheme and a path.
            place, path = f"{self.scheme}:", "..." if "@" in path else path
        return f"{place}{path}{'?...' if self.query else ''}"

    def join(self, reference: str | URL) -> URL:
        """Resolve a reference against this URL (RFC 3986 section 5.2)."""
        return URL._of(self._yarl.join(URL(reference)._yarl))

    def with_params(self, params: Params) -> URL:
        """Return this URL with parameters added to its query; None values are left out, booleans become true, false."""
        try:
            pairs = list(text_pairs(params))
        except (TypeError, ValueError) as error:
            raise InvalidURL(f"these are not parameters of a URL: {error}") from error
        if not pairs:
            return self
        query = "&".join(part for part in (self.query, urlencode(pairs)) if part)
        return URL._of(_with_parts(self._yarl, self.path, query, self.fragment))

    def __str__(self) -> str:
        return str(self._yarl)

    def __repr__(self) -> str:
        return f"URL({self.redacted!r})"

    def __eq__(self, other: object) -> bool:
        return str(self) == str(other) if isinstance(other, URL | str) else NotImplemented

    def __hash__(self) -> int:
        return hash(str(self))


def _parse(text: str) -> yarl.URL:
    if len(text) > _MAX_URL:
        raise InvalidURL(f"the URL is {len(text)} characters long, more than {_MAX_URL}")
    if text != text.strip(" ") or _CONTROL.search(text):
        raise InvalidURL(f"the URL has a line break, a control character or blanks around it: {_excerpt(text)}")
    if "\\" in text.partition("?")[0]:
        # Browsers read it as a slash, RFC 3986 does not know it: two readers, two hosts (HAZARDS REQ-08).
        raise InvalidURL(f"the URL has a backslash before its query: {_excerpt(text)}")
    written = _written_host(text)
    try:
        if not written.isascii():
            idna.encode(written, uts46=True)  # where that fails yarl takes IDNA 2003, whose "ß" is "ss" (TLS-01)
        parsed = yarl.URL(text)
        host, port = parsed.raw_host, parsed.port
    except (ValueError, IndexError) as error:  # IndexError: "http://[]@/"
        if "@" in text:  # which yarl's message may quote with the password in it
            raise InvalidURL(f"not a URL: {_excerpt(text)}") from None
        raise InvalidURL(f"{str(error).encode('ascii', 'backslashreplace').decode()}: {_excerpt(text)}") from error
    if host:
        if host[-1] in _ENDS_OF_NUMBERS:
            address = _ipv4(host, text)
            if address is not None and address != host:
                parsed, host = parsed.with_host(address), address
        _check_host(host, text)
        if port == 0:
            raise InvalidURL(f"port 0 cannot be connected to: {_excerpt(text)}")
    elif parsed.scheme in _DEFAULT_PORTS or text.startswith("///"):
        raise InvalidURL(f"the URL has no host: {_excerpt(text)}")
    return parsed if _USUAL(text) and "/." not in text else _as_written(text, parsed)


def _as_written(text: str, parsed: yarl.URL) -> yarl.URL:
    """Give a URL the path, the query and the fragment that stand in its text."""
    found = _PARTS(text, len(parsed.scheme) + 1 if parsed.scheme else 0)
    assert found is not None  # it matches anything
    path, query, fragment = (part or "" for part in found.groups())
    if not _PATH(path):
        path = _NOT_IN_PATH(_quoted, path)
    if not _QUERY(query):
        query = _NOT_IN_QUERY(_quoted, query)
    if not _QUERY(fragment):
        fragment = _NOT_IN_QUERY(_quoted, fragment)
    if "." in path or "%2" in path:
        path = _without_dots(path, is_absolute=bool(parsed.raw_host))
    if (path or "/", query, fragment) == (parsed.raw_path or "/", parsed.raw_query_string, parsed.raw_fragment):
        return parsed
    return _with_parts(parsed, path, query, fragment)


def _with_parts(url: yarl.URL, path: str, query: str, fragment: str) -> yarl.URL:
    """Return a URL with other parts behind its authority, which are quoted already."""
    return yarl.URL.build(
        scheme=url.scheme,
        authority=url.raw_authority,
        path=path or ("/" if url.raw_authority else ""),
        query_string=query,
        fragment=fragment,
        encoded=True,
    )


def _quoted(found: re.Match[str]) -> str:
    return quote(found.group(), safe="")


def _without_dots(path: str, *, is_absolute: bool) -> str:
    """Remove "." and ".." from a path (RFC 3986 section 5.2.4); in a reference, only write them as such."""
    parts = [_DOTS.get(part.lower(), part) if len(part) <= 6 else part for part in path.split("/")]
    if not is_absolute:
        return "/".join(parts)
    kept: list[str] = []
    for part in parts[1:]:
        if part == "..":
            del kept[-1:]
        elif part != ".":
            kept.append(part)
    if parts[-1] in (".", ".."):
        kept.append("")
    return "/" + "/".join(kept)


def _ipv4(host: str, text: str) -> str | None:
    """Return the address that a host is which ends in a number, None for a name (WHATWG URL, "ends in a number").

    Up to four numbers, decimal, octal with 0 or hexadecimal with 0x, of which the last one fills what is left.
    """
    parts = host.removesuffix(".").split(".")
    if not _IS_NUMBER(parts[-1]):
        return None
    numbers = [_number(part) for part in parts[:4]]
    value, *others = reversed(numbers)
    is_possible = len(parts) <= 4 and all(number is not None and number < 256 for number in others)
    if not is_possible or value is None or value >= 256 ** (5 - len(parts)):
        raise InvalidURL(f"{host[:80]!a} ends in a number and is no IPv4 address: {_excerpt(text)}")
    for place, number in enumerate(reversed(others)):
        value += (number or 0) << (24 - 8 * place)
    return str(IPv4Address(value))


def _number(text: str) -> int | None:
    if not _IS_NUMBER(text) or len(text) > _MAX_HOST:
        return None
    try:
        if text[:2] in ("0x", "0X"):
            return int(text[2:] or "0", 16)
        return int(text, 8) if text[0] == "0" else int(text)
    except ValueError:
        return None


def _written_host(text: str) -> str:
    """Return the host as it is written, without what yarl lets pass as a port ("+80", "8_0") or between brackets."""
    found = _AUTHORITY(text)
    place = found.group(1).rpartition("@")[2] if found else ""
    if "[" in place and "%" in place:
        raise InvalidURL(f"an IPv6 zone is not allowed in a URL (RFC 9844): {_excerpt(text)}")
    if not _PLACE(place):
        raise InvalidURL(f"the URL has no possible host and port: {_excerpt(text)}")
    host = place.partition(":")[0]
    if len(host) > 4 * _MAX_HOST:  # composed characters get shorter; more would only cost time
        raise InvalidURL(f"the host name is {len(host)} characters long, more than {_MAX_HOST}: {_excerpt(text)}")
    return host


def _check_host(host: str, text: str) -> None:
    if ":" in host:
        try:
            IPv6Address(host)
        except ValueError:
            raise InvalidURL(f"{host!a} is not an IPv6 address: {_excerpt(text)}") from None
        return
    if len(host.rstrip(".")) > _MAX_HOST:
        raise InvalidURL(f"the host name is {len(host)} characters long, more than {_MAX_HOST}: {_excerpt(text)}")
    if not _REG_NAME.fullmatch(host) or any(len(label) > 63 for label in host.split(".")):
        raise InvalidURL(f"{host!a} is not a host name: {_excerpt(text)}")


def _excerpt(text: str) -> str:
    """Show the beginning of a URL that could not be parsed, without what may be a secret."""
    scheme, slashes, rest = text.partition("//") if "//" in text else ("", "", text)
    before, at, after = rest.rpartition("@")
    if at:
        # A password may hold a slash, a question mark or a number sign: then nobody can say where it ends.
        rest = "..." if "?" in before or "#" in before else f"...@{after}"
    text = scheme + slashes + re.split("[?#]", rest, maxsplit=1)[0]
    return ascii(text if len(text) <= 80 else text[:77] + "...")


def text_pairs(values: Params) -> Iterator[tuple[str, str]]:
    """Yield names and values of a query or a form as text, several values of a name one by one.

    None is left out, booleans become true and false. Raises `TypeError` or `ValueError` for what has no such form.
    """
    pairs = values.items() if isinstance(values, Mapping) else values
    for name, value in cast("Iterable[tuple[str, Any]]", pairs):
        is_one = isinstance(value, str | bytes | bytearray | Mapping) or not isinstance(value, Iterable)
        for one in [value] if is_one else value:
            if one is not None:
                yield _text(name), _text(one)


def _text(value: Any) -> str:
    if isinstance(value, bytes | bytearray | Iterable) and not isinstance(value, str):
        raise TypeError(f"a value is text or a number, not {type(value).__name__}")
    text = str(value).lower() if isinstance(value, bool) else str(value)
    text.encode()  # a lone surrogate would be dropped in silence
    return text


@lru_cache(maxsize=4096)
def parse_url(text: str) -> URL:
    """Parse a URL, remembering the last 4,096 of them."""
    return URL(text)
