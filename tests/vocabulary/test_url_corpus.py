"""The URL cases of the web platform tests, where they are at hand: http and https ones.

netio agrees with browsers, or its deviation is listed here with its reason; docs/guide/urls.md has the same table. A
case that deviates and is not listed fails, and so does a listed one that agrees.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from netio.errors import InvalidURL
from netio.url import URL
from tests.policy.corpora import cases

REFUSED: dict[str, Callable[[str], object]] = {
    "a control character, or a blank around": lambda text: (
        text != text.strip(" ") or re.search(r"[\x00-\x1f\x7f]", text)
    ),
    "a backslash before the query": re.compile(r"^[^?]*\\").search,
    "http or https without //": re.compile(r"^https?:(?!//)", re.IGNORECASE).search,
    "no host between // and /": re.compile(r"^///").search,
    "port 0, or more than five digits": re.compile(r"//[^/]*:(0+|\d{6,})(?=[/?#]|$)").search,
    "a bracket in the user name or password": re.compile(r"//[^/@]*[][][^/]*@").search,
    "a percent-encoded host": re.compile(r"//(?:[^/]*@)?[^/@]*%[^/@]*(?=/|$)").search,
    "a host with other characters than letters, digits, -, _ and ~": re.compile(r"//[!\"$&'()*+,;=`{}]+[^/@]*/").search,
    "a host with an empty label": re.compile(r"^https?://(\.|\.\.|[^/@:?#]+\.\.)(?=[/?#]|$)").search,
    "a host with invisible characters": re.compile("//[^/]*[\u200b\u2060\ufeff]").search,
}
"""What netio does not read though browsers do."""

_PERCENT = "a percent sign without two hexadecimal digits is written as %25"
_QUOTED = "what RFC 3986 does not allow in its place is percent-encoded"
_APOSTROPHE = "an apostrophe stays as it is"
OTHERWISE: dict[str, tuple[str, str]] = {
    "http://example.com/foo/%2e%2": (_PERCENT, "http://example.com/foo/%2e%252"),
    "http://example.com/foo%": (_PERCENT, "http://example.com/foo%25"),
    "http://example.com/foo%2": (_PERCENT, "http://example.com/foo%252"),
    "http://example.com/foo%2zbar": (_PERCENT, "http://example.com/foo%252zbar"),
    "http://example.com/foo%2\u00c2\u00a9zbar": (_PERCENT, "http://example.com/foo%252%C3%82%C2%A9zbar"),
    "http://example.org/test?%GH": (_PERCENT, "http://example.org/test?%25GH"),
    "http://example.org/test?a#%GH": (_PERCENT, "http://example.org/test?a#%25GH"),
    "http://foo/path;a??e#f#g": (_QUOTED, "http://foo/path;a??e#f%23g"),
    "[61:24:74]:98": (_QUOTED, "http://example.org/foo/%5B61:24:74%5D:98"),
    "http://`{}:`{}@h/`{}?`{}": (_QUOTED, "http://%60%7B%7D:%60%7B%7D@h/%60%7B%7D?%60%7B%7D"),
    "http://host/?'": (_APOSTROPHE, "http://host/?'"),
}
"""What netio writes in another way."""


def is_ours(case: Any) -> bool:
    if not isinstance(case, dict):
        return False
    if not case.get("failure"):
        return case["protocol"] in ("http:", "https:")
    places = (case["input"].lower().lstrip(), case.get("base") or "")
    return any(place.startswith(("http:", "https:")) for place in places)


def chosen() -> list[Any]:
    found = cases("urltestdata.json")
    return [case for case in found if is_ours(case)] if any(isinstance(case, dict) for case in found) else found


def read(case: dict[str, Any]) -> URL | None:
    """Return what netio reads, None if it refuses."""
    base = case.get("base")
    try:
        url = URL(case["input"]) if base in (None, "about:blank") else URL(base).join(case["input"])
    except InvalidURL:
        return None
    return url if url.scheme in ("http", "https") and url.host else None


def parts(url: URL) -> tuple[str, ...]:
    userinfo = (url.username or "", url.password or "")
    return (url.scheme, url.origin.authority, url.path, url.query, url.fragment, *userinfo)


def expected(case: dict[str, Any]) -> tuple[str, ...]:
    userinfo = (unquote(case["username"]), unquote(case["password"]))
    return (case["protocol"][:-1], case["host"], case["pathname"], case["search"][1:], case["hash"][1:], *userinfo)


@pytest.mark.parametrize("case", chosen(), ids=lambda case: ascii(case["input"])[:60] if case else None)
def test_req_08_a_url_is_read_as_browsers_read_it_or_the_deviation_is_listed(case: dict[str, Any]) -> None:
    text, url = case["input"], read(case)
    reasons = [reason for reason, matches in REFUSED.items() if matches(text)]
    if case.get("failure") or reasons:
        assert url is None, reasons
    elif text in OTHERWISE:
        assert url is not None
        assert str(url) == OTHERWISE[text][1]
        assert parts(url) != expected(case)
    else:
        assert url is not None
        assert parts(url) == expected(case)


def test_every_listed_deviation_is_one() -> None:
    accepted = [case["input"] for case in chosen() if isinstance(case, dict) and not case.get("failure")]
    if accepted:
        assert [reason for reason, matches in REFUSED.items() if not any(map(matches, accepted))] == []
        assert OTHERWISE.keys() - set(accepted) == set()


def test_the_page_about_urls_has_the_same_deviations() -> None:
    page = (Path(__file__).parents[2] / "docs" / "guide" / "urls.md").read_text()
    reasons = [*REFUSED, *dict.fromkeys(reason for reason, _ in OTHERWISE.values())]
    assert [reason for reason in reasons if f"| {reason} |" not in page] == []
