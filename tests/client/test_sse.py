"""Server-sent events through a session: reconnecting, resuming, ends and errors."""

from __future__ import annotations

import random
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

import netio
from netio import policy
from netio.errors import ConnectError, EventStreamError, InvalidRequest, SessionClosed, StatusError
from netio.message import Request
from netio.testing import FakeClock, MemoryNetwork, MemoryStream, cancel_everywhere
from netio.testing._clock import all_tasks_at_rest
from tests.policy.retries import Instant

pytestmark = pytest.mark.anyio

URL = "http://events.test/stream"
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"

Reply = Callable[[MemoryStream, Request], Awaitable[None]]


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def plain(status: int, fields: str = "", body: bytes = b"") -> bytes:
    return f"HTTP/1.1 {status} X\r\ncontent-length: {len(body)}\r\n{fields}\r\n".encode() + body


class Events:
    """A server that says on each connection what comes next, and remembers the requests."""

    def __init__(self, *replies: Reply | bytes) -> None:
        self.replies = list(replies)
        self.requests: list[Request] = []

    async def __call__(self, stream: MemoryStream) -> None:
        received = b""
        while b"\r\n\r\n" not in received:
            received += await stream.receive()
        first, *lines = received.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
        fields = [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines)]
        request = Request(first.split()[0], URL, headers=fields)
        self.requests.append(request)
        reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        if isinstance(reply, bytes):
            await stream.send(reply)
        else:
            await reply(stream, request)

    @property
    def resumed_at(self) -> list[str | None]:
        return [request.headers.get("last-event-id") for request in self.requests]


@asynccontextmanager
async def session_to(server: Events, **options: Any) -> AsyncIterator[netio.Session]:
    async with MemoryNetwork() as network:
        network.listen("events.test", 80, server)
        options.setdefault("clock", FakeClock())
        async with netio.Session(connect=network.connect, http2=False, **options) as session:
            yield session


def sse(session: netio.Session, url: str = URL, *, naps: Instant | None = None, **options: Any) -> netio.EventStream:
    """Read events with a clock of their own: their waits pass at once, while those of the pool stand still."""
    events = session.sse(url, **options)
    events._clock = naps or Instant()
    return events


STOP = plain(204)


async def test_events_come_one_by_one_and_204_is_the_end() -> None:
    server = Events(HEAD + chunk(b"id: 1\ndata: a\n\nda") + chunk(b"ta: b\n\n") + END, STOP)
    async with session_to(server) as session, sse(session, URL) as events:
        assert events.response is not None
        assert events.response.status_code == 200
        assert [(event.data, event.id) async for event in events] == [("a", "1"), ("b", "1")]
        assert events.last_event_id == "1"
        assert [event async for event in events] == []
    assert server.resumed_at == [None, "1"]
    assert session.stats().active == 0


async def test_the_request_is_that_of_the_standard() -> None:
    server = Events(STOP)
    async with session_to(server) as session:
        async with sse(session, URL, last_event_id="ü7", headers={"x-mine": "1"}, params={}) as events:
            assert [event async for event in events] == []
        async with sse(session, URL, headers={"accept": "text/event-stream, */*", "cache-control": "no-cache"}):
            pass
    fields = server.requests[0].headers
    assert (fields["accept"], fields["cache-control"], fields["x-mine"]) == ("text/event-stream", "no-store", "1")
    assert fields["last-event-id"].encode("latin-1").decode() == "ü7"
    assert server.requests[1].headers["accept"] == "text/event-stream, */*"
    assert server.requests[1].headers["cache-control"] == "no-cache"


async def test_an_id_that_cannot_be_sent_is_refused() -> None:
    async with session_to(Events(STOP)) as session:
        with pytest.raises(InvalidRequest, match="line break"):
            session.sse(URL, last_event_id="1\r\n2")


@pytest.mark.parametrize(("option", "value"), [("max_event", 0), ("max_event", None), ("idle", -1.0)])
async def test_settings_of_a_stream_that_are_none_are_refused(option: str, value: Any) -> None:
    async with session_to(Events(STOP)) as session:
        with pytest.raises(ValueError, match="max_event|read"):
            session.sse(URL, **{option: value})


# ---------------------------------------------------------------------- the errors


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (plain(200), "its Content-Type is ''"),
        (plain(200, "content-type: text/html\r\n"), "its Content-Type is 'text/html'"),
        (plain(200, "content-type: text/event-streams\r\n"), "its Content-Type is 'text/event-streams'"),
        (plain(202, "content-type: text/event-stream\r\n"), "the answer is 202 and no event stream"),
        (plain(301, "location: /\r\n"), "the answer is 301 and no event stream"),
    ],
)
async def test_what_is_no_event_stream_is_refused(answer: bytes, message: str) -> None:
    async with session_to(Events(answer)) as session:
        with pytest.raises(EventStreamError, match=message) as caught:
            async with sse(session, URL):
                raise AssertionError
        assert caught.value.response is not None
        assert caught.value.response.is_closed
        assert session.stats().active == 0


