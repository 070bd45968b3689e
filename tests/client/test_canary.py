"""A secret in any place of a request shows in no log, event, error, repr or count (HAZARDS LOG-01), and what a peer
says is escaped wherever netio repeats it (LOG-02).
"""

from __future__ import annotations

import base64
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest
from anyio.abc import ByteStream, SocketAttribute

import netio
from netio.observe import Event
from netio.testing import MemoryNetwork
from netio.wire import EngineName
from tests.canary import PLACES, Canary, harmful, logged, told
from tests.peers import Http2Peer, Http2Side

pytestmark = pytest.mark.anyio

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
HOSTILE = "\x1b]0;owned\x07\x1b[2J\x9b31m"


class Scene:
    """A session that sends the canary wherever it can, and everything that netio says about it."""

    def __init__(self, canary: Canary, caplog: pytest.LogCaptureFixture) -> None:
        self.canary = canary
        self.said: list[str] = []
        self._caplog = caplog

    def hear(self, event: Event) -> None:
        self.said += [repr(event), *(f"{value!r} {value!s}" for _, value in event.items())]

    async def send(self, session: netio.Session, url: str = "http://peer.test/path") -> netio.Response | None:
        canary = self.canary
        request = session.build_request(
            "POST", canary.url(url), headers=canary.headers, cookies=canary.cookies, content=canary.body
        )
        self.said += [repr(request), str(request), repr(request.body), repr(request.url.redacted)]
        try:
            response = await session.send(request)
            self.said += [
                repr(response),
                str(response.timings),
                repr(response.timings),
                str(response.timings.to_dict()),
            ]
            response.raise_for_status()
        except netio.NetioError as error:
            self.said.append(told(error))
            return None
        else:
            return response
        finally:
            stats = session.stats()
            self.said += [str(stats), repr(stats), str(stats.as_dict()), repr(session)]

    @property
    def text(self) -> str:
        # hpack, which the servers here and the reference engine use, writes all fields to its own log at DEBUG.
        records = [record for record in self._caplog.records if not record.name.startswith("hpack")]
        return "\n".join([*self.said, logged(records)])


@pytest.fixture
def scene(caplog: pytest.LogCaptureFixture) -> Scene:
    caplog.set_level(logging.DEBUG)
    return Scene(Canary(), caplog)


@asynccontextmanager
async def network(*answers: bytes) -> AsyncIterator[MemoryNetwork]:
    """Answer the first request of each connection with the next of these, the last one again and again."""
    left = list(answers)

    async def serve(stream: ByteStream) -> None:
        await stream.receive()
        await stream.send(left.pop(0) if len(left) > 1 else left[0])
        await stream.receive()

    async with MemoryNetwork() as made:
        made.listen("peer.test", 80, serve)
        yield made


ANSWERS = {
    "success": OK,
    "status": b"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n",
    "no HTTP": b"what?\r\n\r\n",
    "cut": b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nok",
}


@pytest.mark.parametrize("answer", ANSWERS)
async def test_log_01_no_secret_shows_whatever_the_answer(scene: Scene, answer: str) -> None:
    async with network(ANSWERS[answer]) as net:
        policies = [netio.policy.Retry(methods=["POST"]), netio.policy.CircuitBreaker()]
        async with netio.Session(
            observer=scene.hear,
            auth=("user", scene.canary.secrets["password"]),
            connect=net.connect,
            timeout=netio.Timeouts(read=0.2),
            policies=policies,
        ) as session:
            response = await scene.send(session)
    assert (response is not None) == (answer == "success")
    assert scene.canary.leaks(scene.text) == []
    assert "/path" in scene.text


async def test_log_01_no_secret_shows_where_nobody_answers(scene: Scene) -> None:
    async with MemoryNetwork() as net:
        async with netio.Session(observer=scene.hear, connect=net.connect) as session:
            assert await scene.send(session) is None
    assert "ConnectError" in scene.text
    assert scene.canary.leaks(scene.text) == []


async def test_log_01_no_secret_shows_when_the_observer_fails(scene: Scene) -> None:
    def broken(event: Event) -> None:
        raise KeyError(type(event).__name__)

    async with network(OK) as net, netio.Session(observer=broken, connect=net.connect) as session:
        assert await scene.send(session) is not None
    assert "observer failed" in scene.text
    assert scene.canary.leaks(scene.text) == []


@pytest.mark.parametrize("url", ["http://peer.test/path", "https://peer.test/path"])
@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 407 \x9b31m\r\nContent-Length: 0\r\n\r\n",
        b"what?\x1b[2J\r\n\r\n",
        b"",
    ],
)
async def test_log_01_log_02_no_secret_of_a_proxy_shows_and_no_bytes_of_it_as_they_are(
    scene: Scene, url: str, answer: bytes
) -> None:
    asked: list[bytes] = []

    async def serve(stream: ByteStream) -> None:
        async with stream:
            asked.append(await stream.receive())
            if answer:
                await stream.send(answer)

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    place = f"127.0.0.1:{listener.extra(SocketAttribute.local_port)}"
    async with listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, serve)
        async with netio.Session(observer=scene.hear, proxy=scene.canary.proxy(place)) as session:
            scene.said.append(repr(vars(session)))
            assert await scene.send(session, url) is None
        group.cancel_scope.cancel()
    assert scene.canary.leaks(base64.b64decode(basic_of(asked[0])).decode()) == ["proxy_user", "proxy_password"]
    assert scene.canary.leaks(scene.text) == []
    assert harmful(scene.text) == []


