"""The tunnel through a proxy: CONNECT (RFC 9110 section 9.3.6), or SOCKS.

The answer to CONNECT is read by the HTTP/1.1 engine, with its strictness and its limits. Only the time is unlimited
here: a dial has a time limit as a whole.
"""

from __future__ import annotations

import anyio

from netio.errors import ProtocolError, ProxyError
from netio.transport._broken import BROKEN, words
from netio.transport._proxy import Proxy
from netio.transport._socket_stream import Duplex
from netio.url import Origin
from netio.wire import FastHttp1, HeadCache, RequestHead, ResponseHead

_END = b"\r\n\r\n"
_EXCERPT = 80


async def tunnel(stream: Duplex, origin: Origin, proxy: Proxy, *, address: str = "") -> None:
    """Have a proxy lead a stream, which is connected to it, on to an origin; `address` stands for the origin's name.

    Nothing but what is the proxy's is sent. Raises `ProxyError`, and `InvalidRequest` for a host that CONNECT cannot
    have (HAZARDS REQ-02); the stream is left open.
    """
    if proxy.is_socks:
        from netio.transport._proxy_socks import connect_by_socks  # python-socks is optional

        await connect_by_socks(stream, Origin(origin.scheme, address or origin.host, origin.port), proxy)
    else:
        await _connect(stream, origin, proxy)


async def _connect(stream: Duplex, origin: Origin, proxy: Proxy) -> None:
    place = f"[{origin.host}]:{origin.port}" if ":" in origin.host else f"{origin.host}:{origin.port}"
    engine = FastHttp1(HeadCache(heads=0, lines=0))
    message, head = engine.start(RequestHead("CONNECT", proxy.kind, place, place, proxy.fields, 0))
    tail = b""
    try:
        await stream.send(head)
        while message.head is None:
            data = await stream.receive(65_536 if origin.is_tls else _lacking(tail))
            tail = (tail + data)[-3:]
            engine.feed(data)
    except anyio.EndOfStream as error:
        raise ProxyError(f"the proxy {proxy} closed the connection instead of answering", proxy=proxy.url) from error
    except BROKEN as error:
        raise ProxyError(f"the connection to the proxy {proxy} broke: {words(error)}", proxy=proxy.url) from error
    except ProtocolError as error:
        raise ProxyError(f"the proxy {proxy} answered in a wrong way: {error}", proxy=proxy.url) from error
    if not engine.is_tunnel:
        raise ProxyError(_refusal(message.head, place, proxy), proxy=proxy.url, status_code=message.head.status)
    if message.chunks:
        # Over TLS it is the client that speaks first: this cannot come from the origin.
        raise ProxyError(
            f"the proxy {proxy} sent something behind its answer to CONNECT, before anybody asked",
            proxy=proxy.url,
            status_code=message.head.status,
        )


def _lacking(tail: bytes) -> int:
    """Return how many bytes the end of a head lacks at least: what is behind it stays where it is.

    In clear text the origin may speak first (HTTP/2 does), and the bytes are not the tunnel's to read.
    """
    return next(len(_END) - size for size in (3, 2, 1, 0) if tail.endswith(_END[:size]))


def _refusal(head: ResponseHead, place: str, proxy: Proxy) -> str:
    """Say what the proxy answered instead of making a tunnel, and what may help."""
    reason = ascii(head.reason[:_EXCERPT])[1:-1]
    answer = f"{head.status} {reason}".rstrip()
    refusal = f"the proxy {proxy} did not connect to {place}: {answer}"
    if head.status == 407:
        schemes = {value.split(" ")[0].lower() for name, value in head.fields if name.lower() == "proxy-authenticate"}
        if schemes and "basic" not in schemes:
            offered = ascii(", ".join(sorted(schemes))[:_EXCERPT])[1:-1]
            return f"{refusal}; it asks for {offered}, and netio speaks only Basic to proxies"
        if "proxy-authorization" in {name.lower() for name, _ in proxy.fields}:
            return f"{refusal}; it does not accept these credentials"
        return f"{refusal}; give it credentials: netio.Proxy(url, credentials=(user, password))"
    if 300 <= head.status < 400:
        return f"{refusal}; a proxy's redirects are not followed"
    if head.status in (403, 405):
        return f"{refusal}; it may allow other hosts or ports only"
    return refusal