@pytest.mark.parametrize("status", [401, 404, 500, 503])
async def test_an_error_of_the_server_is_raised_on_entry(status: int) -> None:
    server = Events(plain(status))
    async with session_to(server) as session:
        with pytest.raises(StatusError, match=str(status)):
            async with sse(session, URL):
                raise AssertionError
        assert len(server.requests) == 1
        assert session.stats().active == 0


async def test_nobody_there_is_raised_on_entry() -> None:
    async with session_to(Events(STOP)) as session:
        with pytest.raises(ConnectError):
            async with sse(session, "http://events.test:81/"):
                raise AssertionError


@pytest.mark.parametrize("data", [b"data: " + b"x" * 95, b"data: x\n" * 15, b":" + b"x" * 100])
async def test_sse_01_a_stream_beyond_the_limit_is_ended(data: bytes) -> None:
    server = Events(HEAD + chunk(b"data: before\n\n" + data))
    async with session_to(server) as session:
        async with sse(session, URL, max_event=100) as events:
            assert (await anext(events)).data == "before"
            with pytest.raises(EventStreamError, match=r"more than 100 bytes \(max_event\)"):
                await anext(events)
            assert [event async for event in events] == []
        assert session.stats().active == 0
    assert len(server.requests) == 1


# ---------------------------------------------------------------------- going on


async def broken(stream: MemoryStream, _: Request) -> None:
    await stream.send(HEAD + chunk(b"id: 1\nretry: 500\ndata: a\n\nid: 2\ndata: lost\n"))


async def test_a_broken_stream_is_gone_on_with_after_the_wait_that_was_asked_for() -> None:
    naps = Instant()
    server = Events(broken, HEAD + chunk(b"id: 2\ndata: b\n\n") + END, STOP)
    async with session_to(server) as session, sse(session, URL, naps=naps) as events:
        assert [event.data async for event in events] == ["a", "b"]
    assert server.resumed_at == [None, "1", "2"]
    assert all(0.25 <= nap <= 0.5 for nap in naps.naps)
    assert len(naps.naps) == 2


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_without_reconnecting_the_end_is_the_end(method: str) -> None:
    server = Events(HEAD + chunk(b"data: a\n\n") + END, broken)
    options: dict[str, Any] = {"reconnect": False} if method == "GET" else {"json": [1]}
    async with session_to(server) as session:
        async with sse(session, URL, method=method, **options) as events:
            assert [event.data async for event in events] == ["a"]
        async with sse(session, URL, method=method, **options) as events:
            assert (await anext(events)).data == "a"
            with pytest.raises(netio.IncompleteBody):
                await anext(events)
    assert len(server.requests) == 2


async def test_a_server_that_is_away_for_a_while_is_asked_again() -> None:
    naps = Instant()
    away: list[Reply | bytes] = [plain(503), plain(502), plain(429)]
    server = Events(broken, *away, HEAD + chunk(b"data: b\n\n") + END, STOP)
    async with session_to(server) as session, sse(session, URL, naps=naps) as events:
        assert [event.data async for event in events] == ["a", "b"]
    assert server.resumed_at == [None, *["1"] * 5]
    assert [round(nap / 0.5, 3) >= 2**n / 2 for n, nap in enumerate(naps.naps[:4])] == [True] * 4


async def test_a_server_that_stays_away_is_given_up() -> None:
    server = Events(broken, plain(503))
    async with session_to(server) as session:
        async with sse(session, URL) as events:
            assert (await anext(events)).data == "a"
            with pytest.raises(StatusError, match="503"):
                await anext(events)
            assert [event async for event in events] == []
        assert session.stats().active == 0
    assert len(server.requests) == 11


@pytest.mark.parametrize("answer", [plain(404), plain(200, "content-type: text/html\r\n")])
async def test_what_will_not_pass_ends_it_at_once(answer: bytes) -> None:
    server = Events(broken, answer)
    async with session_to(server) as session, sse(session, URL) as events:
        assert (await anext(events)).data == "a"
        with pytest.raises((StatusError, EventStreamError)):
            await anext(events)
    assert len(server.requests) == 2


async def test_a_silent_connection_is_replaced() -> None:
    clock = FakeClock()

    async def silent(stream: MemoryStream, _: Request) -> None:
        await stream.send(HEAD + chunk(b"id: 1\nretry: 1000\ndata: a\n\n"))
        await anyio.sleep_forever()

    server = Events(silent, STOP)
    got: list[str] = []
    async with session_to(server, clock=clock) as session, session.sse(URL, idle=30.0) as events:

        async def read() -> None:
            got.extend([event.data async for event in events])

        async with anyio.create_task_group() as group:
            group.start_soon(read)
            await clock.advance(29)
            assert (got, len(server.requests)) == ([], 1)
            await clock.advance(3)
    assert (got, server.resumed_at) == (["a"], [None, "1"])


