"""The decoders: the same as the standard library's however the body is cut, bounded, and strict about broken bodies."""

from __future__ import annotations

import gzip
import subprocess
import sys
import zlib
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netio.errors import DecodeError
from netio.policy import _codings
from netio.policy._codings import (
    MAX_CODINGS,
    STEP,
    WINDOW_LOG,
    BodyDecoder,
    DecodeLimits,
    Deflate,
    Members,
    _Inflated,
    coding_makers,
    codings_of,
)
from tests.policy.compressed import (
    CODINGS,
    LIMITS,
    NO_LIMITS,
    bomb,
    decode,
    encode,
    needs,
    outcome,
    pieces,
    raw_deflate,
    zstd,
)

every_coding = pytest.mark.parametrize("coding", CODINGS)
cuts = st.sampled_from([0, 1, 2, 3, 7, 64, 1_000])
bodies = st.one_of(st.binary(max_size=300), st.binary(max_size=20).map(lambda data: data * 5_000))


def _library(name: str) -> object:
    try:
        import_module(name)
    except ImportError:
        return pytest.param(name, marks=pytest.mark.skip(reason=f"{name} is not installed (extra `fast`)"))
    return name


@pytest.fixture(params=[_library(name) for name in ("zlib", "isal.isal_zlib", "zlib_ng.zlib_ng")], scope="module")
def inflate(request: pytest.FixtureRequest) -> Iterator[str]:
    """Decode gzip and deflate by one of the libraries, while the test runs."""
    library = import_module(request.param)
    makers = coding_makers()
    before = dict(makers)
    makers["gzip"] = lambda: Members("gzip", lambda: _Inflated(library, 31), may_be_padded=True)
    makers["deflate"] = lambda: Deflate(library)
    yield request.param
    makers.update(before)


# ---------------------------------------------------------------------- the same as others


@every_coding
@given(data=bodies, cut=cuts)
def test_what_was_encoded_comes_back_however_it_is_cut(coding: str, data: bytes, cut: int) -> None:
    assert decode(encode(data, coding), coding, cut=cut) == data


@given(data=bodies, cut=cuts, level=st.integers(0, 9))
def test_dec_05_deflate_is_read_with_and_without_its_wrapper(inflate: str, data: bytes, cut: int, level: int) -> None:
    assert decode(zlib.compress(data, level), "deflate", cut=cut) == data
    assert decode(raw_deflate(data), "deflate", cut=cut) == data


@given(parts=st.lists(bodies, min_size=1, max_size=4), padding=st.integers(0, 9), cut=cuts)
def test_dec_05_gzip_of_several_members_is_one_body(inflate: str, parts: list[bytes], padding: int, cut: int) -> None:
    data = b"".join(map(gzip.compress, parts)) + bytes(padding)
    assert gzip.decompress(data) == b"".join(parts)
    assert decode(data, "gzip", cut=cut) == b"".join(parts)


@given(data=bodies, change=st.tuples(st.integers(0), st.integers(1, 255)), cut=cuts)
def test_dec_05_a_changed_byte_is_what_the_standard_library_says(
    inflate: str, data: bytes, change: tuple[int, int], cut: int
) -> None:
    body = bytearray(gzip.compress(data, mtime=0))
    body[change[0] % len(body)] ^= change[1]
    try:
        expected: bytes | None = gzip.decompress(bytes(body))
    except (OSError, EOFError, zlib.error):
        expected = None
    found = outcome(bytes(body), "gzip", cut)
    assert found == outcome(bytes(body), "gzip", 1)
    # Flags that nobody sends: Python's gzip skips a checksum of the header, and overlooks those without a meaning.
    is_flagged = bool(body[3] & 0xE2)
    assert found == expected or (is_flagged and found is None)


@every_coding
@given(data=st.binary(max_size=200), cut=cuts)
def test_dec_05_garbage_is_refused_or_read_the_same_however_it_is_cut(coding: str, data: bytes, cut: int) -> None:
    assert outcome(data, coding, cut) == outcome(data, coding, 1)


@every_coding
def test_dec_05_every_truncated_body_is_an_error(coding: str) -> None:
    body = encode(bytes(range(256)) * 4, coding)
    for end in range(1, len(body)):
        with pytest.raises(DecodeError):
            decode(body[:end], coding)


@every_coding
@pytest.mark.parametrize("tail", [b"x", b"trailing", b"\0x", b"\x1f\x8b"])
@pytest.mark.parametrize("cut", [0, 1])
def test_dec_05_trailing_bytes_are_an_error(coding: str, tail: bytes, cut: int) -> None:
    with pytest.raises(DecodeError):
        decode(encode(b"body" * 100, coding) + tail, coding, cut=cut)


def test_dec_05_a_wrong_checksum_or_length_is_an_error(inflate: str) -> None:
    body = gzip.compress(b"body" * 100)
    for place in (-8, -4):
        broken = bytearray(body)
        broken[place] ^= 1
        with pytest.raises(DecodeError):
            decode(bytes(broken), "gzip")
    wrapped = bytearray(zlib.compress(b"body"))
    wrapped[-1] ^= 1
    with pytest.raises(DecodeError):
        decode(bytes(wrapped), "deflate")


