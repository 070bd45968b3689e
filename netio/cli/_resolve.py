"""`netio resolve`: what a name leads to, as netio sees it before it connects."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from functools import partial
from ipaddress import ip_address
from typing import Any

import anyio

from netio.cli._arguments import ResolveOptions
from netio.cli._exits import OK, Usage, require
from netio.cli._screen import print_lines
from netio.cli._words import shortened
from netio.histogram import shown_time
from netio.shown import escaped_line
from netio.transport import Answer, CaresResolver, Resolver, default_resolver, in_order
from netio.url import URL, Origin


@dataclass(frozen=True)
class Found:
    """What is known about a name; `order` are its addresses as they would be tried for https."""

    host: str
    asked: str
    answer: Answer
    order: tuple[str, ...]
    seconds: float


def resolve(options: ResolveOptions) -> int:
    """Look the name up, print what was found, and return the exit code."""
    if options.servers:
        require("pycares", "dns")
    found = anyio.run(partial(_look_up, options))
    print_lines([json.dumps(as_dict(found), indent=2)] if options.json else lines(found))
    return OK


async def _look_up(options: ResolveOptions) -> Found:
    origin = _origin(options.name)
    resolver: Resolver = CaresResolver(servers=options.servers) if options.servers else default_resolver()
    try:
        begun = time.monotonic()
        answer = await resolver.resolve(origin.host)
        seconds = time.monotonic() - begun
    finally:
        await resolver.aclose()
    asked = ", ".join(options.servers) or {"CaresResolver": "c-ares"}.get(type(resolver).__name__, "the system")
    return Found(origin.host, asked, answer, tuple(in_order(origin, answer)), seconds)


def _origin(name: str) -> Origin:
    if name.count(":") > 1 and name[0] != "[" and "://" not in name:
        name = f"[{name}]"  # an IPv6 address
    url = URL(name if "://" in name else f"https://{name}")
    if not url.host:
        raise Usage("there is no name in what was given")
    return url.origin


def lines(found: Found) -> list[str]:
    """Say what was found, in lines of at most 80 characters."""
    answer = found.answer
    number = len(found.order)
    kept = "an unknown time" if answer.ttl is None else f"{answer.ttl:g} s"
    shown = [
        shortened(f"{found.host}: {number} address{'' if number == 1 else 'es'}, to be kept for {kept}"),
        shortened(f"asked {found.asked}, answered after {shown_time(found.seconds)}"),
        "",
        "in the order in which netio tries them:",
        *(
            f"  {place:>2}  {escaped_line(address):<41} {_family(address)}"
            for place, address in enumerate(found.order, 1)
        ),
    ]
    if number > 1:
        shown.append("  each 250 ms after the one before, or as soon as that has failed (RFC 8305)")
    for binding in answer.bindings:
        port = "" if binding.port is None else f", port {binding.port}"
        spoken = ", ".join(binding.alpn) or "no protocols named"
        hints = ", ".join((*binding.ipv6_hints, *binding.ipv4_hints))
        shown.append(shortened(f"HTTPS record {binding.priority}: {binding.target}, {spoken}{port}"))
        if hints:
            shown.append(shortened(f"  hints: {hints}"))
    if not answer.is_complete:
        shown.append("a question (IPv4, IPv6 or HTTPS records) had no answer: there may be more")
    return shown


def _family(address: str) -> str:
    return f"IPv{ip_address(address).version}"


def as_dict(found: Found) -> dict[str, Any]:
    """Return what was found, for JSON."""
    return {
        "host": found.host,
        "asked": found.asked,
        "seconds": found.seconds,
        "ttl": found.answer.ttl,
        "order": list(found.order),
        "https_records": [asdict(binding) for binding in found.answer.bindings],
        "is_complete": found.answer.is_complete,
    }
