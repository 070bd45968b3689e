"""HPACK for responses (RFC 7541): from block bytes to a validated head, most often without looking at a single field.

Three things are remembered, each bounded and dropped as a whole when full:

* a block as it is. One without references to the dynamic table means the same for ever; one with them means the same
  while the table is as it was (`_version`). One that both refers to the table and changes it is not kept.
* a literal as it is, unless its name is a reference to the dynamic table: Huffman code and validation cost the most.
* an entry of the dynamic table was validated when it went in.

A known block that puts entries into the table, which nginx sends for every response, only notes them (`_pending`): they
go in when somebody may look.

The size of a decoded list is counted while it is being decoded (HAZARDS H2-02), 32 bytes a field included.
"""

from __future__ import annotations

from netio.errors import ProtocolError
from netio.headers import Field
from netio.wire._blocks import announced_length, fault_of, response_head, response_trailers
from netio.wire._contract import MAX_HEAD_BYTES, MAX_HEAD_FIELDS, ResponseHead
from netio.wire._contract2 import ErrorCode
from netio.wire._frames import FrameError
from netio.wire._hpack_table import FIELD_OVERHEAD, STATIC, STATIC_SIZE, size_of
from netio.wire._huffman import HuffmanError
from netio.wire._huffman import decode as decode_huffman

TABLE_LIMIT = 4_096  # what a peer may use as nobody told it otherwise (RFC 9113 section 6.5.2)

_MAX_BLOCKS = 64
_MAX_BLOCK_BYTES = 2_048
_MAX_LITERALS = 256
_MAX_LITERAL_BYTES = 256
_MAX_PENDING = 1_024
_MAX_INTEGER_BYTES = 5  # behind the prefix; enough for everything below 2**28 (section 5.1 asks for a limit)

_PLAIN, _LENGTH, _FAULTY = 0, 1, 2  # what a field means for its head

Entry = tuple[Field, int, int]
"""A field, its size, and what it means for its head."""


def _entry(field: Field) -> Entry:
    if fault_of(field) is not None:
        return field, size_of(field), _FAULTY
    return field, size_of(field), _LENGTH if field[0] == "content-length" else _PLAIN


_STATIC_ENTRIES = [_entry(field) for field in STATIC]


class Block:
    """What a header block means: a head, or trailers, or a fault of the stream.

    `length` is the Content-Length of a head, -1 if it has none.
    """

    __slots__ = ("fault", "head", "inserts", "length", "trailers", "version")

    def __init__(self) -> None:
        self.head: ResponseHead | None = None
        self.trailers: tuple[Field, ...] | None = None
        self.length = -1
        self.fault = "the response head has no status"
        self.inserts: tuple[Entry, ...] = ()
        self.version: int | None = None
        """The version of the table that it refers to, None if it does not."""


def _judged(entries: list[Entry]) -> Block:
    block = Block()
    fields = [entry[0] for entry in entries]
    meaning = 0
    for entry in entries[1:]:
        meaning |= entry[2]
    try:
        if not fields or fields[0][0] != ":status":
            block.trailers = response_trailers(fields)
        elif meaning & _FAULTY or len(fields) > MAX_HEAD_FIELDS or fields[0][1] not in _USUAL_STATUSES:
            block.head = response_head(fields)
        else:
            block.head = ResponseHead(int(fields[0][1]), "", "HTTP/2", tuple(fields[1:]))
        if meaning & _LENGTH and block.head is not None:
            length = announced_length(fields)
            block.length = -1 if length is None else length
    except ProtocolError as error:
        block.head = None
        block.fault = str(error)
    return block


_USUAL_STATUSES = frozenset(str(status) for status in range(200, 600))