async def test_policies_are_around_each_connection() -> None:
    seen: list[str] = []

    async def note(request: Request, send: netio.Send) -> netio.Response:
        seen.append(request.headers.get("last-event-id", ""))
        return await send(request)

    server = Events(broken, STOP)
    async with session_to(server, policies=[note, policy.Retry()], auth=("u", "p")) as session:
        async with sse(session, URL) as events:
            assert [event.data async for event in events] == ["a"]
    assert seen == ["", "1"]
    assert [request.headers["authorization"] for request in server.requests] == ["Basic dTpw"] * 2


@pytest.mark.parametrize("redirected", [False, True])
async def test_compressed_events_come_as_they_are_sent_also_after_a_redirect(redirected: bool) -> None:
    coded = HEAD.replace(b"\r\n\r\n", b"\r\ncontent-encoding: gzip\r\n\r\n")

    async def live(stream: MemoryStream, _: Request) -> None:
        compressor = zlib.compressobj(wbits=31)
        await stream.send(coded)
        for number in range(3):
            data = compressor.compress(f"data: {number}\n\n".encode()) + compressor.flush(zlib.Z_SYNC_FLUSH)
            await stream.send(chunk(data))
        await anyio.sleep_forever()

    server = Events(*([plain(307, "location: /other\r\n")] if redirected else []), live)
    async with session_to(server) as session, sse(session, URL, follow_redirects=True) as events:
        assert [(await anext(events)).data for _ in range(3)] == ["0", "1", "2"]


async def test_leaving_early_gives_up_the_connection() -> None:
    server = Events(HEAD + chunk(b"data: a\n\n") * 3)
    async with session_to(server) as session:
        async with sse(session, URL) as events:
            async for event in events:
                assert event.data == "a"
                break
        assert [event async for event in events] == []
        assert session.stats().active == 0


async def test_closing_the_session_ends_a_stream() -> None:
    server = Events(broken)
    async with session_to(server) as session, sse(session, URL) as events:
        assert (await anext(events)).data == "a"
        await session.aclose()
        with pytest.raises(SessionClosed):
            await anext(events)
        assert [event async for event in events] == []


async def test_events_are_read_after_entering() -> None:
    async with session_to(Events(STOP)) as session:
        with pytest.raises(netio.BodyUnavailable, match="async with session.sse"):
            await anext(sse(session, URL))


async def test_a_wait_that_was_cancelled_goes_on_with_the_next_connection() -> None:
    async def slow(stream: MemoryStream, _: Request) -> None:
        await stream.send(HEAD + chunk(b"id: 1\ndata: a\n\n"))
        await anyio.sleep_forever()

    server = Events(slow, HEAD + chunk(b"id: 2\ndata: b\n\n") + END, STOP)
    async with session_to(server) as session, sse(session, URL) as events:
        assert (await anext(events)).data == "a"
        with anyio.CancelScope() as scope:
            scope.cancel()
            await anext(events)
        assert [event.data async for event in events] == ["b"]
    assert server.resumed_at == [None, "1", "2"]


async def test_pool_01_a_stream_may_be_cancelled_anywhere() -> None:
    async def by_id(stream: MemoryStream, request: Request) -> None:
        last = request.headers.get("last-event-id")
        if last is None:
            await broken(stream, request)
        else:
            await stream.send(STOP if last == "2" else HEAD + chunk(b"id: 2\ndata: b\n\n") + END)

    async with session_to(Events(by_id)) as session:

        async def scenario() -> None:
            async with sse(session, URL) as events:
                assert [event.data async for event in events] == ["a", "b"]

        async def after() -> None:
            await all_tasks_at_rest()
            stats = session.stats()
            assert (stats.active, stats.dialing, stats.queued) == (0, 0, 0)

        assert await cancel_everywhere(scenario, after) > 5  # trio takes the tasks of a turn in any order


# ---------------------------------------------------------------------- the storm


class Cutting:
    """A server with so many events, which goes on after Last-Event-ID and is cut at a random byte, so many times."""

    def __init__(self, count: int, cuts: int, seed: int) -> None:
        self.random = random.Random(seed)
        self.count = count
        self.cuts = cuts

    async def __call__(self, stream: MemoryStream, request: Request) -> None:
        first = int(request.headers.get("last-event-id", "0")) + 1
        if first > self.count and not self.cuts:
            await stream.send(STOP)
            return
        end = self.random.choice(["\n", "\r", "\r\n"])
        lines = [f": comment {end}id: {n}{end}data: {n}{end}data: ü{end}{end}" for n in range(first, self.count + 1)]
        data = HEAD + b"".join(chunk(line.encode()) for line in lines) + END
        if self.cuts:
            self.cuts -= 1
            data = data[: self.random.randrange(len(HEAD), min(len(data), len(HEAD) + 500))]
        while data:
            size = self.random.randrange(1, 60)
            await stream.send(data[:size])
            data = data[size:]


@pytest.mark.parametrize("seed", range(3))
async def test_sse_01_a_stream_cut_a_hundred_times_gives_every_event_once(seed: int) -> None:
    cutting = Cutting(600, 100, seed)
    server = Events(cutting)
    async with session_to(server) as session, sse(session, URL) as events:
        assert [int(event.data.partition("\n")[0]) async for event in events] == list(range(1, 601))
    assert cutting.cuts == 0
    assert len(server.requests) > 100
