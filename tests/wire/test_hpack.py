"""netio's own HPACK (RFC 7541): the examples of the RFC, the library hpack at the other end, and broken blocks."""

from __future__ import annotations

import re

import hpack
import pytest
from hpack.huffman_constants import REQUEST_CODES, REQUEST_CODES_LENGTH
from hypothesis import given
from hypothesis import strategies as st

from netio.headers import Field
from netio.wire import MAX_HEAD_BYTES, ErrorCode
from netio.wire._frames import FrameError
from netio.wire._hpack_decoder import Decoder, _integer
from netio.wire._hpack_encoder import Encoder, integer, string
from netio.wire._hpack_table import STATIC
from netio.wire._huffman import HuffmanError, codes
from netio.wire._huffman import decode as decode_huffman
from tests.wire.hpack_examples import EXAMPLES


def fields_of(decoder: Decoder, data: bytes) -> list[Field]:
    return [entry[0] for entry in decoder.entries(data)]


def octets(text: str) -> bytes:
    return bytes.fromhex(text.replace(" ", ""))


@pytest.mark.parametrize("name", list(EXAMPLES))
def test_the_examples_of_the_rfc_are_read(name: str) -> None:
    sent, expected = EXAMPLES[name]
    decoder = Decoder()
    assert [fields_of(decoder, octets(block)) for block in sent] == expected


@pytest.mark.parametrize(("prefix", "number", "encoded"), [(5, 10, "0a"), (5, 1337, "1f9a0a"), (8, 42, "2a")])
def test_the_integers_of_the_rfc_are_written_and_read(prefix: int, number: int, encoded: str) -> None:
    assert integer(0, prefix, number) == octets(encoded)
    if number >= (1 << prefix) - 1:
        assert _integer(octets(encoded), 1, (1 << prefix) - 1) == (number, len(encoded) // 2)


@given(number=st.integers(0, 2**28), prefix=st.integers(4, 7))
def test_integers_come_back(number: int, prefix: int) -> None:
    data = integer(0, prefix, number)
    most = (1 << prefix) - 1
    assert (data[0], 1) == (number, len(data)) if number < most else _integer(data, 1, most) == (number, len(data))


def test_the_huffman_code_is_the_one_of_the_rfc() -> None:
    assert codes() == list(zip(REQUEST_CODES, REQUEST_CODES_LENGTH, strict=True))


def test_the_static_table_is_the_one_of_the_rfc() -> None:
    expected = [(name.decode(), value.decode()) for name, value in hpack.table.HeaderTable.STATIC_TABLE]
    assert list(STATIC[1:]) == expected


# The library at the other end

names = st.text("abcdxyz-:0129_", min_size=1, max_size=12)
values = st.text(st.characters(max_codepoint=255), max_size=40)
lists = st.lists(st.tuples(st.one_of(st.sampled_from([field[0] for field in STATIC[1:]]), names), values), max_size=8)
sizes = st.one_of(st.none(), st.sampled_from([0, 1, 31, 64, 100, 4095, 4096, 65_536]))


def as_bytes(fields: list[Field]) -> list[tuple[bytes, bytes]]:
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in fields]


@given(blocks=st.lists(st.tuples(sizes, sizes, lists), max_size=12), repeats=st.integers(1, 3))
def test_what_we_write_the_library_reads(
    blocks: list[tuple[int | None, int | None, list[Field]]], repeats: int
) -> None:
    encoder, library = Encoder(), hpack.Decoder()
    for first, second, fields in blocks:
        for size in (first, second):  # the last word counts, the smallest one must be told
            if size is not None:
                encoder.set_limit(size)
                library.max_allowed_table_size = size
        for _ in range(repeats):
            assert [tuple(field) for field in library.decode(encoder.encode(fields), raw=True)] == as_bytes(fields)
        assert library.header_table_size <= 4096


@given(blocks=st.lists(st.tuples(sizes, sizes, lists, st.booleans()), max_size=12), keeps=st.booleans())
def test_what_the_library_writes_we_read(
    blocks: list[tuple[int | None, int | None, list[Field], bool]], keeps: bool
) -> None:
    library, decoder = hpack.Encoder(), Decoder()
    decoder.keeps = keeps
    for first, second, fields, huffman in blocks:
        for size in (first, second):
            # The library forgets to tell of a new size when it is told the same one again.
            if size is not None and min(size, 4096) != library.header_table_size:
                library.header_table_size = min(size, 4096)
        assert fields_of(decoder, library.encode(as_bytes(fields), huffman=huffman)) == fields


pieces = st.sampled_from(
    [
        b"\x88",  # :status 200
        b"\x82",
        b"\xbe",  # the first three of the dynamic table
        b"\xbf",
        b"\xc0",
        b"\x40\x01a\x01b",  # into it
        b"\x40\x01c\x01d",
        b"\x5c\x015",  # content-length: 5
        b"\x5c\x02+5",
        b"\x7e\x01v",  # with the name of its first
        b"\x0f\x2f\x01v",
        b"\x20",  # a new size
        b"\x3f\x45",
    ]
)
few_blocks = st.lists(st.lists(pieces, max_size=4).map(b"".join), min_size=1, max_size=4)