class Decoder:
    """Reads the header blocks of one connection. `keeps` turns off what it remembers, for tests."""

    __slots__ = (
        "_blocks",
        "_first",
        "_inserts",
        "_is_dynamic",
        "_is_resized",
        "_limit",
        "_literals",
        "_pending",
        "_size",
        "_table",
        "_version",
        "keeps",
    )

    def __init__(self) -> None:
        self.keeps = True
        self._blocks: dict[bytes, Block] = {}
        self._literals: dict[bytes, Entry] = {}
        self._table: list[Entry] = []  # the oldest first; those before `_first` are evicted
        self._first = 0
        self._size = 0
        self._limit = TABLE_LIMIT
        self._version = 0
        self._pending: list[Entry] = []
        # Of the block that is being read:
        self._inserts: list[Entry] = []
        self._is_dynamic = False
        self._is_resized = False

    def decode(self, data: bytes) -> Block:
        """Return what a whole header block means. Raises `FrameError`, after which the decoder is of no use."""
        block = self._blocks.get(data)
        if block is None:
            return self._new_block(data)
        if block.version is None:
            if block.inserts:
                self._pending += block.inserts
                self._version += 1
                if len(self._pending) > _MAX_PENDING:
                    self._settle()
            return block
        return block if block.version == self._version else self._new_block(data)

    def _new_block(self, data: bytes) -> Block:
        block = _judged(self.entries(data))
        if self._inserts or self._is_resized:
            self._version += 1
        is_lasting = not self._is_resized and not (self._is_dynamic and self._inserts)
        if self.keeps and is_lasting and len(data) <= _MAX_BLOCK_BYTES:
            block.inserts = tuple(self._inserts)
            block.version = self._version if self._is_dynamic else None
            if len(self._blocks) >= _MAX_BLOCKS:
                self._blocks.clear()
            self._blocks[data] = block
        return block

    def entries(self, data: bytes) -> list[Entry]:
        """Return the fields of a block, one by one. Raises `FrameError`."""
        if self._pending:
            self._settle()
        self._inserts.clear()
        self._is_dynamic = self._is_resized = False
        try:
            return self._read(data)
        except IndexError:
            raise _broken("ends in the middle of a field") from None
        except HuffmanError as error:
            raise _broken(str(error)) from None

    def _read(self, data: bytes) -> list[Entry]:
        entries: list[Entry] = []
        position, end, total = 0, len(data), 0
        while position < end:
            byte = data[position]
            if byte >= 0x80:
                index = byte & 0x7F
                position += 1
                if index == 0x7F:
                    index, position = _integer(data, position, index)
                entry = _STATIC_ENTRIES[index] if 0 < index <= STATIC_SIZE else self._dynamic(index)
            elif 0x20 <= byte < 0x40:
                if entries:
                    raise _broken("changes the size of the table after its begin")
                position = self._resize(data, position)
                continue
            else:
                entry, position = self._literal(data, position)
                if byte & 0x40:
                    self._insert(entry)
                    self._inserts.append(entry)
            entries.append(entry)
            total += entry[1]
            if total > MAX_HEAD_BYTES:
                raise _too_large()
        return entries

    def _literal(self, data: bytes, begin: int) -> tuple[Entry, int]:
        """Return the entry that a literal makes, and where it ends."""
        most = 0x3F if data[begin] & 0x40 else 0x0F
        index = data[begin] & most
        position = begin + 1
        if index == most:
            index, position = _integer(data, position, index)
        name_at = position
        if not index:
            position = _string_end(data, position)
        value_at = position
        end = _string_end(data, position)
        is_known_name = index <= STATIC_SIZE
        if is_known_name:
            entry = self._literals.get(data[begin:end])
            if entry is not None:
                return entry, end
        if not index:
            name = _string(data, name_at, value_at)
        else:
            name = STATIC[index][0] if is_known_name else self._dynamic(index)[0][0]
        entry = _entry((name, _string(data, value_at, end)))
        if is_known_name and self.keeps and end - begin <= _MAX_LITERAL_BYTES:
            if len(self._literals) >= _MAX_LITERALS:
                self._literals.clear()
            self._literals[data[begin:end]] = entry
        return entry, end

    def _dynamic(self, index: int) -> Entry:
        self._is_dynamic = True
        place = len(self._table) + STATIC_SIZE - index
        if place < self._first or not index:
            raise _broken(f"refers to entry {index}, which is in no table")
        return self._table[place]

    def _settle(self) -> None:
        pending = self._pending[-(TABLE_LIMIT // FIELD_OVERHEAD) :]  # more do not fit
        self._pending.clear()
        for entry in pending:
            self._insert(entry)

    def _insert(self, entry: Entry) -> None:
        """Put an entry in; one larger than the table empties it (section 4.4)."""
        self._evict(self._limit - entry[1])
        if entry[1] <= self._limit:
            self._table.append(entry)
            self._size += entry[1]

    def _evict(self, limit: int) -> None:
        table, first, size = self._table, self._first, self._size
        while size > limit and first < len(table):
            size -= table[first][1]
            first += 1
        if first > TABLE_LIMIT // FIELD_OVERHEAD:
            del table[:first]
            first = 0
        self._first, self._size = first, size

    def _resize(self, data: bytes, position: int) -> int:
        limit = data[position] & 0x1F
        position += 1
        if limit == 0x1F:
            limit, position = _integer(data, position, limit)
        if limit > TABLE_LIMIT:
            raise _broken(f"makes the table {limit} bytes large where {TABLE_LIMIT} are allowed")
        self._is_resized = True
        self._limit = limit
        self._evict(limit)
        return position


def _integer(data: bytes, position: int, number: int) -> tuple[int, int]:
    """Return the integer that goes on behind its prefix, and where it ends (section 5.1)."""
    for shift in range(0, 7 * _MAX_INTEGER_BYTES, 7):
        byte = data[position]
        position += 1
        number += (byte & 0x7F) << shift
        if byte < 0x80:
            return number, position
    raise _broken(f"has an integer of more than {_MAX_INTEGER_BYTES} bytes")


def _string_end(data: bytes, position: int) -> int:
    length = data[position] & 0x7F
    position += 1
    if length == 0x7F:
        length, position = _integer(data, position, length)
    if position + length > len(data):
        raise IndexError
    if length > MAX_HEAD_BYTES:
        raise _too_large()
    return position + length


def _string(data: bytes, position: int, end: int) -> str:
    """Return the string literal between two places (section 5.2)."""
    byte = data[position]
    position += 1
    if byte & 0x7F == 0x7F:
        _, position = _integer(data, position, 0x7F)
    return decode_huffman(data[position:end]) if byte & 0x80 else data[position:end].decode("latin-1")


def _broken(what: str) -> FrameError:
    return FrameError(ErrorCode.COMPRESSION_ERROR, f"sent a header block that {what}")


def _too_large() -> FrameError:
    message = f"sent a header block of more than {MAX_HEAD_BYTES:,} bytes (MAX_HEAD_BYTES)"
    return FrameError(ErrorCode.ENHANCE_YOUR_CALM, message)
