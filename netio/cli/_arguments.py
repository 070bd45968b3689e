"""The command line: what can be said, and what it means to the rest."""

from __future__ import annotations

import argparse
import math
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Literal

from netio.cli._exits import MEANINGS

Loop = Literal["asyncio", "uvloop", "trio"]
LOOPS: tuple[Loop, ...] = ("asyncio", "uvloop", "trio")


@dataclass(frozen=True, kw_only=True)
class GetOptions:
    """What `netio get` was asked to do."""

    url: str
    headers: tuple[tuple[str, str], ...] = ()
    http2: bool | Literal["prior-knowledge"] = True
    is_failing: bool = False
    is_verbose: bool = False
    output: str | None = None
    timeout: float | None = None
    verify: bool | str = True


@dataclass(frozen=True, kw_only=True)
class DemoOptions:
    """What `netio demo` was asked to do."""

    requests: int = 2_000
    loop: Loop = "asyncio"


Options = GetOptions | DemoOptions


def parse(argv: Sequence[str] | None = None) -> Options:
    """Read the command line. Raises `SystemExit` after it has printed help, the version or a complaint."""
    parser = _parser()
    given = parser.parse_args(argv)
    if given.command == "demo":
        return DemoOptions(requests=given.requests, loop=given.loop)
    return GetOptions(
        url=given.url,
        headers=tuple(given.header),
        http2=given.http2,
        is_failing=given.fail,
        is_verbose=given.verbose,
        output=given.output,
        timeout=given.timeout,
        verify=given.verify,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="netio",
        description="Talk HTTP/1.1 and HTTP/2 from the command line, with the netio library.",
        epilog=MEANINGS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"netio {_version()}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True, title="commands")
    _add_get(commands)
    _add_demo(commands)
    return parser


def _add_get(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    get = commands.add_parser(
        "get",
        help="send a GET request and print the answer",
        description="Send a GET request and print status line, header fields, an empty line and\n"
        "the body.\n\n"
        "On a terminal, control characters of the server are shown escaped (\\x1b), and a\n"
        "binary body is not shown. Into a pipe or a file everything goes as it came; only\n"
        "the lines of the head end in LF alone.",
        epilog=MEANINGS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    get.add_argument("url", metavar="URL", type=_url, help="an http:// or https:// URL")
    get.add_argument(
        "-H",
        "--header",
        metavar="'NAME: VALUE'",
        action="append",
        default=[],
        type=_header,
        help="a header field to send; may be given several times",
    )
    get.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        help="write the body to FILE, which appears only when the body is complete; - is stdout, with the body alone",
    )
    get.add_argument(
        "-v", "--verbose", action="store_true", help="tell on stderr about the connection and the time it took"
    )
    get.add_argument("--fail", action="store_true", help="exit with 1, without the body, if the status is 400 or above")
    get.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=_seconds,
        help="limit for everything, the body included (default: 60 until the head, 20 between bytes)",
    )
    _add_protocol(get)
    _add_trust(get)


def _add_protocol(get: argparse.ArgumentParser) -> None:
    protocol = get.add_mutually_exclusive_group()
    protocol.add_argument(
        "--http1", dest="http2", action="store_const", const=False, default=True, help="speak HTTP/1.1 only"
    )
    protocol.add_argument(
        "--http2",
        dest="http2",
        action="store_const",
        const="prior-knowledge",
        help="speak HTTP/2 only, to an http:// URL with prior knowledge",
    )


def _add_trust(get: argparse.ArgumentParser) -> None:
    trust = get.add_mutually_exclusive_group()
    trust.add_argument(
        "--insecure",
        dest="verify",
        action="store_const",
        const=False,
        default=True,
        help="accept any certificate: anyone on the way can read and change everything",
    )
    trust.add_argument(
        "--cacert",
        dest="verify",
        metavar="FILE",
        type=_authorities,
        help="trust the certificate authorities in this PEM file instead of the system's",
    )


def _add_demo(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    demo = commands.add_parser(
        "demo",
        help="see the library work: some thousand requests to a server of its own",
        description="Start a web server on 127.0.0.1, send it some thousand requests in five ways,\n"
        "and print what each way costs: without and with the connection pool, one at a\n"
        "time and fifty, over HTTP/1.1 and HTTP/2, and through a route that fails now and\n"
        "then. Needs netio-http[demo].",
        epilog=MEANINGS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    demo.add_argument(
        "--requests",
        metavar="N",
        type=_count,
        default=DemoOptions.requests,
        help="requests a row, less for the slow rows (default: %(default)s)",
    )
    demo.add_argument(
        "--loop", choices=LOOPS, default=DemoOptions.loop, help="the event loop to use (default: %(default)s)"
    )


def _version() -> str:
    try:
        return version("netio-http")
    except PackageNotFoundError:
        return "(not installed)"


def _url(text: str) -> str:
    if not text.lower().startswith(("http://", "https://")):
        raise argparse.ArgumentTypeError("a URL begins with http:// or https://")
    return text  # the rest is the library's to judge


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon:
        # What was given is not repeated: it may be a secret.
        raise argparse.ArgumentTypeError("a header field is given as 'Name: value'")
    return name, value.strip(" \t")


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number of seconds")
    return seconds


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 7 and int(text) > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to 9999999")
    return int(text)


def _authorities(path: str) -> str:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except ssl.SSLError:
        raise argparse.ArgumentTypeError(f"{path!r} has no certificate in PEM form") from None
    except OSError as error:
        raise argparse.ArgumentTypeError(f"{path!r} cannot be read: {error.strerror}") from None
    return path
