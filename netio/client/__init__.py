"""What the user holds: the session."""

from netio.client._batch import Batch, Outcome
from netio.client._build import RequestOptions, TimeoutInput
from netio.client._download import Download
from netio.client._event_stream import ServerSentEvent
from netio.client._session import Session
from netio.client._sse import EventStream
from netio.client._stats import OriginStats, SessionStats
from netio.client._stream import StreamContext

__all__ = [
    "Batch",
    "Download",
    "EventStream",
    "OriginStats",
    "Outcome",
    "RequestOptions",
    "ServerSentEvent",
    "Session",
    "SessionStats",
    "StreamContext",
    "TimeoutInput",
]
