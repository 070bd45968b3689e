"""Cookies: the policy around a jar, and the file that a jar may be kept in."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path

from anyio import to_thread

from netio.headers import checked_field
from netio.message import Request, Response, Send
from netio.policy._cookie_jar import CookieJar
from netio.policy._fields import has_field
from netio.policy._suffixes import Suffixes

_NAME = re.compile(r"[^\x00-\x20\x7f;=,\"]+").fullmatch
_VALUE = re.compile(r"[^\x00-\x1f\x7f;]*").fullmatch


class Cookies:
    """Send the cookies of a jar, and keep those that responses set.

    It belongs inside of `Redirects`, so that each hop gets what is for its own URL. The cookies of a request that has a
    Cookie field are sent too, and count for that request in place of those of the same name; another origin to which
    a redirect leads does not get them.
    """

    def __init__(self, jar: CookieJar | None = None) -> None:
        if jar is not None and not isinstance(jar, CookieJar):
            raise TypeError(f"jar is a CookieJar, not {type(jar).__name__}")
        self.jar = CookieJar() if jar is None else jar

    async def __call__(self, request: Request, send: Send) -> Response:
        url = request.url
        pairs = self.jar.pairs_for(url)
        response = await send(with_cookies(request, pairs) if pairs else request)
        if has_field(response.headers.fields, "set-cookie"):
            try:
                await self._store(request, response)
            except BaseException:  # cancelled in the thread, or a jar of the user's own making (HAZARDS CK-04)
                await response.aclose()
                raise
        return response

    async def _store(self, request: Request, response: Response) -> None:
        lines = response.headers.get_list("set-cookie")
        suffixes = self.jar.is_public_suffix
        if isinstance(suffixes, Suffixes) and not suffixes.is_loaded:
            await to_thread.run_sync(suffixes.load)
        self.jar.store(request.url, lines)


def with_cookies(request: Request, pairs: list[tuple[str, str]]) -> Request:
    """Return the request with cookies beside those that it has."""
    given = request.headers.get_list("cookie")
    names = {pair.partition("=")[0].strip() for value in given for pair in value.split(";")}
    sent = [f"{name}={value}" for name, value in pairs if name not in names]
    return request.with_field("cookie", "; ".join(sent + given))


def cookie_field(cookies: Mapping[str, str]) -> str:
    """Return the Cookie field of a request that is to have these cookies. Raises `ValueError` for impossible ones."""
    if not isinstance(cookies, Mapping):
        raise TypeError(f"cookies is a mapping of names to values, not {type(cookies).__name__}")
    for name, value in cookies.items():
        if not isinstance(name, str) or not isinstance(value, str) or not _NAME(name) or not _VALUE(value):
            raise ValueError(f"the cookie {name[:80] if isinstance(name, str) else name!r} cannot be sent as it is")
    return checked_field("cookie", "; ".join(f"{name}={value}" for name, value in cookies.items()))[1]


async def save_cookies(jar: CookieJar, path: str | os.PathLike[str]) -> None:
    """Write a jar to a file, for nobody else to read; who reads it meanwhile sees the old one or the new one, whole."""
    await to_thread.run_sync(_write, Path(path), jar.to_json())


async def load_cookies(jar: CookieJar, path: str | os.PathLike[str]) -> CookieJar:
    """Add the cookies of a file to a jar, and return the jar. Raises `OSError`, `ValueError`."""
    return jar.add_json(await to_thread.run_sync(Path(path).read_text, "utf-8"))


def _write(path: Path, text: str) -> None:
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # 0600
    try:
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise
