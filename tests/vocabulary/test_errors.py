"""The exceptions: each says what failed, where, and whether the server may have seen it."""

from __future__ import annotations

import builtins
import copy
import pickle
import traceback
from collections.abc import Callable
from typing import Any

import pytest

from netio import errors
from netio.errors import (
    ConnectError,
    ConnectionLost,
    InvalidRequest,
    NetioError,
    Phase,
    RequestError,
    StatusError,
    StreamReset,
)
from netio.message import Request, Response

REQUEST = Request("POST", "https://user:secret@example.org/path?secret#secret")
SHOWN = "POST https://example.org/path?..."
CLASSES = [cls for name in errors.__all__ if isinstance(cls := getattr(errors, name), type)]
REQUEST_ERRORS = [cls for cls in CLASSES if issubclass(cls, RequestError)]

Again = Callable[[Any], Any]
WAYS: list[Again] = [copy.copy, copy.deepcopy, lambda error: pickle.loads(pickle.dumps(error))]


def make(cls: type[NetioError]) -> NetioError:
    if issubclass(cls, StatusError):
        return cls("what happened", response=Response(404, request=REQUEST))
    return cls("what happened")


# ---------------------------------------------------------------------- the tree


@pytest.mark.parametrize("cls", CLASSES)
def test_everything_is_a_netio_error(cls: type[NetioError]) -> None:
    assert issubclass(cls, NetioError)


def test_timeouts_are_builtin_timeouts_too_and_nothing_else_is() -> None:
    assert [cls.__name__ for cls in CLASSES if issubclass(cls, builtins.TimeoutError)] == [
        "AttemptTimedOut",
        "ConnectTimeout",
        "PoolTimeout",
        "ReadTimeout",
        "TimeoutError",
        "TotalTimeout",
        "WriteTimeout",
    ]
    with pytest.raises(builtins.TimeoutError) as caught:
        raise errors.ReadTimeout("slow", request=REQUEST, phase="body", sent=True)
    assert isinstance(caught.value, errors.TimeoutError)


def test_invalid_requests_are_value_errors_too() -> None:
    assert [cls.__name__ for cls in CLASSES if issubclass(cls, ValueError)] == ["InvalidRequest", "InvalidURL"]


@pytest.mark.parametrize(
    ("name", "phase", "sent"),
    [
        ("InvalidRequest", "build", False),
        ("InvalidURL", "build", False),
        ("RequestBodyError", "send", False),
        ("SessionClosed", "queue", False),
        ("Rejected", "queue", False),
        ("QueueFull", "queue", False),
        ("PoolTimeout", "queue", False),
        ("ConnectTimeout", "connect", False),
        ("WriteTimeout", "send", True),
        ("ReadTimeout", "head", True),
        ("TimeoutError", "build", True),
        ("TotalTimeout", "build", True),
        ("ConnectError", "connect", False),
        ("ResolveError", "resolve", False),
        ("TLSError", "tls", False),
        ("CertificateError", "tls", False),
        ("ConnectionLost", "head", True),
        ("IncompleteBody", "body", True),
        ("ProtocolError", "head", True),
        ("ProxyError", "proxy", False),
        ("StreamReset", "head", True),
    ],
)
def test_error_has_a_phase_and_a_fate_of_its_own(name: str, phase: str, sent: bool) -> None:
    error = getattr(errors, name)("x")
    assert (error.phase, error.sent, error.request) == (phase, sent, None)
    given = getattr(errors, name)("x", request=REQUEST, phase="body", sent=not sent)
    assert (given.phase, given.sent, given.request) == ("body", not sent, REQUEST)


# ---------------------------------------------------------------------- the message


@pytest.mark.parametrize("cls", REQUEST_ERRORS)
def test_message_says_what_failed_where_and_whether_it_was_sent(cls: type[RequestError]) -> None:
    assert str(cls("what happened")) == "what happened"
    error = cls("what happened", request=REQUEST, phase="body", sent=True)
    assert str(error) == f"what happened [{SHOWN}; phase body; the server may have processed it]"
    error = cls("what happened", request=REQUEST, phase="queue", sent=False)
    assert str(error) == f"what happened [{SHOWN}; phase queue; not processed by the server]"