@every_coding
def test_dec_05_a_body_without_a_byte_has_no_coding(coding: str) -> None:
    assert decode(b"", coding) == b""
    assert pieces(BodyDecoder([coding], NO_LIMITS, is_whole=True), [b"", b"", b""]) == []


@every_coding
def test_dec_05_chunks_without_a_byte_change_nothing(coding: str) -> None:
    body = encode(b"hello", coding)
    chunks = [b"", body[:3], b"", b"", body[3:], b""]
    assert b"".join(pieces(BodyDecoder([coding], NO_LIMITS, is_whole=True), chunks)) == b"hello"


@pytest.mark.parametrize("coding", [needs("zstd")])
def test_dec_05_zstd_of_several_frames_and_with_a_skippable_one(coding: str) -> None:
    skippable = b"\x50\x2a\x4d\x18" + (5).to_bytes(4, "little") + b"hello"
    for cut in (0, 1, 9):
        assert decode(encode(b"one", coding) + skippable + encode(b"two", coding), coding, cut=cut) == b"onetwo"


# ---------------------------------------------------------------------- bounds


@every_coding
@pytest.mark.parametrize("is_whole", [True, False])
def test_dec_01_a_bomb_ends_at_a_limit_with_a_name(coding: str, is_whole: bool) -> None:
    with pytest.raises(DecodeError, match=r"more than 1000 times \(Decode.max_ratio\)"):
        decode(bomb(coding), coding, limits=LIMITS, is_whole=is_whole)


@pytest.mark.parametrize("codings", [("gzip", "gzip"), ("gzip",) * 5, ("deflate", "gzip", "deflate")])
def test_dec_02_a_stacked_bomb_ends_at_a_limit_with_a_name(codings: tuple[str, ...]) -> None:
    with pytest.raises(DecodeError, match=r"Decode.max_ratio"):
        decode(bomb(*codings), *codings, limits=LIMITS)


def test_dec_02_a_bomb_in_the_middle_of_a_stack_is_seen() -> None:
    """What the inner coding makes of it is nothing at all: the comment in its header does not end."""
    body = gzip.compress(b"\x1f\x8b\x08\x10" + bytes(6) + b"x" * 20_000_000)
    with pytest.raises(DecodeError, match=r"Decode.max_ratio"):
        decode(body, "gzip", "gzip", limits=LIMITS)
    limits = DecodeLimits(max_body=1 << 20, max_stream=None, max_ratio=None, ratio_from=0)
    with pytest.raises(DecodeError, match=r"Decode.max_body"):
        decode(body, "gzip", "gzip", limits=limits)


