"""Where a redirect leads: from a Location field to a URL that can be asked for, or an error that says why not."""

from __future__ import annotations

from netio.errors import InvalidURL, RedirectError
from netio.message import Response
from netio.url import URL

_SCHEMES = ("http", "https")


def location_of(response: Response) -> str | None:
    """Return what the Location field says, None if there is none or it is empty: then the response is the answer.

    Raises `RedirectError` if there are several that differ.
    """
    values = {value.strip(" \t") for value in response.headers.get_list("location")}
    if len(values) > 1:
        raise RedirectError("the redirect has several Location fields that differ")
    return values.pop() or None if values else None


def followed(current: URL, location: str) -> URL:
    """Return the URL that a Location value leads to from the current one (RFC 9110 section 10.2.2).

    The fragment is inherited if the location has none. Userinfo is ours alone: it stays while the origin does, and what
    a location brings is dropped. Raises `RedirectError` for what is no http:// or https:// URL: data:, file:,
    javascript:, a line break, a backslash, which browsers read as a slash (HAZARDS RED-06, REQ-08).
    """
    try:
        url = current.join(_as_text(location))
        if url.scheme not in _SCHEMES or not url.host:
            raise RedirectError(f"the redirect leads to {url.redacted[:80]!r}, which is no http:// or https:// URL")
        userinfo = _userinfo(current) if url.origin == current.origin else ""
        fragment = url.fragment or current.fragment
        if userinfo == _userinfo(url) and fragment == url.fragment:
            return url
        place = f"{userinfo}@{url.origin.authority}" if userinfo else url.origin.authority
        return URL(f"{url.scheme}://{place}{url.target}{f'#{fragment}' if fragment else ''}")
    except InvalidURL as error:
        raise RedirectError(f"the redirect leads nowhere: {error}") from error


def _as_text(location: str) -> str:
    """Read the bytes of the field as browsers do: as UTF-8, or else byte by byte."""
    if location.isascii():
        return location
    data = location.encode("latin-1")
    try:
        return data.decode()
    except UnicodeDecodeError:
        return "".join(chr(byte) if byte < 0x80 else f"%{byte:02X}" for byte in data)


def _userinfo(url: URL) -> str:
    """Return the userinfo of a URL as it is written."""
    return str(url).partition("//")[2].partition("/")[0].partition("?")[0].partition("#")[0].rpartition("@")[0]
