"""A server that holds its answers back: so many requests in flight at the same moment, for as long as it takes to look.

`/hold` is answered when the parent says so, everything else at once. On asyncio's own streams, with TLS or without.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
from typing import Any

from _child import Control

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 200\r\n\r\n" + b"x" * 200


class _Server:
    def __init__(self) -> None:
        self.held = 0
        self.open = 0
        self.gate = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                if head.startswith(b"GET /hold"):
                    self.held += 1
                    await self.gate.wait()
                    self.held -= 1
                writer.write(ANSWER)
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            self.open -= 1
            writer.close()

    def do(self, word: dict[str, Any]) -> dict[str, int]:
        if word.get("release"):
            self.gate.set()
        if word.get("hold"):
            self.gate = asyncio.Event()
        return {"held": self.held, "open": self.open}


async def in_child(case: dict[str, Any], control: Control) -> None:
    """Serve on a free port, which is said first; tell the counts for every word."""
    context = None
    if case["tls"]:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(case["chain"], case["key"])
    server = _Server()
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0, ssl=context, backlog=4_096)
    control.say(port=listener.sockets[0].getsockname()[1])
    words = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(words), sys.stdin)
    while line := await words.readline():
        control.say(**server.do(json.loads(line)))