def basic_of(head: bytes) -> bytes:
    """Return the credentials of a request to a proxy, encoded."""
    (line,) = [line for line in head.split(b"\r\n") if line.lower().startswith(b"proxy-authorization: basic ")]
    return line.rpartition(b" ")[2]


SAYINGS = {
    "reason": f"HTTP/1.1 500 {HOSTILE}\r\nContent-Length: 0\r\n\r\n",
    "reason in latin-1": "HTTP/1.1 500 \x9b31m\r\nContent-Length: 0\r\n\r\n",
    "version": f"HTTP/1.1{HOSTILE} 200 OK\r\nContent-Length: 0\r\n\r\n",
    "status": f"HTTP/1.1 2{HOSTILE} OK\r\n\r\n",
    "field name": f"HTTP/1.1 200 OK\r\nX{HOSTILE}: 1\r\n\r\n",
    "field value": f"HTTP/1.1 200 OK\r\nX: {HOSTILE}\r\nContent-Length: 0\r\n\r\n",
    "length": f"HTTP/1.1 200 OK\r\nContent-Length: {HOSTILE}\r\n\r\n",
    "coding": "HTTP/1.1 200 OK\r\nContent-Encoding: \x9b31m\r\nContent-Length: 2\r\n\r\nok",
    "transfer": "HTTP/1.1 200 OK\r\nTransfer-Encoding: \x9b31m\r\n\r\nok",
    "chunk": f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{HOSTILE}\r\n",
    "location": "HTTP/1.1 302 Found\r\nLocation: http://\x9b31m/\r\nContent-Length: 0\r\n\r\n",
    "location's scheme": "HTTP/1.1 302 Found\r\nLocation: \x9b31m:x\r\nContent-Length: 0\r\n\r\n",
    "retry after": "HTTP/1.1 503 No\r\nRetry-After: \x9b31m\r\nContent-Length: 0\r\n\r\n",
    "challenge": 'HTTP/1.1 401 No\r\nWWW-Authenticate: Digest realm="\x9b31m", nonce=\x9b\r\nContent-Length: 0\r\n\r\n',
    "all of it": f"{HOSTILE}\r\n\r\n",
}


@pytest.mark.parametrize("engine", ["fast", "reference"])
@pytest.mark.parametrize("saying", SAYINGS)
async def test_log_02_what_a_server_says_does_nothing_to_a_terminal(
    scene: Scene, saying: str, engine: EngineName
) -> None:
    answer = SAYINGS[saying].encode("latin-1")
    policies = [netio.policy.Retry(attempts=2)]
    async with network(answer) as net:
        async with netio.Session(
            observer=scene.hear,
            connect=net.connect,
            engine=engine,
            policies=policies,
            follow_redirects=True,
            auth=netio.policy.DigestAuth("user", "secret"),
            timeout=netio.Timeouts(read=0.2),
        ) as session:
            await scene.send(session)
    assert harmful(scene.text) == []


@pytest.mark.parametrize("engine", ["fast", "reference"])
@pytest.mark.parametrize("saying", ["goaway", "field value", "field name", "status", "reset"])
async def test_log_02_what_a_server_says_on_http2_does_nothing_to_a_terminal(
    scene: Scene, saying: str, engine: EngineName
) -> None:
    class Side(Http2Side):
        def on_request(self, stream_id: int) -> None:
            status = HOSTILE if saying == "status" else "200"
            name, value = f"x{HOSTILE}" if saying == "field name" else "x", HOSTILE
            if saying == "goaway":
                self.h2.close_connection(error_code=2, additional_data=HOSTILE.encode("latin-1"))
            elif saying == "reset":
                self.h2.reset_stream(stream_id, error_code=0x1B5D303B)
            else:
                self.h2.send_headers(stream_id, [(":status", status), (name, value)], end_stream=True)

    async def serve(stream: ByteStream) -> None:
        side = Side(Http2Peer(), stream)
        side.h2.config.validate_outbound_headers = side.h2.config.normalize_outbound_headers = False
        await side.run()

    async with MemoryNetwork() as net:
        net.listen("peer.test", 80, serve)
        timeout = netio.Timeouts(read=0.2)
        async with netio.Session(
            observer=scene.hear, connect=net.connect, engine=engine, http2="prior-knowledge", timeout=timeout
        ) as session:
            await scene.send(session)
    assert harmful(scene.text) == []
    assert scene.canary.leaks(scene.text) == []


def test_canary_is_found_in_every_shape() -> None:
    canary = Canary()
    assert canary.leaks(f"{canary.headers} {canary.cookies} {canary.body}") == ["header", "token", "cookie", "body"]
    assert canary.leaks(canary.url("http://a.example/")) == ["user", "password", "query", "fragment"]
    assert canary.leaks(canary.proxy("a.example:1")) == ["proxy_user", "proxy_password"]
    for place in PLACES:
        for prefix in (b"", b"x", b"xy:", b"xyz:"):
            encoded = base64.b64encode(prefix + canary.secrets[place].encode() + b":tail").decode()
            assert canary.leaks(f"Basic {encoded}") == [place]
    assert canary.leaks("nothing at all") == []


def test_harm_is_seen() -> None:
    assert harmful("plain text\nwith ümlauts and 漢字\t.") == []
    assert harmful("\x1b[2J \x9b \u202e") == ["U+001B", "U+009B", "U+202E"]
