"""What can be said on a command line, as data, and what single words of it mean."""

from __future__ import annotations

import argparse
import math
import re
import ssl
from dataclasses import dataclass
from typing import Literal

from netio.cli._items import Items

Loop = Literal["asyncio", "uvloop", "trio"]
LOOPS: tuple[Loop, ...] = ("asyncio", "uvloop", "trio")
Http2 = bool | Literal["prior-knowledge"]


@dataclass(frozen=True, kw_only=True)
class Wire:
    """How to speak to the server: what all commands have in common that send requests."""

    http2: Http2 = True
    verify: bool | str = True
    timeout: float | None = None
    proxy: str | None = None


@dataclass(frozen=True, kw_only=True)
class Message:
    """The request: `form` says that its data are no JSON; `raw` is a body as it is, in place of data."""

    method: str
    url: str
    items: Items
    form: bool = False
    raw: str | None = None
    auth: tuple[str, str] | None = None


@dataclass(frozen=True, kw_only=True)
class SendOptions:
    """What `netio [METHOD] URL` was asked to do."""

    message: Message
    wire: Wire
    follow: bool = False
    is_failing: bool = False
    is_verbose: bool = False
    has_timings: bool = False
    shows_body_only: bool = False
    output: str | None = None


@dataclass(frozen=True, kw_only=True)
class BenchOptions:
    """What `netio bench` was asked to do; `requests` or `seconds` end it."""

    message: Message
    wire: Wire
    concurrency: int = 50
    requests: int | None = None
    seconds: float | None = None
    rate: float | None = None
    loop: Loop = "asyncio"
    json: bool = False
    plot: str | None = None


@dataclass(frozen=True, kw_only=True)
class CompareOptions:
    """What `netio compare` was asked to do: `requests` to each URL, in turn."""

    urls: tuple[str, ...]
    wire: Wire
    requests: int = 20
    json: bool = False


@dataclass(frozen=True, kw_only=True)
class ResolveOptions:
    """What `netio resolve` was asked to do."""

    name: str
    servers: tuple[str, ...] = ()
    json: bool = False


@dataclass(frozen=True, kw_only=True)
class DemoOptions:
    """What `netio demo` was asked to do."""

    requests: int = 2_000
    loop: Loop = "asyncio"
    plot: str | None = None


Options = SendOptions | BenchOptions | CompareOptions | ResolveOptions | DemoOptions

_METHOD = re.compile(r"[A-Za-z]+").fullmatch


def split_words(words: list[str]) -> tuple[str | None, str, list[str]]:
    """Tell method (None if none is given), URL and items apart: `[METHOD] URL [ITEM ...]`."""
    first, *rest = words
    if rest and _METHOD(first) and first != "localhost":
        return first.upper(), rest[0], rest[1:]
    return None, first, rest


def url(text: str) -> str:
    """Complete a URL: `:8080/x` is http://localhost:8080/x as in HTTPie, and what has no scheme is https://."""
    if text.startswith(":"):
        rest = text[1:]
        return f"http://localhost{':' if rest[:1].isdigit() else ''}{rest}"
    scheme, separator, _ = text.partition("://")
    if not separator:
        if not text or text[0] in "/?#":
            raise argparse.ArgumentTypeError("a URL begins with http://, https:// or the name of a host")
        return f"https://{text}"
    if scheme.lower() not in ("http", "https"):
        raise argparse.ArgumentTypeError("a URL begins with http:// or https://")
    return text  # the rest is the library's to judge


def header(text: str) -> tuple[str, str]:
    """Read `Name: value`."""
    name, colon, value = text.partition(":")
    if not colon:
        # What was given is not repeated: it may be a secret.
        raise argparse.ArgumentTypeError("a header field is given as 'Name: value'")
    return name, value.strip(" \t")


def credentials(text: str) -> tuple[str, str]:
    """Read `user:password`."""
    user, colon, password = text.partition(":")
    if not colon:
        raise argparse.ArgumentTypeError("credentials are given as user:password")
    if any(character < " " or character == "\x7f" for character in text):
        raise argparse.ArgumentTypeError("credentials have no control characters (RFC 7617)")
    return user, password


def seconds(text: str) -> float:
    """Read a positive number of seconds, `10`, `0.5s`, `2m`, or `1h`."""
    scale = {"s": 1.0, "m": 60.0, "h": 3600.0}.get(text[-1:])
    try:
        number = float(text[:-1] if scale else text) * (scale or 1.0)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number of seconds")
    return number


def rate(text: str) -> float:
    """Read a positive number of requests a second."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number <= 1e6:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of requests a second up to 1000000")
    return number


def count(text: str) -> int:
    """Read a number from 1 to 9999999."""
    if not (text.isascii() and text.isdigit() and len(text) <= 7 and int(text) > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to 9999999")
    return int(text)


def picture(path: str) -> str:
    """Check that this is the name of a picture."""
    if not path.lower().endswith((".png", ".svg", ".pdf")):
        raise argparse.ArgumentTypeError(f"{path!r} is neither .png nor .svg nor .pdf")
    return path


def authorities(path: str) -> str:
    """Check that this is a file with certificates."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except ssl.SSLError:
        raise argparse.ArgumentTypeError(f"{path!r} has no certificate in PEM form") from None
    except OSError as error:
        raise argparse.ArgumentTypeError(f"{path!r} cannot be read: {error.strerror}") from None
    return path
