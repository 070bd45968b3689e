"""A server that closes every connection after one answer, so that each request needs a new one.

On asyncio's own streams, with TLS or without; it listens on both families, since "localhost" is either.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import sys
from typing import Any

from _child import Control

ANSWER = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: text/plain\r\nContent-Length: 200\r\n\r\n" + b"x" * 200


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(ANSWER)
        await writer.drain()
    except (asyncio.IncompleteReadError, OSError):
        pass
    finally:
        writer.close()


def listen(host: str, family: socket.AddressFamily, port: int) -> socket.socket:
    """Listen; asyncio turns Nagle's algorithm off only on sockets that say that they are TCP."""
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    listener.bind((host, port))
    listener.listen(1_024)
    return listener


async def in_child(case: dict[str, Any], control: Control) -> None:
    """Serve on a free port, which is said first, until there are no more words."""
    context = None
    if case["tls"]:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(case["chain"], case["key"])
    sockets = [listen("127.0.0.1", socket.AF_INET, 0)]
    port = sockets[0].getsockname()[1]
    if socket.has_ipv6:
        try:
            sockets.append(listen("::1", socket.AF_INET6, port))
        except OSError:  # a machine without an IPv6 loopback
            pass
    servers = [await asyncio.start_server(serve, sock=sock, ssl=context) for sock in sockets]
    control.say(port=port)
    words = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(words), sys.stdin)
    while await words.readline():
        control.say(servers=len(servers))
