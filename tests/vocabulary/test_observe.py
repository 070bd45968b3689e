"""Observers, and what policies need of requests, responses and errors."""

from __future__ import annotations

import logging
import pickle

import pytest

from netio import errors
from netio.errors import Attempt, BulkheadFull, CircuitOpen, RateLimited
from netio.message import Request, Response
from netio.observe import BreakerChanged, Event, Retried, tell

pytestmark = pytest.mark.anyio


class Source:
    def __init__(self) -> None:
        self.closed = 0

    async def receive(self) -> bytes:
        return b""

    async def aclose(self) -> None:
        self.closed += 1


def test_observer_is_called_with_the_event() -> None:
    events: list[Event] = []
    event = BreakerChanged("db", "closed", "open")
    tell(events.append, event)
    assert events == [event]
    with pytest.raises(AttributeError):
        event.key = "other"  # type: ignore[misc]


def test_pool_10_what_an_observer_raises_goes_no_further(caplog: pytest.LogCaptureFixture) -> None:
    def broken(event: Event) -> None:
        raise KeyError("mine")

    with caplog.at_level(logging.WARNING, logger="netio"):
        tell(broken, Retried(Request("GET", "http://example.org/"), 1, "503", 0.5))
    (record,) = caplog.records
    assert (record.levelname, record.exc_info is not None) == ("WARNING", True)
    assert "observer failed on Retried" in record.getMessage()


async def test_on_close_is_called_once_when_the_response_is_closed() -> None:
    calls: list[str] = []
    source = Source()
    response = Response(200, request=Request("GET", "http://example.org/"), source=source)
    response.on_close(lambda: calls.append("first"))
    response.on_close(lambda: calls.append("second"))
    assert calls == []
    await response.aclose()
    await response.aclose()
    assert (calls, source.closed) == (["first", "second"], 1)
    response.on_close(lambda: calls.append("late"))
    assert calls == ["first", "second", "late"]


async def test_on_close_is_called_at_the_end_of_the_body_and_if_closing_fails() -> None:
    calls: list[str] = []
    request = Request("GET", "http://example.org/")
    read = Response(200, request=request, source=Source())
    read.on_close(lambda: calls.append("read"))
    await read.aread()

    class Broken(Source):
        async def aclose(self) -> None:
            raise KeyError("mine")

    broken = Response(200, request=request, source=Broken())
    broken.on_close(lambda: calls.append("broken"))
    with pytest.raises(KeyError):
        await broken.aclose()
    assert calls == ["read", "broken"]


def test_copy_with_another_deadline_has_all_else_in_common() -> None:
    request = Request("PUT", "http://example.org/", headers=[("A", "1")], is_streamed=True, body_deadline=7.0)
    copy = request.with_deadline(5.0)
    assert copy.deadline == 5.0
    for name in Request.__slots__:
        assert name == "deadline" or getattr(copy, name) is getattr(request, name)


def test_idempotency_key_makes_a_request_idempotent() -> None:
    assert not Request("POST", "http://example.org/").is_idempotent
    assert Request("POST", "http://example.org/", headers=[("Idempotency-Key", '"1"')]).is_idempotent


@pytest.mark.parametrize("kind", [CircuitOpen, RateLimited, BulkheadFull])
def test_refusals_were_not_sent_and_survive_pickling(kind: type[errors.Rejected]) -> None:
    error = kind("refused")
    assert (error.sent, error.phase, error.retry_after, error.attempts) == (False, "queue", None, ())
    error.retry_after = 1.5
    error.attempts = (Attempt("503", 0.1),)
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), copy.args, copy.retry_after, copy.attempts) == (kind, ("refused",), 1.5, (Attempt("503", 0.1),))