@given(blocks=few_blocks, order=st.lists(st.integers(0, 3), max_size=20))
def test_blocks_that_are_remembered_mean_the_same_as_those_that_are_read(blocks: list[bytes], order: list[int]) -> None:
    """The same blocks come again and again, with and without changes of the table between them."""
    remembering, reading = Decoder(), Decoder()
    reading.keeps = False
    for number in order:
        data = b"\x88" + blocks[number % len(blocks)] if number == 3 else blocks[number % len(blocks)]
        expected = meaning(reading, data)
        assert meaning(remembering, data) == expected
        if isinstance(expected, ErrorCode):
            break  # after a fault a decoder is of no use


def meaning(decoder: Decoder, data: bytes) -> object:
    try:
        block = decoder.decode(data)
    except FrameError as error:
        return error.code
    head = block.head
    return (head.status, head.fields) if head else None, block.trailers, block.length, block.fault


# What is remembered


def test_a_field_is_indexed_when_it_comes_again_and_then_nothing_changes() -> None:
    encoder = Encoder()
    fields = [(":method", "GET"), ("user-agent", "netio"), ("x-name", "value")]
    sizes = [len(encoder.encode(fields)) for _ in range(5)]
    assert sizes[0] > sizes[2] == sizes[3] == sizes[4] == 3


