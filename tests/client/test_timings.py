"""`response.timings`: where the time went, on a clock that the test moves."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import anyio
import pytest
from anyio.abc import ByteStream

import netio
from netio.testing import FakeClock, MemoryStream
from netio.timings import ConnectionInfo, Timings, shown_address
from tests.client.conftest import House, Version, make_house
from tests.peers import Http2Peer, Http2Side

pytestmark = pytest.mark.anyio

Call = Callable[[], Coroutine[Any, Any, Any]]


class SlowPeer:
    """Sends its head two seconds after the request, and its body three seconds later."""

    def __init__(self, version: Version, clock: FakeClock) -> None:
        self._version = version
        self._clock = clock

    async def serve(self, stream: ByteStream) -> None:
        if self._version == "HTTP/2":
            await SlowSide(stream, self._clock).run()
            return
        await stream.receive()
        await self._clock.sleep(2.0)
        await stream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
        await self._clock.sleep(3.0)
        await stream.send(b"hello")


class SlowSide(Http2Side):
    def __init__(self, stream: ByteStream, clock: FakeClock) -> None:
        super().__init__(Http2Peer(), stream)
        self._clock = clock
        self._waiting: list[int] = []

    def respond(self, stream_id: int, status: int, content: bytes) -> None:
        self._waiting.append(stream_id)

    async def flush(self) -> None:
        await super().flush()
        while self._waiting:
            stream_id = self._waiting.pop()
            await self._clock.sleep(2.0)
            self.h2.send_headers(stream_id, [(":status", "200"), ("content-length", "5")])
            await super().flush()
            await self._clock.sleep(3.0)
            self.h2.send_data(stream_id, b"hello", end_stream=True)
            await super().flush()


def slow_dials(house: House, clock: FakeClock, seconds: float) -> None:
    async def connect(host: str, port: int) -> MemoryStream:
        await clock.sleep(seconds)
        return await house.network.connect(host, port)

    house.session._connect = connect


async def result_after(clock: FakeClock, seconds: float, call: Call) -> Any:
    """Call something, let time pass, and return what it has returned by then."""
    results: list[Any] = []

    async def run() -> None:
        results.append(await call())

    async with anyio.create_task_group() as group:
        group.start_soon(run)
        await clock.advance(seconds)
        assert results, "it is not through yet"
        group.cancel_scope.cancel()
    return results[0]


def sums_up(timings: Timings) -> bool:
    return sum(timings.phases.values()) == pytest.approx(timings.total)


async def test_first_request_pays_for_the_dial_and_the_second_does_not(version: Version) -> None:
    clock = FakeClock()
    async with make_house(version, clock=clock) as house:
        slow_dials(house, clock, 3.0)
        first = (await result_after(clock, 3.0, lambda: house.session.get("/"))).timings
        assert first.phases == {"connect": 3.0}
        assert (first.total, first.uses, first.is_reused, first.age) == (3.0, 1, False, 0.0)
        assert first.connection is not None
        assert dict(first.connection.took) == {"resolve": 0.0, "connect": 3.0}
        await clock.advance(1.0)
        second = (await house.session.get("/")).timings
        assert second.phases == {}
        assert (second.total, second.uses, second.is_reused, second.age) == (0.0, 2, True, 1.0)
        assert second.connection is first.connection
        assert second.protocol == version


async def test_a_slow_answer_is_waited_for_and_a_slow_body_is_not(version: Version) -> None:
    clock = FakeClock()
    async with make_house(version, clock=clock) as house:
        house.network.listen("slow.test", 80, SlowPeer(version, clock).serve)
        timings = (await result_after(clock, 5.0, lambda: house.session.get("http://slow.test/"))).timings
        assert timings.phases == pytest.approx({"wait": 2.0, "body": 3.0})
        assert timings.total == pytest.approx(5.0)


async def test_the_queue_is_counted_apart_from_the_dial_that_ran_meanwhile(version: Version) -> None:
    clock = FakeClock()
    async with make_house(version, clock=clock) as house:
        slow_dials(house, clock, 3.0)
        timings: dict[str, Timings] = {}

        async def get(name: str) -> None:
            timings[name] = (await house.session.get("/")).timings

        async with anyio.create_task_group() as group:
            group.start_soon(get, "first")
            await clock.advance(2.0)
            if version == "HTTP/2":  # the dial under way will do for both; for HTTP/1.1 there is one each
                group.start_soon(get, "second")
            await clock.advance(4.0)
        assert timings["first"].phases == {"connect": 3.0}
        if version == "HTTP/2":
            assert timings["second"].phases == {"connect": 1.0}
            assert timings["second"].age == 0.0


async def test_waiting_for_a_connection_in_use_is_queue(version: Version) -> None:
    clock = FakeClock()
    limits = netio.Limits(connections=1)
    async with make_house(version, clock=clock, limits=limits, max_streams=1) as house:
        held = await house.session.send(house.session.build_request("GET", "/drip"), stream=True)

        async def release() -> None:
            await clock.sleep(2.0)
            await held.aclose()

        async with anyio.create_task_group() as group:
            group.start_soon(release)
            response = await result_after(clock, 2.5, lambda: house.session.get("/"))
        assert response.timings.phases == pytest.approx({"queue": 2.0})
        assert response.timings.total == pytest.approx(2.0)


async def test_a_streamed_body_counts_until_its_end_was_taken(version: Version) -> None:
    clock = FakeClock()
    async with make_house(version, clock=clock) as house:
        async with house.session.stream("GET", "/bytes/10") as response:
            before = response.timings
            assert (before.is_complete, before.body) == (False, 0.0)
            await clock.advance(4.0)
            assert response.timings == before
            await response.aread()
            after = response.timings
            assert (after.is_complete, after.body, after.total) == (True, 4.0, 4.0)
        await clock.advance(1.0)
        assert response.timings == after


async def test_a_streamed_body_that_is_given_up_counts_until_then(version: Version) -> None:
    clock = FakeClock()
    async with make_house(version, clock=clock) as house:
        async with house.session.stream("GET", "/drip") as response:
            await clock.advance(4.0)
        assert (response.timings.is_complete, response.timings.body) == (True, 4.0)
        await clock.advance(1.0)
        assert response.timings.total == 4.0


async def test_retries_are_before_the_attempt_that_counts(version: Version) -> None:
    clock = FakeClock()
    async with make_house(version, clock=clock, policies=[netio.policy.Retry()]) as house:
        response = await result_after(clock, 20.0, lambda: house.session.get("/status/503"))
        timings = response.timings
        assert timings.attempts == len(response.attempts) + 1 > 1
        assert timings.before == pytest.approx(sum(attempt.delay for attempt in response.attempts))
        assert timings.phases == {"before": timings.before}
        assert timings.total == pytest.approx(timings.before)


async def test_redirects_are_before_the_answer_that_counts() -> None:
    clock = FakeClock()

    async def serve(stream: ByteStream) -> None:
        await stream.receive()
        await clock.sleep(2.0)
        await stream.send(b"HTTP/1.1 302 Found\r\nLocation: /next\r\nContent-Length: 0\r\n\r\n")
        await stream.receive()
        await clock.sleep(3.0)
        await stream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        await stream.receive()

    async with make_house("HTTP/1.1", clock=clock, follow_redirects=True) as house:
        house.network.listen("moved.test", 80, serve)
        response = await result_after(clock, 5.0, lambda: house.session.get("http://moved.test/"))
    assert response.timings.phases == {"before": 2.0, "wait": 3.0}
    assert response.timings.total == 5.0
    assert [hop.timings.phases for hop in response.history] == [{"wait": 2.0}]


async def test_an_upload_is_sent_before_the_answer_is_waited_for(version: Version) -> None:
    clock = FakeClock()

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(3):
            await clock.sleep(1.0)
            yield b"x" * 1_000

    async with make_house(version, clock=clock) as house:
        await house.session.get("/")
        response = await result_after(clock, 4.0, lambda: house.session.post("/count", content=pieces()))
        assert response.content == b"3000"
        assert response.timings.phases == pytest.approx({"send": 3.0})


async def test_what_a_policy_waits_for_is_not_hidden(version: Version) -> None:
    clock = FakeClock()

    async def slow(request: netio.Request, send: netio.Send) -> netio.Response:
        await clock.sleep(1.5)
        return await send(request)

    async with make_house(version, clock=clock, policies=[slow]) as house:
        response = await result_after(clock, 2.0, lambda: house.session.get("/"))
        assert response.timings.phases == {"before": 1.5}


async def test_response_of_no_connection_knows_its_total() -> None:
    clock = FakeClock()

    async def answer(request: netio.Request) -> netio.Response:
        await clock.sleep(1.0)
        return netio.Response(200, request=request)

    async with netio.Session(send=answer, clock=clock) as session:
        response = await result_after(clock, 1.0, lambda: session.get("http://peer.test/"))
    assert response.timings == Timings(total=1.0)
    assert response.timings.protocol is response.timings.peer is response.timings.local is None


async def test_timings_are_json_and_printable(version: Version) -> None:
    async with make_house(version) as house:
        timings = (await house.session.get("/")).timings
        written = json.loads(json.dumps(timings.to_dict()))
        assert written["connection"]["protocol"] == version
        assert written["connection"]["origin"] == "http://peer.test"
        assert str(timings) == "0 ms: no phases"
        assert str(timings.connection).endswith(f" to http://peer.test, {version}")


async def test_reading_timings_early_in_a_policy_is_harmless(version: Version) -> None:
    seen: list[Timings] = []

    async def curious(request: netio.Request, send: netio.Send) -> netio.Response:
        response = await send(request)
        seen.append(response.timings)
        return response

    async with make_house(version, policies=[curious]) as house:
        response = await house.session.get("/")
    assert seen == [response.timings]


def info(opened_at: float, **took: float) -> ConnectionInfo:
    origin = netio.Origin("https", "a.example", 443)
    return ConnectionInfo(number=1, origin=origin, protocol="HTTP/2", opened_at=opened_at, took=took)  # type: ignore[arg-type]


def test_a_dial_that_is_older_than_the_attempt_counts_from_its_end() -> None:
    connection = info(10.0, resolve=1.0, connect=2.0, tls=3.0)
    timings = Timings.of(5.0, (connection, 1, 6.0, 10.0, None, None, 11.0))
    assert timings.phases == {"before": 1.0, "connect": 1.0, "tls": 3.0, "wait": 1.0}
    assert sums_up(timings)


def test_queue_before_and_after_the_dial_is_one_phase() -> None:
    connection = info(10.0, resolve=1.0, connect=1.0)
    timings = Timings.of(5.0, (connection, 3, 5.0, 12.0, 13.0, 15.0, 20.0), 2)
    assert timings.phases == {"queue": 5.0, "resolve": 1.0, "connect": 1.0, "send": 1.0, "wait": 2.0, "body": 5.0}
    assert sums_up(timings)
    assert (timings.age, timings.uses, timings.attempts) == (2.0, 3, 2)


def test_an_answer_before_the_end_of_the_request_leaves_no_wait() -> None:
    timings = Timings.of(0.0, (info(-5.0), 2, None, 1.0, 9.0, 4.0, 6.0))
    assert timings.phases == {"before": 1.0, "send": 3.0, "body": 2.0}
    assert sums_up(timings)


@pytest.mark.parametrize(
    ("address", "text"),
    [(("127.0.0.1", 80), "127.0.0.1:80"), (("::1", 443), "[::1]:443"), ("/run/web.sock", "/run/web.sock")],
)
def test_addresses_are_written_as_usual(address: tuple[str, int] | str, text: str) -> None:
    assert shown_address(address) == text
