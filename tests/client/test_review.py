"""Moments at which something else happens than what a task was waiting for; each test is a bug that was there."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from typing import Any

import anyio
import anyio.lowlevel
import h2.events
import pytest

import netio
from netio.testing import FakeClock, MemoryNetwork, MemoryStream, cancel_at, ways_to_cancel
from tests.client.conftest import House, Version, make_house
from tests.peers import Http2Peer, Http2Side

pytestmark = pytest.mark.anyio

NO_LIMITS = netio.Timeouts(total=None, pool=None, connect=None, read=None, write=None)


def only_connection(house: House) -> Any:
    assert house.session._pool is not None
    (connection,) = house.session._pool._ledger._members
    return connection


def goaway(last_id: int) -> bytes:
    return bytes.fromhex("000008 07 00 00000000") + last_id.to_bytes(4, "big") + bytes(4)


# ---------------------------------------------------------------------- which connection


async def dial_for_nobody(house: House, url: str) -> tuple[netio.Session, list[MemoryStream]]:
    """Return a session with a connection that no request was sent on, since the one that wanted it was cancelled."""
    theirs: list[MemoryStream] = []
    gate = anyio.Event()

    async def serve(stream: MemoryStream) -> None:
        theirs.append(stream)
        await house.peer.serve(stream)

    async def connect(host: str, port: int) -> MemoryStream:
        await gate.wait()
        return await house.network.connect(host, port)

    house.network.listen("unused.test", 80, serve)
    session = netio.Session(connect=connect, http2=False, clock=FakeClock())
    async with anyio.create_task_group() as group:
        group.start_soon(session.get, url)
        await house.settle()
        group.cancel_scope.cancel()
    gate.set()
    await house.settle()
    assert (session.stats().idle, len(theirs)) == (1, 1)
    return session, theirs


async def test_pool_03_a_connection_that_was_never_used_and_was_closed_while_idle_is_not_used() -> None:
    async with make_house("HTTP/1.1") as house:
        session, theirs = await dial_for_nobody(house, "http://unused.test/")
        async with session:
            theirs[0].close()
            assert (await session.post("http://unused.test/echo", content=b"x")).content == b"x"


async def test_h1_13_what_a_connection_that_was_never_used_said_is_not_taken_for_an_answer() -> None:
    async with make_house("HTTP/1.1") as house:
        session, theirs = await dial_for_nobody(house, "http://unused.test/")
        async with session:
            await theirs[0].send(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison")
            assert (await session.get("http://unused.test/")).content == b"hello"


async def test_pool_03_a_never_used_connection_that_dies_under_the_first_request_is_a_lost_race() -> None:
    async with make_house("HTTP/1.1") as house:
        session, theirs = await dial_for_nobody(house, "http://unused.test/")

        async def serve(stream: MemoryStream) -> None:
            await house.peer.serve(stream)

        async with session, anyio.create_task_group() as group:
            contents = []

            async def get() -> None:
                contents.append((await session.get("http://unused.test/hang")).content)

            group.start_soon(get)
            house.network.listen("unused.test", 80, Once(b"second").serve)
            await house.settle()
            theirs[0].close()
            await house.settle()
            assert contents == [b"second"]


class Once:
    """Answers one request."""

    def __init__(self, content: bytes) -> None:
        self.content = content

    async def serve(self, stream: MemoryStream) -> None:
        await stream.receive()
        await stream.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(self.content), self.content))


async def test_h2_20_a_place_that_is_handed_over_as_goaway_comes_takes_nobody_else_down() -> None:
    async with make_house("HTTP/2", limits=netio.Limits(connections=1), max_streams=2) as house:
        peer: Http2Peer = house.peer
        contents: dict[str, bytes] = {}

        async def get(name: str, path: str) -> None:
            contents[name] = (await house.session.get(path, timeout=None)).content

        await house.session.get("/")
        side = peer.live[0]
        async with anyio.create_task_group() as group:
            group.start_soon(get, "long", "/hang")
            await house.settle()
            group.start_soon(get, "short", "/hang")
            await house.settle()
            group.start_soon(get, "queued", "/")
            await house.settle()
            assert (sorted(side.paths), house.session.stats().queued) == ([3, 5], 1)
            # In two reads of one loop turn: the answer that gives a place to the one in the queue, and GOAWAY.
            side.respond(5, 200, b"short")
            side.send_body(5)
            connection = only_connection(house)
            connection.feed(side.h2.data_to_send())
            connection.feed(goaway(5))
            await house.settle()
            side.respond(3, 200, b"long")
            side.send_body(3)
            await side.flush()
        assert contents == {"short": b"short", "long": b"long", "queued": b"hello"}
        assert house.session.stats().created == 2


async def test_h2_20_a_request_whose_answer_had_begun_is_not_sent_twice_for_a_goaway_that_denies_it() -> None:
    async with make_house("HTTP/2") as house:
        peer: Http2Peer = house.peer
        caught: list[netio.ConnectionLost] = []

        async def post() -> None:
            with pytest.raises(netio.ConnectionLost) as info:
                await house.session.post("/drip", content=b"x")
            caught.append(info.value)

        async with anyio.create_task_group() as group:
            group.start_soon(post)
            await house.settle()
            await peer.live[0].stream.send(goaway(0))
        assert [(error.sent, error.phase) for error in caught] == [(True, "body")]
        assert peer.requests == ["/drip"]


async def test_h1_16_a_connection_whose_peer_answered_without_taking_the_request_is_not_used_again() -> None:
    async with MemoryNetwork(capacity=10_000) as network:
        connections = 0

        async def serve(stream: MemoryStream) -> None:
            nonlocal connections
            connections += 1
            await stream.receive()
            await stream.send(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n")
            await anyio.sleep_forever()

        network.listen("early.test", 80, serve)
        async with netio.Session(connect=network.connect, http2=False, clock=FakeClock()) as session:
            with anyio.fail_after(5):
                for _ in range(2):
                    response = await session.post("http://early.test/", content=b"x" * 40_000)
                    assert response.status_code == 413
                    await anyio.wait_all_tasks_blocked()
        assert connections == 2


# ---------------------------------------------------------------------- closing


async def test_pool_06_a_request_that_got_a_connection_just_before_the_session_was_closed_fails(
    version: Version,
) -> None:
    async with make_house(version, limits=netio.Limits(connections=1), max_streams=1) as house:
        gate = anyio.Event()
        errors: list[netio.SessionClosed] = []

        async def serve(stream: MemoryStream) -> None:
            await stream.receive()
            await gate.wait()
            await stream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            await stream.receive()

        async def last() -> None:
            await house.session.get("/hang")
            await house.session.aclose()

        async def queued() -> None:
            with pytest.raises(netio.SessionClosed) as caught:
                await house.session.get("/", timeout=None)
            errors.append(caught.value)

        if version == "HTTP/1.1":
            house.network.listen("peer.test", 80, serve)
        else:
            await house.session.get("/")
        async with anyio.create_task_group() as group:
            group.start_soon(last)
            await house.settle()
            group.start_soon(queued)
            await house.settle()
            assert house.session.stats().queued == 1
            gate.set()
            if version == "HTTP/2":
                house.peer.live[0].respond(3, 200, b"ok")
                house.peer.live[0].send_body(3)
                await house.peer.live[0].flush()
        # By HTTP/2 both are woken by the same frame, and on trio either may come first.
        assert [error.sent for error in errors] in ([[False]] if version == "HTTP/1.1" else [[False], [True]])


async def test_pool_06_a_policy_that_goes_on_after_the_session_was_closed_opens_no_connection(version: Version) -> None:
    async with make_house(version) as house:
        gate = anyio.Event()

        async def patient(request: netio.Request, send: netio.Send) -> netio.Response:
            await gate.wait()
            return await send(request)

        session = house.new_session(policies=[patient])
        caught: list[netio.SessionClosed] = []

        async def get() -> None:
            try:
                await session.get("/")
            except netio.SessionClosed as error:
                caught.append(error)

        async with anyio.create_task_group() as group:
            group.start_soon(get)
            await house.settle()
            await session.aclose()
            gate.set()
        assert [(error.sent, error.request is not None) for error in caught] == [(False, True)]
        assert house.network.streams == []


async def test_pool_07_a_session_is_closed_and_batched_on_its_own_loop_only(version: Version) -> None:
    async with make_house(version) as house:
        await house.session.get("/")
        caught: list[BaseException] = []

        async def elsewhere() -> None:
            for use in (anext(house.session.batch(["/"])), house.session.aclose()):
                try:
                    await use
                except netio.WrongEventLoop as error:
                    caught.append(error)

        thread = threading.Thread(target=lambda: anyio.run(elsewhere))
        thread.start()
        await anyio.to_thread.run_sync(thread.join)
        assert len(caught) == 2
        assert (await house.session.get("/")).content == b"hello"


# ---------------------------------------------------------------------- uploads


class AnswersAtOnce(Http2Side):
    """Sends the head as soon as the request begins, and the rest when it is told to."""

    def on(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.RequestReceived) and (":path", "/at-once") in event.headers:  # type: ignore[comparison-overlap]
            self.paths[event.stream_id] = "/at-once"
            self.h2.send_headers(event.stream_id, [(":status", "200")])
        else:
            super().on(event)


async def test_pool_10_a_stream_whose_upload_failed_before_its_answer_was_complete_is_reset() -> None:
    async with make_house("HTTP/2") as house:
        peer: Http2Peer = house.peer
        sides: list[AnswersAtOnce] = []
        gate = anyio.Event()

        async def serve(stream: MemoryStream) -> None:
            sides.append(AnswersAtOnce(peer, stream))
            await sides[-1].run()

        async def chunks() -> AsyncIterator[bytes]:
            yield b"x"
            await gate.wait()
            raise KeyError("mine")

        house.network.listen("peer.test", 80, serve)
        async with house.session.stream("POST", "/at-once", content=chunks()) as response:
            gate.set()
            await house.settle()
            side = sides[0]
            side.tolerate(side.h2.send_data, 1, b"answer", True)
            await side.flush()
            await house.settle()
            with pytest.raises(KeyError, match="mine"):
                await response.aread()
        await house.settle()
        assert (peer.resets, side.paths) == (1, {})
        assert house.session.stats().active == 0


async def test_pool_10_a_body_that_fails_with_the_error_of_another_request_is_not_sent_twice(version: Version) -> None:
    """The upload is fed by a download, and that one provably did not reach its server; the upload did."""
    async with make_house(version) as house:
        begun = 0

        async def chunks() -> AsyncIterator[bytes]:
            nonlocal begun
            begun += 1
            yield b"x" * 20_000
            await house.settle()
            inner = house.session.build_request("GET", "http://other.test/")
            raise netio.ConnectionLost("refused", request=inner, sent=False)

        with pytest.raises(netio.RequestError) as caught:
            await house.session.post("/count", content=chunks)
        assert begun == 1
        assert caught.value.sent


async def test_pool_10_a_body_that_is_cancelled_from_inside_fails_its_request(
    version: Version, anyio_backend_name: str
) -> None:
    """On asyncio whoever awaits a task that was cancelled gets CancelledError without being cancelled."""
    if anyio_backend_name != "asyncio":
        pytest.skip("on trio a task is cancelled from outside, or not at all")

    async def chunks() -> AsyncIterator[bytes]:
        yield b"x"
        raise asyncio.CancelledError

    async with make_house(version) as house:
        with anyio.fail_after(5), pytest.raises(netio.RequestBodyError) as caught:
            await house.session.post("/echo", content=chunks(), timeout=None)
        assert (caught.value.sent, caught.value.phase) == (True, "send")
        await house.settle()
        await house.assert_clean()


async def test_pool_10_a_connect_hook_that_is_cancelled_from_inside_is_a_connect_error(
    version: Version, anyio_backend_name: str
) -> None:
    if anyio_backend_name != "asyncio":
        pytest.skip("on trio a task is cancelled from outside, or not at all")

    async def connect(host: str, port: int) -> MemoryStream:
        raise asyncio.CancelledError

    async with make_house(version) as house:
        session = house.new_session()
        session._connect = connect
        async with session:
            with anyio.fail_after(5), pytest.raises(netio.ConnectError):
                await session.get("/", timeout=None)
            assert session.stats().dialing == 0


# ---------------------------------------------------------------------- time


def session_that_nobody_reads(clock: FakeClock, theirs: list[MemoryStream]) -> netio.Session:
    async def connect(host: str, port: int) -> MemoryStream:
        ours, other = MemoryStream.pair(capacity=10)
        theirs.append(other)
        return ours

    return netio.Session(connect=connect, http2=False, clock=clock)


@pytest.mark.parametrize(
    ("timeouts", "error"),
    [
        (netio.Timeouts(write=20, read=None, total=None), netio.WriteTimeout),
        (netio.Timeouts(write=20, read=100, total=None), netio.WriteTimeout),
        (netio.Timeouts(write=None, read=5, total=20), netio.TotalTimeout),
    ],
)
async def test_slow_03_the_write_limit_holds_for_a_request_without_an_upload_too(
    timeouts: netio.Timeouts, error: type[netio.RequestError]
) -> None:
    clock, caught, theirs = FakeClock(), [], []  # type: ignore[var-annotated]
    async with session_that_nobody_reads(clock, theirs) as session, anyio.create_task_group() as group:

        async def get() -> None:
            with pytest.raises(error) as info:
                await session.get("http://deaf.test/", timeout=timeouts)
            caught.append(info.value)

        group.start_soon(get)
        await clock.advance(19.8)
        assert caught == []
        await clock.advance(0.4)
        assert [error.phase for error in caught] == ["send"]


@pytest.mark.parametrize(
    ("timeouts", "error"),
    [
        (netio.Timeouts(write=20, read=None, total=None), netio.WriteTimeout),
        (netio.Timeouts(write=20, read=5, total=10), netio.WriteTimeout),
        (netio.Timeouts(write=None, read=None, total=10), None),
    ],
)
async def test_slow_03_an_upload_after_the_head_of_the_answer_has_the_limits_of_an_upload(
    timeouts: netio.Timeouts, error: type[netio.RequestError] | None
) -> None:
    clock, caught, theirs = FakeClock(), [], []
    async with make_house("HTTP/1.1", clock=clock) as house, anyio.create_task_group() as group:

        async def serve(stream: MemoryStream) -> None:
            theirs.append(stream)
            await stream.receive()
            await stream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no")
            await anyio.sleep_forever()

        async def post() -> None:
            request = house.session.build_request(
                "POST", "http://early.test/", content=iter([b"x" * 50_000] * 9), timeout=timeouts
            )
            response = await house.session.send(request, stream=True)
            async with response:
                try:
                    await response.aread()
                except netio.RequestError as raised:
                    caught.append(raised)

        house.network.listen("early.test", 80, serve)
        group.start_soon(post)
        await clock.advance(19.8)
        assert caught == []
        await clock.advance(0.4)
        assert [type(raised) for raised in caught] == ([error] if error else [])
        group.cancel_scope.cancel()


async def test_a_second_attempt_that_does_not_come_about_does_not_deny_the_first() -> None:
    """The server takes a DELETE, and dies: whoever looks at `sent` must not take it for not processed."""
    async with make_house("HTTP/1.1") as house:

        async def serve(stream: MemoryStream) -> None:
            await stream.receive()
            await stream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            await stream.receive()
            del house.network._handlers["dies.test", 80]

        house.network.listen("dies.test", 80, serve)
        await house.session.get("http://dies.test/")
        with pytest.raises(netio.ConnectError) as caught:
            await house.session.delete("http://dies.test/")
        assert caught.value.sent is True


# ---------------------------------------------------------------------- two tasks, one response


async def test_a_response_that_one_task_is_reading_is_refused_to_another(version: Version) -> None:
    async with make_house(version) as house, house.session.stream("GET", "/drip") as response:
        body = response.aiter_bytes()
        assert await anext(body) == b"x"
        async with anyio.create_task_group() as group:
            group.start_soon(anext, body)  # type: ignore[arg-type]
            await house.settle()
            with pytest.raises(netio.BodyUnavailable):
                await anext(body)
            assert house.session.stats().active == 1
            group.cancel_scope.cancel()


async def test_a_response_that_is_closed_while_another_task_reads_it_ends_that_task(version: Version) -> None:
    async with make_house(version) as house, house.session.stream("GET", "/drip", timeout=None) as response:
        errors = []

        async def read() -> None:
            try:
                await response.aread()
            except netio.ConnectionLost as error:
                errors.append(error)

        async with anyio.create_task_group() as group:
            group.start_soon(read)
            await house.settle()
            await response.aclose()
        assert [(error.sent, error.phase) for error in errors] == [(True, "body")]


async def test_h2_17_the_credit_of_a_streamed_response_whose_request_is_cancelled_as_it_comes_is_given_back() -> None:
    async with make_house("HTTP/2") as house:
        await house.session.get("/")

        async def scenario() -> None:
            async with house.session.stream("GET", "/bytes/60000"):
                pass

        def owed() -> int:
            window = only_connection(house)._engine._h2._inbound_flow_control_window_manager
            return int(window.max_window_size - window.current_window_size - window._bytes_processed)

        for way in ways_to_cancel():
            for at in range(1, 5):
                for _ in range(5):
                    await cancel_at(at, scenario, way)
                    await house.settle()
        assert owed() == 0


# ---------------------------------------------------------------------- batches


@pytest.mark.parametrize("requests", [7, None])
async def test_a_batch_of_what_is_no_iterable_raises(version: Version, requests: object) -> None:
    async with make_house(version) as house:
        with anyio.fail_after(5), pytest.raises(TypeError):
            await anext(house.session.batch(requests))  # type: ignore[arg-type]


async def test_a_batch_that_was_left_sends_nothing_any_more(version: Version) -> None:
    async with make_house(version) as house:
        sent: list[str] = []

        async def handler(request: netio.Request) -> netio.Response:
            sent.append(request.url.path)
            await anyio.lowlevel.checkpoint()
            return netio.Response(200, request=request)

        session = netio.Session(send=handler)
        urls = (f"http://x.test/{number}" for number in range(1000))
        async with session, session.batch(urls, concurrency=1) as outcomes:
            async for _ in outcomes:
                break
            await outcomes.aclose()
            begun = len(sent)
            await house.settle()
            assert len(sent) == begun
            with pytest.raises(StopAsyncIteration):
                await anext(outcomes)


async def test_a_batch_is_shared_by_two_tasks(version: Version) -> None:
    async with make_house(version) as house:
        seen: list[int] = []

        async def consume(outcomes: AsyncIterator[netio.Outcome]) -> None:
            async for outcome in outcomes:
                outcome.unwrap()
                seen.append(outcome.index)

        with anyio.fail_after(5):
            async with house.session.batch(["/"] * 20, concurrency=3) as outcomes, anyio.create_task_group() as group:
                for _ in range(4):
                    group.start_soon(consume, outcomes)
        assert sorted(seen) == list(range(20))


async def test_a_batch_whose_session_is_closed_does_not_pretend_to_be_complete(version: Version) -> None:
    async with make_house(version) as house:
        outcomes = house.session.batch(["/"] * 20, concurrency=2)
        seen = [await anext(outcomes)]
        await house.session.aclose()
        with anyio.fail_after(5), pytest.raises(netio.SessionClosed):
            seen += [outcome async for outcome in outcomes]
        assert len(seen) == 1


async def test_a_batch_goes_on_after_a_request_that_was_cancelled_from_inside(
    version: Version, anyio_backend_name: str
) -> None:
    if anyio_backend_name != "asyncio":
        pytest.skip("on trio a task is cancelled from outside, or not at all")

    async def handler(request: netio.Request) -> netio.Response:
        if request.url.path == "/1":
            raise asyncio.CancelledError
        return netio.Response(200, request=request)

    with anyio.fail_after(5):
        async with netio.Session(send=handler) as session:
            urls = [f"http://x.test/{number}" for number in range(4)]
            outcomes = [outcome async for outcome in session.batch(urls, concurrency=1)]
    assert [outcome.index for outcome in outcomes if outcome.response] == [0, 2, 3]
    assert [outcome.index for outcome in outcomes if outcome.error] == [1]