def test_dec_01_refusing_ten_gibibytes_costs_no_memory(tmp_path: Path) -> None:
    pytest.importorskip("resource", reason="Windows does not say how much memory a process has used")
    stacks = [stack for stack in (["gzip"], ["br"], ["zstd"], ["gzip", "gzip"]) if stack[0] in coding_makers()]
    paths = [tmp_path / "-".join(stack) for stack in stacks]
    for path, stack in zip(paths, stacks, strict=True):
        path.write_bytes(bomb(*stack))
    command = [sys.executable, "-m", "tests.policy.compressed", *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2], check=True)
    unit = 1024 if sys.platform == "darwin" else 1
    grown = [int(line) // unit for line in done.stdout.split()]
    assert len(grown) == len(stacks)
    assert max(grown) <= 16 * 1024


@every_coding
def test_dec_01_what_comes_out_comes_in_bounded_pieces(coding: str) -> None:
    found = pieces(BodyDecoder([coding], NO_LIMITS, is_whole=True), [encode(bytes(20_000_000), coding)])
    assert sum(map(len, found)) == 20_000_000
    assert max(map(len, found)) <= STEP


@every_coding
def test_dec_01_the_absolute_limits_hold_to_the_byte(coding: str) -> None:
    def limits(size: int) -> DecodeLimits:
        return DecodeLimits(max_body=size, max_stream=2 * size, max_ratio=None, ratio_from=0)

    body = encode(bytes(range(250)) * 4_000, coding)
    assert len(decode(body, coding, limits=limits(1_000_000), is_whole=True)) == 1_000_000
    assert len(decode(body, coding, limits=limits(500_000), is_whole=False)) == 1_000_000
    with pytest.raises(DecodeError, match=r"larger than 999999 bytes \(Decode.max_body\)"):
        decode(body, coding, limits=limits(999_999), is_whole=True)
    with pytest.raises(DecodeError, match=r"larger than 999998 bytes \(Decode.max_stream\)"):
        decode(body, coding, limits=limits(499_999), is_whole=False)


def test_dec_01_the_ratio_counts_beyond_the_first_mebibyte() -> None:
    limits = DecodeLimits(max_body=None, max_stream=None, max_ratio=10.0, ratio_from=1 << 20)
    assert len(decode(encode(bytes(1 << 20), "gzip"), "gzip", limits=limits)) == 1 << 20
    with pytest.raises(DecodeError, match=r"more than 10 times"):
        decode(encode(bytes((1 << 20) + 1), "gzip"), "gzip", limits=limits)


@pytest.mark.parametrize("coding", [needs("zstd")])
def test_dec_04_zstd_has_a_window_of_eight_megabytes_and_no_dictionaries(coding: str) -> None:
    parameter, library = zstd().CompressionParameter, zstd()

    def frame(window_log: int) -> bytes:
        compressor = library.ZstdCompressor(options={parameter.window_log: window_log, parameter.content_size_flag: 0})
        return bytes(compressor.compress(bytes(100_000)) + compressor.flush())

    assert len(decode(frame(WINDOW_LOG), coding)) == 100_000
    with pytest.raises(DecodeError, match="memory|window"):
        decode(frame(WINDOW_LOG + 1), coding)
    words = library.ZstdDict(b"netio" * 100, is_raw=True)
    assert outcome(library.compress(b"netio" * 50, zstd_dict=words), coding) != b"netio" * 50
    trained = bytearray(encode(b"netio" * 50, coding))
    trained[4:5] = bytes([trained[4] | 1])  # the header has a dictionary's number now
    trained[5:5] = b"\x07"
    with pytest.raises(DecodeError):
        decode(bytes(trained), coding)


@pytest.mark.parametrize("coding", ["gzip", needs("zstd")])
def test_dec_06_members_without_content_are_counted(coding: str) -> None:
    empty = encode(b"", coding)
    assert decode(empty * 1_000, coding) == b""
    with pytest.raises(DecodeError, match="too many"):
        decode(empty * 100_000, coding)
    assert decode(encode(bytes(range(60)), coding) * 2_000, coding) == bytes(range(60)) * 2_000


@every_coding
@pytest.mark.parametrize("count", [400, 4_000])
def test_dec_06_the_steps_are_as_many_as_the_bytes_ask_for(coding: str, count: int) -> None:
    """Whatever the body consists of, small flushes here; and a step is bounded by what goes in and comes out."""
    body = encode_flushed(coding, count)
    found = pieces(BodyDecoder([coding], NO_LIMITS, is_whole=True), [body])
    assert b"".join(found) == b"".join(b"%d" % number for number in range(count))
    assert len(found) <= len(body) // 1_024 + 2


def encode_flushed(coding: str, pieces: int) -> bytes:
    if coding in ("gzip", "deflate"):
        compressor = zlib.compressobj(wbits=31 if coding == "gzip" else 15)
        flushed = [
            compressor.compress(b"%d" % number) + compressor.flush(zlib.Z_FULL_FLUSH) for number in range(pieces)
        ]
        return b"".join(flushed) + compressor.flush()
    if coding == "br":
        brotli = import_module("brotli").Compressor(quality=1)
        return b"".join(brotli.process(b"%d" % number) + brotli.flush() for number in range(pieces)) + bytes(
            brotli.finish()
        )
    library = zstd()
    block, end = library.ZstdCompressor.FLUSH_BLOCK, library.ZstdCompressor.FLUSH_FRAME
    compressor = library.ZstdCompressor()
    return b"".join(compressor.compress(b"%d" % number, block) for number in range(pieces)) + bytes(
        compressor.flush(end)
    )


# ---------------------------------------------------------------------- which codings


@pytest.mark.parametrize(
    ("values", "codings"),
    [
        ([], []),
        ([""], []),
        (["identity"], []),
        (["gzip"], ["gzip"]),
        (["X-GZIP"], ["gzip"]),
        (["deflate, gzip"], ["deflate", "gzip"]),
        (["deflate", "gzip , identity", ""], ["deflate", "gzip"]),
        (["utf-8"], []),
        (["none"], []),
        (["gzip, aes128gcm"], []),
        (["gzip;q=1"], []),
    ],
)
def test_codings_of_all_fields_count_in_their_order(values: list[str], codings: list[str]) -> None:
    assert codings_of(values) == codings


@pytest.mark.parametrize(
    "values", [["gzip"] * 6, ["gzip, gzip, gzip", "gzip", "gzip,gzip"], ["identity," * 6], ["x," * 6]]
)
def test_dec_02_more_than_five_codings_are_an_error_over_all_fields(values: list[str]) -> None:
    with pytest.raises(DecodeError, match="6 content codings, more than 5"):
        codings_of(values)
    assert MAX_CODINGS == 5


def test_a_coding_whose_library_is_missing_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_codings, "coding_makers", lambda: {"gzip": None, "deflate": None})
    with pytest.raises(DecodeError, match=r"coded with br; pip install netio-http\[compression\]"):
        codings_of(["gzip, br"])
    assert codings_of(["gzip, something, br"]) == []


def test_only_what_is_installed_is_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(name: str) -> object:
        if name == "zlib":
            return zlib
        raise ImportError(name)

    monkeypatch.setattr(_codings, "import_module", none)
    assert list(coding_makers.__wrapped__()) == ["gzip", "deflate"]
