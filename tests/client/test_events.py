"""What an observer hears of requests, attempts and connections, and in which order."""

from __future__ import annotations

import logging
from typing import Any

import anyio
import pytest
from anyio.abc import ByteStream

import netio
from netio import observe
from netio.observe import (
    AttemptFailed,
    BodyDone,
    Connected,
    ConnectionClosed,
    ConnectionIdle,
    ConnectionOpened,
    DialFailed,
    DialStarted,
    Event,
    HeadReceived,
    HeadSent,
    Hedged,
    RequestFinished,
    RequestQueued,
    RequestStarted,
    Resent,
    Resolved,
    Retried,
    TLSDone,
)
from netio.testing import FakeClock, MemoryNetwork, cancel_everywhere
from tests.client.conftest import Version, make_house

pytestmark = pytest.mark.anyio


class Ear:
    """An observer that remembers."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def __call__(self, event: Event) -> None:
        self.events.append(event)

    @property
    def names(self) -> list[str]:
        return [type(event).__name__ for event in self.events]

    def all(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    def only(self, kind: type[Any]) -> Any:
        (event,) = self.all(kind)
        return event

    def take(self) -> list[str]:
        names = self.names
        self.events.clear()
        return names


FIRST = [
    "RequestStarted",
    "DialStarted",
    "RequestQueued",
    "Connected",
    "ConnectionOpened",
    "HeadSent",
    "BodyDone",
    "RequestFinished",
]
WARM = ["RequestStarted", "HeadSent", "BodyDone", "RequestFinished"]


def without_head(names: list[str]) -> list[str]:
    """A head that comes in a read of its own is told as well; how reads fall is not what these tests are about."""
    return [name for name in names if name != "HeadReceived"]


async def test_events_of_the_first_request_and_of_the_next(version: Version) -> None:
    ear = Ear()
    async with make_house(version, observer=ear) as house:
        first = await house.session.get("/")
        assert without_head(ear.take()) == FIRST
        second = await house.session.get("/")
        assert without_head(ear.names) == WARM
        started, sent, done, finished = [event for event in ear.events if not isinstance(event, HeadReceived)]
        assert isinstance(started, RequestStarted)
        assert isinstance(sent, HeadSent)
        assert isinstance(done, BodyDone)
        assert isinstance(finished, RequestFinished)
        assert started.request is sent.request is done.request is finished.request is second.request
        assert sent.connection is done.connection is second.timings.connection is first.timings.connection
        assert (sent.attempt, sent.uses) == (done.attempt, 2)
        assert (done.status, done.received, done.is_whole) == (200, 5, True)
        assert (finished.response, finished.error, finished.seconds) == (second, None, second.elapsed_seconds)


async def test_streamed_response_is_done_when_its_body_is(version: Version) -> None:
    ear = Ear()
    async with make_house(version, observer=ear) as house:
        async with house.session.stream("GET", "/bytes/10") as response:
            assert ear.names[-3:] == ["HeadSent", "HeadReceived", "RequestFinished"]
            assert ear.only(HeadReceived).status == 200
            await response.aread()
            assert ear.names[-1] == "BodyDone"
        done = ear.only(BodyDone)
        assert (done.received, done.is_whole) == (10, True)


async def test_streamed_response_that_is_given_up_is_done_in_part(version: Version) -> None:
    ear = Ear()
    async with make_house(version, observer=ear) as house:
        async with house.session.stream("GET", "/drip") as response:
            await anext(response.aiter_raw())
        done = ear.only(BodyDone)
        assert (done.received, done.is_whole) == (1, False)
    assert ear.only(ConnectionClosed).reason == ("given up" if version == "HTTP/1.1" else "session closed")


async def test_streamed_response_that_breaks_off_is_done_once(version: Version) -> None:
    ear = Ear()
    clock = FakeClock()
    async with make_house(version, observer=ear, clock=clock) as house:
        async with house.session.stream("GET", "/drip", timeout=netio.Timeouts(read=1.0)) as response:
            async with anyio.create_task_group() as group:
                group.start_soon(clock.advance, 1.5)
                with pytest.raises(netio.ReadTimeout):
                    await response.aread()
            assert ear.only(BodyDone).is_whole is False
        assert len(ear.all(BodyDone)) == 1


async def test_streamed_response_without_a_body_is_whole(version: Version) -> None:
    ear = Ear()
    async with make_house(version, observer=ear) as house:
        async with house.session.stream("GET", "/status/204"):
            pass
    assert (ear.only(BodyDone).is_whole, ear.only(BodyDone).received) == (True, 0)


async def test_attempt_that_times_out_has_failed_and_so_has_the_request(version: Version) -> None:
    ear = Ear()
    clock = FakeClock()
    async with make_house(version, observer=ear, clock=clock) as house:
        async with anyio.create_task_group() as group:
            group.start_soon(clock.advance, 1.5)
            with pytest.raises(netio.ReadTimeout) as caught:
                await house.session.get("/hang", timeout=netio.Timeouts(read=1.0))
        failed, finished = ear.only(AttemptFailed), ear.only(RequestFinished)
        assert failed.error is finished.error is caught.value
        assert failed.attempt == ear.only(HeadSent).attempt == ear.only(RequestQueued).attempt
        assert failed.connection is ear.only(HeadSent).connection
        assert finished.response is None
        assert finished.seconds == pytest.approx(1.0, abs=0.6)


async def test_cancelled_request_is_told_as_such(version: Version) -> None:
    ear = Ear()
    async with make_house(version, observer=ear) as house:
        with anyio.move_on_after(0.05):
            await house.session.get("/hang")
        for event in (ear.only(AttemptFailed), ear.only(RequestFinished)):
            assert isinstance(event.error, anyio.get_cancelled_exc_class())
        stats = house.session.stats()
        assert (stats.requests, stats.failed, stats.cancelled, stats.in_flight) == (1, 0, 1, 0)


async def test_attempt_without_a_connection_fails_without_one(version: Version) -> None:
    ear = Ear()
    async with make_house(version, observer=ear) as house:
        with pytest.raises(netio.ConnectError):
            await house.session.get("http://nobody.test/")
        assert ear.names == [*FIRST[:3], "DialFailed", "AttemptFailed", "RequestFinished"]
        assert ear.only(AttemptFailed).connection is None
        assert ear.only(DialFailed).number == ear.only(DialStarted).number
        assert "connect" in ear.only(DialFailed).took


async def test_request_that_cannot_be_sent_is_told(version: Version) -> None:
    ear = Ear()
    async with make_house(version, observer=ear) as house:
        with pytest.raises(netio.InvalidRequest):
            await house.session.get("/", headers={"transfer-encoding": "chunked"})
        assert ear.names[-2:] == ["AttemptFailed", "RequestFinished"]
        assert house.session.stats().failed == 1


async def test_exhausted_limits_are_told(version: Version) -> None:
    ear = Ear()
    limits = netio.Limits(connections=1)
    async with make_house(version, observer=ear, limits=limits, max_streams=1) as house:
        async with anyio.create_task_group() as group:
            async with house.session.stream("GET", "/drip"):
                group.start_soon(house.session.get, "/")
                await house.settle()
                assert [event.is_exhausted for event in ear.all(RequestQueued)] == [False, True]
        assert house.session.stats().exhausted == 1


async def test_every_attempt_of_a_retried_request_has_its_number(version: Version) -> None:
    ear = Ear()
    clock = FakeClock()
    async with make_house(version, observer=ear, clock=clock, policies=[netio.policy.Retry()]) as house:
        async with anyio.create_task_group() as group:
            group.start_soon(house.session.get, "/status/503")
            await clock.advance(60.0)
        retries = len(ear.all(Retried))
        assert retries >= 1
        assert len({event.attempt for event in ear.all(HeadSent)}) == retries + 1
        assert [event.attempt for event in ear.all(HeadSent)] == [event.attempt for event in ear.all(BodyDone)]
        assert len(ear.all(RequestStarted)) == len(ear.all(RequestFinished)) == 1
        assert house.session.stats().total.retries == retries


async def test_hedged_attempts_are_told_apart(version: Version) -> None:
    ear = Ear()
    clock = FakeClock()
    async with make_house(version, observer=ear, clock=clock, policies=[netio.policy.Hedge(1.0)]) as house:
        async with anyio.create_task_group() as group:
            group.start_soon(house.session.get, "/hang")
            await clock.advance(1.5)
            assert len(ear.all(Hedged)) == 1
            first, second = ear.all(HeadSent)
            assert first.request is second.request
            assert first.attempt != second.attempt
            group.cancel_scope.cancel()
        assert {event.attempt for event in ear.all(AttemptFailed)} == {first.attempt, second.attempt}


async def test_idle_connection_is_told_once_and_again_after_it_was_used(version: Version) -> None:
    ear = Ear()
    clock = FakeClock()
    async with make_house(version, observer=ear, clock=clock) as house:
        await house.session.get("/")
        assert ear.all(ConnectionIdle) == []
        await clock.advance(5.0)
        assert [event.uses for event in ear.all(ConnectionIdle)] == [1]
        await house.session.get("/")
        await clock.advance(5.0)
        assert [event.uses for event in ear.all(ConnectionIdle)] == [1, 2]


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        (netio.Limits(idle_seconds=10.0), "idle"),
        (netio.Limits(idle=0), "idle"),
        (netio.Limits(connection_age=10.0), "too old"),
        (netio.Limits(), "session closed"),
    ],
)
async def test_reasons_of_a_close_that_the_pool_has(version: Version, limits: netio.Limits, reason: str) -> None:
    ear = Ear()
    clock = FakeClock()
    async with make_house(version, observer=ear, clock=clock, limits=limits) as house:
        await house.session.get("/")
        await clock.advance(20.0)
        if reason == "session closed":
            assert ear.all(ConnectionClosed) == []
        else:
            assert house.session.stats().closed == {reason: 1}
    closed = ear.only(ConnectionClosed)
    assert (closed.reason, closed.uses) == (reason, 1)
    assert closed.bytes_sent > 0 < closed.bytes_received
    assert 0.0 < closed.seconds <= 20.0
    assert closed.connection is ear.only(ConnectionOpened).connection


ENDS = {
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok": "last response",
    b"HTTP/1.1 200 OK\r\n\r\nok": "peer closed",
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nok": "peer closed",
    b"nonsense\r\n\r\n": "protocol error",
}


@pytest.mark.parametrize("answer", ENDS)
async def test_reasons_of_a_close_that_the_server_has(answer: bytes) -> None:
    ear = Ear()

    async def serve(stream: ByteStream) -> None:
        await stream.receive()
        await stream.send(answer)

    async with MemoryNetwork() as network:
        network.listen("a.test", 80, serve)
        async with netio.Session(connect=network.connect, observer=ear) as session:
            try:
                await session.get("http://a.test/")
            except netio.RequestError:
                assert ear.all(AttemptFailed)
    assert [event.reason for event in ear.all(ConnectionClosed)] == [ENDS[answer]]


async def test_request_that_the_pool_sends_again_is_told_and_remembered() -> None:
    ear = Ear()

    async def serve(stream: ByteStream) -> None:
        for _ in range(2):
            await stream.receive()
            if ear.all(HeadSent)[-1].uses == 2:
                return  # the second request of a connection gets no answer
            await stream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    async with MemoryNetwork() as network:
        network.listen("a.test", 80, serve)
        async with netio.Session(connect=network.connect, observer=ear) as session:
            first = await session.get("http://a.test/")
            second = await session.get("http://a.test/")
    assert first.attempts == ()
    (attempt,) = second.attempts
    assert attempt.outcome.startswith("ConnectionLost: ")
    assert second.timings.attempts == 2
    assert second.timings.before >= 0.0
    resent = ear.only(Resent)
    assert (resent.request, resent.delay) == (second.request, 0.0)
    assert isinstance(resent.error, netio.ConnectionLost)
    assert len(ear.all(AttemptFailed)) == 1


@pytest.mark.parametrize("path", ["/", "/bytes/300000"])
@pytest.mark.parametrize("is_streamed", [False, True])
async def test_every_attempt_ends_once_wherever_it_is_cancelled(version: Version, path: str, is_streamed: bool) -> None:
    ear = Ear()

    async def scenario() -> None:
        async with house.new_session(observer=ear) as session:
            request = session.build_request("POST", path, content=b"x" * 100_000)
            response = await session.send(request, stream=is_streamed)
            async with response:
                await response.aread()

    async def after() -> None:
        await house.settle()
        begun = {event.attempt for event in ear.events if isinstance(event, RequestQueued | HeadSent)}
        ended = [event.attempt for event in ear.events if isinstance(event, BodyDone | AttemptFailed)]
        assert sorted(ended) == sorted(begun)
        assert len(ear.all(RequestStarted)) == len(ear.all(RequestFinished))
        assert len(ear.all(ConnectionOpened)) == len(ear.all(ConnectionClosed))
        assert len(ear.all(DialStarted)) >= len(ear.all(ConnectionOpened)) + len(ear.all(DialFailed))
        ear.events.clear()

    async with make_house(version) as house:
        assert await cancel_everywhere(scenario, after) > 0


async def test_pool_10_observer_that_fails_changes_nothing(version: Version, caplog: pytest.LogCaptureFixture) -> None:
    heard: list[Event] = []

    def broken(event: Event) -> None:
        heard.append(event)
        raise KeyError("mine")

    with caplog.at_level(logging.WARNING, logger="netio"):
        async with make_house(version, observer=broken) as house:
            assert (await house.session.get("/")).text == "hello"
            async with house.session.stream("GET", "/bytes/3") as response:
                assert await response.aread() == b"0000000\n"[:3]
            await house.assert_clean(connections=1)
    assert len(caplog.records) == len(heard) >= len(FIRST)


async def test_nothing_is_made_for_nobody(version: Version, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("an event was told")

    for place in ("client._session", "pool._traffic", "pool._resend", "protocol._attempt", "transport._dial_news"):
        monkeypatch.setattr(f"netio.{place}.tell", refuse)
    async with make_house(version) as house:
        assert (await house.session.get("/")).status_code == 200
        await house.assert_clean(connections=1)


def test_events_are_frozen_records() -> None:
    request = netio.Request("GET", "http://a.example/")
    event = RequestFinished(request, None, None, 0.5)
    assert event == RequestFinished(request, None, None, 0.5) != RequestFinished(request, None, None, 0.6)
    assert hash(event) == hash(RequestFinished(request, None, None, 0.5))
    assert event != RequestStarted(request)
    assert dict(event.items()) == {"request": request, "response": None, "error": None, "seconds": 0.5}
    assert repr(event).startswith("RequestFinished(request=<Request GET http://a.example/>, response=None")
    with pytest.raises(AttributeError):
        event.seconds = 1.0  # type: ignore[misc]
    with pytest.raises(AttributeError):
        event.other = 1.0  # type: ignore[attr-defined]
    match event:
        case RequestFinished(seconds=seconds):
            assert seconds == 0.5


def test_names_of_events_are_in_the_past_tense() -> None:
    kinds = [kind for kind in vars(observe).values() if isinstance(kind, type) and issubclass(kind, Event)]
    assert {Resolved, Connected, TLSDone} <= set(kinds)
    participles = ("Sent", "Done", "Idle", "Event", "Resent")
    assert [kind for kind in kinds if not kind.__name__.endswith(("ed", *participles))] == []
