"""A live connection that speaks HTTP/1.1 or HTTP/2, written once against Link and the engine contracts."""

from netio.protocol._attempt import Attempt
from netio.protocol._connection import LOOK_AFTER, Connection, Environment, Owner
from netio.protocol._exchange import Exchange
from netio.protocol._http1 import Http1Connection
from netio.protocol._http2 import Http2Connection
from netio.protocol._pulse import PingTimes

__all__ = [
    "LOOK_AFTER",
    "Attempt",
    "Connection",
    "Environment",
    "Exchange",
    "Http1Connection",
    "Http2Connection",
    "Owner",
    "PingTimes",
]
