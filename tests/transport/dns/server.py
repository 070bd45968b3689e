"""A name server with bad days: each name has a script, and every question is counted.

It answers UDP and TCP on one free port of the loopback, in a thread of its own, so that it is the same for every event
loop. One thread does all, by a selector and a heap of what is to be sent later.
"""

from __future__ import annotations

import heapq
import selectors
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any

from dnslib import AAAA, CNAME, HTTPS, QTYPE, RCODE, RR, SOA, A, DNSRecord  # type: ignore[import-untyped]

HOST = "127.0.0.1"


@dataclass(frozen=True, kw_only=True)
class Script:
    """What is said about a name.

    `https` are records in zone file format ("1 . alpn=h2"). By type of record ("A", "AAAA", "HTTPS"): `codes` are
    answers like SERVFAIL, `silent` gets none, `delays` are seconds. `truncated`: over UDP only a part, with the bit
    that says so. `strays`: answers with other ids that come before the right one. `nothing_for`: seconds for which an
    answer without records is to be kept (the SOA's minimum); without it there is no SOA.
    """

    a: Sequence[str] = ()
    aaaa: Sequence[str] = ()
    https: Sequence[str] = ()
    cname: str = ""
    ttl: int = 60
    https_ttl: int | None = None
    codes: Mapping[str, str] = field(default_factory=dict)
    silent: frozenset[str] = frozenset()
    delays: Mapping[str, float] = field(default_factory=dict)
    truncated: bool = False
    strays: int = 0
    nothing_for: int | None = None


ALL_TYPES = ("A", "AAAA", "HTTPS")


def failing(code: str, **more: Any) -> Script:
    """Return the script of a name for which every question gets the same error code."""
    return Script(codes=dict.fromkeys(ALL_TYPES, code), **more)


SILENT = Script(silent=frozenset(ALL_TYPES))

Send = Callable[[bytes], object]