@pytest.mark.parametrize("cls", CLASSES)
def test_log_01_error_shows_no_secret_of_the_url(cls: type[NetioError]) -> None:
    error = make(cls)
    if isinstance(error, RequestError):
        error = error.during(REQUEST, "head", sent=True)
    assert "secret" not in "".join(traceback.format_exception(error)) + repr(error)


# ---------------------------------------------------------------------- copies


@pytest.mark.parametrize("way", WAYS, ids=["copy", "deepcopy", "pickle"])
@pytest.mark.parametrize("cls", CLASSES)
def test_every_error_survives_copying_and_pickling(cls: type[NetioError], way: Again) -> None:
    error = make(cls)
    error.add_note("a note")
    if isinstance(error, RequestError):
        error = error.during(REQUEST, "body", sent=True)
    again = way(error)
    assert type(again) is cls
    assert (str(again), again.args, again.__notes__) == (str(error), error.args, ["a note"])
    if isinstance(again, RequestError):
        assert again.request is not None
        assert (again.request.method, again.phase, again.sent) == ("POST", "body", True)
    if isinstance(again, StatusError):
        assert (again.request.method, again.response.status_code) == ("POST", 404)


@pytest.mark.parametrize("way", WAYS, ids=["copy", "deepcopy", "pickle"])
def test_attributes_of_subclasses_survive_copying_and_pickling(way: Again) -> None:
    reset = way(StreamReset("reset", code=7, sent=False))
    assert (reset.code, reset.sent) == (7, False)
    lost = ConnectionLost("lost")
    lost.unanswered = True
    assert way(lost).unanswered is True
    own = RequestError("x")
    own.mine = 5  # type: ignore[attr-defined]
    assert way(own).mine == 5


def test_subclass_of_a_user_survives_copying() -> None:
    class Mine(StatusError):
        pass

    mine = copy.copy(Mine("x", response=Response(500, request=REQUEST)))
    assert (type(mine), mine.response.status_code, str(mine)) == (Mine, 500, "x")


@pytest.mark.parametrize("cls", REQUEST_ERRORS)
def test_error_during_a_request_is_a_copy_that_belongs_to_it(cls: type[RequestError]) -> None:
    shared = cls("what happened")
    before = (shared.request, shared.phase, shared.sent)
    mine = shared.during(REQUEST, "body", sent=True)
    assert type(mine) is cls
    assert mine is not shared
    assert (mine.request, mine.phase, mine.sent) == (REQUEST, "body", True)
    assert (shared.request, shared.phase, shared.sent) == before


def test_error_during_a_request_keeps_what_its_class_adds() -> None:
    reset = StreamReset("reset", code=8).during(REQUEST, "body", sent=False)
    assert (reset.code, reset.sent) == (8, False)
    lost = ConnectionLost("lost")
    lost.unanswered = True
    assert lost.during(REQUEST, "head", sent=True).unanswered is True


def test_each_request_collects_its_own_traceback_and_notes_and_has_the_same_cause() -> None:
    cause = OSError("broken pipe")
    try:
        raise ConnectError("refused") from cause
    except ConnectError as error:
        shared = error
    shared.add_note("shared")
    phases: list[Phase] = ["connect", "tls"]
    copies = [shared.during(REQUEST, phase, sent=False) for phase in phases]
    for mine in copies:
        assert mine.__traceback__ is None
        assert mine.__cause__ is cause
        with pytest.raises(ConnectError) as caught:
            raise mine
        assert caught.value is mine
        mine.add_note(mine.phase)
    assert [mine.__notes__ for mine in copies] == [["shared", "connect"], ["shared", "tls"]]
    assert shared.__notes__ == ["shared"]
    assert len({id(mine.__traceback__) for mine in [shared, *copies]}) == 3


def test_error_without_notes_gets_none_by_copying() -> None:
    assert not hasattr(ConnectError("x").during(REQUEST, "connect", sent=False), "__notes__")


def test_invalid_request_can_be_caught_as_a_value_error() -> None:
    with pytest.raises(ValueError, match="bad"):
        raise InvalidRequest("bad")
