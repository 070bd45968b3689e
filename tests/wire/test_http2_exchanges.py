"""Exchanges of random shape with h2's server: what arrives is what was sent, on both sides."""

from __future__ import annotations

from random import Random

import pytest

from netio.wire import FastHttp2, Http2Engine
from tests.wire.engines import HTTP2_ENGINES, is_long
from tests.wire.http2_exchanges import Run

EACH = 20  # exchanges on one connection


class ForgetfulHttp2(FastHttp2):
    """The same engine without anything remembered of header blocks."""

    def __init__(self, **windows: int) -> None:
        super().__init__(**windows)
        self._encoder.keeps = self._decoder.keeps = False


KINDS: list[type[Http2Engine]] = [*HTTP2_ENGINES, ForgetfulHttp2]


@pytest.mark.fuzz
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_what_arrives_is_what_was_sent(kind: type[Http2Engine]) -> None:
    count = 5_000 if is_long() else 200 if kind in HTTP2_ENGINES else 60
    for seed in range(count // EACH):
        Run(kind, Random(seed), EACH).run()
