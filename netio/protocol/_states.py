"""The states of an HTTP/2 connection and of an exchange on it, and what leads from one to another.

A state is read off the object, never stored: there is nothing that could disagree with it. docs/http2.md is drawn from
the tables, and tests/http2/test_states.py walks every row with a real session.

A connection is
    provisional   until SETTINGS of the server have come: it takes STREAMS_BEFORE_SETTINGS requests;
    open          it takes as many as the server allows;
    paused        the server allows none for now (MAX_CONCURRENT_STREAMS is 0);
    leaving       it takes none any more, and ends with the last one that runs;
    closed        nothing runs on it.

An exchange is
    sending       the request body goes out, and the head of the response has not come;
    waiting       the request has ended, and the head has not come;
    both          the head has come while the body still goes out;
    receiving     the request has ended, and the body of the response comes;
    over          complete, or given up; its place on the connection is free.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from netio.protocol._exchange import Exchange
from netio.protocol._http2 import Http2Connection

State = Literal["provisional", "open", "paused", "leaving", "closed", "sending", "waiting", "both", "receiving", "over"]


class Row(NamedTuple):
    """What leads from one state to another."""

    before: State
    event: str
    after: State


CONNECTION_ROWS = (
    Row("provisional", "SETTINGS", "open"),
    Row("provisional", "no SETTINGS in time", "closed"),
    Row("provisional", "not HTTP/2", "closed"),
    Row("open", "limit of zero", "paused"),
    Row("paused", "limit above zero", "open"),
    Row("open", "GOAWAY", "leaving"),
    Row("paused", "GOAWAY", "leaving"),
    Row("open", "last stream id", "leaving"),
    Row("open", "421, or HTTP_1_1_REQUIRED", "leaving"),
    Row("leaving", "last exchange over", "closed"),
    Row("leaving", "lost", "closed"),
    Row("open", "no answer to PING", "closed"),
    Row("open", "broken frame or flood", "closed"),
    Row("open", "lost", "closed"),
    Row("open", "idle or used for too long", "closed"),
)

EXCHANGE_ROWS = (
    Row("sending", "end of the request", "waiting"),
    Row("sending", "head", "both"),
    Row("both", "end of the request", "receiving"),
    Row("both", "end of the response", "over"),
    Row("waiting", "head", "receiving"),
    Row("receiving", "end of the response", "over"),
    Row("sending", "reset", "over"),
    Row("waiting", "reset", "over"),
    Row("both", "reset", "over"),
    Row("receiving", "reset", "over"),
    Row("waiting", "cancelled or timed out", "over"),
    Row("receiving", "closed unread", "over"),
)


def state_of_connection(connection: Http2Connection) -> State:
    if connection.is_closed:
        return "closed"
    if connection.is_leaving:
        return "leaving"
    if connection.is_provisional:
        return "provisional"
    return "open" if connection.capacity else "paused"


def state_of_exchange(exchange: Exchange) -> State:
    if exchange.is_over:
        return "over"
    if exchange.upload is not None:
        return "sending" if exchange.message.head is None else "both"
    return "waiting" if exchange.message.head is None else "receiving"