def test_what_is_remembered_is_bounded_and_still_right() -> None:
    """More blocks, literals and fields than are kept, each several times."""
    library, decoder, encoder = hpack.Encoder(), Decoder(), Encoder()
    reader = hpack.Decoder()
    for _ in range(3):
        for number in range(400):
            fields = [(":status", "200"), ("x-number", str(number)), ("x-even", str(number // 2))]
            block = decoder.decode(library.encode(as_bytes(fields)))
            assert block.head is not None
            assert block.head.fields == tuple(fields[1:])
            assert [tuple(field) for field in reader.decode(encoder.encode(fields), raw=True)] == as_bytes(fields)


def test_entries_that_are_only_noted_are_in_the_table_when_somebody_looks() -> None:
    """The same block puts the same entries in again and again, as nginx does."""
    noting, reading = Decoder(), Decoder()
    reading.keeps = False
    block = b"\x88" + b"".join(b"\x40" + string(f"x-{number}") + string("v") for number in range(7))
    for _ in range(400):
        for decoder in (noting, reading):
            assert decoder.decode(block).head is not None
    whole = b"\x88" + b"".join(integer(0x80, 7, 62 + place) for place in range(100))
    assert fields_of(noting, whole) == fields_of(reading, whole)


def test_what_changes_from_request_to_request_is_never_put_into_the_table() -> None:
    encoder, library = Encoder(), hpack.Decoder()
    for number in range(50):
        library.decode(encoder.encode([(":path", f"/{number % 2}"), ("content-length", "7"), ("x-id", str(number))]))
    assert list(library.header_table.dynamic_entries) == []


def test_h2_05_the_table_is_filled_and_never_overfilled() -> None:
    encoder, library = Encoder(), hpack.Decoder()
    fields = [(f"x-{number}", "v" * 100) for number in range(60)]
    for _ in range(4):
        library.decode(encoder.encode(fields))
    entries = library.header_table.dynamic_entries
    assert 3900 < sum(len(name) + len(value) + 32 for name, value in entries) <= 4096
    assert entries[-1] == (b"x-0", b"v" * 100)  # the first one that came; it was not evicted


@pytest.mark.parametrize("name", ["authorization", "cookie", "proxy-authorization", "set-cookie", "x-api-key"])
def test_secrets_are_marked_and_never_put_into_the_table(name: str) -> None:
    encoder, library = Encoder(), hpack.Decoder()
    for _ in range(4):
        heard = library.decode(encoder.encode([(name, "secret")]), raw=True)
        assert [type(field) for field in heard] == [hpack.NeverIndexedHeaderTuple]
    assert list(library.header_table.dynamic_entries) == []


# Broken blocks (HAZARDS H2-04)


def refused(data: bytes, decoder: Decoder | None = None) -> ErrorCode:
    with pytest.raises(FrameError) as caught:
        (decoder or Decoder()).entries(data)
    return caught.value.code


def test_h2_04_every_prefix_of_a_block_is_read_or_refused() -> None:
    block = octets(EXAMPLES["C.6"][0][0])
    whole = fields_of(Decoder(), block)
    read: list[list[Field]] = []
    for size in range(len(block) + 1):
        try:
            read.append(fields_of(Decoder(), block[:size]))
        except FrameError as error:
            assert error.code == ErrorCode.COMPRESSION_ERROR
    assert read == [[], *[whole[:size] for size in range(len(whole) + 1)]]  # nothing, the resize, then field by field


BROKEN = {
    "index 0": "80",
    "index behind the tables": "be",
    "index far behind the tables": "ffffffff7f",
    "name behind the tables": "7e0161",
    "literal without value": "400161",
    "string longer than the block": "40056162",
    "string of a length that runs away": "407fffffffff7f",
    "integer of six bytes": "ff808080808000",
    "endless integer": "ff" + "80" * 1000 + "01",
    "endless length": "40ff" + "ff" * 1000,
    "resize after a field": "8820",
    "table larger than allowed": "3fe220",
    "table very much larger": "3fffffffff07",
    "Huffman string with EOS": "4084ffffffff0161",
    "Huffman string with EOS inside": "40861fffffffffff0161",
    "Huffman padding of zeros": "00811f" + "8100" + "0161",
    "Huffman padding of a whole byte": "0082" + "1fff" + "0161",
    "Huffman padding of nothing": "0081ff0161",
}


@pytest.mark.parametrize("name", list(BROKEN))
def test_h2_04_what_is_no_hpack_is_a_compression_error(name: str) -> None:
    assert refused(octets(BROKEN[name])) is ErrorCode.COMPRESSION_ERROR


def test_h2_04_a_huffman_string_may_be_padded_by_at_most_seven_ones() -> None:
    for symbol, (code, length) in enumerate(codes()[:256]):
        padding = -length % 8
        data = (code << padding | (1 << padding) - 1).to_bytes((length + padding) // 8, "big")
        assert decode_huffman(data) == chr(symbol)
        with pytest.raises(HuffmanError):
            decode_huffman(data + b"\xff")


@given(data=st.binary(max_size=60))
def test_h2_04_any_bytes_are_read_as_the_library_reads_them_or_refused(data: bytes) -> None:
    library = hpack.Decoder()
    try:
        expected = [tuple(field) for field in library.decode(data, raw=True)]
    except hpack.HPACKError:
        refused(data)
        return
    try:
        found = fields_of(Decoder(), data)
    except FrameError as error:
        assert re.search(r"more than 5 bytes|MAX_HEAD_BYTES", str(error))
        return
    assert as_bytes(found) == expected


def test_h2_04_table_sizes_without_end_take_linear_time() -> None:
    decoder = Decoder()
    for data in (b"\x20" * 100_000, (b"\x20\x3f\xe1\x1f" * 25_000)):
        assert decoder.entries(data) == []
    assert fields_of(decoder, b"\x40\x01a\x01b\xbe") == [("a", "b"), ("a", "b")]


# Bombs (HAZARDS H2-02, H2-03)


def test_h2_02_references_to_one_big_entry_are_counted_while_they_are_read() -> None:
    decoder = Decoder()
    value = "v" * 4000
    put_in = integer(0x40, 6, 0) + string("x") + string(value)
    each = 1 + 4000 + 32
    fits = MAX_HEAD_BYTES // each
    assert len(decoder.entries(put_in)) == 1
    assert len(decoder.entries(b"\xbe" * fits)) == fits
    assert refused(b"\xbe" * 1_000_000, decoder) is ErrorCode.ENHANCE_YOUR_CALM


def test_h2_03_the_smallest_fields_count_32_bytes_more() -> None:
    smallest = b"\x82"  # :method GET, 10 bytes and 32
    fits = MAX_HEAD_BYTES // 42
    assert len(Decoder().entries(smallest * fits)) == fits
    assert refused(smallest * (fits + 1)) is ErrorCode.ENHANCE_YOUR_CALM


def test_a_list_of_just_the_limit_is_read() -> None:
    data = b"\x00" + string("x") + string("v" * (MAX_HEAD_BYTES - 33))
    assert len(Decoder().entries(data)) == 1
    assert refused(b"\x00" + string("x") + string("v" * (MAX_HEAD_BYTES - 32))) is ErrorCode.ENHANCE_YOUR_CALM


def test_an_entry_larger_than_the_table_empties_it() -> None:
    decoder = Decoder()
    decoder.entries(b"\x40\x01a\x01b")
    decoder.entries(b"\x40" + string("x") + string("v" * 4064))
    assert refused(b"\xbe", decoder) is ErrorCode.COMPRESSION_ERROR


def test_entries_are_evicted_oldest_first() -> None:
    decoder = Decoder()
    for number in range(1000):
        decoder.entries(b"\x40" + string(f"x-{number:04}") + string("v" * 60))
        kept = min(number + 1, 4096 // 98)
        found = fields_of(decoder, b"".join(integer(0x80, 7, 62 + place) for place in range(kept)))
        assert [name for name, _ in found] == [f"x-{number - place:04}" for place in range(kept)]
        if number % 100 == 99:
            library = Decoder()
            for later in range(number - 50, number + 1):
                library.entries(b"\x40" + string(f"x-{later:04}") + string("v" * 60))
            refused(integer(0x80, 7, 62 + kept), library)
