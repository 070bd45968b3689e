"""The command line: commands, options and their help."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from textwrap import fill
from typing import NoReturn

from netio.cli import _arguments as read
from netio.cli._arguments import (
    LOOPS,
    BenchOptions,
    CompareOptions,
    DemoOptions,
    Message,
    Options,
    ResolveOptions,
    SendOptions,
    Wire,
)
from netio.cli._exits import MEANINGS
from netio.cli._items import read_items

_COMMANDS = """\
netio URL                     send a GET request and print the answer
netio METHOD URL [ITEM ...]   send a request
netio bench URL               put load on a server and measure it
netio compare URL URL ...     see which of several URLs answers sooner, and why
netio resolve NAME            see the addresses of a name
netio demo                    see the library work, with a server of its own

`netio COMMAND --help` says more about bench, compare, resolve and demo.
"""
_ITEMS = """\
items, as in HTTPie:
  Name:Value     a header field; Name: sends none      q==netio   in the query
  name=value     in the body, of JSON or --form        age:=42    any JSON
  name@path      a file of a multipart form            name=@path its content

"""


def parse(argv: Sequence[str] | None = None) -> Options:
    """Read the command line. Raises `SystemExit` after it has printed help, the version or a complaint."""
    words = list(sys.argv[1:] if argv is None else argv)
    command = words[0] if words else ""
    if command in _READERS:
        return _READERS[command](words[1:])
    return _send(words)


def _send(words: list[str]) -> SendOptions:
    parser = _parser("netio", "Talk HTTP/1.1 and HTTP/2 from the command line.\n\n" + _COMMANDS, _ITEMS + MEANINGS)
    parser.usage = "netio [METHOD] URL [ITEM ...] [OPTIONS]"
    parser.add_argument("--version", action="version", version=f"netio {_version()}")
    parser.add_argument("words", nargs="+", metavar="[METHOD] URL [ITEM ...]", help=argparse.SUPPRESS)
    _add_message(parser)
    add = parser.add_argument
    add("-o", "--output", metavar="FILE", help="save the body: FILE appears when it is complete; if the connection "
        "breaks the rest is asked for; - is stdout, with the body alone")  # fmt: skip
    add("-b", "--body", action="store_true", help="print the body alone")
    add("-t", "--timings", action="store_true", help="draw on stderr where the time went")
    add("-v", "--verbose", action="store_true", help="tell on stderr about the connection and the time it took")
    add("-L", "--follow", action="store_true", help="follow redirects")
    add("--fail", action="store_true", help="exit with 1, without the body, if the status is 400 or above")
    _add_wire(parser)
    given = parser.parse_intermixed_args(words)
    return SendOptions(
        message=_message(parser, given),
        wire=_wire(given),
        follow=given.follow,
        is_failing=given.fail,
        is_verbose=given.verbose,
        has_timings=given.timings,
        shows_body_only=given.body,
        output=given.output,
    )


def _bench(words: list[str]) -> BenchOptions:
    parser = _parser(
        "netio bench",
        "Send the same request many times and measure the answers.\n\n"
        "Without --rate each of -c tasks sends its next request when it has an answer: the "
        "server sets the pace. With --rate requests are due at a fixed pace, and a latency "
        "counts from then, so a stall of the server is seen by all that it delays.",
        _ITEMS + MEANINGS,
    )
    parser.usage = "netio bench [METHOD] URL [ITEM ...] [OPTIONS]"
    parser.add_argument("words", nargs="+", metavar="[METHOD] URL [ITEM ...]", help=argparse.SUPPRESS)
    add = parser.add_argument
    add("-c", "--concurrency", metavar="N", type=read.count, default=BenchOptions.concurrency,
        help="requests at a time, at most; connections too, unless it is HTTP/2 (default: %(default)s)")  # fmt: skip
    length = parser.add_mutually_exclusive_group()
    length.add_argument("-n", "--requests", metavar="N", type=read.count, help="so many requests (default: 10000)")
    length.add_argument("-d", "--duration", metavar="TIME", type=read.seconds, help="for so long: 10s, 2m")
    add("-r", "--rate", metavar="R", type=read.rate, help="requests a second, whether they are answered or not")
    add("--loop", choices=LOOPS, default=BenchOptions.loop, help="the event loop to use (default: %(default)s)")
    add("--json", action="store_true", help="print the result as JSON")
    add("--plot", metavar="FILE", type=read.picture,
        help="draw the latencies into FILE, .png, .svg or .pdf; needs netio-http[plot]")  # fmt: skip
    _add_message(parser)
    _add_wire(parser)
    given = parser.parse_intermixed_args(words)
    is_open_end = given.requests is None and given.duration is None
    return BenchOptions(
        message=_message(parser, given),
        wire=_wire(given),
        concurrency=given.concurrency,
        requests=10_000 if is_open_end else given.requests,
        seconds=given.duration,
        rate=given.rate,
        loop=given.loop,
        json=given.json,
        plot=given.plot,
    )


def _compare(words: list[str]) -> CompareOptions:
    parser = _parser(
        "netio compare",
        "Send requests to several URLs in turn, one at a time and each on a new connection "
        "and then on the kept one, and show what each phase took (median).",
        MEANINGS,
    )
    parser.add_argument("urls", nargs="+", metavar="URL", type=read.url)
    add = parser.add_argument
    add("-n", "--requests", metavar="N", type=read.count, default=CompareOptions.requests,
        help="requests to each URL (default: %(default)s)")  # fmt: skip
    add("--json", action="store_true", help="print the result as JSON")
    _add_wire(parser)
    given = parser.parse_intermixed_args(words)
    return CompareOptions(urls=tuple(given.urls), wire=_wire(given), requests=given.requests, json=given.json)


def _resolve(words: list[str]) -> ResolveOptions:
    parser = _parser(
        "netio resolve",
        "Look a name up as netio does before it connects: its addresses and how long they may "
        "be kept, what its HTTPS records say, and in which order the addresses are tried.",
        MEANINGS,
    )
    parser.add_argument("name", metavar="NAME", help="a host name, or a URL")
    parser.add_argument("--server", metavar="ADDRESS", action="append", default=[],
        help="the name server to ask, with a port if need be; may be given several times")  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    given = parser.parse_args(words)
    return ResolveOptions(name=given.name, servers=tuple(given.server), json=given.json)


def _demo(words: list[str]) -> DemoOptions:
    parser = _parser(
        "netio demo",
        "Start a web server on 127.0.0.1 and take a tour of the library: connections kept and "
        "not kept, HTTP/1.1 and HTTP/2, the DNS cache, retries, a circuit breaker that opens "
        "and heals, hedging, and the statistics of it all. Needs netio-http[demo].",
        MEANINGS,
    )
    add = parser.add_argument
    add("--requests", metavar="N", type=read.count, default=DemoOptions.requests,
        help="requests a row, less for the slow rows (default: %(default)s)")  # fmt: skip
    add("--loop", choices=LOOPS, default=DemoOptions.loop, help="the event loop to use (default: %(default)s)")
    add("--plot", metavar="FILE", type=read.picture,
        help="draw the latencies into FILE, .png, .svg or .pdf; needs netio-http[plot]")  # fmt: skip
    given = parser.parse_args(words)
    return DemoOptions(requests=given.requests, loop=given.loop, plot=given.plot)


_READERS: dict[str, Callable[[list[str]], Options]] = {
    "bench": _bench,
    "compare": _compare,
    "resolve": _resolve,
    "demo": _demo,
}


class _Parser(argparse.ArgumentParser):
    """A parser that does not repeat what was given, beyond the name of an option: it may be a secret."""

    def error(self, message: str) -> NoReturn:
        start, unknown, words = message.partition("unrecognized arguments: ")
        if unknown and not start:
            named = [word.partition("=")[0] for word in words.split() if word.startswith("--")]
            message = f"unrecognized arguments{': ' if named else ''}{' '.join(named)}"
        super().error(message)


def _parser(name: str, description: str, epilog: str) -> argparse.ArgumentParser:
    return _Parser(
        prog=name,
        description="\n\n".join(_filled(paragraph) for paragraph in description.split("\n\n")),
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )


def _filled(paragraph: str) -> str:
    return paragraph if "\n" in paragraph else fill(paragraph, 79)


def _add_message(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("-H", "--header", metavar="'NAME: VALUE'", action="append", default=[], type=read.header,
        help="a header field to send; may be given several times")  # fmt: skip
    add("-a", "--auth", metavar="USER:PASSWORD", type=read.credentials, help="credentials (Basic)")
    add("-f", "--form", action="store_true", help="name=value items are a form, not JSON")
    add("--raw", metavar="TEXT", help="the body as it is; @FILE is the content of a file, @- of stdin")


def _message(parser: argparse.ArgumentParser, given: argparse.Namespace) -> Message:
    method, address, words = read.split_words(given.words)
    try:
        target = read.url(address)
    except argparse.ArgumentTypeError as error:
        parser.error(f"argument URL: {error}")
    items = read_items(words)
    if items.has_body and given.raw is not None:
        parser.error("--raw is the whole body: there cannot be items for it beside")
    items.headers[:0] = given.header
    has_body = items.has_body or given.raw is not None
    return Message(
        method=method or ("POST" if has_body else "GET"),
        url=target,
        items=items,
        form=given.form or bool(items.files),
        raw=given.raw,
        auth=given.auth,
    )


def _add_wire(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=read.seconds,
        help="limit for everything, the body included (default: 60 until the head, 20 between bytes)",
    )
    parser.add_argument("--proxy", metavar="URL", help="http://, https://, socks5:// or socks5h:// proxy")
    protocol = parser.add_mutually_exclusive_group()
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
    trust = parser.add_mutually_exclusive_group()
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
        type=read.authorities,
        help="trust the certificate authorities in this PEM file instead of the system's",
    )


def _wire(given: argparse.Namespace) -> Wire:
    return Wire(http2=given.http2, verify=given.verify, timeout=given.timeout, proxy=given.proxy)


def _version() -> str:
    try:
        return version("netio-http")
    except PackageNotFoundError:
        return "(not installed)"
