"""The cookie cases of the http-state working group, where they are at hand."""

from __future__ import annotations

from calendar import timegm
from email.utils import parsedate
from pathlib import Path
from typing import Any

import pytest

from netio.policy import CookieJar
from netio.policy._cookie_text import read_date
from netio.url import URL
from tests.policy.corpora import cases

NOW = timegm((2011, 1, 1, 0, 0, 0))
"""When the cases were written: what they say of Expires holds then."""

_CONTROL = "RFC 6265bis section 5.6 ignores a line with a control character; the cases have it cut off there"
_AS_WRITTEN = "RFC 6265bis section 5.1.4 compares paths as they are written; the case has %6F be an o"
DELIBERATE = {
    "DISABLED_CHROMIUM0022": _CONTROL,
    "DISABLED_CHROMIUM0023": _CONTROL,
    "DISABLED_PATH0029": _AS_WRITTEN,
}
"""Cases in which no cookie is sent though the case has one; docs/guide/cookies.md has the same table."""


def name_of(case: Any) -> str | None:
    return case["test"] if isinstance(case, dict) else None


@pytest.mark.parametrize("case", cases("cookies.json"), ids=name_of)
def test_ck_02_cookies_are_kept_and_sent_as_the_working_group_has_it(case: dict[str, Any]) -> None:
    jar = CookieJar(now=lambda: NOW)
    url = URL(f"http://home.example.org:8888/cookie-parser?{case['test']}")
    jar.store(url, [line.encode().decode("latin-1") for line in case["received"]])
    to = url.join(case.get("sent-to", "/cookie-parser-result"))
    sent = [{"name": text(name), "value": text(value)} for name, value in jar.pairs_for(to)]
    assert sent == ([] if case["test"] in DELIBERATE else case["sent"])
    assert (sent != case["sent"]) == (case["test"] in DELIBERATE)


@pytest.mark.parametrize("case", cases("cookie-dates.json"), ids=name_of)
def test_cookie_dates_are_read_as_the_working_group_has_it(case: dict[str, Any]) -> None:
    read = read_date(case["test"])
    expected = parsedate(case["expected"] or "")
    assert read == (None if expected is None else timegm(expected))


def test_the_deviations_are_cases_and_in_the_docs() -> None:
    names = {name_of(case) for case in cases("cookies.json")}
    assert names == {None} or names >= DELIBERATE.keys()
    page = (Path(__file__).parents[2] / "docs" / "guide" / "cookies.md").read_text()
    assert [name for name in DELIBERATE if name not in page] == []


def text(of_bytes: str) -> str:
    return of_bytes.encode("latin-1").decode()
