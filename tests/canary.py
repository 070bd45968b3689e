"""Secrets that must show nowhere (HAZARDS LOG-01), and peers' bytes that must do nothing to a terminal (LOG-02).

    canary = Canary()
    await session.get(canary.url("http://peer.test"), headers=canary.headers, cookies=canary.cookies)
    assert canary.leaks(text) == []

Each place of a request has a secret of its own, so that a leak names its place. A secret is found as it is,
percent-encoded, in hexadecimal, and in base64 behind anything.
"""

from __future__ import annotations

import base64
import logging
import traceback
import unicodedata
from dataclasses import dataclass, field
from urllib.parse import quote

PLACES = ("user", "password", "query", "fragment", "header", "token", "cookie", "proxy_user", "proxy_password", "body")


@dataclass(frozen=True)
class Canary:
    """One secret for each place; `secrets` gives them by its name."""

    secrets: dict[str, str] = field(default_factory=lambda: {place: f"canary+{place}/5ecret" for place in PLACES})

    def url(self, base: str) -> str:
        """Put userinfo, a query and a fragment into a URL of scheme, host and path."""
        scheme, _, rest = base.partition("://")
        quoted = {place: quote(secret, safe="") for place, secret in self.secrets.items()}
        userinfo = f"{quoted['user']}:{quoted['password']}"
        return f"{scheme}://{userinfo}@{rest}?key={quoted['query']}#{quoted['fragment']}"

    @property
    def headers(self) -> dict[str, str]:
        return {"x-api-key": self.secrets["header"], "x-token": f"Bearer {self.secrets['token']}"}

    @property
    def cookies(self) -> dict[str, str]:
        return {"session": self.secrets["cookie"]}

    @property
    def body(self) -> str:
        return f'{{"card": "{self.secrets["body"]}"}}'

    def proxy(self, place: str) -> str:
        """Return the URL of a proxy at a host and port, with credentials."""
        user, password = quote(self.secrets["proxy_user"], safe=""), quote(self.secrets["proxy_password"], safe="")
        return f"http://{user}:{password}@{place}"

    def leaks(self, text: str) -> list[str]:
        """Return the places of which the secret is found in the text."""
        lowered = text.lower()
        return [
            place for place, secret in self.secrets.items() if any(form.lower() in lowered for form in forms(secret))
        ]


def forms(secret: str) -> set[str]:
    """Return a secret in the shapes in which it may travel; of base64 what does not depend on its neighbours."""
    raw = secret.encode()
    found = {secret, quote(secret), quote(secret, safe=""), raw.hex()}
    for offset in range(3):
        encoded = base64.b64encode(b"\x00" * offset + raw).decode().rstrip("=")
        found.add(encoded[(offset * 8 + 5) // 6 : -2])
    return found


def told(error: BaseException) -> str:
    """Return everything that a program might show of an error: text, repr, notes, arguments, traceback, its causes."""
    parts = ["".join(traceback.format_exception(error)), repr(error), str(error), repr(error.args)]
    seen: BaseException | None = error
    while seen is not None:
        parts += [repr(seen), str(seen), *getattr(seen, "__notes__", ())]
        seen = seen.__cause__ or seen.__context__
    return "\n".join(parts)


def logged(records: list[logging.LogRecord]) -> str:
    """Return log records as a formatter writes them, with all that was attached to them."""
    formatter = logging.Formatter("%(name)s %(levelname)s %(message)s")
    return "\n".join(f"{formatter.format(record)} {record.__dict__!r}" for record in records)


def harmful(text: str) -> list[str]:
    """Return the characters that a terminal obeys instead of showing them: C0, C1, and changes of direction."""
    return [
        f"U+{ord(character):04X}"
        for character in text
        if character not in "\n\t" and unicodedata.category(character) in ("Cc", "Cf", "Zl", "Zp")
    ]
