"""What a TLS handshake costs the client, with a server in memory whose time is taken off.

Each handshake is followed by one record from the server: the tickets for later sessions come with it (RFC 8446 section
4.6.1), and to keep one is part of the cost.
"""

from __future__ import annotations

import ssl
import time
from typing import Any

import anyio
from _child import Control

import netio
from netio.transport._tls_client import TLSClient

HOST = "localhost"
ANSWER = b"x" * 200


class MemoryServer:
    """The other end of one handshake; `spent` is its CPU."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._object = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self.spent = 0.0

    async def send(self, item: bytes) -> None:
        began = time.process_time()
        self._incoming.write(item)
        try:
            self._object.do_handshake()
        except ssl.SSLWantReadError:
            pass
        self.spent += time.process_time() - began

    async def receive(self, max_bytes: int = 65_536) -> bytes:
        return self._outgoing.read()

    async def aclose(self) -> None:
        return

    def answer(self) -> bytes:
        began = time.process_time()
        self._object.write(ANSWER)
        data = self._outgoing.read()
        self.spent += time.process_time() - began
        return data


async def in_child(case: dict[str, Any], control: Control) -> None:
    """Shake hands as often as each word says, in full or resumed."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(case["chain"], case["key"])
    settings = netio.TLS(ca=case["trusted"], sessions=case["way"] == "resumed")
    client = TLSClient(settings, anyio.CapacityLimiter(1))
    await _shake(client, context)
    control.say(way=case["way"])
    while (word := control.hear()) is not None:
        before = client.resumed
        cpu = sum([await _shake(client, context) for _ in range(word["requests"])])
        resumed = client.resumed - before
        wrong = word["requests"] - resumed if case["way"] == "resumed" else resumed
        control.say(requests=word["requests"], wrong=wrong, cpu=cpu)


async def _shake(client: TLSClient, context: ssl.SSLContext) -> float:
    """Shake hands once; return the seconds of CPU that it took the client."""
    server = MemoryServer(context)
    began = time.process_time()
    channel = await client.secure(server, HOST, 443, alpn=("http/1.1",))
    if channel.has_output:
        await server.send(channel.take())
    received = channel.decrypt(server.answer())
    spent = time.process_time() - began
    if received != ANSWER:
        raise RuntimeError("the answer is another one")
    return spent - server.spent
