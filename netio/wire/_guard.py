"""The limits on floods around h2, which has next to none itself (HAZARDS H2-06, H2-07, H2-08)."""

from __future__ import annotations

from netio.wire._budget import FrameBudget
from netio.wire._contract2 import MAX_ANSWERS, MAX_USELESS, ErrorCode, Http2Engine
from netio.wire._frames import HEADER_SIZE, Flag, Frame, FrameError, Kind, too_many
from netio.wire._streams import StreamTable

_ALWAYS_USELESS = frozenset((Kind.PRIORITY, Kind.GOAWAY, Kind.WINDOW_UPDATE))


class FloodGuard:
    """Looks at each frame before h2 does. `useful` counts requests, DATA sent and answers to PINGs (MAX_USELESS)."""

    __slots__ = ("_budget", "_engine", "_table", "_wasted", "answers", "useful")

    def __init__(self, engine: Http2Engine, table: StreamTable) -> None:
        self._engine = engine
        self._table = table
        self._budget = FrameBudget()
        self._wasted = 0  # bytes of DATA that nobody could use: padding, or for streams that were given up
        self.useful = 0
        self.answers = 0
        """How many acknowledgements were queued since output was taken."""

    def count(self, frame: Frame) -> None:
        """Raise `FrameError` for one frame too many."""
        kind = frame.kind
        if kind == Kind.DATA:
            self._count_data(frame)
        elif kind in _ALWAYS_USELESS or kind > Kind.CONTINUATION:
            self.count_useless()
        elif kind in (Kind.PING, Kind.SETTINGS):
            if not frame.flags & Flag.ACK:
                if kind == Kind.PING or self._engine.has_settings:
                    self.count_useless()
                self._count_answer()
        elif kind in (Kind.HEADERS, Kind.RST_STREAM) and frame.stream_id not in self._table.open:
            if kind == Kind.RST_STREAM and frame.stream_id > self._table.h2.highest_outbound_stream_id:
                message = f"reset stream {frame.stream_id}, which no request opened"
                raise FrameError(ErrorCode.PROTOCOL_ERROR, message)
            self.count_useless()

    def _count_data(self, frame: Frame) -> None:
        flow = len(frame.raw) - HEADER_SIZE
        self._engine.data_received += flow
        if frame.stream_id in self._table.open:
            self._wasted += flow - max(frame.data_size, 0)
            if frame.data_size <= 0 and not frame.flags & Flag.END_STREAM:
                self.count_useless()
            return
        self._wasted += flow
        if frame.stream_id in self._table.given_up:
            left = self._table.given_up.take(frame.stream_id, flow)
            if left is not None and left < 0:
                message = f"sent more than the window of stream {frame.stream_id} allows"
                raise FrameError(ErrorCode.FLOW_CONTROL_ERROR, message)
            if left is None or not flow:
                self.count_useless()
        else:
            self.count_useless()
            self._count_answer()

    def count_useless(self) -> None:
        if not self._budget.spend(self.useful + (self._engine.data_received - self._wasted >> 8)):
            raise too_many("frames that bring nothing", MAX_USELESS, "MAX_USELESS")

    def _count_answer(self) -> None:
        self.answers += 1
        if self.answers > MAX_ANSWERS:
            raise too_many("frames that want an answer, and takes none", MAX_ANSWERS, "MAX_ANSWERS")