class NameServer:
    """`scripts` by name, "*" for all others; without one a name does not exist.

    `asked` counts questions by (name, type). One that is sent again, since the answer was slow or cut off, has the same
    id and counts once.
    """

    def __init__(self, scripts: Mapping[str, Script] | None = None) -> None:
        self.scripts = dict(scripts or {})
        self.asked: Counter[tuple[str, str]] = Counter()
        self._seen: set[tuple[int, str, str]] = set()
        self.over_tcp = 0
        self._udp, self._tcp = _sockets()
        self.port: int = self._udp.getsockname()[1]
        self._selector = selectors.DefaultSelector()
        self._later: list[tuple[float, int, Send, bytes]] = []
        self._order = count()
        self._stop_here, self._stop_there = socket.socketpair()
        self._thread = threading.Thread(target=self._run, name="name server of the tests")

    @property
    def place(self) -> str:
        return f"{HOST}:{self.port}"

    def change(self, name: str, **changes: Any) -> None:
        self.scripts[name] = replace(self.scripts[name], **changes)

    def times_asked(self, name: str) -> dict[str, int]:
        return {kind: number for (asked, kind), number in self.asked.items() if asked == name}

    @contextmanager
    def running(self) -> Iterator[NameServer]:
        self._thread.start()
        try:
            yield self
        finally:
            self._stop_here.close()
            self._thread.join(5)
            assert not self._thread.is_alive()

    def _run(self) -> None:
        for listener, action in (
            (self._udp, self._receive),
            (self._tcp, self._accept),
            (self._stop_there, None),
        ):
            listener.setblocking(False)
            self._selector.register(listener, selectors.EVENT_READ, action)
        try:
            while self._turn():
                pass
        finally:
            for key in list(self._selector.get_map().values()):
                key.fileobj.close()  # type: ignore[union-attr]
            self._selector.close()

    def _turn(self) -> bool:
        wait = max(self._later[0][0] - time.monotonic(), 0) if self._later else None
        for key, _ in self._selector.select(wait):
            if key.data is None:
                return False
            key.data(key.fileobj)
        while self._later and self._later[0][0] <= time.monotonic():
            _, _, send, data = heapq.heappop(self._later)
            _try(send, data)
        return True

    def _receive(self, udp: socket.socket) -> None:
        while True:
            try:
                data, peer = udp.recvfrom(4_096)
            except OSError:
                return
            self._answer(data, lambda reply, peer=peer: udp.sendto(reply, peer), is_udp=True)  # type: ignore[misc]

    def _accept(self, tcp: socket.socket) -> None:
        connection, _ = tcp.accept()
        connection.setblocking(False)
        buffer = bytearray()
        self._selector.register(connection, selectors.EVENT_READ, lambda sock: self._read(sock, buffer))

    def _read(self, connection: socket.socket, buffer: bytearray) -> None:
        try:
            data = connection.recv(65_536)
        except OSError:
            data = b""
        if not data:
            self._selector.unregister(connection)
            connection.close()
            return
        buffer += data
        while len(buffer) >= 2 and len(buffer) >= 2 + (size := int.from_bytes(buffer[:2], "big")):
            question = bytes(buffer[2 : 2 + size])
            del buffer[: 2 + size]
            self.over_tcp += 1
            self._answer(
                question, lambda reply: connection.sendall(len(reply).to_bytes(2, "big") + reply), is_udp=False
            )

    def _script(self, name: str) -> Script | None:
        return self.scripts.get(name) or self.scripts.get("*")

    def _answer(self, data: bytes, send: Send, *, is_udp: bool) -> None:
        question = DNSRecord.parse(data)
        name, kind = str(question.q.qname).rstrip(".").lower(), str(QTYPE[question.q.qtype])
        if (question.header.id, name, kind) not in self._seen:
            self._seen.add((question.header.id, name, kind))
            self.asked[name, kind] += 1
        script = self._script(name)
        if script is not None and kind in script.silent:
            return
        reply = self._reply(question, name, kind)
        if is_udp and script is not None and script.truncated:
            reply = question.reply()
            reply.header.tc = 1
        for stray in range(script.strays if script else 0):
            _try(send, _with_id(reply, question.header.id + 1 + stray))
        delay = script.delays.get(kind, 0.0) if script else 0.0
        if delay:
            heapq.heappush(self._later, (time.monotonic() + delay, next(self._order), send, reply.pack()))
        else:
            _try(send, reply.pack())

    def _reply(self, question: DNSRecord, name: str, kind: str) -> DNSRecord:
        reply, aliases = question.reply(), set[str]()
        while (script := self._script(name)) is not None and script.cname and name not in aliases:
            reply.add_answer(RR(name, QTYPE.CNAME, rdata=CNAME(script.cname), ttl=script.ttl))
            aliases.add(name)
            name = script.cname
        if script is None:
            reply.header.rcode = RCODE.NXDOMAIN
        elif kind in script.codes:
            reply.header.rcode = getattr(RCODE, script.codes[kind])
        elif name not in aliases:
            records = _records(script, name, kind)
            reply.add_answer(*records)
            if not records and script.nothing_for is not None:
                times = (1, 3_600, 600, 86_400, script.nothing_for)
                start = SOA("ns.test.", "root.test.", times)
                reply.add_auth(RR(name, QTYPE.SOA, rdata=start, ttl=script.nothing_for))
        return reply


def _records(script: Script, name: str, kind: str) -> list[RR]:
    ttl = script.ttl
    if kind == "A":
        data = [A(each) for each in script.a]
    elif kind == "AAAA":
        data = [AAAA(each) for each in script.aaaa]
    elif kind == "HTTPS":
        data = [HTTPS.fromZone(each.split()) for each in script.https]
        ttl = ttl if script.https_ttl is None else script.https_ttl
    else:
        data = []
    return [RR(name, getattr(QTYPE, kind), rdata=each, ttl=ttl) for each in data]


def _with_id(reply: DNSRecord, number: int) -> bytes:
    data = reply.pack()
    return (number % 65_536).to_bytes(2, "big") + data[2:]


def _try(send: Send, data: bytes) -> None:
    try:
        send(data)
    except OSError:  # whoever asked is gone
        return


def _sockets() -> tuple[socket.socket, socket.socket]:
    """Bind UDP and TCP to one port that is free for both."""
    while True:
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        udp.bind((HOST, 0))
        tcp = socket.socket()
        try:
            tcp.bind(udp.getsockname())
            tcp.listen(64)
        except OSError:
            udp.close()
            tcp.close()
            continue
        return udp, tcp
