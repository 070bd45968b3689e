"""Which engines a pool speaks with: netio's own, or those on h11 and h2, which are imported when they are used."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

from netio.wire._contract import Http1Engine
from netio.wire._contract2 import Http2Engine
from netio.wire._fast1 import FastHttp1
from netio.wire._fast2 import FastHttp2
from netio.wire._head1 import HeadCache

EngineName = Literal["fast", "reference"]


class Engines(ABC):
    """Makes the engine of each connection of one pool."""

    @abstractmethod
    def http1(self) -> Http1Engine: ...

    @abstractmethod
    def http2(self) -> Http2Engine: ...


class FastEngines(Engines):
    """netio's own; the connections of a pool share the cache of parsed heads."""

    def __init__(self) -> None:
        self._heads = HeadCache()

    def http1(self) -> Http1Engine:
        return FastHttp1(self._heads)

    def http2(self) -> Http2Engine:
        return FastHttp2()


class ReferenceEngines(Engines):
    """h11 and h2."""

    def http1(self) -> Http1Engine:
        from netio.wire._reference1 import ReferenceHttp1

        return ReferenceHttp1()

    def http2(self) -> Http2Engine:
        from netio.wire._reference2 import ReferenceHttp2

        return ReferenceHttp2()


ENGINES: Mapping[EngineName, type[Engines]] = MappingProxyType({"fast": FastEngines, "reference": ReferenceEngines})
