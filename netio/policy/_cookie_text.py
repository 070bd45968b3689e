"""Reading Set-Cookie lines and cookie dates, to the letter of RFC 6265bis sections 5.1.1 and 5.6.

Servers write anything into them, so these are algorithms and no grammar: nothing raises, what makes no sense is left
out. Every step is linear in the line, which is itself bounded, and no number is made of more digits than it may have.
"""

from __future__ import annotations

import re
from calendar import monthrange, timegm
from dataclasses import dataclass

MAX_LINE = 16_384  # name and value, and four attributes of full length; no browser takes more
MAX_PAIR = 4_096  # RFC 6265bis section 5.6: name and value together
MAX_ATTRIBUTE = 1_024
MAX_AGE = 34_560_000  # section 5.5: 400 days

_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]").search
_DELIMITERS = re.compile(r"[\t\x20-\x2f\x3b-\x40\x5b-\x60\x7b-\x7e]+")
_TIME = re.compile(r"(\d{1,2}):(\d{1,2}):(\d{1,2})(?!\d)", re.ASCII).match
_DAY = re.compile(r"(\d{1,2})(?!\d)", re.ASCII).match
_YEAR = re.compile(r"(\d{2,4})(?!\d)", re.ASCII).match
_AGE = re.compile(r"-?[0-9]+").fullmatch
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")

LONG_AGO = float(timegm((1601, 1, 1, 0, 0, 0)))


@dataclass(slots=True)
class SetCookie:
    """One Set-Cookie line. `expires` is in seconds since 1970, None for as long as the session lives."""

    name: str
    value: str
    expires: float | None = None
    domain: str = ""
    path: str = ""
    is_secure: bool = False
    is_http_only: bool = False


def read_set_cookie(line: str, now: float) -> SetCookie | None:
    """Return what the line sets, None if it is to be ignored.

    A line without a name is ignored too, as RFC 6265 has it and RFC 6265bis has not: "Set-Cookie: =a=b" would be sent
    as "a=b", and pass for another cookie.
    """
    if len(line) > MAX_LINE or _CONTROL(line):
        return None
    pair, _, attributes = line.partition(";")
    name, equals, value = pair.partition("=")
    name, value = name.strip(" \t"), value.strip(" \t")
    if not equals or not name or len(name) + len(value) > MAX_PAIR:
        return None
    cookie = SetCookie(name, value)
    max_age = None
    for attribute in attributes.split(";"):
        key, _, text = attribute.partition("=")
        text = text.strip(" \t")
        if len(text) > MAX_ATTRIBUTE:
            continue
        match key.strip(" \t").lower():
            case "expires":
                cookie.expires = _either(read_date(text), cookie.expires)
            case "max-age":
                max_age = _either(_read_age(text, now), max_age)
            case "domain":
                cookie.domain = text or cookie.domain
            case "path":
                cookie.path = text
            case "secure":
                cookie.is_secure = True
            case "httponly":
                cookie.is_http_only = True
    if max_age is not None:
        cookie.expires = max_age
    if cookie.expires is not None:
        cookie.expires = min(cookie.expires, now + MAX_AGE)
    return cookie


def _either(new: float | None, old: float | None) -> float | None:
    """Return the new one, unless it could not be read."""
    return old if new is None else new


def _read_age(text: str, now: float) -> float | None:
    """Return when a Max-Age ends. Nine digits are more than any may be (HAZARDS CK-04, INT-01)."""
    if not _AGE(text):
        return None
    if text.startswith("-"):
        return LONG_AGO
    digits = text.lstrip("0")
    if not digits:
        return LONG_AGO
    return now + (int(digits) if len(digits) <= 9 else MAX_AGE)


def read_date(text: str) -> float | None:
    """Return the seconds since 1970 that a cookie date says, None if it says none."""
    time = day = month = year = None
    for token in _DELIMITERS.split(text):
        if time is None and (found := _TIME(token)):
            time = tuple(map(int, found.groups()))
        elif day is None and (found := _DAY(token)):
            day = int(found.group(1))
        elif month is None and token[:3].lower() in _MONTHS:
            month = _MONTHS.index(token[:3].lower()) + 1
        elif year is None and (found := _YEAR(token)):
            year = int(found.group(1))
    if time is None or day is None or month is None or year is None:
        return None
    if year < 100:
        year += 1900 if year >= 70 else 2000
    hour, minute, second = time
    if year < 1601 or hour > 23 or minute > 59 or second > 59 or not 1 <= day <= monthrange(year, month)[1]:
        return None
    return float(timegm((year, month, day, hour, minute, second)))
