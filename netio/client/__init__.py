"""What the user holds: the session."""

from netio.client._batch import Batch, Outcome
from netio.client._build import RequestOptions, TimeoutInput
from netio.client._session import Session, SessionStats, StreamContext

__all__ = ["Batch", "Outcome", "RequestOptions", "Session", "SessionStats", "StreamContext", "TimeoutInput"]
