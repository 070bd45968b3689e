"""HPACK for requests (RFC 7541): an encoder that never evicts, and remembers what it has encoded.

It puts into the dynamic table what is likely to come again: a field that it sees for the second time. When the table is
full it puts in no more, so that after a few requests nothing changes, and the block of a head that was sent before is
sent again as it is. A head is known by identity: whoever sends the same request often keeps its `RequestHead`. Of one
that differs by its path and length only, what stands before and behind the path is known.

Before a block is kept, nothing in it may be about to be indexed, or it would stay literal for ever. An entry put in
shifts the index of every other one, so all that was kept is dropped then.

Strings are sent as they are. Huffman code would save a fifth of what is sent once.
"""

from __future__ import annotations

import re

from netio.headers import Field
from netio.wire._blocks import SECRETS, request_block
from netio.wire._contract import RequestHead, content_length
from netio.wire._contract2 import ENCODER_TABLE
from netio.wire._hpack_table import INDEX_OF_FIELD, INDEX_OF_NAME, STATIC_SIZE, size_of

_MAX_HEADS = 256
_MAX_RESTS = 64
_MAX_SEEN = 128
_MAX_INDEXED = 1_024  # bytes of one field: four would fill the table

# What differs from one request to the next.
_CHANGING = frozenset(
    (
        ":path",
        "content-length",
        "if-match",
        "if-modified-since",
        "if-none-match",
        "if-range",
        "if-unmodified-since",
        "range",
    )
)

_USUAL_PATH = re.compile(r"/[!-\"$-~]*").fullmatch  # what is a path and a request target as well

_Rest = tuple[str, str, str, tuple[Field, ...]]
"""All of a usual head but its path and its length."""


class Encoder:
    """Makes the header blocks of one connection. `keeps` turns off what it remembers, for tests."""

    __slots__ = (
        "_blocks",
        "_count",
        "_is_pending",
        "_least",
        "_limit",
        "_places",
        "_rests",
        "_seen",
        "_size",
        "keeps",
    )

    def __init__(self) -> None:
        self.keeps = True
        self._blocks: dict[RequestHead, bytes] = {}
        self._rests: dict[_Rest, tuple[bytes, bytes]] = {}
        self._places: dict[Field, int] = {}  # of each field in the table: how many went in before it
        self._count = 0
        self._size = 0
        self._limit = ENCODER_TABLE
        self._least: int | None = None  # the smallest limit since the last block, if there was a new one
        self._seen: set[Field] = set()
        self._is_pending = False  # the block holds a field that will be indexed when it comes again

    def set_limit(self, size: int) -> None:
        """Take the SETTINGS_HEADER_TABLE_SIZE of the peer.

        The table is given up. What the peer keeps of it is older than what will be put in, and evicted first.
        """
        limit = min(size, ENCODER_TABLE)
        if limit == self._limit:
            return
        self._limit = limit
        self._least = limit if self._least is None else min(self._least, limit)
        self._forget()
        self._places.clear()
        self._count = self._size = 0

    def block(self, head: RequestHead) -> bytes:
        """Return the block of a request. Raises `InvalidRequest`, and is then as before."""
        block = self._blocks.get(head)
        return block if block is not None else self._new_block(head)

    def _new_block(self, head: RequestHead) -> bytes:
        key = (head.method, head.scheme, head.authority, head.fields)
        block = self._with_known_rest(key, head)
        if block is None:
            fields = request_block(head)
            block = self.encode(fields)
            if self._is_pending or not self.keeps:
                return block
            if _is_usual(head):
                if len(self._rests) >= _MAX_RESTS:
                    self._rests.clear()
                last = len(fields) if content_length(head) is None else -1
                self._rests[key] = (self.encode(fields[:3]), self.encode(fields[4:last]))
        if len(self._blocks) >= _MAX_HEADS:
            self._blocks.clear()
        self._blocks[head] = block
        return block

    def _with_known_rest(self, key: _Rest, head: RequestHead) -> bytes | None:
        rest = self._rests.get(key)
        if rest is None or not _is_usual(head):
            return None
        path = self._field((":path", head.target))
        length = content_length(head)
        if length is None:
            return rest[0] + path + rest[1]
        return rest[0] + path + rest[1] + self._field(("content-length", str(length)))

    def _forget(self) -> None:
        self._blocks.clear()
        self._rests.clear()

    def encode(self, fields: list[Field]) -> bytes:
        """Return the block of fields that are as they should be."""
        count = self._count
        update = self._table_update()
        self._is_pending = False
        block = b"".join([self._field(field) for field in fields])
        if self._count != count:
            self._forget()
            self._is_pending = True  # the indexes of what stands before an entry put in are different now
        elif update:
            self._is_pending = True
        return update + block if update else block

    def _table_update(self) -> bytes:
        """Return what tells the peer of a new limit, with the smallest one between (section 4.2)."""
        least, limit = self._least, self._limit
        if least is None:
            return b""
        self._least = None
        update = integer(0x20, 5, limit)
        return update if least == limit else integer(0x20, 5, least) + update

    def _field(self, field: Field) -> bytes:
        index = INDEX_OF_FIELD.get(field)
        if index is not None:
            return bytes((0x80 | index,))
        place = self._places.get(field)
        if place is not None:
            return integer(0x80, 7, STATIC_SIZE + self._count - place)
        name, value = field
        named = INDEX_OF_NAME.get(name, 0)
        if name in SECRETS:
            form = integer(0x10, 4, named)
        elif self._is_to_be_indexed(field):
            form = integer(0x40, 6, named)
            self._places[field] = self._count
            self._count += 1
            self._size += size_of(field)
        else:
            form = integer(0, 4, named)
        return form + string(value) if named else form + string(name) + string(value)

    def _is_to_be_indexed(self, field: Field) -> bool:
        size = size_of(field)
        if field[0] in _CHANGING or size > _MAX_INDEXED or self._size + size > self._limit:
            return False
        if field in self._seen:
            self._seen.discard(field)
            return True
        if len(self._seen) >= _MAX_SEEN:
            self._seen.clear()
        self._seen.add(field)
        self._is_pending = True
        return False


def _is_usual(head: RequestHead) -> bool:
    """Whether the head is a plain request whose path and length are as they should be."""
    if head.method == "CONNECT" or head.protocol is not None or head.upgrade is not None:
        return False
    return _USUAL_PATH(head.target) is not None and (head.length is None or head.length >= 0)


def integer(form: int, prefix: int, number: int) -> bytes:
    """Return an integer behind the bits of its form (section 5.1)."""
    most = (1 << prefix) - 1
    if number < most:
        return bytes((form | number,))
    encoded = bytearray((form | most,))
    number -= most
    while number > 127:
        encoded.append(number & 127 | 128)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def string(text: str) -> bytes:
    """Return a string literal as it is (section 5.2)."""
    data = text.encode("latin-1")
    return bytes((len(data),)) + data if len(data) < 127 else integer(0, 7, len(data)) + data
